"""Flow: error, score and enlargement by hand."""

import pytest
import torch

from kdlib.clips.batches import Batch
from kdlib.tasks import flow


def batch(true):
    return Batch(
        torch.zeros(len(true), 3, 2, 4, 4), None, torch.arange(len(true)), (), {"flow": true}
    )


def test_loss_is_the_mean_end_point_error_of_each_clip():
    true = torch.zeros(2, 1, 2, 4, 4)
    off = torch.zeros_like(true)
    off[0, :, 0], off[0, :, 1] = 3.0, 4.0
    torch.testing.assert_close(
        flow.loss(off, batch(true)), torch.tensor([5.0, 0.001]), rtol=0, atol=1e-4
    )
    exact = true.clone().requires_grad_()
    flow.loss(exact, batch(true)).sum().backward()
    assert torch.isfinite(exact.grad).all(), "an exact flow has a gradient, 0"


def test_score_is_the_share_of_the_error_of_standing_still_that_is_gone():
    true = torch.zeros(1, 1, 1, 2, 4, 4)
    true[..., 0, :, :] = 2.0
    assert flow.judge(true, {"flow": true}) == {"score": 1.0, "end_point_error": 0.0}
    assert flow.judge(torch.zeros_like(true), {"flow": true})["score"] == 0.0
    half = flow.judge(true / 2, {"flow": true})
    assert (half["score"], half["end_point_error"]) == (0.5, 1.0)
    assert flow.judge(-true, {"flow": true})["score"] == -1.0


def test_enlarging_a_map_s_flow_scales_what_it_says():
    small = torch.zeros(1, 3, 2, 2, 4)
    small[:, :, 0], small[:, :, 1] = 1.0, 1.0
    large = flow.enlarged(small, torch.zeros(1, 3, 2, 8, 8))
    assert large.shape == (1, 3, 2, 8, 8)
    assert (large[:, :, 0] == 2.0).all(), "8 columns of 4"
    assert (large[:, :, 1] == 4.0).all(), "8 rows of 2"


def test_a_decoder_learns_a_flow_that_its_map_tells():
    torch.manual_seed(0)
    head = flow.FlowHead(2, width=8)
    true = torch.randn(8, 1, 2, 1, 1).expand(-1, 3, -1, 6, 6)
    maps = true.transpose(1, 2) / 2
    optimizer = torch.optim.Adam(head.parameters(), 1e-2)
    for _ in range(150):
        optimizer.zero_grad()
        loss = flow.loss(head(maps), batch(true)).mean()
        loss.backward()
        optimizer.step()
    still = flow.loss(torch.zeros_like(true), batch(true)).mean()
    assert float(loss.detach()) < 0.25 * float(still)


def test_nothing_of_flow_is_kept():
    assert flow.keep(torch.zeros(1, 1, 1, 2, 4, 4)) == {}


@pytest.mark.parametrize("frames", [1, 3])
def test_a_map_of_other_frames_is_fitted(frames):
    model = torch.nn.Module()
    model.forward = lambda clips: torch.ones(2, frames, 2, 2, 2)
    found = flow.answer(model, batch(torch.zeros(2, 1, 2, 4, 4)))
    assert found.shape == (2, 1, 2, 4, 4)
