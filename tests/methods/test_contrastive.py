"""What all contrastive pre-trainings promise, and the momentum encoder and queue of two of them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from kdlib import models
from kdlib.clips.augmentation import Augmentation
from kdlib.clips.batches import Batch, ClipSource
from kdlib.clips.others import Others
from kdlib.clips.sampling import Sampling
from kdlib.data.videos import Videos
from kdlib.errors import UserError
from kdlib.methods import build, names
from kdlib.methods.contrastive import enqueue, products, unit
from kdlib.runs.rehearsal import rehearse
from kdlib.runs.spec import DataSpec, MethodSpec, ModelSpec, RunSpec, Start
from kdlib.training.evaluate import validation_loss
from kdlib.training.loop import fit
from kdlib.training.recipe import Recipe

QUEUED = ("rspnet", "tdl")
OPTIONS = {
    "rspnet": {"queue": 24, "momentum": 0.9},
    "cvrl": {"hidden": 32},
    "tdl": {"queue": 24, "momentum": 0.9},
}
OTHERS = {
    "rspnet": Others((1, 2, 2), own_view=True),
    "cvrl": Others((1,), own_view=True),
    "tdl": Others((1,), gap=0, own_view=True, again=True),
}
CLIPS = {
    "rspnet": [(0, 1), (5, 1), (3, 2), (9, 2)],
    "cvrl": [(0, 1), (5, 1)],
    "tdl": [(0, 1), (0, 1), (8, 1)],
}
# How many candidates a task has, of 12 videos in a batch.
CANDIDATES = {"rspnet": 2, "cvrl": 12, "tdl": 24}


@pytest.fixture(params=OPTIONS)
def name(request):
    return request.param


@pytest.fixture(params=QUEUED)
def queued(request):
    return request.param


def make(name, small3d, **options):
    return build(name, small3d(), [], **OPTIONS[name] | options)


def take_step(method, batch, optimizer):
    output = method.step(batch, 0)
    optimizer.zero_grad()
    output.loss.backward()
    optimizer.step()
    method.after_step()
    return {name: float(part) for name, part in output.parts.items()}


def optimizer_of(method):
    return torch.optim.AdamW((p for p in method.parameters() if p.requires_grad), 2e-3)


def copied(tensors):
    return [tensor.detach().clone() for tensor in tensors]


def share_solved(method, batch):
    method.eval()
    torch.manual_seed(1)
    found = torch.stack([method.solved(batch)[0].mean() for _ in range(8)]).mean()
    method.train()
    return float(found)


def test_what_they_share_is_no_method():
    assert "contrastive" not in names()
    assert {"rspnet", "cvrl", "tdl"} <= set(names())


def test_the_backbone_and_the_method_s_own_layers_learn_and_the_head_does_not(
    name, small3d, moving
):
    method = make(name, small3d)
    method.step(moving(*CLIPS[name]), 0).loss.backward()
    learnt = {key for key, p in method.named_parameters() if p.grad is not None}
    assert {key.split(".")[0] for key in learnt} == {"student", "projection"}
    assert not any(key.startswith("student.head") for key in learnt)
    trained = {key for key, p in method.named_parameters() if p.requires_grad}
    assert trained - learnt == {"student.head.fc.weight", "student.head.fc.bias"}
    assert all(method.get_parameter(key).grad.abs().sum() > 0 for key in learnt if "weight" in key)


@pytest.mark.slow
def test_a_few_steps_on_one_batch_lower_the_loss_and_solve_the_task(name, small3d, moving):
    method, batch = make(name, small3d), moving(*CLIPS[name])
    optimizer = optimizer_of(method)
    torch.manual_seed(0)
    steps = [take_step(method, batch, optimizer) for _ in range(80)]
    # Of RSPNet the part that no queue has to do with: of one batch that has nothing but keys of the
    # very same videos. The first steps have random vectors in it, no match for any positive.
    losses = [parts["speed" if name == "rspnet" else "info_nce"] for parts in steps]
    assert sum(losses[-5:]) < 0.7 * sum(losses[4:9])
    assert share_solved(method, batch) > min(0.9, 6 / CANDIDATES[name])


def test_what_is_solved_is_one_or_none_beside_its_chance(name, small3d, moving):
    method, batch = make(name, small3d).eval(), moving(*CLIPS[name])
    before = copied(method.state_dict().values())
    solved, chance = method.solved(batch)
    assert solved.shape == chance.shape == ((24,) if name == "cvrl" else (12,))
    assert set(solved.tolist()) <= {0.0, 1.0}
    assert chance.tolist() == pytest.approx([1 / CANDIDATES[name]] * len(chance))
    assert not solved.requires_grad
    assert all(map(torch.equal, before, method.state_dict().values()))
    assert method.predict(batch) is None


def test_one_clip_is_a_batch_in_evaluation(name, small3d, moving):
    method = make(name, small3d).eval()
    assert method.step(moving(*CLIPS[name], videos=1), 0).loss.isfinite()


def test_a_step_reads_no_value(name):
    with torch.device("meta"):
        method = build(name, models.build("c3d", 3, width=4), [], **OPTIONS[name])
        batch = Batch(torch.zeros(2, 3, 8, 16, 16), None, torch.zeros(2, dtype=torch.int64))
        batch = replace(batch, others=(batch.clips,) * (len(CLIPS[name]) - 1))
        method.step(batch, 0).loss.backward()
        assert method.solved(batch)[0].is_meta


def test_other_clips_than_it_needs_are_named_in_one_line(name, small3d, moving):
    method, batch = make(name, small3d), moving(*CLIPS[name])
    for others in ((), (*batch.others, batch.clips)):
        with pytest.raises(UserError, match=rf"^data\.others: {name} compares .* as Others\(") as e:
            method.step(replace(batch, others=others), 0)
        assert f"here are {len(others)}" in str(e.value)
        assert "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("rspnet", {"queue": 0}, r"rspnet\.queue: 0"),
        ("tdl", {"momentum": 1.0}, r"tdl\.momentum: 1\.0"),
        ("cvrl", {"temperature": 0.0}, r"cvrl\.temperature: 0\.0"),
        ("cvrl", {"queue": 5}, "option of method cvrl: unknown value 'queue'"),
        ("tdl", {"projections": 3}, "option of method tdl: unknown value 'projections'"),
    ],
)
def test_impossible_options_are_named(small3d, name, options, message):
    with pytest.raises(UserError, match=message):
        make(name, small3d, **options)


# Momentum encoder and queue


def followed(method):
    return [*method.student.backbone.parameters(), *method.projection.parameters()]


def following(method):
    return [*method.key_student.parameters(), *method.key_projection.parameters()]


def test_the_copy_starts_as_the_student_and_takes_no_gradient(queued, small3d, moving):
    method, batch = make(queued, small3d), moving(*CLIPS[queued])
    assert all(map(torch.equal, followed(method), following(method)))
    method.step(batch, 0).loss.backward()
    assert not any(p.requires_grad or p.grad is not None for p in following(method))
    assert not any(key.requires_grad for key in method.keys(batch.clips))
    method.eval()
    for query, key in zip(
        build(queued, small3d(), [], **OPTIONS[queued]).eval().queries(batch.clips),
        build(queued, small3d(), [], **OPTIONS[queued]).eval().keys(batch.clips),
        strict=True,
    ):
        torch.testing.assert_close(query, key)
        torch.testing.assert_close(query.norm(dim=1), torch.ones(12))


def test_the_copy_goes_a_part_of_the_way_to_the_student(queued, small3d):
    method = make(queued, small3d, momentum=0.75)
    with torch.no_grad():
        for parameter in followed(method):
            parameter += torch.randn_like(parameter)
    before = copied(following(method))
    method.after_step()
    for old, new, student in zip(before, following(method), followed(method), strict=True):
        torch.testing.assert_close(new, old + 0.25 * (student - old))
    assert not torch.equal(before[0], following(method)[0])


def test_the_queue_is_filled_round_and_the_oldest_go_first():
    queue, oldest = torch.zeros(5, 1), torch.tensor(0)
    seen = []
    for first in (1, 4, 7):
        enqueue(queue, oldest, torch.arange(first, first + 3.0)[:, None])
        seen.append((queue.flatten().tolist(), int(oldest)))
    assert seen == [([1, 2, 3, 0, 0], 3), ([6, 2, 3, 4, 5], 1), ([6, 7, 8, 9, 5], 4)]
    enqueue(queue, oldest, torch.arange(10, 17.0)[:, None])
    assert sorted(queue.flatten().tolist()) == [12, 13, 14, 15, 16]
    following_on = queue.flatten().roll(-int(oldest)).tolist()
    assert following_on == [12, 13, 14, 15, 16]


def test_what_enters_the_queue_is_what_the_copy_made(queued, small3d, moving, monkeypatch):
    method, batch = make(queued, small3d), moving(*CLIPS[queued])
    made, encode = [], method.keys
    monkeypatch.setattr(method, "keys", lambda clips: made.append(encode(clips)) or made[-1])
    before = method.queued.clone()
    torch.testing.assert_close(before.norm(dim=1), torch.ones(24))
    method.step(batch, 0)
    assert torch.equal(method.queued, before), "the keys of a step are no negatives of its own"
    method.after_step()
    # Of RSPNet it is the keys of the other speed, the second ones.
    assert torch.equal(method.queued[:12], made[-1][0])
    assert torch.equal(method.queued[12:], before[12:])
    method.after_step()
    assert int(method.oldest) == 12, "each key enters once"


def test_of_several_batches_a_step_all_keys_enter_the_queue(queued, small3d, moving):
    method, batch = make(queued, small3d), moving(*CLIPS[queued])
    before = method.queued.clone()
    for _ in range(2):
        method.step(batch, 0)
    method.after_step()
    assert not (method.queued == before).all(1).any()
    assert int(method.oldest) == 0


def test_validation_leaves_the_queue_alone(queued, small3d, moving):
    method, batch = make(queued, small3d).eval(), moving(*CLIPS[queued])
    before = copied(method.state_dict().values())
    method.step(batch, 0)
    assert all(map(torch.equal, before, method.state_dict().values()))
    method.after_step()
    assert torch.equal(method.queued, before[list(method.state_dict()).index("queued")])


def test_products_are_not_those_of_half_precision():
    rows, columns = unit(torch.randn(4, 128)), unit(torch.randn(6, 128))
    with torch.autocast("cpu", torch.bfloat16):
        found = products(rows, columns)
    torch.testing.assert_close(found, (rows.double() @ columns.double().T).float())
    assert unit(torch.randn(2, 3).bfloat16()).dtype == torch.float32


# From training to the record


@pytest.fixture
def source():
    def make(name, count=16, length=24):
        draw = np.random.default_rng(0)
        pixels = draw.integers(0, 256, (count, 1, 16, 16, 3)).repeat(length, axis=1)
        for frame in range(length):
            pixels[:, frame, :, frame % 16] = 255
        frames = pixels.reshape(-1, 16, 16, 3).astype(np.uint8)
        starts, lengths = np.arange(count) * length, np.full(count, length)
        videos = Videos(
            frames, starts, lengths, np.zeros(count, np.int64), np.arange(count), ("one",)
        )
        view = Augmentation("shift", mirror=True)
        return ClipSource(videos, Sampling("dense", 8), view, 16, OTHERS[name], (), False)

    return make


RECIPE = Recipe(epochs=4, learning_rate=1e-3, batch_size=8)


@pytest.mark.slow
def test_equal_seeds_give_equal_bits_also_after_an_interruption(name, small3d, source, tmp_path):
    clips, states = source(name), []
    for seed in (0, 0, 1):
        method = make(name, small3d)
        history = fit(method, clips, RECIPE, seed=seed, validation=clips)
        states.append((method.state_dict(), [row["validation_score"] for row in history.epochs]))

    def interrupt(epoch):
        if epoch == 2:
            raise KeyboardInterrupt

    where = {"checkpoint": tmp_path / "checkpoint.pt", "checkpoint_seconds": 0}
    with pytest.raises(KeyboardInterrupt):
        fit(
            make(name, small3d),
            clips,
            RECIPE,
            seed=0,
            validation=clips,
            progress=interrupt,
            **where,
        )
    torch.rand(3)
    resumed = make(name, small3d)
    history = fit(resumed, clips, RECIPE, seed=0, validation=clips, **where)
    states.append((resumed.state_dict(), [row["validation_score"] for row in history.epochs]))
    for state, scores in (states[1], states[3]):
        assert all(torch.equal(value, states[0][0][key]) for key, value in state.items())
        assert scores == states[0][1]
    assert not torch.equal(states[2][0]["projection.0.weight"], states[0][0]["projection.0.weight"])


def test_the_validation_loss_has_the_same_draws_at_every_call(name, small3d, source):
    method = make(name, small3d)
    found = []
    for _ in range(2):
        torch.rand(1)
        found.append(validation_loss(method, source(name)))
    assert found[0] == found[1]


def spec(name, **data):
    known = {"length": 24, "frames": 8, "size": 16, "sampling": "dense", "labels": False}
    known |= {"train": 32, "validation": 16, "others": OTHERS[name]}
    data = DataSpec("generated/motion12", **known | data)
    method = MethodSpec(name, options=OPTIONS[name])
    recipe = Recipe(epochs=2, learning_rate=1e-3, batch_size=16)
    return RunSpec(data, ModelSpec("c3d", {"width": 4}), recipe, method)


@pytest.mark.slow
def test_from_a_spec_to_the_record_and_on_to_labels(name, trained):
    labelled = replace(spec(name), data=replace(spec(name).data, labels=True, others=None, test=12))
    tuned = replace(labelled, method=MethodSpec(), start=Start(spec(name), "backbone"))
    before, after = trained(spec(name), tuned)
    assert set(before.result["last"]) == {"validation_loss"}
    assert before.result["cost"]["own_parameters"] == before.method().own_parameters() > 0
    assert after.result["last"]["score"] >= 0
    if name in QUEUED:
        method = before.method()
        assert int(method.oldest) == 2 * 32 % 24
        torch.testing.assert_close(method.queued.norm(dim=1), torch.ones(24))


def test_a_rehearsal_counts_all_clips_and_refuses_what_cannot_run(name):
    work = rehearse(spec(name))
    labelled = replace(spec(name), data=replace(spec(name).data, labels=True, others=None, test=12))
    alone = rehearse(replace(labelled, method=MethodSpec()))
    # Forward and backward through one clip is about three times forward.
    clips = {"rspnet": 3 + 2, "cvrl": 6, "tdl": 6 + 1}[name] / 3
    assert work.step.macs == pytest.approx(clips * alone.step.macs, rel=0.35)
    with pytest.raises(UserError, match=rf"data\.others: {name} compares"):
        rehearse(spec(name, others=None))
