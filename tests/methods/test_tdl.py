"""TDL: its loss from the vectors, its augmentation, and which encoder sees what."""

import pytest
import torch

from kdlib.clips.colours import ColourJitter
from kdlib.methods import build, tdl

CLIPS = [(0, 1), (0, 1), (8, 1)]


@pytest.fixture
def method(small3d):
    return build("tdl", small3d(), [], queue=10)


def test_the_loss_by_hand(method, moving):
    batch, method = moving(*CLIPS), method.eval()
    method.queued.copy_(method.keys(batch.others[1])[0][:10])
    torch.manual_seed(3)
    anchor, positive, negative = method._seen(batch)
    torch.manual_seed(3)
    found = method.step(batch, 0).loss
    expected = 0.0
    for row in range(12):
        candidates = [positive[row], negative[row], *method.queued]
        logits = torch.stack([anchor[row] @ candidate / 0.07 for candidate in candidates])
        expected -= logits.log_softmax(0)[0].item() / 12
    assert found.item() == pytest.approx(expected, rel=1e-4)


def test_anchor_and_negative_carry_a_gradient_and_the_positive_does_not(method, moving):
    anchor, positive, negative = method._seen(moving(*CLIPS))
    assert anchor.requires_grad
    assert negative.requires_grad
    assert not positive.requires_grad


def test_the_positive_is_the_first_other_clip_and_the_negative_the_second(
    method, moving, monkeypatch
):
    monkeypatch.setattr(tdl, "_COLOURS", ColourJitter(0, 0, 0, 0))
    shown = {"queries": [], "keys": []}
    for encode, clips in shown.items():
        monkeypatch.setattr(method, encode, lambda c, clips=clips: clips.append(c) or (c,))
    batch = moving(*CLIPS)
    method._seen(batch)
    torch.testing.assert_close(shown["keys"][0], batch.others[0])
    torch.testing.assert_close(shown["queries"][1], batch.others[1])
    assert not torch.allclose(shown["queries"][0], batch.clips)
    torch.testing.assert_close(shown["queries"][0], batch.clips, rtol=0, atol=0.1 * 5)


def test_a_mixed_clip_changes_over_time_as_it_did_but_for_a_factor():
    torch.manual_seed(0)
    clips = torch.randn(3, 3, 5, 4, 4)
    share, frame = torch.tensor([0.0, 0.1, 0.4]), torch.tensor([2, 4, 0])
    found = tdl.mixed(clips, share, frame)
    for row in range(3):
        kept, still = 1 - share[row], clips[row, :, frame[row]]
        for time in range(5):
            expected = kept * clips[row, :, time] + share[row] * still
            torch.testing.assert_close(found[row, :, time], expected)
        torch.testing.assert_close(found[row].diff(dim=1), kept * clips[row].diff(dim=1))


def test_share_and_frame_are_drawn_for_each_clip(method, moving, monkeypatch):
    drawn = []
    monkeypatch.setattr(tdl, "mixed", lambda *draw: drawn.append(draw[1:]) or draw[0])
    torch.manual_seed(0)
    for _ in range(100):
        method._seen(moving(*CLIPS, videos=4))
    share, frame = (torch.cat(values) for values in zip(*drawn, strict=True))
    assert share.min() >= 0
    assert 0.095 < share.max() <= 0.1
    assert share.mean() == pytest.approx(0.05, abs=0.005)
    assert sorted(set(frame.tolist())) == list(range(8))


def test_the_positive_is_looked_for_among_all_positives_and_negatives(method, moving, monkeypatch):
    """Of video 0 the own negative is nearer, of video 1 the negative of video 0."""
    anchor = torch.eye(3)
    positive = torch.tensor([[0.9, 0, 0], [0, 0.9, 0], [0, 0, 0.9]])
    negative = torch.tensor([[1.0, 1.0, 0], [0, 0, 0], [0, 0, 0.5]])
    monkeypatch.setattr(method, "_seen", lambda batch: (anchor, positive, negative))
    solved, chance = method.solved(moving(*CLIPS, videos=3))
    assert solved.tolist() == [0, 0, 1]
    assert chance.tolist() == pytest.approx([1 / 6] * 3)
