"""Rotations by hand and against numpy, and the loss by a second way."""

import numpy as np
import pytest
import torch

from kdlib.clips.batches import Batch
from kdlib.errors import UserError
from kdlib.methods import build
from kdlib.methods.rotnet import turned


def batch_of(clips):
    return Batch(clips, None, torch.arange(len(clips)))


@pytest.mark.parametrize(
    ("turns", "expected"),
    [(0, [[1, 2], [3, 4]]), (1, [[2, 4], [1, 3]]), (2, [[4, 3], [2, 1]]), (3, [[3, 1], [4, 2]])],
)
def test_turns_by_hand(turns, expected):
    """All frames and channels of a clip alike, the other clip as it was."""
    frame = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    clips = frame.expand(2, 3, 5, 2, 2)
    found = turned(clips, torch.tensor([turns, 0]))
    assert (found[0] == torch.tensor(expected)).all()
    assert torch.equal(found[1], clips[1])


def test_turns_against_numpy():
    torch.manual_seed(0)
    clips, turns = torch.randn(8, 3, 4, 6, 6), torch.arange(8) % 4
    found = turned(clips, turns)
    for clip, k, one in zip(clips.numpy(), turns.tolist(), found.numpy(), strict=True):
        np.testing.assert_array_equal(one, np.rot90(clip, k, axes=(2, 3)))


@pytest.mark.parametrize("rotations", [2, 3, 4])
def test_the_loss_by_a_second_way(tiny, rotations):
    method = build("rotnet", tiny(), [], rotations=rotations).eval()
    clips = torch.randn(12, 3, 4, 16, 16)
    torch.manual_seed(3)
    found = method.step(batch_of(clips), 0)
    torch.manual_seed(3)
    turns = torch.randint(rotations, (12,)).tolist()
    assert set(turns) == set(range(rotations))
    shown = np.stack([np.rot90(c, k, (2, 3)) for c, k in zip(clips.numpy(), turns, strict=True)])
    features = method.student.features(torch.tensor(shown)).mean((2, 3, 4))
    logits = (features @ method.classifier.weight.T + method.classifier.bias).double()
    right = logits.exp()[range(12), turns] / logits.exp().sum(1)
    assert float(found.loss.detach()) == pytest.approx(
        float(-right.log().mean().detach()), rel=1e-5
    )
    assert found.parts.keys() == {"rotation"}


def test_clips_that_are_not_square_are_refused(tiny):
    with pytest.raises(UserError, match="clips: a quarter turn needs square ones, not 16x20"):
        build("rotnet", tiny(), []).step(batch_of(torch.zeros(2, 3, 4, 16, 20)), 0)


@pytest.mark.parametrize("rotations", [1, 5, "four"])
def test_other_numbers_of_rotations_are_refused(tiny, rotations):
    with pytest.raises(UserError, match=r"method rotnet\.rotations: unknown value"):
        build("rotnet", tiny(), [], rotations=rotations)
