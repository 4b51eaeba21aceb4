from typing import Annotated, Literal

import pytest
import torch
from pydantic import Field

from kdlib import methods
from kdlib.errors import UserError
from kdlib.methods.base import Method, pooled
from kdlib.methods.supervised import Supervised


class Queue(Method):
    def __init__(self, student, teachers=()):
        super().__init__(student, teachers)
        self.projector = torch.nn.Linear(2, 2)


def test_teachers_take_no_gradient_and_stay_in_eval(tiny):
    method = Method(tiny(), [tiny(1)])
    assert not any(p.requires_grad for p in method.teachers.parameters())
    for mode in (True, False, True):
        method.train(mode)
        assert not any(module.training for module in method.teachers[0].modules())
        assert method.student.training is mode


def test_a_network_that_keeps_parts_of_it_in_eval_is_asked_every_time(tiny):
    class StillNorm(type(tiny())):
        def train(self, mode=True):
            super().train(mode)
            self.backbone.eval()
            return self

    student = tiny()
    student.__class__ = StillNorm
    method = Method(student)
    for mode in (True, True, False, True):
        method.train(mode)
        assert student.training is mode
        assert not student.backbone.training


def test_own_state_is_neither_student_nor_teacher(tiny):
    assert set(Queue(tiny(), [tiny(1)]).own_state()) == {"projector.weight", "projector.bias"}


def test_half_precision_is_pooled_in_float32():
    maps = (100 + torch.randn(2, 3, 4, 5, 5)).bfloat16()
    found = pooled(maps)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), maps.double().mean((2, 3, 4)), rtol=1e-6, atol=0)
    assert pooled(maps.double()).dtype == torch.float64


@pytest.mark.parametrize(("resolution", "seen"), [(None, 16), (8, 8)])
def test_the_student_sees_its_resolution(tiny, resolution, seen):
    method = Supervised(tiny(), resolution=resolution)
    assert method.student_view(torch.zeros(2, 3, 4, 16, 16)).shape == (2, 3, 4, seen, seen)


def test_what_is_frozen_takes_no_gradient_and_stays_in_eval(tiny):
    method = Method(tiny())
    method.freeze(("backbone",))
    assert not any(p.requires_grad for p in method.student.backbone.parameters())
    assert all(p.requires_grad for p in method.student.head.parameters())
    for mode in (True, False, True):
        method.train(mode)
        assert not any(module.training for module in method.student.backbone.modules())
        assert method.student.head.training is mode
    with pytest.raises(UserError, match=r"recipe\.freeze: the student has no part 'neck'"):
        method.freeze(("neck",))


def test_methods_are_found_by_file_or_by_module_and_class():
    assert set(methods.names()) >= {"kd", "adaptive", "resolution", "supervised"}
    assert not {"base", "distillation"} & set(methods.names())
    for name in methods.names():
        assert issubclass(methods.find(name), Method)
    assert methods.find("kdlib.methods.kd:KnowledgeDistillation") is methods.find("kd")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("kdd", "method.name: unknown value 'kdd'.*Did you mean 'kd'"),
        ("nowhere:Thing", "'nowhere:Thing': No module named 'nowhere'"),
        ("kdlib.methods.kd:Thing", "is no subclass of kdlib.methods.base.Method"),
        ("kdlib.models.base:VideoModel", "is no subclass of kdlib.methods.base.Method"),
    ],
)
def test_what_is_no_method_is_named(name, message):
    with pytest.raises(UserError, match=message):
        methods.find(name)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": "hot"}, "method kd.temperature: 'hot'"),
        ({"temperature": 0.0}, "method kd.temperature: 0.0.*greater than 0"),
        ({"weight": -1.0}, "method kd.weight: -1.0"),
        ({"wieght": 1.0}, "option of method kd: unknown value 'wieght'.*mean 'weight'"),
        ({"student": 1.0}, "option of method kd: unknown value 'student'"),
    ],
)
def test_impossible_options_are_named(tiny, options, message):
    with pytest.raises(UserError, match=message):
        methods.build("kd", tiny(), [tiny(1)], **options)


class Own(Method):
    """A method of one's own with an option that must be given."""

    power: Annotated[float, Field(gt=0)]
    kind: Literal["a", "b"] = "a"


class Wider(Own):
    kind: Literal["a", "b", "c"] = "c"
    more: int = 1


def test_options_are_the_annotated_attributes_of_the_classes(tiny):
    made = Wider(tiny(), power=2.0, more=3)
    assert (made.power, made.kind, made.more) == (2.0, "c", 3)
    for options, message in (
        ({}, "method Own: its option 'power' is missing"),
        ({"power": 0.0}, "method Own.power: 0.0"),
        ({"power": 1.0, "kind": "c"}, "method Own.kind: unknown value 'c'"),
        ({"power": 1.0, "teacher_mode": "train"}, "unknown value 'teacher_mode'"),
        ({"power": 1.0, "more": 1}, "unknown value 'more'"),
    ):
        with pytest.raises(UserError, match=message):
            Own(tiny(), **options)
