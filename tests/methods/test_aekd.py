"""Several teachers: what they teach together, by a second way, and from a spec to its record."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from kdlib import models
from kdlib.clips.batches import Batch
from kdlib.errors import UserError
from kdlib.losses.aekd import aekd_weights
from kdlib.losses.kd import kd_loss
from kdlib.methods import build
from kdlib.runs.rehearsal import rehearse
from kdlib.runs.spec import DataSpec, MethodSpec, ModelSpec, RunSpec
from kdlib.training.loop import fit
from kdlib.training.recipe import Recipe

WAYS = ("gradient", "losses", "logits")


@pytest.fixture
def batch():
    torch.manual_seed(5)
    return Batch(torch.randn(6, 3, 4, 16, 16), torch.arange(6) % 3, torch.arange(6))


@pytest.fixture(params=WAYS)
def combine(request):
    return request.param


def apart(teacher, scale=30.0):
    """A teacher that is sure of itself, so that its gradient is not lost in rounding."""
    with torch.no_grad():
        teacher.head.fc.weight.mul_(scale)
    return teacher


def conv3d(classes=3):
    torch.manual_seed(9)
    return models.build("c3d", classes, width=2)


def make(tiny, **options):
    teachers = [apart(tiny(1)), apart(tiny(2)), apart(conv3d())]
    return build("aekd", tiny(), teachers, **options)


def parts_of(method, batch):
    return {name: float(part) for name, part in method.step(batch, 0).parts.items()}


@pytest.mark.parametrize("label_weight", [1.0, 0.5])
def test_the_loss_by_hand(combine, tiny, batch, label_weight):
    method = make(tiny, combine=combine, label_weight=label_weight, temperature=2.0).eval()
    student = method.student(batch.clips)
    logits = [teacher(batch.clips) for teacher in method.teachers]
    each = torch.stack([kd_loss(student, t, temperature=2.0) for t in logits])
    expected = {
        "gradient": aekd_weights(student, torch.stack(logits), temperature=2.0, tolerance=0.6)
        @ each,
        "losses": each.mean(),
        "logits": kd_loss(student, sum(logits) / 3, temperature=2.0),
    }[combine]
    output = method.step(batch, 0)
    cross_entropy = label_weight * F.cross_entropy(student, batch.labels)
    torch.testing.assert_close(output.loss, cross_entropy + 0.9 * expected)
    torch.testing.assert_close(output.parts["distillation"], 0.9 * expected.detach())
    torch.testing.assert_close(output.output, student)


def test_the_weights_are_told_and_not_the_same_at_every_step(tiny, batch):
    method = make(tiny).eval()
    first = parts_of(method, batch)
    other = parts_of(method, replace(batch, clips=batch.clips.flip(0) + 1))
    names = ["weight_1", "weight_2", "weight_3"]
    for parts in (first, other):
        weights = [parts[name] for name in names]
        assert sum(weights) == pytest.approx(1)
        assert min(weights) >= 0
        assert max(weights) <= 0.6 + 1e-6
    assert [first[name] for name in names] != pytest.approx([other[n] for n in names], abs=1e-3)


def test_a_tolerance_of_one_over_m_is_the_average_of_losses(tiny, batch):
    adaptive = make(tiny, tolerance=1 / 3).eval()
    average = make(tiny, combine="losses").eval()
    torch.testing.assert_close(adaptive.step(batch, 0).loss, average.step(batch, 0).loss)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_equal_teachers_are_one(combine, tiny, batch, count):
    several = build(
        "aekd", tiny(), [tiny(1)] * count, combine=combine, label_weight=0.1, weight=0.9
    )
    one = build("kd", tiny(), [tiny(1)])
    torch.testing.assert_close(several.eval().step(batch, 0).loss, one.eval().step(batch, 0).loss)


def test_the_order_of_the_teachers_does_not_matter(combine, tiny, batch):
    teachers = [apart(tiny(1)), apart(tiny(2)), apart(conv3d())]
    losses, weights = [], []
    for order in ([0, 1, 2], [2, 0, 1]):
        method = build("aekd", tiny(), [teachers[n] for n in order], combine=combine).eval()
        parts = parts_of(method, batch)
        losses.append(method.step(batch, 0).loss)
        weights.append([parts[f"weight_{order.index(n) + 1}"] for n in range(3)])
    torch.testing.assert_close(*losses)
    assert weights[0] == pytest.approx(weights[1], abs=1e-5)


def test_only_the_student_learns_and_the_teachers_stay_in_eval(combine, tiny, batch):
    method = make(tiny, combine=combine)
    method.step(batch, 0).loss.backward()
    learnt = {name.split(".")[0] for name, p in method.named_parameters() if p.grad is not None}
    assert learnt == {"student"}
    for mode in (True, False):
        method.train(mode)
        assert not any(module.training for module in method.teachers.modules())
    assert method.own_parameters() == 0


def test_the_student_learns_and_the_history_has_the_mean_weights(combine, tiny, source):
    method = make(tiny, combine=combine)
    before = {name: value.clone() for name, value in method.teachers.state_dict().items()}
    history = fit(method, source, Recipe(epochs=3, learning_rate=1e-2, batch_size=8), seed=0)
    rows = history.epochs
    assert rows[-1]["cross_entropy"] < rows[0]["cross_entropy"]
    for row in rows:
        assert sum(row[f"weight_{n}"] for n in (1, 2, 3)) == pytest.approx(1, abs=1e-5)
    after = method.teachers.state_dict()
    assert all(torch.equal(value, before[name]) for name, value in after.items())


def test_a_step_reads_no_value(combine):
    with torch.device("meta"):
        student, *teachers = (models.build("tsn", 3, width=4) for _ in range(3))
        method = build("aekd", student, teachers, combine=combine)
        batch = Batch(torch.zeros(2, 3, 4, 16, 16), torch.zeros(2).long(), torch.zeros(2))
        method.step(batch, 0).loss.backward()


def test_what_cannot_be_is_named(tiny):
    with pytest.raises(UserError, match=r"^method\.teachers: it takes one or more, got none$"):
        build("aekd", tiny(), [])
    message = r"^method\.teachers: teacher number 2 has 5 classes and the student 3$"
    with pytest.raises(UserError, match=message):
        build("aekd", tiny(), [tiny(1), tiny(2, classes=5)])
    with pytest.raises(UserError, match="the teacher number 1, a Linear, gives no features"):
        build("aekd", tiny(), [torch.nn.Linear(2, 3)])
    with pytest.raises(UserError, match=r"aekd\.combine: unknown value 'loss'.*'losses'"):
        make(tiny, combine="loss")
    with pytest.raises(UserError, match=r"aekd\.tolerance: 1\.5"):
        make(tiny, tolerance=1.5)


DATA = DataSpec("generated/detail12", train=32, validation=12, test=24, frames=8, size=16)
RECIPE = Recipe(epochs=2, learning_rate=1e-3, batch_size=16)


def spec(*teachers, model="tsn", **options):
    method = MethodSpec("aekd", teachers, options) if teachers else MethodSpec()
    return RunSpec(DATA, ModelSpec(model, {"width": 4}), RECIPE, method)


@pytest.mark.slow
def test_teachers_of_two_architectures_from_a_spec_to_the_record(trained):
    teachers = spec(), spec(model="c3d")
    *_, record = trained(*teachers, spec(*teachers))
    weights = record.history[["weight_1", "weight_2"]]
    assert weights.sum(axis=1).to_list() == pytest.approx([1, 1], abs=1e-5)
    assert weights.to_numpy().max() <= 0.6 + 1e-6
    assert record.result["last"]["score"] >= 0
    assert record.result["cost"]["own_parameters"] == 0


def test_a_rehearsal_counts_every_teacher():
    one, two = rehearse(spec(spec())), rehearse(spec(spec(), spec(model="c3d")))
    alone = rehearse(spec())
    assert two.step.macs > one.step.macs > alone.step.macs
    assert two.evaluation == alone.evaluation
