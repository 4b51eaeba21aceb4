import hashlib
import subprocess
import sys

import numpy as np
import pytest
import torch

from kdlib.data import generated
from kdlib.data.generated import SPLITS, TASKS, GeneratedSpec, class_names, render, videos
from kdlib.errors import UserError

torch.set_num_threads(1)


def spec_of(task: str, **changes) -> GeneratedSpec:
    return GeneratedSpec(task, changes.pop("seed", 5), **changes)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("domain", ["source", "shifted"])
def test_bytes_depend_on_the_index_alone(task, domain):
    spec = spec_of(task, size=20, domain=domain)
    index = np.arange(37)
    whole = render(spec, "train", index, truth=True)
    order = np.random.default_rng(0).permutation(37)
    shuffled = render(spec, "train", torch.from_numpy(order), truth=True)
    assert torch.equal(shuffled.clips, whole.clips[order])
    assert torch.equal(shuffled.flow, whole.flow[order])
    assert torch.equal(shuffled.labels, whole.labels[order])
    for i in (0, 5, 36):
        alone = render(spec, "train", index[i : i + 1])
        assert torch.equal(alone.clips[0], whole.clips[i])
        for name, value in alone.factors.items():
            np.testing.assert_array_equal(value[0], whole.factors[name][i], err_msg=name)


def test_internal_batches_do_not_show(monkeypatch):
    spec = spec_of("mix12", size=24)
    whole = render(spec, "test", np.arange(50)).clips
    monkeypatch.setattr(generated, "_PIXELS_AT_ONCE", 7 * 8 * 24 * 24)
    assert torch.equal(render(spec, "test", np.arange(50)).clips, whole)


@pytest.mark.slow
def test_another_process_with_two_threads_gives_the_same_bytes():
    code = (
        "import hashlib, numpy, torch; torch.set_num_threads(2)\n"
        "from kdlib.data.generated import GeneratedSpec, render\n"
        "clips = render(GeneratedSpec('mix12', 5, size=48), 'train', numpy.arange(20)).clips\n"
        "print(hashlib.sha256(clips.numpy().tobytes()).hexdigest(), end='')"
    )
    command = [sys.executable, "-c", code]
    there = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    here = render(spec_of("mix12", size=48), "train", np.arange(20)).clips
    assert there == hashlib.sha256(here.numpy().tobytes()).hexdigest()


@pytest.mark.parametrize("task", TASKS)
def test_contract(task):
    spec = spec_of(task)
    shown = render(spec, "validation", np.arange(30), truth=True)
    frames = 1 if task == "image" else 8
    labelled = {"actors": 4, "order": 2}.get(task, 1)
    assert shown.clips.shape == (30, frames, 32, 32, 3)
    assert shown.clips.dtype == torch.uint8
    assert shown.clips.is_contiguous()
    assert shown.labels.dtype == shown.groups.dtype == torch.int64
    assert shown.labels.shape == ((30, 4) if task == "actors" else (30,))
    assert shown.flow.shape == (30, frames - 1, 2, 32, 32)
    assert shown.boxes.shape == (30, frames, labelled, 4)
    assert shown.layers.shape == (30, frames, 32, 32)
    assert all(len(value) == 30 for value in shown.factors.values())
    assert len(set(class_names(task))) == len(class_names(task))
    # Clips differ, use the range and are not washed out.
    assert len(np.unique(shown.clips.numpy().reshape(30, -1), axis=0)) == 30
    assert shown.clips.float().std() > 25


@pytest.mark.parametrize("task", [task for task in TASKS if task != "actors"])
def test_labels_are_balanced(task):
    count = len(class_names(task))
    labels = render(spec_of(task, size=8), "train", np.arange(count * 7)).labels
    assert torch.equal(labels.bincount(minlength=count), torch.full((count,), 7))


def test_actors_have_labels_where_they_are():
    shown = render(spec_of("actors", size=8), "train", np.arange(400), truth=True)
    present = shown.labels >= 0
    assert set(present.sum(1).tolist()) == {2, 3, 4}
    assert (shown.boxes[~present.unsqueeze(1).expand(-1, 8, -1)] == 0).all()
    counts = shown.labels[present].bincount(minlength=8)
    assert counts.min() > 0.75 * counts.float().mean()


def test_scenes_are_shared_within_and_never_between_splits_or_seeds():
    seen: set[int] = set()
    for seed in (0, 1, 2**31 - 1):
        for split in SPLITS:
            groups = render(spec_of("detail12", seed=seed, size=8), split, np.arange(96)).groups
            numbers, counts = groups.unique(return_counts=True)
            assert counts.tolist() == [24] * 4
            assert seen.isdisjoint(numbers.tolist())
            seen |= set(numbers.tolist())


def test_clips_of_a_scene_share_the_backdrop():
    bare = spec_of("motion12", noise=0, light=0, jitter=0, occlusion=0)
    clips = render(bare, "train", np.arange(96)).clips.float().view(4, 12, 2, 8, -1)
    one, other = clips.transpose(2, 3).flatten(1, 2).median(1).values.unbind(1)
    apart = (one[:, None] - other).abs().mean(-1)  # scene by scene
    assert apart.diagonal().max() < 4
    assert apart[~torch.eye(4, dtype=torch.bool)].min() > 12


def test_seeds_and_splits_give_other_clips_and_domains_the_same_labels():
    index = np.arange(12)
    one = render(spec_of("mix12", size=16), "train", index)
    for other in (
        render(spec_of("mix12", size=16, seed=6), "train", index),
        render(spec_of("mix12", size=16), "test", index),
        render(spec_of("mix12", size=16, domain="shifted"), "train", index),
    ):
        assert torch.equal(other.labels, one.labels)
        assert ((other.clips.float() - one.clips.float()).abs().mean((1, 2, 3, 4)) > 10).all()


def test_videos_hold_the_rendered_clips():
    spec = spec_of("actors", frames=6)
    held = videos(spec, "pool", 10)
    shown = render(spec, "pool", np.arange(10))
    assert len(held) == 10
    assert held.classes == class_names("actors")
    assert (held.lengths == 6).all()
    frame_index = np.tile(np.arange(6), (10, 1))
    assert torch.equal(held.clips(np.arange(10), frame_index), shown.clips)
    np.testing.assert_array_equal(held.labels, shown.labels.numpy())
    assert held.factors["boxes"].shape == (10, 6, 4, 4)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"task": "motion"}, "task: .*Did you mean 'motion12'"),
        ({"domain": "shift"}, "domain: .*Did you mean 'shifted'"),
        ({"seed": -1}, "seed: -1"),
        ({"size": 4}, "size: 4"),
        ({"size": 32.5}, "size: 32.5"),
        ({"task": "motion12", "frames": 1}, "frames: 1"),
        ({"task": "image", "frames": 8}, "frames: 8"),
        ({"frames": -3}, "frames: -3"),
        ({"noise": 0.9}, "noise: 0.9"),
        ({"noise": float("nan")}, "noise: nan"),
        ({"contrast": 1.5}, "contrast: 1.5"),
        ({"occlusion": 2}, "occlusion: 2"),
        ({"task": "mix12", "overlap": 1.1}, "overlap: 1.1"),
        (
            {"overlap": 0.5},
            "overlap: classes of detail12 do not overlap; .* mix12, texmot12, image",
        ),
        ({"task": "actors", "overlap": 0.5}, "overlap: classes of actors"),
        ({"label_noise": -0.1}, "label_noise: -0.1"),
        ({"task": "actors", "label_noise": 0.1}, "label_noise: actors has several labels"),
    ],
)
def test_impossible_values_are_refused_by_name(changes, says):
    with pytest.raises(UserError, match=says):
        GeneratedSpec(**{"task": "detail12", "seed": 0} | changes)


def test_impossible_requests_are_refused_by_name():
    spec = spec_of("image", size=8)
    with pytest.raises(UserError, match=r"split: .*Did you mean 'train'"):
        render(spec, "trian", np.arange(2))
    with pytest.raises(UserError, match="indices"):
        render(spec, "train", np.array([-1]))
    with pytest.raises(UserError, match="count"):
        videos(spec, "train", 0)
    with pytest.raises(UserError, match="task"):
        class_names("detail")


def test_defaults_are_filled_in():
    spec = spec_of("detail12")
    assert (spec.frames, spec.noise, spec.contrast) == (8, 0.12, 0.32)
    assert spec_of("image").frames == 1
    assert spec_of("detail12", noise=0.0).noise == 0
    assert spec_of("detail12") == spec_of("detail12", noise=0.12)
