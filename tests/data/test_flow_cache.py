import dataclasses
import os

import numpy as np
import pytest
import torch

from benchmarks.flow import translation
from kdlib import methods, models
from kdlib.analysis.flow import end_point_error
from kdlib.clips.augmentation import Augmentation
from kdlib.clips.batches import ClipSource, training_batches
from kdlib.clips.sampling import Sampling
from kdlib.data import flow_cache as module
from kdlib.data import manifest as manifests
from kdlib.data.cache import How, Source, frame_cache
from kdlib.data.flow_cache import with_flow
from kdlib.data.tvl1 import tvl1
from kdlib.data.videos import Videos
from kdlib.errors import UserError
from kdlib.runs.build import clip_source
from kdlib.runs.datasets import Datasets, stored_side
from kdlib.runs.rehearsal import rehearse
from kdlib.runs.spec import DataSpec, ModelSpec, RunSpec
from kdlib.training.evaluate import judged
from kdlib.training.loop import fit
from kdlib.training.recipe import Recipe

HOW = How(height=32, width=40)
MANIFEST = """\
name: waves
title: Waves that move
homepage: https://example.org
terms: Mine.
obtain: Make them.
classes: [left, right]
layout: {kind: folders}
splits: {all: {COUNTS}}
"""
SMALL = {"width": 8, "blocks": 1, "strides": "small", "norm_momentum": 0.1, "sees": "flow"}


@pytest.fixture
def parts(tmp_path, write_video):
    """Three videos that move by 2 pixels a frame, in two parts, and their frame cache's folder."""
    sources = {}
    for seed in range(3):
        frames = translation(seed, 2, size=48, frames=4 + seed)[0][:, :32, :40]
        sources[f"{seed}.mp4"] = Source(write_video(tmp_path / f"clips/{seed}.mp4", frames))
    cache = frame_cache(tmp_path / "cache", "mine", sources, HOW)

    def part(*rows):
        rows = list(rows)
        labels = np.zeros(len(rows), np.int64)
        return Videos(
            cache.frames, cache.starts[rows], cache.lengths[rows], labels, labels, ("moves",)
        )

    return cache.folder, {"train": part(2, 0), "test": part(1)}


@pytest.fixture
def computed(monkeypatch):
    """The lengths of the clips whose flow is computed, as it happens."""
    lengths = []

    def count(frames):
        lengths.append(len(frames))
        return tvl1(frames)

    monkeypatch.setattr(module, "tvl1", count)
    return lengths


def test_each_frame_has_its_flow_to_the_next(parts):
    found = with_flow(*parts)
    assert found.keys() == parts[1].keys()
    for name, videos in found.items():
        assert videos.flow.dtype == np.float16
        assert videos.flow.shape[1:] == (2, 32, 40)
        assert not videos.flow.flags.writeable
        assert isinstance(videos.flow, np.memmap)
        for start, length in zip(videos.starts, videos.lengths, strict=True):
            frames = torch.from_numpy(np.array(parts[1][name].frames[start : start + length]))
            expected = tvl1(frames).half().numpy()
            np.testing.assert_array_equal(videos.flow[start : start + length - 1], expected)
            assert not videos.flow[start + length - 1].any()


def test_it_is_computed_once_and_for_what_is_asked_alone(parts, computed):
    folder, videos = parts
    with_flow(folder, {"test": videos["test"]})
    assert computed == [5]
    whole = with_flow(folder, videos)
    assert sorted(computed) == [4, 5, 6]
    again = with_flow(folder, videos)
    assert len(computed) == 3
    np.testing.assert_array_equal(again["train"].flow, whole["train"].flow)
    assert with_flow(folder, {}) == {}


def test_what_is_damaged_is_computed_again_and_nothing_else(parts, computed, capsys):
    folder, videos = parts
    before = np.array(with_flow(folder, videos)["train"].flow)
    (binary,) = folder.glob("tvl1-*/frames.bin")
    place = int(videos["test"].starts[0]) * before[0].nbytes + 100
    with binary.open("r+b") as file:
        file.seek(place)
        file.write(b"\1\2\3\4")
    os.utime(binary, (1, 1))  # time enough has gone by
    found = with_flow(folder, videos)
    np.testing.assert_array_equal(found["test"].flow, before)
    assert computed == [4, 5, 6, 5]
    assert "damaged entries: 1" in capsys.readouterr().err
    (lines,) = folder.glob("tvl1-*/journal.jsonl")
    first, *_ = lines.read_text().splitlines(keepends=True)
    lines.write_text(first + first[:-20])
    with_flow(folder, videos)
    assert sorted(computed[4:]) == [5, 6], "whose lines are lost"


def test_damaged_flow_is_named(parts):
    folder, videos = parts
    assert module.damaged(folder) == []
    assert module.entry_count(folder) == 0
    with_flow(folder, videos)
    assert module.damaged(folder) == []
    assert module.entry_count(folder) == 3
    (binary,) = folder.glob("tvl1-*/frames.bin")
    content = bytearray(binary.read_bytes())
    content[5] ^= 1
    binary.write_bytes(content)
    (key,) = module.damaged(folder)
    assert key.endswith("@0")


def test_another_version_has_a_folder_of_its_own(parts, computed, monkeypatch):
    with_flow(*parts)
    monkeypatch.setattr(module, "VERSION", 99)
    with_flow(*parts)
    assert len(computed) == 6


def test_a_full_disk_is_named_before(parts, computed, monkeypatch):
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: type("U", (), {"free": 10}))
    with pytest.raises(UserError, match="STORE: optical flow takes"):
        with_flow(*parts)
    assert computed == []


def test_a_batch_has_the_flow_of_its_view(parts):
    """A crop of 21 to 32 pixels, perhaps mirrored, shown at 16: the known motion, as much less."""
    videos = with_flow(*parts)["train"]
    source = ClipSource(
        videos, Sampling("dense", 4), Augmentation("multiscale", mirror=True), 16, known=("flow",)
    )
    moves = {length: translation(int(length) - 4, 2, 48, 2)[1][0, :, 0, 0] for length in (4, 6)}
    seen = set()
    for epoch in range(8):
        (batch,) = training_batches(source, 2, seed=0, epoch=epoch, device=torch.device("cpu"))
        assert batch.known["flow"].shape == (2, 3, 2, 16, 16)
        for index, flow in zip(batch.indices, batch.known["flow"], strict=True):
            true = moves[int(videos.lengths[index])]
            found = flow.flatten(2).median(2).values.mean(0).numpy()
            scale = np.linalg.norm(found) / np.linalg.norm(true)
            assert 0.45 < scale < 0.8
            turned = scale * true * (-1, 1)
            mirrored = np.linalg.norm(found - turned) < np.linalg.norm(found - scale * true)
            seen.add(bool(mirrored))
            # Height and width may be a step apart.
            np.testing.assert_allclose(found, turned if mirrored else scale * true, atol=0.25)
    assert seen == {True, False}


@pytest.fixture
def films(tmp_path, write_video, monkeypatch):
    """A function that makes the set of films of these lengths, by part, and opens it."""
    (tmp_path / "manifests").mkdir()
    monkeypatch.setattr(manifests, "MANIFESTS", tmp_path / "manifests")

    def make(**lengths):
        counts = ", ".join(f"{part}: {len(of)}" for part, of in lengths.items())
        (tmp_path / "manifests/waves.yaml").write_text(MANIFEST.replace("COUNTS", counts))
        for part, of in lengths.items():
            for number, frames in enumerate(of):
                film = translation(number + 100 * (part == "test"), 2, size=24, frames=frames)[0]
                name = f"{part}/{('left', 'right')[number % 2]}/{number}.mp4"
                write_video(tmp_path / "data/waves" / name, film)
        return Datasets(tmp_path / "cache", tmp_path / "data")

    return make


WAVES = {"frames": 4, "size": 16, "sampling": "dense", "known": ("flow",)}


@pytest.mark.filterwarnings("error")
def test_a_network_is_trained_on_the_flow_of_ones_own_videos(films):
    datasets, data = films(train=[5] * 8, test=[5] * 4), DataSpec("waves", **WAVES)
    recipe = Recipe(epochs=1, learning_rate=1e-3, batch_size=4)
    assert rehearse(RunSpec(data, ModelSpec("s3dg", SMALL), recipe)).step.macs > 0
    videos = datasets.load(data)
    assert datasets.load(dataclasses.replace(data, known=()))["train"].flow is None
    method = methods.build("supervised", models.build("s3dg", 2, **SMALL), [])
    source = clip_source(videos["train"], data, "train")
    assert fit(method, source, recipe, seed=0).epochs[0]["samples"] == 4
    assert 0 <= judged(method, clip_source(videos["test"], data, "test"))["score"] <= 1
    too_long = clip_source(videos["test"], dataclasses.replace(data, frames=8), "test")
    with pytest.raises(UserError, match="of videos that have as many"):
        judged(method, too_long)


def test_films_too_short_for_a_clip_of_known_flow_are_named_once_and_left_out(films):
    """Clips of 4 frames would go round films of 2 and 3 and show a step that is no flow."""
    datasets = films(train=[5] * 8 + [2], validation=[4, 4, 3], test=[4, 5, 1, 6])
    data = DataSpec("waves", **WAVES)
    whole = datasets.load(dataclasses.replace(data, known=()))
    with pytest.warns(UserWarning, match="waves: 3 videos have fewer than the 4 frames") as caught:
        videos = datasets.load(data)
    assert len(caught) == 1
    text = str(caught[0].message)
    assert text.splitlines()[1:] == [
        "  train/left/8.mp4: 2",
        "  validation/left/2.mp4: 3",
        "  test/left/2.mp4: 1",
    ]
    for part, kept in videos.items():
        rows = np.flatnonzero(whole[part].lengths >= 4)
        assert len(rows) == len(whole[part]) - 1
        for field in ("starts", "lengths", "labels", "groups"):
            expected = getattr(whole[part], field)[rows]
            np.testing.assert_array_equal(getattr(kept, field), expected)
        np.testing.assert_array_equal(kept.factors["name"], whole[part].factors["name"][rows])
    method = methods.build("supervised", models.build("s3dg", 2, **SMALL), [])
    recipe = Recipe(epochs=1, learning_rate=1e-3, batch_size=4)
    sources = {part: clip_source(kept, data, part) for part, kept in videos.items()}
    trained = fit(method, sources["train"], recipe, seed=0, validation=sources["validation"])
    assert trained.epochs[0]["samples"] == 8
    assert judged(method, sources["test"])["score"] in (0, 1 / 3, 2 / 3, 1)


def test_a_class_or_a_part_of_short_films_alone_is_named(films):
    datasets = films(train=[5, 2] * 4, validation=[5, 5], test=[5, 5, 6])
    data = DataSpec("waves", **WAVES)
    with pytest.warns(UserWarning, match="which is all there was of right in training:"):
        assert set(datasets.load(data)["train"].labels) == {0}
    longer = dataclasses.replace(data, frames=6)
    with pytest.raises(UserError, match=r"waves: no train video has the 6 .*lower data\.frames$"):
        datasets.load(longer)


@pytest.mark.slow
@pytest.mark.real
def test_jhmdb21_knows_its_flow(real, tmp_path):
    """Of a few clips: neighbouring frames, warped by it, are nearer to each other than before."""
    data = DataSpec(
        "jhmdb21", train=3, validation=2, test=2, frames=8, size=56, sampling="dense",
        known=("flow",),
    )  # fmt: skip
    recipe = Recipe(epochs=1, learning_rate=1e-3)
    rehearse(RunSpec(data, ModelSpec("s3dg", SMALL), recipe))
    videos = Datasets(tmp_path, real).load(data)["train"]
    side = stored_side(56, "videos")
    assert videos.flow.shape[1:] == (2, side, side)
    errors = {"still": 0.0, "warped": 0.0}
    for start, length in zip(videos.starts, videos.lengths, strict=True):
        frames = (
            torch.from_numpy(np.array(videos.frames[start : start + length])).float().movedim(3, 1)
        )
        flow = torch.from_numpy(videos.flow[start : start + length - 1].astype(np.float32))
        place = torch.stack(torch.meshgrid(*2 * [torch.arange(side)], indexing="xy")) + flow
        grid = ((2 * place + 1) / side - 1).movedim(1, 3)
        warped = torch.nn.functional.grid_sample(
            frames[1:], grid, padding_mode="border", align_corners=False
        )
        errors["still"] += end_point_error(frames[1:, :2], frames[:-1, :2])
        errors["warped"] += end_point_error(warped[:, :2], frames[:-1, :2])
    assert errors["warped"] < 0.7 * errors["still"]
