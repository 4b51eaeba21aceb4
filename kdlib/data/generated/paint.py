"""From latents to pixels: planes (clips, T, H, W), painted back to front.

Only additions, multiplications, divisions, square roots and comparisons touch whole planes: these
are exactly rounded, so a pixel does not depend on its place in the batch. Sines are taken of rows
and columns in double precision and multiplied out.
"""

import numpy as np
import torch
from torch import Tensor

from kdlib.data.generated.draws import Draws, noise_table
from kdlib.data.generated.latents import Objects, Scene
from kdlib.data.generated.spec import GeneratedSpec

POST_PARALLAX = 1.6  # the post is nearer than the world and moves more with the camera


def _rows(values: np.ndarray) -> Tensor:
    """(N, T, H) to float32 (N, T, H, 1)."""
    return torch.from_numpy(values.astype(np.float32)).unsqueeze(3)


def _columns(values: np.ndarray) -> Tensor:
    """(N, T, W) to float32 (N, T, 1, W)."""
    return torch.from_numpy(values.astype(np.float32)).unsqueeze(2)


def _each(values: np.ndarray) -> Tensor:
    """(N,) or (N, T) to float32 (N, 1 or T, 1, 1)."""
    tensor = torch.from_numpy(values.astype(np.float32))
    return tensor.view(len(values), -1, 1, 1)


def _colour(values: np.ndarray) -> Tensor:
    """(N, 3) to float32 (3, N, 1, 1, 1)."""
    return torch.from_numpy(values.T.astype(np.float32).copy()).view(3, -1, 1, 1, 1)


class Canvas:
    """The image so far, float32 (3, N, T, H, W), and the topmost layer at every pixel.

    layers: uint8 (N, T, H, W) or None: 0 backdrop, 1 + a object a, 255 the post.
    """

    def __init__(self, count: int, frames: int, size: int, truth: bool):
        self.image = torch.empty(3, count, frames, size, size)
        self._scratch = torch.empty_like(self.image)
        self.layers = torch.zeros(count, frames, size, size, dtype=torch.uint8) if truth else None

    def over(self, colour: Tensor, alpha: Tensor, layer: int | None = None) -> None:
        """Lay colour (3, ...) over the image where alpha (...) is 1; both broadcast."""
        torch.sub(colour, self.image, out=self._scratch)
        self.image.add_(self._scratch.mul_(alpha))
        if layer is not None and self.layers is not None:
            self.layers.masked_fill_(alpha > 0.5, layer)


def _sinusoid(along_x: np.ndarray, along_y: np.ndarray) -> Tensor:
    """sin(along_x + along_y), float32 (N, T, H, W), of (N, T, W) and (N, T, H) phases."""
    wave = _columns(np.sin(along_x)) * _rows(np.cos(along_y))
    return wave.add_(_columns(np.cos(along_x)) * _rows(np.sin(along_y)))


def backdrop(canvas: Canvas, scene: Scene, contrast: float, night: bool) -> None:
    """Sky, sun, two rows of hills (or of houses), and a soft pattern over all: they move as one."""
    size = canvas.image.shape[-1]
    pixel = np.arange(size) + 0.5
    x = pixel - scene.pan[..., :1]  # (N, T, W)
    y = pixel - scene.pan[..., 1:]
    horizon = scene.horizon[:, None, None]
    top, low, far, near, ground, glow = (_colour(scene.palette[:, i]) for i in range(6))

    fade = _rows(np.clip(y / horizon, 0, 1))
    canvas.image.copy_(top + fade * (low - top))

    dx, dy = x - scene.sun[:, :1, None], y - scene.sun[:, 1:2, None]
    distance = (_columns(dx * dx) + _rows(dy * dy)).sqrt_()
    disc = (_each(scene.sun[:, 2]) + 0.5 - distance).clamp_(0, 1)
    canvas.over(glow, disc.mul_(0.9))

    for row in (0, 1):
        wave = scene.hills[:, row, :, :, None, None]  # (N, 2, 3, 1, 1)
        ridge = np.sin(wave[:, :, 1] * x[:, None] + wave[:, :, 2])
        if night:
            ridge = np.clip(ridge / (0.75 * wave[:, :, 1]), -1.6, 1.6)  # walls one pixel wide
        height = (wave[:, :, 0] * ridge).sum(1) + horizon + (0.16 * size * row - 0.02 * size)
        below = (_rows(y) - _columns(height)).add_(0.5).clamp_(0, 1)
        if row == 0:
            canvas.over(far, below)
        else:
            depth = _rows(np.clip((y - horizon - 0.1 * size) / (0.4 * size), 0, 1))
            canvas.over(near + depth * (ground - near), below)

    for index in (0, 1):
        kx, ky, px, py = scene.pattern[:, index].T[:, :, None, None]
        rows = np.sin(ky * y + py) * (0.07 * contrast)
        canvas.image.add_(_columns(np.sin(kx * x + px)) * _rows(rows))


def post(canvas: Canvas, scene: Scene) -> None:
    """A round post in front of everything, lit from the left."""
    if not scene.post[:, 1].any():
        return
    pixel = np.arange(canvas.image.shape[-1]) + 0.5
    centre, width = scene.post[:, :1, None], scene.post[:, 1:, None]
    from_centre = pixel - POST_PARALLAX * scene.pan[..., :1] - centre  # (N, T, W)
    alpha = np.where(width > 0, np.clip(width / 2 - abs(from_centre) + 0.5, 0, 1), 0)
    bark = _colour(0.55 * scene.palette[:, 4] + 0.45 * scene.palette[:, 2])
    shade = _columns(1.05 - 0.5 * np.clip(from_centre / np.maximum(width, 1), -0.5, 0.5))
    canvas.over(bark * shade, _columns(alpha), layer=255)


def glyph(canvas: Canvas, objects: Objects, a: int, profile: float) -> None:
    """Object a of every clip: an outline, a texture fixed to it, and light from above.

    profile: 1 leaves the texture's sinusoids as they are, more makes them steeper.
    """
    size = canvas.image.shape[-1]
    pixel = np.arange(size) + 0.5
    dx = pixel - objects.centre[:, a, :, :1]  # (N, T, W)
    dy = pixel - objects.centre[:, a, :, 1:]
    scale, angle = objects.radius[:, a, :, None], objects.angle[:, a, :, None]
    dx, dy = dx / scale, dy / scale

    radius = (_columns(dx * dx) + _rows(dy * dy)).sqrt_().add_(1e-6)
    cosine = (_columns(dx * np.sin(angle)) - _rows(dy * np.cos(angle))).div_(radius)
    outline = torch.from_numpy(objects.outline[:, a].T.astype(np.float32)).view(9, -1, 1, 1, 1)
    edge = cosine * outline[-1]
    for coefficient in outline[1:-1].flip(0):
        edge.add_(coefficient).mul_(cosine)
    edge.add_(outline[0]).sub_(radius)  # in radii, positive inside
    edge.mul_(_rows(scale))  # in pixels
    alpha = (edge + 0.5).clamp_(0, 1).mul_(_each(objects.present[:, a]))

    direction = objects.wave[:, a, :1, None] + angle
    count, phase = objects.wave[:, a, 1, None, None], objects.wave[:, a, 2:]
    across, down = np.cos(direction) * count, np.sin(direction) * count
    first = _sinusoid(dx * across + phase[:, :1, None], dy * down)
    weave = objects.weave[:, a]
    if (weave[:, 1:] == 0).all():
        tone = first
    else:
        second = _sinusoid(-dx * down + phase[:, 1:, None], dy * across)
        p, q, r, s = torch.from_numpy(weave.T.astype(np.float32)).view(4, -1, 1, 1, 1)
        tone = p * first
        tone.add_(q * second).add_((first * second).mul_(r))
        tone.add_(torch.minimum(first, second).mul_(s)).add_(_each(objects.offset[:, a]))
    if profile != 1:
        tone.mul_(profile).clamp_(-1, 1)

    accent = _colour(objects.accent[:, a])
    lit = _colour(objects.colour[:, a]) + _rows(np.clip(-0.16 * dy, -0.2, 0.2))
    rim = (edge.mul_(0.35).clamp_(0, 1)).sub_(1).mul_(0.16)  # a darker line along the outline
    colour = (tone * accent).add_(lit).add_(rim)
    canvas.over(colour, alpha, layer=1 + a)


def compose(spec: GeneratedSpec, scene: Scene, objects: Objects, truth: bool) -> Canvas:
    """All layers, back to front; the first object is nearest."""
    night = spec.domain == "shifted"
    canvas = Canvas(len(scene.noise), spec.frames, spec.size, truth)
    backdrop(canvas, scene, spec.background, night)
    for a in reversed(range(objects.radius.shape[1])):
        glyph(canvas, objects, a, profile=3.0 if night else 1.0)
    post(canvas, scene)
    return canvas


def develop(canvas: Canvas, scene: Scene, draws: Draws) -> Tensor:
    """Light, noise and rounding: uint8 (N, T, H, W, 3)."""
    image = canvas.image
    channels, count, frames, size, _ = image.shape
    image.mul_(_each(scene.light * 255.0))
    if scene.noise.any():
        table = noise_table()
        window = channels * size * size
        start = draws.integers("noise", len(table) - window, (frames,))
        windows = np.lib.stride_tricks.sliding_window_view(table, window)
        noise = torch.from_numpy(windows[start]).view(count, frames, channels, size, size)
        image.add_(noise.permute(2, 0, 1, 3, 4).mul_(_each(scene.noise * 255.0)))
    image.add_(0.5).clamp_(0, 255)
    return image.permute(1, 2, 3, 4, 0).to(torch.uint8, memory_format=torch.contiguous_format)
