import copy

import pytest
import torch
from torch.nn import functional as F

from kdlib.clips.batches import Batch
from kdlib.errors import UserError
from kdlib.methods import build as build_method


def build(student, teachers, **options):
    return build_method("resolution", student, teachers, **options)


@pytest.fixture
def batch():
    torch.manual_seed(3)
    return Batch(torch.randn(4, 3, 2, 48, 48), torch.tensor([0, 1, 2, 0]), torch.arange(4))


def test_feature_kd_is_cross_entropy_plus_weighted_mean_square(tiny, batch):
    student, teacher = tiny(0).eval(), tiny(1).eval()
    method = build(
        student, [teacher], resolution=24, weight=7.0, teacher_batchnorm="running"
    ).eval()
    low = (
        F.interpolate(
            batch.clips.transpose(1, 2).flatten(0, 1),
            (24, 24),
            mode="bilinear",
            align_corners=False,
        )
        .unflatten(0, (4, 2))
        .transpose(1, 2)
    )
    student_map, teacher_map = student.features(low), teacher.features(batch.clips)
    total = 0.0
    for n in range(4):
        for t in range(2):
            up = F.interpolate(student_map[n, :, t][None], teacher_map.shape[3:], mode="bilinear")[
                0
            ]
            total = total + (up - teacher_map[n, :, t]).square().sum()
    expected = F.cross_entropy(student(low), batch.labels) + 7.0 * total / teacher_map.numel()
    assert torch.isclose(method.step(batch, 0).loss, expected, rtol=1e-5)


def test_logit_target_uses_the_teachers_own_logits(tiny, batch):
    student, teacher = tiny(0), tiny(1)
    method = build(
        student, [teacher], resolution=24, target="logit", temperature=2.0,
        teacher_batchnorm="running",
    ).eval()  # fmt: skip
    output = method.step(batch, 0)
    p = (teacher.eval()(batch.clips) / 2).softmax(1)
    log_q = (output.output / 2).log_softmax(1)
    expected = 4 * (p * (p.log() - log_q)).sum(1).mean()
    assert torch.isclose(output.parts["distillation"], expected, rtol=1e-4)


@pytest.mark.parametrize("target", ["feature", "logit", "pixel"])
def test_identical_networks_at_full_resolution_have_no_distillation_loss(tiny, batch, target):
    student = tiny(0)
    method = build(
        student, [copy.deepcopy(student)], resolution=48, target=target,
        teacher_batchnorm="running",
    ).eval()  # fmt: skip
    assert method.step(batch, 0).parts["distillation"].abs() < 1e-6


@pytest.mark.parametrize("target", ["feature", "logit", "pixel"])
def test_only_the_student_learns(tiny, batch, target):
    teacher = tiny(1)
    before = {n: p.clone() for n, p in teacher.named_parameters()}
    method = build(tiny(0), [teacher], resolution=24, target=target)
    optimizer = torch.optim.SGD([p for p in method.parameters() if p.requires_grad], lr=0.1)
    first = [p.clone() for p in method.student.parameters()]
    method.step(batch, 0).loss.backward()
    optimizer.step()
    assert all(torch.equal(p, before[n]) for n, p in teacher.named_parameters())
    assert any(
        not torch.equal(a, b) for a, b in zip(first, method.student.parameters(), strict=True)
    )


@pytest.mark.parametrize("target", ["feature", "logit", "pixel"])
def test_distillation_depends_on_the_teacher(tiny, batch, target):
    losses = [
        build(tiny(0), [tiny(seed)], resolution=24, target=target)
        .step(batch, 0)
        .parts["distillation"]
        for seed in (1, 2)
    ]
    assert not torch.isclose(*losses)


def test_an_unfrozen_teacher_uses_batch_statistics_and_drifts_but_keeps_its_weights(tiny, batch):
    teacher = tiny(1)
    mean = teacher.backbone[0][1].running_mean
    start = mean.clone()
    method = build(tiny(0), [teacher], resolution=24, teacher_batchnorm="batch")
    method.train()
    method.step(batch, 0)
    assert not torch.equal(mean, start)
    method = build(tiny(0), [teacher], resolution=24, teacher_batchnorm="running")
    drifted = mean.clone()
    method.train()
    method.step(batch, 0)
    assert torch.equal(mean, drifted)


def test_pixel_target_needs_no_equal_channels_but_feature_does(tiny, batch):
    from kdlib import models

    wide = models.build("tsn", 3, width=8)
    method = build(tiny(0), [wide], resolution=24, target="pixel")
    assert torch.isfinite(method.step(batch, 0).loss)
    assert method.own_state() == {}
    with pytest.raises(UserError, match="the student has 16 channels and the teacher 32"):
        build(tiny(0), [wide], resolution=24, target="feature")


def test_paper_and_released_presets(tiny):
    def made(**options):
        return build(tiny(0), [tiny(1)], resolution=24, **options)

    assert (made().weight, made(target="pixel").weight, made(target="pixel").temperature) == (
        100.0, 500.0, 4.0,
    )  # fmt: skip
    released = made(target="pixel", variant="released")
    assert (released.weight, released.temperature) == (200.0, 2.0)


def test_wrong_number_of_teachers_is_named(tiny):
    with pytest.raises(UserError, match=r"method\.teachers.*got 2"):
        build(tiny(0), [tiny(1), tiny(2)], resolution=24)
