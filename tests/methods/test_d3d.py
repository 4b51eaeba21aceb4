"""A teacher that sees the clip's flow, a student that sees its pixels."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from kdlib import models
from kdlib.clips.batches import Batch
from kdlib.errors import UserError
from kdlib.methods import build
from kdlib.models.base import CHANNELS
from kdlib.runs.rehearsal import rehearse
from kdlib.runs.spec import DataSpec, MethodSpec, ModelSpec, RunSpec
from kdlib.training.evaluate import predict_together
from kdlib.training.recipe import Recipe

SMALL = {"width": 8, "blocks": 1, "strides": "small", "norm_momentum": 0.1}
CLIPS = DataSpec("generated/motion12", train=48, validation=12, test=24, frames=4, size=24)
SEEN = replace(CLIPS, known=("flow",))
RECIPE = Recipe(epochs=2, learning_rate=3e-3, batch_size=16)


def network(sees="pixels", seed=0, classes=3, **options):
    """A network whose norms have seen something: of a new one all clips look alike."""
    torch.manual_seed(seed)
    settled = {**SMALL, "norm_momentum": 1.0, **options}
    model = models.build("s3dg", classes, sees=sees, **settled)
    with torch.no_grad():
        model(torch.randn(8, CHANNELS[sees], 4, 16, 16))
    return model


@pytest.fixture
def batch():
    torch.manual_seed(5)
    flow = 3 * torch.randn(6, 3, 2, 16, 16)
    labels = torch.arange(6) % 3
    return Batch(torch.randn(6, 3, 4, 16, 16), labels, torch.arange(6), known={"flow": flow})


def by_hand(network, clips):
    """Pooled features and logits."""
    features = network.backbone(clips).mean((2, 3, 4))
    return features, network.head.fc(features)


@pytest.mark.parametrize("sees", ["flow", "flow and magnitude", "pixels"])
@pytest.mark.parametrize(("target", "weight"), [("logits", 1.0), ("features", 50.0)])
def test_the_loss_by_hand(batch, sees, target, weight):
    method = build("d3d", network(), [network(sees, 1)], target=target)
    flow = torch.cat([batch.known["flow"], batch.known["flow"][:, -1:]], 1).movedim(2, 1)
    shown = flow.clamp(-20, 20) / 20
    if sees == "flow and magnitude":
        shown = torch.cat([shown, shown.norm(dim=1, keepdim=True)], 1)
    student = by_hand(method.student, batch.clips)
    teacher = by_hand(method.teacher, batch.clips if sees == "pixels" else shown)
    place = ("features", "logits").index(target)
    expected = F.cross_entropy(student[1], batch.labels)
    expected = expected + weight * F.mse_loss(student[place], teacher[place])
    output = method.step(batch, 0)
    torch.testing.assert_close(output.loss, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(output.output, student[1])


def test_a_weight_that_is_given_counts(batch):
    given = build("d3d", network(), [network("flow", 1)], target="features", weight=3.0)
    assert (given.weight, given.label_weight) == (3.0, 1.0)


def test_the_student_sees_no_flow_and_alone_learns(batch):
    method = build("d3d", network(), [network("flow", 1)])
    method.step(batch, 0).loss.backward()
    assert {name.split(".")[0] for name, p in method.named_parameters() if p.grad is not None} == {
        "student"
    }
    assert not any(module.training for module in method.teachers.modules())
    method.eval()
    still = replace(batch, known={"flow": torch.zeros_like(batch.known["flow"])})
    assert torch.equal(method.predict(batch), method.predict(still))
    assert torch.equal(method.predict(batch), method.predict(replace(batch, known={})))
    assert not torch.equal(method.step(batch, 0).loss, method.step(still, 0).loss)


def test_a_student_equal_to_its_teacher_has_nothing_to_distil(batch):
    for target in ("logits", "features"):
        method = build("d3d", network(), [network()], target=target).eval()
        found = method.terms(batch, 0).distillation
        torch.testing.assert_close(found, torch.zeros(6), rtol=0, atol=1e-9)


def test_features_need_one_width():
    wide = network("flow", width=16)
    build("d3d", network(), [wide])
    with pytest.raises(UserError, match="student has 104 channels and the teacher 208"):
        build("d3d", network(), [wide], target="features")


@pytest.mark.parametrize("name", ["kd", "dkd", "gkd", "crosskd", "dualkd", "ctkd", "aekd"])
def test_every_distillation_shows_each_network_what_it_sees(batch, name):
    method = build(name, network(), [network("flow", 1)])
    method.step(batch, 1).loss.backward()
    student = build(name, network("flow"), [network("flow", 1)])
    student.step(batch, 1).loss.backward()
    with pytest.raises(UserError, match=r'data\.known: a network sees the "flow"'):
        student.predict(replace(batch, known={}))


@pytest.mark.parametrize(
    ("name", "options"), [("resolution", {"resolution": 8}), ("rotnet", {}), ("tdl", {})]
)
def test_what_is_made_of_pixels_takes_no_network_of_flow(name, options):
    teachers = [network()] if name == "resolution" else []
    with pytest.raises(
        UserError, match="the student sees flow and magnitude, and this is made of pixels"
    ):
        build(name, network("flow and magnitude"), teachers, **options)


@pytest.fixture
def teacher():
    model = ModelSpec("s3dg", SMALL | {"sees": "flow"})
    return RunSpec(SEEN, model, RECIPE)


@pytest.fixture
def student(teacher):
    return RunSpec(SEEN, ModelSpec("s3dg", SMALL), RECIPE, MethodSpec("d3d", (teacher,)))


@pytest.mark.slow
def test_rehearsal_counts_the_teacher_in_training_alone(teacher, student):
    alone = rehearse(replace(student, method=MethodSpec()))
    work = rehearse(student)
    assert work.evaluation == alone.evaluation
    assert work.step.macs == pytest.approx(
        alone.step.macs + rehearse(teacher).evaluation.macs, rel=1e-6
    )
    unknown = replace(student, data=CLIPS)
    with pytest.raises(UserError, match=r'data\.known: a network sees the "flow"'):
        rehearse(unknown)
    true_size = ModelSpec("s3dg", {"non_local": True})
    data = replace(SEEN, frames=64, size=224)
    of_flow = RunSpec(data, ModelSpec("s3dg", {"sees": "flow and magnitude"}), RECIPE)
    method = MethodSpec("d3d", (of_flow,), {"target": "features"})
    work = rehearse(RunSpec(data, true_size, RECIPE, method))
    assert work.evaluation.macs / 1e9 == pytest.approx(65.5, abs=0.2)


@pytest.mark.slow
def test_two_streams_from_end_to_end(teacher, student, trained):
    of_flow, of_pixels = trained(teacher, student)
    assert of_flow.result["input"][0] == 2
    assert "distillation" in of_pixels.history
    assert of_pixels.student().sees == "pixels"


def test_two_streams_are_the_mean_of_their_probabilities(tiny, source):
    one, two = (build("supervised", tiny(), []) for _ in range(2))
    # The mean is highest for the second class, the highest number of all is not there.
    for method, said in ((one, [0.55, 0.44, 0.01]), (two, [0.1, 0.45, 0.45])):
        logits = torch.tensor(said).log() + 3
        method.predict = lambda batch, logits=logits: logits.expand(len(batch.clips), 3)
    for methods, said in (([one], 0), ([one, two], 1)):
        outputs = predict_together(methods, source)
        assert (outputs.values.argmax(-1) == said).all()
        torch.testing.assert_close(outputs.values.exp().sum(-1), torch.ones(len(outputs.values), 1))
        judged = one.task.judge(outputs.values, outputs.truth)["per_class"]
        assert judged == [float(k == said) for k in range(3)]
    with pytest.raises(UserError, match="predicts classes"):
        predict_together([one, build("rotnet", tiny(), [])], source)
