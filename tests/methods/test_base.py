import pytest
import torch

from kdlib.methods.base import Method


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


def test_own_state_is_neither_student_nor_teacher(tiny):
    assert set(Queue(tiny(), [tiny(1)]).own_state()) == {"projector.weight", "projector.bias"}


@pytest.mark.parametrize(("resolution", "seen"), [(None, 16), (8, 8)])
def test_the_student_sees_its_resolution(tiny, resolution, seen):
    method = Method(tiny(), resolution=resolution)
    assert method.student_view(torch.zeros(2, 3, 4, 16, 16)).shape == (2, 3, 4, seen, seen)
