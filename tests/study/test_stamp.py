from dataclasses import replace

import pytest

from kdlib.runs.spec import DataSpec, MethodSpec, ModelSpec, RunSpec, Start
from kdlib.study.setting import Setting
from kdlib.study.stamp import artifact_text, chapter_text, data_text
from kdlib.study.stamp import command as command_of
from kdlib.training.recipe import Recipe


def spec(name, *, start=None, teacher=None, seed=0):
    run = RunSpec(
        DataSpec(name, train=8), ModelSpec("tsn"), Recipe(epochs=1, learning_rate=0.1), seed=seed
    )
    method = MethodSpec("kd", (teacher,)) if teacher else run.method
    return replace(run, start=start and Start(start), method=method)


CLIPS, IMAGES = spec("generated/mix12"), spec("generated/image")


@pytest.mark.parametrize(
    ("specs", "text"),
    [
        ([CLIPS], "generated clips"),
        ([CLIPS, spec("generated/detail12")], "generated clips"),
        ([spec("jhmdb21"), CLIPS, IMAGES], "real clips of jhmdb21, generated clips and generated "
         "images"),
        ([spec("jhmdb21"), spec("cifar100")], "real clips of jhmdb21 and real images of cifar100"),
        ([spec("generated/mix12", start=CLIPS)], "generated clips"),
        ([spec("jhmdb21", start=CLIPS)], "real clips of jhmdb21, after pre-training on generated "
         "clips"),
        ([spec("jhmdb21", teacher=spec("jhmdb21", start=IMAGES))],
         "real clips of jhmdb21, after pre-training on generated images"),
    ],
)  # fmt: skip
def test_data_are_named_by_what_was_read(specs, text):
    assert data_text(specs) == text


def test_an_artifact_says_its_data_profile_and_seeds():
    laptop = Setting()
    few, many = (CLIPS,), tuple(replace(CLIPS, seed=s) for s in range(5))
    assert artifact_text(laptop, {"a": few}) == "From generated clips; profile laptop, 1 seed."
    assert "5 seeds." in artifact_text(laptop, {"a": many, "b": many})
    assert ", 1 to 5 seeds." in artifact_text(laptop, {"a": few, "b": many})
    assert "no evidence" in artifact_text(Setting(profile="smoke"), {"a": few})


def test_an_artifact_without_runs_claims_no_data():
    text = artifact_text(Setting(profile="smoke"), {})
    assert text == "Published and counted; nothing was trained for it."
    assert chapter_text(Setting(), []) == text


def test_a_chapter_that_read_generated_clips_is_not_stamped_with_a_real_set(tmp_path):
    setting = Setting(dataset="image:cifar100", data=str(tmp_path))
    text = chapter_text(setting, [CLIPS])
    assert text == "Numbers from generated clips, profile laptop, on cpu."
    assert "cifar100" not in setting.stamp


@pytest.mark.parametrize(
    ("given", "command"),
    [
        ({}, "make reproduce CHAPTERS=adaptive"),
        (
            {"profile": "smoke", "seeds": 7},
            "make reproduce CHAPTERS=adaptive PROFILE=smoke SEEDS=7",
        ),
        (
            {"dataset": "image:cifar100", "data": "."},
            "make reproduce CHAPTERS=adaptive DATASET=image:cifar100 DATA=...",
        ),
    ],
)
def test_the_command_has_all_that_decides_numbers_and_no_place(given, command):
    assert command_of(Setting(**given), "adaptive") == command
