"""RSPNet: its loss from the vectors, and which clips are compared."""

import pytest
import torch

from kdlib.clips.colours import ColourJitter
from kdlib.methods import build, rspnet

CLIPS = [(0, 1), (5, 1), (3, 2), (9, 2)]


@pytest.fixture
def method(small3d):
    return build("rspnet", small3d(), [], queue=10)


def test_the_loss_by_hand(method, moving):
    batch, method = moving(*CLIPS), method.eval()
    method.queued.copy_(method.keys(batch.others[1])[0][:10])
    torch.manual_seed(3)
    (query, query_speed), (same, same_speed), (other, other_speed) = method._seen(batch)
    torch.manual_seed(3)
    output = method.step(batch, 0)
    appearance, speed = 0.0, 0.0
    for row in range(12):
        for positive in (same, other):
            logits = torch.stack(
                [query[row] @ key / 0.07 for key in (positive[row], *method.queued)]
            )
            appearance -= logits.log_softmax(0)[0].item() / 12
        near = (query_speed[row] @ same_speed[row]).item() / 0.07
        far = (query_speed[row] @ other_speed[row]).item() / 0.07
        speed += max(0.0, 2.0 - (near - far)) / 12
    assert float(output.parts["appearance"]) == pytest.approx(appearance, rel=1e-4)
    assert float(output.parts["speed"]) == pytest.approx(speed, rel=1e-4)
    assert output.loss.item() == pytest.approx(appearance + speed, rel=1e-4)
    assert min(appearance, speed) > 0.1


def test_appearance_and_speed_have_projections_of_their_own(method, moving):
    query, query_speed = method.eval().queries(moving(*CLIPS).clips)
    assert query.shape == query_speed.shape == (12, 128)
    assert not torch.allclose(query, query_speed, atol=0.1)


def test_half_of_the_queries_are_of_each_speed_and_never_the_key_itself(
    method, moving, monkeypatch
):
    """The batch's clips are marked 0 and 1 for the first speed, 2 and 3 for the second."""
    monkeypatch.setattr(rspnet, "_COLOURS", ColourJitter(0, 0, 0, 0))
    shown = []
    for encode in ("queries", "keys"):
        monkeypatch.setattr(method, encode, lambda clips: shown.append(clips))
    batch = moving(*CLIPS)
    for mark, clips in enumerate((batch.clips, *batch.others)):
        clips.fill_(mark / 2)
    firsts = set()
    for seed in range(5):
        torch.manual_seed(seed)
        shown.clear()
        method._seen(batch)
        marks = [[round(2 * float(clip.mean())) for clip in clips] for clips in shown]
        kinds = set(zip(*marks, strict=True))
        assert kinds == {(1, 0, 2), (2, 3, 1)}
        assert marks[0].count(1) == 6
        firsts.add(tuple(marks[0]))
    assert len(firsts) > 1, "which ones is drawn"


def test_clips_of_one_video_have_colours_of_their_own(method, moving, monkeypatch):
    shown = []
    for encode in ("queries", "keys"):
        monkeypatch.setattr(method, encode, lambda clips: shown.append(clips))
    batch = moving((0, 1), (0, 1), (0, 1), (0, 1))
    method._seen(batch)
    query, same, other = shown
    assert not torch.allclose(query, same, atol=0.1)
    assert not torch.allclose(same, other, atol=0.1)


def test_speed_is_told_apart_and_appearance_is_not_asked(method, moving, monkeypatch):
    near, far = torch.eye(2, 128).expand(12, 2, 128).unbind(1)
    monkeypatch.setattr(method, "queries", lambda clips: (far, near))
    keys = iter([(far, near), (near, far)])
    monkeypatch.setattr(method, "keys", lambda clips: next(keys))
    solved, chance = method.solved(moving(*CLIPS))
    assert solved.tolist() == [1.0] * 12
    assert chance.tolist() == [0.5] * 12
