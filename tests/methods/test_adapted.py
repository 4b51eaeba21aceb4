"""Networks from elsewhere as student and as teacher of every method."""

import pytest
import torch
from torch import nn

from kdlib import methods, tasks
from kdlib.clips.batches import Batch
from kdlib.errors import UserError
from kdlib.models.base import VideoModel
from tests.models.test_adapt import CLIP, NETWORKS, made

TOKENS = ("mae", "mvd")  # of a vit alone
OTHERS = {"cvrl": 1, "tdl": 2, "vcop": 2, "rspnet": 3}  # further clips of each video
OPTIONS = {
    "resolution": {"resolution": 32, "weight": 1.0},
    "prp": {"rates": 2, "channels": 16},
    "rspnet": {"queue": 8},
    "tdl": {"queue": 8},
    "cvrl": {"hidden": 16},
    "flow_probe": {"stage": "", "width": 16},
}
MORE = [
    ("resolution", {"target": "pixel"}),
    ("resolution", {"target": "logit"}),
    ("d3d", {"target": "features"}),
    ("aekd", {"combine": "losses"}),
]
EVERY = [(name, {}) for name in methods.names() if name not in TOKENS] + MORE


class Plain(nn.Sequential):
    """A network of this house with maps of so many channels and times."""

    def __init__(self, channels, times):
        super().__init__(
            nn.Conv3d(3, channels, (1, 8, 8), stride=(1, 8, 8)),
            nn.ReLU(),
            nn.AdaptiveAvgPool3d((times, None, None)),
        )


def batch_of(name):
    torch.manual_seed(3)
    frames = 2 * CLIP[0] if name == "prp" else CLIP[0]
    clips = torch.randn(4, 3, frames, *CLIP[1:])
    known = {
        "posterior": torch.softmax(torch.randn(4, 3), 1),
        "flow": torch.randn(4, frames - 1, 2, *CLIP[1:]),
    }
    others = tuple(torch.randn_like(clips) for _ in range(OTHERS.get(name, 0)))
    known = known if name in ("oracle", "flow_probe") else {}
    return Batch(clips, torch.tensor([0, 1, 2, 0]), torch.arange(4), others, known)


def method_of(name, options, student, teacher):
    options = OPTIONS.get(name, {}) | options
    if methods.goes_around(name):
        return methods.build(name, methods.build("kd", student, [teacher]), **options)
    if name == "flow_probe":
        student = tasks.equip(student, "flow", 3)
    try:
        return methods.build(name, student, [teacher], **options)
    except UserError:  # it takes no teachers
        return methods.build(name, student, [], **options)


def one_step(method, name):
    """The loss of a step in a second epoch, and which parts of the student have a gradient."""
    output = method.step(batch_of(name), 1)
    output.loss.backward()
    method.after_step()
    student = method.student
    gradients = {
        part: any(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())
        for part, module in (("backbone", student.backbone), ("head", student.head))
    }
    assert all(p.grad is None or p.grad.isfinite().all() for p in method.parameters())
    return float(output.loss.detach()), gradients


def check(network, name, options, role):
    _, adapted, (channels, times, *_) = made(network)
    plain = VideoModel(Plain(channels, times), channels, 3)
    student, teacher = (adapted, plain) if role == "student" else (plain, adapted)
    method = method_of(name, options, student, teacher)
    if role == "teacher" and not len(method.teachers):
        return
    before = [p.clone() for p in teacher.parameters()]
    loss, gradients = one_step(method, name)
    assert loss == loss
    assert gradients["backbone"]
    assert all(p.grad is None for p in teacher.parameters())
    assert all(map(torch.equal, before, teacher.parameters()))
    if method.predict(batch_of(name)) is not None:
        assert gradients["head"] or name == "flow_probe"  # which has a head of its own


CASES = [
    pytest.param(
        network, role, marks=pytest.mark.slow if network in ("r3d", "mc3", "image") else []
    )
    for network in NETWORKS
    for role in ("student", "teacher")
]


@pytest.mark.slow
@pytest.mark.parametrize(("network", "role"), CASES)
def test_of_every_method(network, role):
    for name, options in EVERY:
        try:
            check(network, name, options, role)
        except Exception as error:
            error.add_note(f"{name} {options}, {network} as {role}")
            raise


@pytest.mark.parametrize("name", TOKENS)
def test_what_needs_tokens_says_so(name):
    _, model, _ = made("swin")
    with pytest.raises(UserError, match=r"the (student|teacher) must be a model named vit"):
        methods.build(name, model, [model] if name == "mvd" else [], mask_ratio=0.5)


def test_maps_of_unequal_times_are_refused_by_name():
    _, model, _ = made("swin")
    student = VideoModel(Plain(24, 4), 24, 3)
    method = methods.build("resolution", student, [model], resolution=32)
    with pytest.raises(UserError, match=r"'feature' compares maps time by time.* 4 .* 2; take"):
        method.step(batch_of("resolution"), 0)


def test_a_bare_network_is_told_of_adapt():
    with pytest.raises(UserError, match=r"a Conv3d, gives no features; see kdlib\.models\.adapt"):
        methods.build("kd", nn.Conv3d(3, 3, 1), [made("swin")[1]])


def test_a_student_is_not_its_own_teacher():
    _, model, _ = made("swin")
    with pytest.raises(UserError, match="teachers: the student itself, which would be frozen"):
        methods.build("kd", model, [model])
    assert all(p.requires_grad for p in model.parameters())


def test_a_teacher_that_is_not_in_a_list():
    with pytest.raises(UserError, match=r"method kd: teachers are a list, as \[teacher\]"):
        methods.build("kd", made("swin")[1], made("swin")[1])
