"""What the tasks of one question a clip promise: RotNet, VCOP, PRP."""

from dataclasses import replace

import pytest
import torch

from kdlib import methods, models
from kdlib.clips.batches import Batch
from kdlib.clips.others import Others
from kdlib.errors import UserError
from kdlib.methods.pretext import Pretext, told
from kdlib.runs.datasets import Datasets
from kdlib.runs.execute import execute
from kdlib.runs.rehearsal import rehearse
from kdlib.runs.spec import DataSpec, MethodSpec, ModelSpec, RunSpec, Start
from kdlib.runs.store import RunStore
from kdlib.training.recipe import Recipe

OWN = {
    "rotnet": {"classifier"},
    "vcop": {"pair", "classifier"},
    "prp": {"discriminative", "classifier", "generative"},
}
OPTIONS = {
    "rotnet": [{"rotations": 2}, {"rotations": 3}, {"rotations": 4}],
    "vcop": [{"clips": 3}, {"clips": 4}, {"clips": 5}],
    "prp": [{"rates": 2}, {"rates": 3}, {"rates": 4}],
}
CASES = [(name, options) for name, each in OPTIONS.items() for options in each]
QUESTION = {"rotnet": "rotation", "vcop": "order", "prp": "rate"}
CHANCE = {"rotnet": 4, "vcop": 6, "prp": 4}


@pytest.fixture(params=OWN)
def name(request):
    return request.param


def make(name, **options):
    torch.manual_seed(0)
    return methods.build(name, models.build("c3d", 3, width=4), [], **options)


def batch_of(name, videos=16):
    """Clips in which the task can be told: light from above, growing light, running stripes."""
    torch.manual_seed(4)
    noise = 0.3 * torch.randn(videos, 3, 4, 16, 16)
    if name == "rotnet":
        return Batch(noise + torch.linspace(1, -1, 16)[:, None], None, torch.arange(videos))
    if name == "vcop":
        clips = [noise + time for time in (-1, 0, 1)]
        return Batch(clips[0], None, torch.arange(videos), tuple(clips[1:]))
    time, place = torch.arange(32)[:, None, None], torch.arange(16)
    phase = 6.28 * torch.rand(videos, 1, 1, 1, 1)
    stripes = torch.sin(phase + (place - time) * 6.28 / 16)
    return Batch(stripes.expand(-1, 3, -1, 16, -1), None, torch.arange(videos))


def test_the_backbone_and_what_is_its_own_learn_and_not_the_head(name):
    method = make(name)
    method.step(batch_of(name), 0).loss.backward()
    learnt = {key for key, p in method.named_parameters() if p.grad is not None and p.grad.any()}
    own = {key.split(".")[0] for key in learnt} - {"student"}
    assert own == OWN[name]
    theirs = {key for key in learnt if key.startswith("student.")}
    assert theirs == {f"student.{key}" for key, p in method.student.named_parameters()
                      if key.startswith("backbone.")}  # fmt: skip
    assert {key.split(".")[0] for key in method.own_state()} == OWN[name]
    assert method.own_parameters() == sum(
        p.numel() for key, p in method.named_parameters() if not key.startswith("student.")
    )


def test_it_asks_for_no_label_and_predicts_nothing(name):
    method, batch = make(name), batch_of(name)
    assert isinstance(method, Pretext)
    assert batch.labels is None
    assert method.predict(batch) is None
    with pytest.raises(UserError, match=r"method\.teachers: a pretext task takes none, got 1"):
        methods.build(name, models.build("tsn", 3, width=4), [models.build("tsn", 3, width=4)])


def test_all_it_makes_is_made_on_the_device_of_the_clips(name):
    method, batch = make(name).to("meta"), batch_of(name)
    others = tuple(clips.to("meta") for clips in batch.others)
    there = Batch(batch.clips.to("meta"), None, batch.indices, others)
    method.step(there, 0).loss.backward()
    assert all(found.device.type == "meta" for found in method.solved(there))


def test_equal_seeds_give_equal_losses_and_others_do_not(name):
    method, batch = make(name).eval(), batch_of(name)

    def loss(seed):
        torch.manual_seed(seed)
        return float(method.step(batch, 0).loss.detach())

    assert loss(1) == loss(1)
    assert len({loss(seed) for seed in range(5)}) > 1


@pytest.mark.slow
def test_a_few_dozen_steps_on_one_batch_beat_a_guess(name):
    method, batch = make(name), batch_of(name)
    chance = torch.tensor(float(CHANCE[name])).log()
    optimizer = torch.optim.AdamW(method.parameters(), 1e-2)
    losses = []
    for _ in range(60):
        output = method.step(batch, 0)
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
        losses.append(output.parts[QUESTION[name]])
    assert torch.stack(losses[-10:]).mean() < 0.6 * chance
    method.eval()
    with torch.no_grad():
        solved, guessed = method.solved(batch)
    assert solved.shape == guessed.shape == (16,)
    assert set(solved.tolist()) <= {0.0, 1.0}
    assert guessed.tolist() == pytest.approx([1 / CHANCE[name]] * 16)
    assert float(solved.mean()) > 2 / CHANCE[name]


def test_told_by_hand():
    logits = torch.tensor([[2.0, 1.0, 0.0, 0.0], [0.0, 0.0, 3.0, 1.0]])
    solved, chance = told(logits, torch.tensor([0, 1]))
    assert (solved.tolist(), chance.tolist()) == ([1.0, 0.0], [0.25, 0.25])


def data_of(name, options, **fields):
    """Clips of 4 frames for the student."""
    frames = 4 * 2 ** (options["rates"] - 1) if name == "prp" else 4
    others = Others((1,) * (options["clips"] - 1), gap=2) if name == "vcop" else None
    base = DataSpec("generated/texmot12", train=8, validation=4, frames=frames, size=16,
                    sampling="dense", others=others, labels=False)  # fmt: skip
    return replace(base, **fields)


def spec_of(name, options, model="tsn", **fields):
    return RunSpec(
        data_of(name, options, **fields),
        ModelSpec(model, {"width": 4}),
        Recipe(epochs=2, learning_rate=1e-3, batch_size=4),
        MethodSpec(name, options=options),
    )


@pytest.mark.parametrize(("name", "options"), CASES)
def test_it_rehearses_with_and_without_memory(name, options):
    small = rehearse(spec_of(name, options))
    assert small.step.macs > 2 * small.evaluation.macs > 0
    large = rehearse(spec_of(name, options, size=1024))  # more than is computed: shapes alone
    assert large.step.macs > 1000 * small.step.macs


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("vcop", {"others": Others((1,), gap=2)}, r"vcop clips=3, .*: data\.others: 3 clips"),
        ("vcop", {"others": None}, r"data\.others: 3 clips in a row need 2 others"),
        ("prp", {"frames": 9}, r"data\.frames: rates up to 2 need a multiple of 2"),
        ("prp", {"others": Others((2,))}, r"data\.others: prp takes every rate from one clip"),
    ],
)
def test_data_that_do_not_fit_are_refused_before_anything_trains(name, fields, message):
    with pytest.raises(UserError, match=message):
        rehearse(spec_of(name, OPTIONS[name][0], **fields))


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_runs_are_judged_by_validation_loss_repeat_and_are_started_from(name, precision, tmp_path):
    options = OPTIONS[name][0]
    spec = replace(spec_of(name, options, model="c3d"), precision=precision)
    videos = Datasets(tmp_path / "cache").load(spec.data)
    store = RunStore(tmp_path / "store")
    one, two = (execute(spec, key, store, videos, []) for key in ("one", "two"))
    assert set(one.result["last"]) == {"validation_loss"}
    assert {QUESTION[name]} <= set(one.history.columns)
    assert one.result["cost"]["own_parameters"] > 0
    for file in ("student.safetensors", "own.safetensors"):
        assert (one.path / file).read_bytes() == (two.path / file).read_bytes()
    kept = one.method().own_state()
    assert {key.split(".")[0] for key in kept} == OWN[name]
    tuned = replace(
        spec,
        data=replace(spec.data, labels=True, others=None, frames=4, test=4),
        method=MethodSpec(),
        start=Start(spec, "backbone"),
    )
    after = execute(tuned, "tuned", store, Datasets(tmp_path / "cache").load(tuned.data), [one])
    assert 0 <= after.result["last"]["score"] <= 1
