import pytest
import torch

from kdlib.methods.crosskd import align


def test_by_hand():
    """Student 0, 2 (mean 1, deviation sqrt 2); teacher 10, 16 (mean 13, deviation 3 sqrt 2)."""
    found = align(torch.tensor([[0.0], [2.0]]), torch.tensor([[10.0], [16.0]]))
    torch.testing.assert_close(found, torch.tensor([[10.0], [16.0]]), rtol=1e-5, atol=1e-4)


def test_statistics_are_the_teachers_channel_by_channel():
    torch.manual_seed(0)
    student, teacher = torch.randn(9, 4), 5 * torch.randn(9, 4) + 3
    found = align(student, teacher)
    torch.testing.assert_close(found.mean(0), teacher.mean(0))
    torch.testing.assert_close(found.std(0), teacher.std(0), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(align(teacher, teacher), teacher, rtol=1e-4, atol=1e-4)


def test_one_sample_and_constant_features_are_finite():
    """Of one sample nothing is known: it is not moved on to the teacher's own features."""
    student, teacher = torch.randn(2, 1, 4)
    assert torch.equal(align(student, teacher), student)
    constant = torch.ones(3, 4, requires_grad=True)
    found = align(constant, torch.randn(3, 4))
    assert torch.isfinite(found).all()


@pytest.mark.parametrize(("kind", "most"), [(torch.bfloat16, 1e-2), (torch.float16, 1e-3)])
def test_statistics_of_half_precision_are_computed_in_float32(kind, most):
    """Against float64 from the same rounded features: values, and the gradient before it is."""
    torch.manual_seed(0)
    student, teacher = (3 + torch.randn(48, 64).to(kind) for _ in range(2))
    weights = torch.randn(48, 64)
    found, gradients = [], []
    for dtype in (kind, torch.float64):
        leaf = student.clone().to(dtype).requires_grad_()
        aligned = align(leaf, teacher.to(dtype))
        (aligned * weights).sum().backward()
        found.append(aligned.detach().double())
        gradients.append(leaf.grad.double())
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-4)
    error = (gradients[0] - gradients[1]).norm() / gradients[1].norm()
    assert float(error) < most / 2  # of the last rounding, to half precision


def test_only_the_student_learns():
    student = torch.randn(5, 4, requires_grad=True)
    teacher = torch.randn(5, 4, requires_grad=True)
    align(student, teacher).square().sum().backward()
    assert student.grad.abs().sum() > 0
    assert teacher.grad is None


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(2, 4\) must have one shape"):
        align(torch.randn(2, 3), torch.randn(2, 4))
