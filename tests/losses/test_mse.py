import pytest
import torch
from torch.nn import functional as F

from kdlib.losses import mse_loss


@pytest.fixture
def pair():
    torch.manual_seed(0)
    return torch.randn(5, 7, requires_grad=True), torch.randn(5, 7, requires_grad=True)


def test_it_is_torchs(pair):
    student, teacher = pair
    torch.testing.assert_close(mse_loss(student, teacher), F.mse_loss(student, teacher))
    each = mse_loss(student, teacher, reduction="none")
    torch.testing.assert_close(each[3], ((student[3] - teacher[3]) ** 2).sum() / 7)
    assert float(mse_loss(student, student).detach()) == 0


def test_only_the_student_learns(pair):
    student, teacher = pair
    mse_loss(student, teacher).backward()
    torch.testing.assert_close(student.grad, 2 * (student - teacher).detach() / 35)
    assert teacher.grad is None


def test_half_precision_is_computed_in_float32():
    student = torch.full((1, 3), 300.0, dtype=torch.float16)
    loss = mse_loss(student, -student)
    assert loss.dtype == torch.float32
    assert float(loss) == 360_000


def test_shapes_must_agree(pair):
    with pytest.raises(ValueError, match="one shape"):
        mse_loss(pair[0], pair[1][:, :1])
