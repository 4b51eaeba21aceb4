"""The runs on complete real data: comparable rows, nothing that could not train."""

from dataclasses import replace

import pandas as pd
import pytest

from book.real import train
from book.real.runs import CIFAR, PAIRS, on_clips, resolutions, selections
from kdlib.errors import UserError
from kdlib.runs.rehearsal import rehearse


@pytest.mark.parametrize("bed", [CIFAR, on_clips(CIFAR)], ids=["images", "clips"])
def test_rows_share_data_start_and_teacher(bed):
    for name in PAIRS:
        made = selections(name, (0,), bed)
        students = [specs[0] for label, specs in made.items() if label != "teacher"]
        first, *others = (replace(s, recipe=replace(s.recipe, epochs=1)) for s in students)
        assert all(replace(other, method=first.method) == first for other in others)
        taught = {spec.method.teachers for spec in students} - {()}
        assert taught == {made["teacher"]}


def test_a_student_of_few_pixels_has_the_network_of_its_teacher():
    made = resolutions((0,))
    (teacher,) = made["teacher"]
    assert all(specs[0].model == teacher.model for specs in made.values())
    assert made["feature KD"][0].method.teachers == (teacher,)


@pytest.mark.slow
@pytest.mark.parametrize("bed", [CIFAR, on_clips(CIFAR)], ids=["images", "clips"])
def test_all_of_them_can_train(bed):
    groups = [resolutions((0,), bed), *(selections(name, (0,), bed) for name in PAIRS)]
    for specs in (specs for made in groups for specs in made.values()):
        rehearse(specs[0])


def test_on_clips_all_seeds_start_from_one_network_of_each_kind():
    name = next(iter(PAIRS))
    images, clips = selections(name, (0,)), selections(name, (0, 1), on_clips(CIFAR))
    for role in ("teacher", "student, labels alone"):
        assert [spec.start.run for spec in clips[role]] == [images[role][0]] * 2


def test_a_pair_that_is_none_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(UserError, match=r"GROUP.*'resnett'.*resnet"):
        train.main([str(tmp_path), "resnett"])


def test_what_was_printed_stands_beside_the_rows_that_it_is_of():
    rows = pd.DataFrame({"training": ["teacher", "KD, steps of Ours*"], "gain": [1.0, 2.0]})
    assert list(train.with_published(rows.copy(), "resnet")["published"]) == ["72.34", "–"]
    assert list(train.with_published(rows.copy(), "wrn")["published"]) == ["75.61", "–"]
    assert "published" not in train.with_published(rows, "resolution")


def test_a_fault_in_what_was_printed_has_its_file_and_line(tmp_path, monkeypatch):
    path = tmp_path / "published.csv"
    path.write_text(train.PUBLISHED.read_text().replace("resnet,teacher,72.34", "resnet,teacher"))
    monkeypatch.setattr(train, "PUBLISHED", path)
    rows = pd.DataFrame({"training": ["teacher"], "gain": [1.0]})
    with pytest.raises(UserError, match=r"published\.csv, line 2: 3 cells, but 4 headings"):
        train.with_published(rows, "resnet")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--epochs", "1"], "--epochs: 2 or more"),
        (["--batch", "0"], "--batch: 1 or more"),
        (["--seeds", "0"], "--seeds: 1 or more"),
        (["--keep", "../out of here"], "--keep: a name"),
        (["--keep", ".."], "--keep: a name"),
        (["wrn", "--without", "Our's"], "--without.*Ours"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_before_anything_is_read(tmp_path, given, said):
    with pytest.raises(UserError, match=said):
        train.main([str(tmp_path), *given])
