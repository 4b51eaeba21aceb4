import numpy as np
import pytest
import torch

from kdlib.analysis.frames import frame_similarity, mean_between_frames


def test_cosines_by_numpy():
    maps = torch.randn(3, 5, 4, 2, 6, generator=torch.Generator().manual_seed(0))
    found = frame_similarity(maps).numpy()
    for clip in range(3):
        for one in range(4):
            for other in range(4):
                a, b = (maps[clip, :, t].numpy().ravel() for t in (one, other))
                cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
                assert found[clip, one, other] == pytest.approx(cosine, abs=1e-6)


def test_a_still_clip_is_alike_and_what_moves_is_not():
    still = torch.rand(1, 2, 1, 4, 4).expand(1, 2, 3, 4, 4)
    torch.testing.assert_close(frame_similarity(still), torch.ones(1, 3, 3))
    moving = torch.zeros(1, 1, 2, 2, 2)
    moving[0, 0, 0, 0, 0] = moving[0, 0, 1, 1, 1] = 1
    torch.testing.assert_close(frame_similarity(moving)[0], torch.eye(2))


def test_half_precision_is_computed_in_single():
    maps = torch.full((1, 4096, 2, 4, 4), 3.0, dtype=torch.float16)
    torch.testing.assert_close(frame_similarity(maps), torch.ones(1, 2, 2))


def test_the_mean_leaves_out_each_frame_with_itself():
    cosines = torch.tensor([[[1.0, 0.5, 0.0], [0.5, 1.0, 0.25], [0.0, 0.25, 1.0]]])
    torch.testing.assert_close(mean_between_frames(cosines), torch.tensor([0.25]))


def test_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"\(B, C, T, h, w\)"):
        frame_similarity(torch.zeros(2, 3, 4))
