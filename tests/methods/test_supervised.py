import torch

from kdlib.losses.classification import classification_loss
from kdlib.methods.base import Batch
from kdlib.methods.supervised import build


def test_single_label_is_minus_log_probability_of_the_label():
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    expected = -(logits.softmax(1)[[0, 1], [0, 0]].log()).mean()
    assert torch.isclose(classification_loss(logits, torch.tensor([0, 0])), expected)


def test_multi_hot_labels_sum_over_the_present_classes():
    logits = torch.tensor([[1.0, 0.0, -1.0]])
    expected = -logits.log_softmax(1)[0, :2].sum()
    assert torch.isclose(classification_loss(logits, torch.tensor([[1.0, 1.0, 0.0]])), expected)


def test_a_step_reports_its_loss_and_trains_the_student(tiny):
    method = build(tiny(), resolution=8)
    batch = Batch(torch.randn(4, 3, 4, 16, 16), torch.tensor([0, 1, 2, 0]), torch.arange(4))
    output = method.step(batch, 0)
    output.loss.backward()
    assert torch.equal(output.loss.detach(), output.parts["cross_entropy"])
    assert all(p.grad is not None for p in method.student.parameters())
