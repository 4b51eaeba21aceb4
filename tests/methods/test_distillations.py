"""What all base distillations promise, and what each one's loss is, by a second way."""

import math

import pytest
import torch
from torch.nn import functional as F

from kdlib.clips.batches import Batch
from kdlib.errors import UserError
from kdlib.losses.kd import kd_loss
from kdlib.losses.sinkhorn import sinkhorn_loss
from kdlib.methods import build
from kdlib.methods.base import Epoch
from kdlib.training.loop import fit
from kdlib.training.recipe import Recipe

METHODS = ("kd", "dkd", "ctkd", "crosskd", "dualkd", "gkd")
OWN = {"ctkd": {"theta"}, "gkd": {"projection", "encoder", "decoder"}}


@pytest.fixture
def batch():
    torch.manual_seed(5)
    return Batch(torch.randn(6, 3, 4, 16, 16), torch.arange(6) % 3, torch.arange(6))


@pytest.fixture(params=METHODS)
def name(request):
    return request.param


def make(name, tiny, **options):
    return build(name, tiny(), [tiny(1)], **options)


def test_the_loss_is_the_mean_of_its_terms(name, tiny, batch):
    method = make(name, tiny).eval()
    terms, output = method.terms(batch, 0), method.step(batch, 0)
    assert terms.cross_entropy.shape == terms.distillation.shape == (6,)
    torch.testing.assert_close(output.loss, (terms.cross_entropy + terms.distillation).mean())
    torch.testing.assert_close(output.output, method.predict(batch))
    expected = 0.1 * F.cross_entropy(output.output, batch.labels, reduction="none")
    torch.testing.assert_close(terms.cross_entropy, expected)
    seen, teacher_map = method.see(batch, 0), method.teacher.features(batch.clips)
    torch.testing.assert_close(seen.teacher, teacher_map.mean((2, 3, 4)))
    torch.testing.assert_close(terms.distillation, method.weighted(seen))
    assert not seen.teacher.requires_grad
    assert not seen.teacher_logits.requires_grad


def test_only_the_student_and_what_is_the_methods_own_learn(name, tiny, batch):
    method = make(name, tiny)
    method.step(batch, 0)
    method.before_epoch(Epoch(1, 4, 6, lambda: iter([batch])))
    method.step(batch, 1).loss.backward()
    learnt = {key.split(".")[0] for key, p in method.named_parameters() if p.grad is not None}
    assert learnt == {"student"} | OWN.get(name, set())
    assert not any(p.requires_grad for p in method.teachers.parameters())
    method.train()
    assert not any(module.training for module in method.teachers.modules())


def test_the_teacher_stays_as_it_is_and_the_student_learns(name, tiny, source):
    method = make(name, tiny)
    before = {k: v.clone() for k, v in method.teachers.state_dict().items()}
    recipe = Recipe(epochs=3, learning_rate=1e-2, batch_size=8)
    history = fit(method, source, recipe, seed=0)
    assert all(torch.equal(v, before[k]) for k, v in method.teachers.state_dict().items())
    assert history.epochs[-1]["cross_entropy"] < history.epochs[0]["cross_entropy"]


def test_one_sample_is_a_batch(name, tiny, batch):
    method = make(name, tiny)
    output = method.step(Batch(batch.clips[:1], batch.labels[:1], batch.indices[:1]), 1)
    output.loss.backward()
    assert torch.isfinite(output.loss)


def test_one_teacher(name, tiny):
    with pytest.raises(UserError, match=r"method\.teachers: it takes one, got 2"):
        build(name, tiny(), [tiny(1), tiny(2)])


def test_other_classes_than_the_student_s_are_refused(name, tiny):
    with pytest.raises(UserError, match="the student has 3 classes and the teacher 5"):
        build(name, tiny(), [tiny(1, classes=5)])


def test_a_plain_module_has_no_features_to_distil(name, tiny):
    with pytest.raises(UserError, match="the teacher, a Linear, gives no features"):
        build(name, tiny(), [torch.nn.Linear(2, 3)])


def test_what_is_trained_beside_the_student_is_counted(name, tiny):
    method = make(name, tiny)
    students = {id(p) for p in method.student.parameters()}
    own = [p for p in method.parameters() if p.requires_grad and id(p) not in students]
    assert method.own_parameters() == sum(p.numel() for p in own)
    assert bool(own) == (name in OWN)
    if name == "gkd":
        # projection 16 -> 16, encoder 16 -> 64, decoder 32 -> 64 -> 16, with their biases
        assert method.own_parameters() == 272 + 1088 + 2112 + 1040


def logits(method, batch):
    return method.predict(batch), method.teacher(batch.clips)


def test_kd_by_cross_entropy_and_entropy(tiny, batch):
    method = make("kd", tiny, temperature=2.0, weight=0.5).eval()
    student, teacher = logits(method, batch)
    p = torch.softmax(teacher / 2, 1)
    cross = -(p * torch.log_softmax(student / 2, 1)).sum(1)
    entropy = -(p * torch.log(p)).sum(1)
    found = method.terms(batch, 0).distillation
    torch.testing.assert_close(found, 0.5 * 4 * (cross - entropy))


def test_a_student_equal_to_its_teacher_has_nothing_to_distil(tiny, batch):
    for name in ("kd", "dkd", "ctkd", "dualkd", "crosskd"):
        method = build(name, tiny(1), [tiny(1)]).eval()
        found = method.terms(batch, 0).distillation
        torch.testing.assert_close(found, torch.zeros(6), rtol=0, atol=1e-4)


def test_ctkd_starts_at_its_papers_temperature_and_turns_against_the_student(tiny, batch):
    method = make("ctkd", tiny)
    start = 1 + 20 / (1 + math.exp(-1))
    assert float(method.temperature(0)) == pytest.approx(start)
    assert start == pytest.approx(15.62, abs=0.01)
    with torch.no_grad():
        method.teacher.head.fc.weight.mul_(50)  # or the gradient would be lost in rounding
    gradients = []
    for epoch in (0, 4, 9, 40):
        method.zero_grad()
        method.step(batch, epoch).loss.backward()
        gradients.append(float(method.theta.grad))
    # The gradient of the loss itself, without reversal.
    theta = torch.ones(1, requires_grad=True)
    student, teacher = (x.detach() for x in logits(method.train(), batch))
    loss = 0.9 * kd_loss(student, teacher, temperature=1 + 20 * torch.sigmoid(theta))
    loss.backward()
    # Half a cosine at 1, 5 and 10 of 10 epochs: the released code counts from 1.
    assert gradients[0] == pytest.approx(-0.024472 * float(theta.grad), rel=1e-3)
    assert gradients[1] == pytest.approx(-0.5 * float(theta.grad), rel=1e-3)
    assert gradients[2] == gradients[3] == pytest.approx(-float(theta.grad), rel=1e-3)


@pytest.mark.parametrize(
    ("optimizer", "rate", "ratio"), [("sgd", 100.0, 0.024472), ("adamw", 1e-3, 1.0)]
)
def test_ctkd_s_rise_scales_the_step_of_sgd_but_not_of_adamw(tiny, source, optimizer, rate, ratio):
    """How far theta goes in the first step, where the rise takes ten epochs and where one."""
    moved = []
    for rise in (10, 1):
        method = make("ctkd", tiny, rise_epochs=rise)
        with torch.no_grad():
            method.teacher.head.fc.weight.mul_(50)
        recipe = Recipe(epochs=1, learning_rate=rate, batch_size=24, optimizer=optimizer)
        fit(method, source, recipe, seed=0)
        moved.append(float(method.theta.detach()) - 1)
    assert moved[0] / moved[1] == pytest.approx(ratio, rel=0.05)


def test_crosskd_goes_through_the_teachers_head_with_gradient(tiny, batch):
    method = make("crosskd", tiny)
    student = method.student.features(batch.clips).mean((2, 3, 4))
    teacher = method.teacher.features(batch.clips).mean((2, 3, 4))
    aligned = (student - student.mean(0)) / (student.std(0) + 1e-6) * teacher.std(0)
    crossed = (
        aligned + teacher.mean(0)
    ) @ method.teacher.head.fc.weight.T + method.teacher.head.fc.bias
    expected = 0.9 * kd_loss(crossed, method.teacher(batch.clips), temperature=4.0)
    terms = method.terms(batch, 0)
    torch.testing.assert_close(terms.distillation.mean(), expected)
    # SAKD's released code loses this gradient: its distillation trains nothing.
    terms.distillation.mean().backward()
    assert sum(float(p.grad.abs().sum()) for p in method.student.backbone.parameters()) > 0


def test_crosskd_needs_features_of_one_size(tiny):
    from kdlib import models

    with pytest.raises(UserError, match="the student has 16 channels and the teacher 32"):
        build("crosskd", tiny(), [models.build("tsn", 3, width=8)])


def test_dkd_weighs_the_target_by_alpha_and_the_others_by_beta(tiny, batch):
    method = make("dkd", tiny, alpha=0.3, beta=2.0, temperature=2.0, weight=0.5).eval()
    student, teacher = logits(method, batch)
    target = F.one_hot(batch.labels, 3).bool()
    p, q = ((x / 2).softmax(1) for x in (teacher, student))
    p_y, q_y = p[target], q[target]
    tckd = p_y * (p_y / q_y).log() + (1 - p_y) * ((1 - p_y) / (1 - q_y)).log()
    p, q = (x[~target].view(6, 2) / (1 - y[:, None]) for x, y in ((p, p_y), (q, q_y)))
    nckd = (p * (p / q).log()).sum(1)
    expected = 0.5 * 4 * (0.3 * tckd + 2.0 * nckd)
    torch.testing.assert_close(method.terms(batch, 0).distillation, expected, rtol=1e-3, atol=1e-6)


def test_dualkd_learns_from_the_student_of_the_epoch_before(tiny, batch):
    method = make("dualkd", tiny, self_weight=10.0).eval()
    student, teacher = logits(method, batch)
    only_kd = 0.9 * kd_loss(student, teacher, temperature=4.0, reduction="none")
    torch.testing.assert_close(method.terms(batch, 0).distillation, only_kd)
    with torch.no_grad():
        method.student.head.fc.bias += torch.tensor([2.0, 0.0, -2.0])
    apart = method.terms(batch, 1).distillation
    method.before_epoch(Epoch(1, 4, 6, lambda: iter([batch])))
    together = method.terms(batch, 1).distillation
    assert (together < apart).all()


def test_dualkd_is_kd_and_transport_at_its_temperature(tiny, batch):
    """From the student of an epoch before in eval mode, whatever mode the method is in."""
    torch.manual_seed(0)
    method = build("dualkd", tiny(dropout=0.5), [tiny(1)], temperature=2.0, self_weight=3.0)
    before = method.student.eval()(batch.clips).detach()
    method.train()
    method.before_epoch(Epoch(1, 4, 6, lambda: iter([batch])))
    with torch.no_grad():
        method.student.head.fc.bias += torch.tensor([2.0, 0.0, -2.0])
    seen = method.see(batch, 1)
    torch.testing.assert_close(seen.previous_logits, before)
    fc = method.teacher.head.fc.weight
    cosine = F.cosine_similarity(fc[:, None], fc[None], dim=2)
    kd = kd_loss(seen.student_logits, seen.teacher_logits, temperature=2.0, reduction="none")
    transport = sinkhorn_loss(
        seen.student_logits, before, 1 - cosine, temperature=2.0, reduction="none"
    )
    torch.testing.assert_close(method.weighted(seen), 0.9 * (kd + 3 * transport))
    assert (transport > 0.01).all()


def gkd_by_hand(method, seen):
    """The student's loss, and the auto-encoder's, by torch's own distributions."""
    scale = torch.linalg.vector_norm(seen.teacher) / seen.teacher.numel() ** 0.5
    features = seen.teacher / scale
    mean, log_variance = method.encoder(features).chunk(2, 1)
    found = torch.distributions.Normal(mean, (log_variance / 2).exp())
    divergence = torch.distributions.kl_divergence(found, torch.distributions.Normal(0.0, 1.0))
    made = method.decoder(mean)
    imitation = F.mse_loss(method.projection(seen.student), made.detach(), reduction="none")
    rebuilt = F.mse_loss(made, features, reduction="none")
    return imitation.mean(1), rebuilt.mean(1) + 0.1 * divergence.mean(1)


def test_gkd_by_hand(tiny, batch):
    torch.manual_seed(0)
    method = make("gkd", tiny).eval()
    with torch.no_grad():
        method.encoder.weight.mul_(5)  # or the KL is next to nothing
    seen = method.see(batch, 0)
    imitation, own = gkd_by_hand(method, seen)
    torch.testing.assert_close(method.weighted(seen), 0.9 * (imitation + own))
    # In units of the teacher's features: a teacher ten times as large makes no difference.
    larger = method.weighted(seen._replace(teacher=10 * seen.teacher))
    torch.testing.assert_close(larger, method.weighted(seen))


def test_gkd_s_student_and_auto_encoder_learn_apart(tiny, batch):
    torch.manual_seed(0)
    method = make("gkd", tiny).eval()
    method.weighted(method.see(batch, 0)).mean().backward()
    found = {name: p.grad.clone() for name, p in method.named_parameters() if p.grad is not None}
    for part, names in ((0, ("student", "projection")), (1, ("encoder", "decoder"))):
        method.zero_grad()
        (0.9 * gkd_by_hand(method, method.see(batch, 0))[part].mean()).backward()
        alone = {name: p.grad for name, p in method.named_parameters() if p.grad is not None}
        assert {name.split(".")[0] for name in alone} == set(names)
        for name, gradient in alone.items():
            torch.testing.assert_close(found[name], gradient)


def test_half_precision_costs_the_gradient_little(name, tiny):
    """What bfloat16 makes of the networks' own maps, some hundredths, and not much more."""
    torch.manual_seed(5)
    looks = 2 * torch.rand(24, 3, 1, 1, 1), torch.randn(24, 3, 1, 1, 1)
    clips = looks[0] * torch.randn(24, 3, 4, 16, 16) + looks[1]
    batch = Batch(clips, torch.arange(24) % 3, torch.arange(24))
    gradients = []
    for mixed in (False, True):
        torch.manual_seed(0)
        method = make(name, tiny)
        with torch.no_grad():
            method.teacher.head.fc.weight.mul_(5)
        method.before_epoch(Epoch(1, 4, 24, lambda: iter([batch])))
        with torch.no_grad():
            method.student.head.fc.bias += torch.tensor([1.0, 0.0, -1.0])
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            terms = method.terms(batch, 1)
        assert terms.distillation.dtype == terms.cross_entropy.dtype == torch.float32
        terms.distillation.mean().backward()
        grads = [p.grad.flatten() for p in method.student.backbone.parameters()]
        gradients.append(torch.cat(grads))
    error = (gradients[1] - gradients[0]).norm() / gradients[0].norm()
    assert float(error) < 0.05


def test_gkd_s_auto_encoder_learns_to_rebuild_the_teachers_features(tiny, source):
    method = make("gkd", tiny, label_weight=0.0)
    recipe = Recipe(epochs=30, learning_rate=1e-2, batch_size=24)
    history = fit(method, source, recipe, seed=0)
    assert history.epochs[-1]["distillation"] < 0.7 * history.epochs[0]["distillation"]
