import pytest
import torch

from kdlib.clips.batches import Batch
from kdlib.errors import UserError
from kdlib.methods import build


def test_a_step_reports_its_loss_and_trains_the_student(tiny):
    method = build("supervised", tiny(), [], resolution=8)
    batch = Batch(torch.randn(4, 3, 4, 16, 16), torch.tensor([0, 1, 2, 0]), torch.arange(4))
    output = method.step(batch, 0)
    output.loss.backward()
    assert torch.equal(output.loss.detach(), output.parts["cross_entropy"])
    assert all(p.grad is not None for p in method.student.parameters())


def test_it_takes_no_teachers(tiny):
    with pytest.raises(UserError, match="supervised takes none, got 1"):
        build("supervised", tiny(), [tiny(1)])
