from types import SimpleNamespace

import pytest
import torch

from kdlib.clips.batches import Batch
from kdlib.clips.seen import flow_clips, seen_by
from kdlib.errors import UserError


def batch(**known):
    return Batch(torch.randn(2, 3, 3, 4, 5), None, torch.arange(2), known=known)


def test_flow_by_hand():
    """Three frames, two flows, the last of them twice; 30 pixels are 20."""
    flow = torch.zeros(1, 2, 2, 1, 1)
    flow[0, 0, :, 0, 0] = torch.tensor([3.0, -4.0])
    flow[0, 1, :, 0, 0] = torch.tensor([30.0, -50.0])
    expected = torch.tensor([[0.15, 1.0, 1.0], [-0.2, -1.0, -1.0], [0.25, 2**0.5, 2**0.5]])
    torch.testing.assert_close(flow_clips(flow, magnitude=True)[0, :, :, 0, 0], expected)
    torch.testing.assert_close(flow_clips(flow, magnitude=False)[0, :, :, 0, 0], expected[:2])


def test_each_network_gets_what_it_sees():
    flow = torch.randn(2, 2, 2, 4, 5)
    given = batch(flow=flow)
    assert seen_by(torch.nn.Identity(), given) is given.clips
    for sees, channels in (("pixels", 3), ("flow", 2), ("flow and magnitude", 3)):
        seen = seen_by(SimpleNamespace(sees=sees), given)
        assert seen.shape == (2, channels, 3, 4, 5)
        assert torch.equal(seen, given.clips) == (sees == "pixels")


def test_a_batch_without_flow_is_refused():
    with pytest.raises(UserError, match=r'data\.known: a network sees the "flow"'):
        seen_by(SimpleNamespace(sees="flow"), batch())
