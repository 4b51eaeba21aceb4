"""CVRL: its loss from the vectors, candidate by candidate, and its projection."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from kdlib.methods import build, cvrl

CLIPS = [(0, 1), (5, 1)]


@pytest.fixture
def method(small3d):
    return build("cvrl", small3d(), [], hidden=32)


def test_the_loss_candidate_by_candidate(method, moving):
    batch, method = moving(*CLIPS, videos=5), method.eval()
    torch.manual_seed(3)
    one, other = method._seen(batch)
    torch.manual_seed(3)
    found = method.step(batch, 0).loss
    all_clips = [*one, *other]
    expected = 0.0
    for place, query in enumerate(all_clips):
        partner = (place + 5) % 10
        others = [query @ clip / 0.1 for n, clip in enumerate(all_clips) if n != place]
        near = query @ all_clips[partner] / 0.1
        expected += (torch.logsumexp(torch.stack(others), 0) - near).item() / 5
    assert found.item() == pytest.approx(expected, rel=1e-4)


def test_vectors_that_say_nothing_guess_among_all_other_clips(method, moving, monkeypatch):
    same = torch.ones(10, 128) / 128**0.5
    monkeypatch.setattr(method, "_seen", lambda batch: same.chunk(2))
    expected = 2 * torch.tensor(9.0).log()
    torch.testing.assert_close(method.step(moving(*CLIPS, videos=5), 0).loss, expected)


def test_the_partner_is_looked_for_both_ways(method, moving, monkeypatch):
    """The second clip of video 0 is like the first of video 1, and only like that."""
    one, other = torch.eye(3), torch.tensor([[0, 1.0, 0], [0, 0.8, 0.6], [0, 0, 1.0]])
    monkeypatch.setattr(method, "_seen", lambda batch: (one, F.normalize(other)))
    solved, chance = method.solved(moving(*CLIPS, videos=3))
    # Video 0 finds none like it, the first; video 1 finds that of 0; backwards 0 finds 1.
    assert solved.tolist() == [1, 0, 1, 0, 1, 1]
    assert chance.tolist() == pytest.approx([1 / 3] * 6)


def test_the_projection_has_three_hidden_layers_with_batch_norm(method):
    kinds = [type(layer) for layer in method.projection]
    assert kinds == [nn.Linear, nn.BatchNorm1d, nn.ReLU] * 3 + [nn.Linear]
    sizes = [(x.in_features, x.out_features) for x in method.projection if isinstance(x, nn.Linear)]
    assert sizes == [(16, 32), (32, 32), (32, 32), (32, 128)]


def test_both_clips_share_their_batch_statistics(method, moving, monkeypatch):
    shown = []
    encode = method.student.features
    monkeypatch.setattr(method.student, "features", lambda c: shown.append(len(c)) or encode(c))
    one, other = method._seen(moving(*CLIPS))
    assert shown == [24]
    assert one.shape == other.shape == (12, 128)


def test_clips_of_one_video_have_colours_of_their_own(method, moving, monkeypatch):
    batch, made, jitter = moving((0, 1), (0, 1)), [], cvrl.jitter_colours
    monkeypatch.setattr(cvrl, "jitter_colours", lambda *a: made.append(jitter(*a)) or made[-1])
    method._seen(batch)
    assert len(made) == 2
    assert not torch.allclose(made[0], made[1], atol=0.1)
