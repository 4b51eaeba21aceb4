"""What things look like: shapes, textures, colours and scenes, as small tables."""

import numpy as np
from numpy.polynomial import chebyshev

# The radius of an outline as a cosine series of the angle from its axis: mirror-symmetric shapes
# with rounded corners. As a polynomial in the cosine it needs no arctangent.
_OUTLINES: dict[str, dict[int, float]] = {
    "disk": {0: 1.0},
    "oval": {0: 0.90, 2: 0.30, 4: 0.05},
    "triangle": {0: 1.0, 3: 0.20, 6: 0.055},
    "square": {0: 1.05, 4: -0.13, 8: 0.025},
    "star": {0: 0.93, 5: 0.27},
}
SHAPES = tuple(_OUTLINES)
TEXTURES = ("stripes", "checks", "dots", "grid")


def _polynomial(series: dict[int, float], degree: int = 8) -> np.ndarray:
    coefficients = np.zeros(degree + 1)
    power = chebyshev.cheb2poly([series.get(n, 0.0) for n in range(degree + 1)])
    coefficients[: len(power)] = power
    return coefficients


SHAPE_POLYNOMIALS = np.stack([_polynomial(series) for series in _OUTLINES.values()])

# With a and b two sinusoids at right angles, a texture is p*a + q*b + r*a*b + s*min(a, b);
# max(a, b) = a + b - min(a, b) makes the grid.
TEXTURE_WEIGHTS = np.array(
    [[1.0, 0, 0, 0], [0, 0, 1.6, 0], [0, 0, 0, 1.25], [1.25, 1.25, 0, -1.25]]
)
TEXTURE_OFFSETS = np.array([0.0, 0.0, 0.45, -0.45])


def _rgb(text: str) -> np.ndarray:
    rows = [row.split() for row in text.strip().splitlines()]
    colours = [[[int(c[i : i + 2], 16) for i in (0, 2, 4)] for c in row] for row in rows]
    return np.array(colours, np.float64) / 255.0


# One row a scene: sky above, sky at the horizon, far hills, near ground, ground below, sun.
PALETTES = {
    "source": _rgb("""
        5AA9E6 DCEFFB 8FB9A8 6A9C5B 3F6B3A FFF6D6
        7FC8F8 F9F1DC C9B99A B08E5B 7A5C38 FFFDF2
        F4A261 FCE5C5 B5838D 7D5A6B 4A3B52 FFF0C9
        89C2D9 E9F5F9 A9BCC9 7F95A6 55697A FFFFFF
        9AD1D4 FBF7E4 9CBF9E 5B8E7D 2F5D50 FFF3B0
        C3B1E1 F7E7F3 A393BF 7C6A99 54466F FFE8D6
        F6BD60 FDF3DD D9A679 A8744F 6E4A36 FFFBE6
        6FA8DC EAF4FC B7C9A8 94A65C 5E7033 FFF9DB
        4A6FA5 8FA9D0 B9C8DE E6EDF5 FFFFFF FFE9B8
        5B4B8A B57F95 DBAE9B F1D3A8 FBEAC8 FFF4D8
        3F7CAC 86BDD1 A9D3CC EFE3C2 F7EFD9 FFFCEB
    """),
    "shifted": _rgb("""
        0B132B 3A506B 22304F 1C2541 0A0F22 D8E2EC
        1A1033 6B2D5C 3B1C4A 291338 120820 F5C6DA
        10202B 2F6F73 1D4A52 14343B 081A1F CDEBE5
        231A1A 8A4B32 4A2C2A 331E20 170E10 F7D6A8
        14142B 4A4E8C 2C2F5E 1F2147 0D0E24 E0E1F5
        0E2420 44704F 23493A 18342A 0A1A15 E4F0C8
        0D0D1F 2A2350 46336E 6B4690 9A5CA6 FCE2FF
        0B1622 1F3A4A 35606E 4F8A8B 7DB8A6 F4F9E9
    """),
}


def hsv_to_rgb(hue: np.ndarray, saturation: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Colours (..., 3) in [0, 1] of hue (turns), saturation and value."""
    k = np.mod(np.array([5.0, 3.0, 1.0]) + 6.0 * hue[..., None], 6.0)
    ramp = np.clip(np.minimum(k, 4.0 - k), 0.0, 1.0)
    return value[..., None] * (1.0 - saturation[..., None] * ramp)
