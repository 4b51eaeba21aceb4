"""Flow of clips whose motion is known: shifted waves, an edge between two motions, the generator's.

scikit-image's and OpenCV's are held beside it in benchmarks/flow.py.
"""

import numpy as np
import pytest
import torch

from benchmarks.flow import boundary, translation
from kdlib.analysis.flow import end_point_error
from kdlib.data import tvl1 as module
from kdlib.data.generated import GeneratedSpec
from kdlib.data.generated import videos as generate
from kdlib.data.tvl1 import MOST, tvl1


def still(flow):
    return end_point_error(np.zeros_like(flow), flow)


@pytest.mark.parametrize(("pixels", "most"), [(1, 0.06), (2, 0.06), (4, 0.08), (8, 0.1)])
@pytest.mark.parametrize("size", [48, 112])
def test_translations(pixels, most, size):
    for seed in (10, 11):
        frames, true = translation(seed, pixels, size=size, frames=3)
        found = tvl1(torch.from_numpy(frames))
        assert found.shape == (2, 2, size, size)
        assert found.dtype == torch.float32
        assert end_point_error(found, true) < most


def test_pictures_that_are_not_square_and_the_order_of_x_and_y():
    frames, true = translation(12, 3, size=64, frames=2)
    frames, true = frames[:, 8:51, 3:60], true[..., 8:51, 3:60]
    assert end_point_error(tvl1(torch.from_numpy(frames)), true) < 0.1


@pytest.mark.parametrize(("pixels", "most"), [(1, 0.1), (3, 0.2)])
def test_an_edge_between_two_motions_is_kept(pixels, most):
    """Most of the error is where ground comes to light that the frame before did not show."""
    frames, true = boundary(10, pixels, frames=3)
    found = tvl1(torch.from_numpy(frames))
    assert end_point_error(found, true) < most
    wrong = (found - torch.from_numpy(true)).norm(dim=1) > pixels / 2
    assert float(wrong.float().mean()) < 0.05


@pytest.mark.parametrize(("size", "share"), [(32, 0.75), (64, 0.65)])
def test_generated_clips_have_about_their_true_flow(size, share):
    """Noise, changes of light and fast turns included: what is left of the error of no motion."""
    videos = generate(GeneratedSpec("motion12", 3, frames=4, size=size), "test", 12, flow=True)
    clips = torch.from_numpy(videos.frames).unflatten(0, (12, 4))
    true = videos.flow.astype(np.float32).reshape(12, 4, 2, size, size)[:, :3]
    assert end_point_error(tvl1(clips), true) < share * still(true)


def test_clips_of_a_batch_do_not_touch_each_other(monkeypatch):
    clips = torch.from_numpy(np.stack([translation(s, 2, size=32, frames=4)[0] for s in (0, 1)]))
    both = tvl1(clips[None])
    assert both.shape == (1, 2, 3, 2, 32, 32)
    torch.testing.assert_close(both[0, 1], tvl1(clips[1]), rtol=0, atol=1e-3)
    monkeypatch.setattr(module, "_AT_ONCE", 1)
    torch.testing.assert_close(tvl1(clips[1]), both[0, 1], rtol=0, atol=1e-3)
    assert torch.equal(tvl1(clips[1]), tvl1(clips[1])), "equal clips have equal flow"


def test_what_does_not_move_has_no_flow():
    frames = torch.from_numpy(translation(0, 1, size=24, frames=1)[0]).expand(3, -1, -1, -1)
    torch.testing.assert_close(tvl1(frames), torch.zeros(2, 2, 24, 24), rtol=0, atol=1e-3)
    grey = torch.full((2, 24, 24, 3), 77, dtype=torch.uint8)
    torch.testing.assert_close(tvl1(grey), torch.zeros(1, 2, 24, 24), rtol=0, atol=1e-3)


def test_displacements_are_cut_and_finite():
    noise = torch.randint(0, 256, (2, 2, 64, 64, 3), generator=torch.Generator().manual_seed(0))
    found = tvl1(noise.to(torch.uint8))
    assert found.isfinite().all()
    assert float(found.abs().max()) <= MOST
    frames, _ = translation(0, 40, size=112, frames=2)
    assert float(tvl1(torch.from_numpy(frames)).abs().max()) <= MOST


@pytest.mark.parametrize("size", [(1, 1), (3, 40), (7, 9), (8, 8), (9, 200)])
def test_any_size(size):
    assert tvl1(torch.zeros(3, *size, 3, dtype=torch.uint8)).shape == (2, 2, *size)


def test_what_is_no_clip_is_refused():
    with pytest.raises(ValueError, match="two or more"):
        tvl1(torch.zeros(2, 1, 8, 8, 3, dtype=torch.uint8))
    for wrong in (torch.full((2, 8, 8, 3), torch.nan), torch.zeros(8, 8, 3, dtype=torch.uint8)):
        with pytest.raises(ValueError, match="frames must be uint8"):
            tvl1(wrong)


def test_derivatives_are_exact_for_polynomials_of_fourth_degree():
    x = torch.arange(12, dtype=torch.float64)
    image = (x**4 - 3 * x**2 + x) * torch.ones(12, 1)
    exact = 4 * x**3 - 6 * x + 1
    along_x, along_y = module._gradient(torch.stack([image, image.T]))
    torch.testing.assert_close(along_x[0, :, 2:-2], exact[2:-2].expand(12, -1))
    torch.testing.assert_close(along_y[1, 2:-2], exact[2:-2, None].expand(-1, 12))
    assert not along_y[0].any()
