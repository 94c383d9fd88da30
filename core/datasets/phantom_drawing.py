"""How a breast-MRI phantom is drawn: simple shapes and noise, nothing taken from a patient.

What separates the classes is margin and inner enhancement, in overlapping ranges; lesion size, place, mean brightness and
everything around the lesion are drawn without looking at the class.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from core.records import Refused
from core.tasks import get_task

TASK = "breast-mri"
TOP = 4095  # 12 bits
SMALLEST = 64

# Suspicion is what a perfect reader could see: normal in both classes with a common spread, so that the best possible
# AUC is Phi(gap / spread / sqrt 2) = 0.97 (Green and Swets 1966); margin, rim and texture follow it with further spread.
_SUSPICION = {"benign": 0.22, "malignant": 0.66}
_SUSPICION_SPREAD = 0.17
_FEATURE_SPREAD = 0.12

_AIR, _FAT, _GLAND, _MUSCLE, _SKIN = 0.0, 0.17, 0.36, 0.33, 0.40


@dataclass(frozen=True)
class Phantom:
    """One simulated slice, anterior at the top.

    `image` is (H, W) uint16 in 0–4095, larger is brighter; `mask` is (H, W) bool, True in the lesion; `breast` is (H, W)
    bool, True between skin and chest wall. `center` and `width` are the display window in stored values.
    """

    image: np.ndarray
    mask: np.ndarray
    breast: np.ndarray
    label: str
    laterality: str
    center: float
    width: float


@dataclass(frozen=True)
class _Anatomy:
    """Where tissue lies: depths in pixels, (H, W) float32, positive behind the skin and in front of the muscle."""

    behind_skin: np.ndarray
    before_muscle: np.ndarray
    unit: float  # pixels of a 192-pixel picture
    nipple: tuple[float, float]  # row, column

    @property
    def depth(self) -> np.ndarray:
        """Distance to the nearer of skin and muscle, positive within the breast."""
        return np.minimum(self.behind_skin, self.before_muscle)


def make_phantom(rng: np.random.Generator, label: str, size: int = 192) -> Phantom:
    """Draw one phantom of class `label` (benign or malignant), `size` pixels square (at least `SMALLEST`).

    Raises `Refused` for another class or a smaller picture.
    """
    label = get_task(TASK).classes[get_task(TASK).class_index(label)]
    if size < SMALLEST:
        raise Refused(f"A phantom needs at least {SMALLEST} pixels, not {size}.")
    laterality = ("L", "R")[rng.integers(2)]
    anatomy = _draw_anatomy(rng, size, laterality)
    canvas = _paint_tissue(rng, anatomy)
    _paint_vessels(rng, canvas, anatomy)
    _paint_foci(rng, canvas, anatomy)
    mask = _paint_lesion(rng, canvas, anatomy, label)
    image, center, width = _acquire(rng, canvas)
    return Phantom(image, mask, anatomy.depth > 0, label, laterality, center, width)


@lru_cache(maxsize=64)
def _basis(size: int, knots: int) -> np.ndarray:
    """Gaussian bumps that turn `knots` random numbers into a smooth curve of unit variance, (size, knots) float32."""
    at = np.linspace(0, knots - 1, size)[:, None] - np.arange(knots)
    bumps = np.exp(-2.0 * at**2)
    return (bumps / np.sqrt((bumps**2).sum(axis=1, keepdims=True))).astype(np.float32)


def _smooth_noise(rng: np.random.Generator, size: int, knots: int) -> np.ndarray:
    """Noise of zero mean and unit variance that varies over size / knots pixels, (size, size) float32."""
    basis = _basis(size, knots)
    return basis @ rng.standard_normal((knots, knots), dtype=np.float32) @ basis.T


def _ramp(x: np.ndarray) -> np.ndarray:
    """0 below −1, 1 above 1, smooth between: a soft edge one unit wide to each side."""
    t = np.clip(0.5 * x + 0.5, 0, 1)
    return t * t * (3 - 2 * t)


def _rounded(line: np.ndarray, width: int) -> np.ndarray:
    """Moving average of a line over `width` points, the ends held: corners become folds."""
    padded = np.pad(line, (width // 2, width - 1 - width // 2), mode="edge")
    return np.convolve(padded, np.full(width, 1 / width), mode="valid")


def _draw_anatomy(rng: np.random.Generator, size: int, laterality: str) -> _Anatomy:
    """A breast pointing up from a curved chest wall that falls away to its outer side, both as heights per column."""
    unit = size / 192
    column = np.arange(size, dtype=np.float32) / unit
    middle, half = rng.uniform(80, 112), rng.uniform(62, 84)
    floor, tip = rng.uniform(146, 168), rng.uniform(14, 46)
    outward = (1 if laterality == "L" else -1) * (column - middle)  # the left breast's outer side is on the right
    muscle = floor + rng.uniform(0, 0.10) * outward + 0.0012 * outward**2
    muscle += 2.0 * _basis(size, 9) @ rng.standard_normal(9, dtype=np.float32)
    across = np.clip(np.abs(outward) / half, 0, 1)
    bump = (1 - across ** rng.uniform(2.0, 2.6)) ** rng.uniform(0.62, 0.80)
    base = floor - rng.uniform(10, 20) + 0.0012 * outward**2
    nipple = 4.0 * np.exp(-(((outward - rng.uniform(-8, 8)) / 4.5) ** 2))
    skin = _rounded(base - (base - tip) * bump - nipple, max(3, round(7 * unit)))
    row = np.arange(size, dtype=np.float32)[:, None] / unit
    depths = [
        (sign * (row - line) / np.sqrt(1 + np.gradient(line, column) ** 2) * unit).astype(np.float32)
        for sign, line in ((1, skin), (-1, muscle))
    ]
    highest = int(np.argmin(skin))
    return _Anatomy(depths[0], depths[1], unit, (float(skin[highest]) * unit, float(highest)))


def _paint_tissue(rng: np.random.Generator, anatomy: _Anatomy) -> np.ndarray:
    """Air, skin, fat with fibroglandular tissue, muscle and the dark lung behind it, (H, W) float32 in 0–1."""
    inside, before, unit = anatomy.behind_skin, anatomy.before_muscle, anatomy.unit
    size = inside.shape[0]
    row, column = np.ogrid[:size, :size]
    top, middle = anatomy.nipple
    spread = (row - top - 48 * unit) ** 2 / (44 * unit) ** 2 + (column - middle) ** 2 / (42 * unit) ** 2
    texture = 0.7 * _smooth_noise(rng, size, 14) + 0.5 * _smooth_noise(rng, size, 34)
    amount = texture + rng.uniform(0.2, 1.5) - 1.1 * spread.astype(np.float32)
    gland = _ramp(amount / 0.7) * _ramp((anatomy.depth / unit - 9) / 4)
    fine = 1 + 0.10 * _smooth_noise(rng, size, 60) + 0.06 * _smooth_noise(rng, size, 20)
    enhancement = rng.uniform(0.7, 1.25)  # background parenchymal enhancement
    canvas = (_FAT + (_GLAND * enhancement - _FAT) * gland) * fine
    canvas += (_SKIN - _FAT) * _ramp((3.2 * unit - inside) / unit)
    muscle = _MUSCLE * (1 + 0.12 * _smooth_noise(rng, size, 26))
    canvas += (muscle - canvas) * _ramp(-before / unit)
    canvas += (0.05 - canvas) * _ramp((-before / unit - rng.uniform(15, 24)) / 2)
    return (canvas * _ramp(inside / unit)).astype(np.float32)


def _paint_vessels(rng: np.random.Generator, canvas: np.ndarray, anatomy: _Anatomy) -> None:
    """Two to five bright, gently bent vessels, each a few pixels wide, drawn row by row."""
    size, unit = canvas.shape[0], anatomy.unit
    reach = np.arange(-int(5 * unit) - 1, int(5 * unit) + 2)
    depth = anatomy.depth / unit
    for _ in range(rng.integers(2, 6)):
        first = rng.uniform(60, 110) * unit
        rows = np.arange(int(first), int(min(first + rng.uniform(30, 70) * unit, size)))
        t = (rows - rows[0]) / max(len(rows) - 1, 1)
        bend = rng.uniform(-30, 30) * t + rng.uniform(-16, 16) * np.sin(np.pi * t * rng.uniform(0.6, 2))
        path = rng.uniform(40, 152) * unit + bend * unit
        columns = np.clip(np.rint(path).astype(int)[:, None] + reach, 0, size - 1)  # (rows, reach)
        thick = rng.uniform(0.9, 1.7) * unit * np.sqrt(1 + np.gradient(path)[:, None] ** 2)
        line = np.exp(-(((columns - path[:, None]) / thick) ** 2)) * np.sin(np.pi * t[:, None]) ** 0.3
        line *= rng.uniform(0.55, 0.95) * _ramp((depth[rows[:, None], columns] - 6) / 3)
        canvas[rows[:, None], columns] = np.maximum(canvas[rows[:, None], columns], line)


def _paint_foci(rng: np.random.Generator, canvas: np.ndarray, anatomy: _Anatomy) -> None:
    """Three to seven small round foci, as bright as lesions: the brightest spot must not be the answer."""
    unit = anatomy.unit
    rows, columns = np.nonzero(anatomy.depth > 8 * unit)
    for pick in rng.integers(len(rows), size=rng.integers(3, 8)):
        radius, brightness = rng.uniform(2.2, 5.0) * unit, rng.uniform(0.8, 1.4)
        patch, rho, _ = _polar_patch(canvas, (rows[pick], columns[pick]), 2 * radius)
        patch += (brightness - patch) * _ramp((radius - rho) / (1.3 * unit))


def _place_lesion(rng: np.random.Generator, anatomy: _Anatomy) -> tuple[tuple[int, int], float]:
    """A centre (row, column) and a mean radius in pixels that keep the lesion between skin and muscle."""
    deepest = float(anatomy.depth.max())
    radius = min(rng.uniform(15, 24) * anatomy.unit, 0.6 * deepest)
    rows, columns = np.nonzero(anatomy.depth > min(1.3 * radius + 3 * anatomy.unit, 0.95 * deepest))
    # Of two places the one further from the nipple's column: real lesions prefer the outer quadrants to the middle.
    pick = max(rng.integers(len(rows), size=2), key=lambda i: abs(columns[i] - anatomy.nipple[1]))
    return (int(rows[pick]), int(columns[pick])), radius


def _polar_patch(canvas: np.ndarray, place: tuple[int, int], reach: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The square of `canvas` within `reach` of `place` (a view), with distance in pixels and angle in radians."""
    n = int(np.ceil(reach))
    rows = slice(max(place[0] - n, 0), place[0] + n + 1)
    columns = slice(max(place[1] - n, 0), place[1] + n + 1)
    patch = canvas[rows, columns]
    y = np.arange(rows.start, rows.start + patch.shape[0], dtype=np.float32)[:, None] - place[0]
    x = np.arange(columns.start, columns.start + patch.shape[1], dtype=np.float32)[None] - place[1]
    return patch, np.hypot(y, x), np.arctan2(y, x)


def _paint_lesion(rng: np.random.Generator, canvas: np.ndarray, anatomy: _Anatomy, label: str) -> np.ndarray:
    """Draw the lesion and return its mask (H, W) bool: the body to half its edge, without the thin spicules."""
    place, radius = _place_lesion(rng, anatomy)
    suspicion = rng.normal(_SUSPICION[label], _SUSPICION_SPREAD)
    irregular, spiculated, rim, mixed = np.clip(rng.normal(suspicion, _FEATURE_SPREAD, 4), 0, 1)
    patch, rho, angle = _polar_patch(canvas, place, 2.2 * radius)
    inside = _polar_patch(anatomy.depth, place, 2.2 * radius)[0] / anatomy.unit - 4
    edge = radius * _outline(rng, angle, irregular)
    body = _ramp((edge - rho) / (anatomy.unit * rng.uniform(1.2, 2.4))) * _ramp(inside)
    core = 0.65 * rim * _ramp((0.62 - rho / edge) / 0.25)
    texture = _smooth_noise(rng, canvas.shape[0], 36)[: patch.shape[0], : patch.shape[1]]
    enhancement = 1 - core + 0.22 * mixed * texture
    # Brightness is drawn for the whole body: a dark core has a brighter rim, so that the average says nothing.
    enhancement *= rng.uniform(0.70, 0.92) / np.average(enhancement, weights=body)
    spicules = 0.8 * spiculated * _spicules(rng, angle, rho / edge) * _ramp(inside)
    patch += (enhancement - patch) * body
    np.maximum(patch, spicules, out=patch)
    mask = np.zeros(canvas.shape, dtype=bool)
    _polar_patch(mask, place, 2.2 * radius)[0][...] = (rho < edge) & (inside > 0)
    return mask


def _outline(rng: np.random.Generator, angle: np.ndarray, irregular: float) -> np.ndarray:
    """Radius over mean radius at each angle: an oval, made lobed by `irregular` (0–1)."""
    turn, ratio = rng.uniform(0, np.pi), rng.uniform(0.70, 1.0)
    oval = np.sqrt(ratio) / np.hypot(ratio * np.cos(angle - turn), np.sin(angle - turn))
    table = np.linspace(-np.pi, np.pi, 181)
    order = np.arange(2, 12)[:, None]
    waves = np.cos(order * table + rng.uniform(0, 2 * np.pi, order.shape)) * rng.normal(0, order**-0.9)
    jagged = np.clip(0.26 * irregular * waves.sum(axis=0), -0.4, 0.3)
    return (oval * (1 + np.interp(angle, table, jagged))).astype(np.float32)


def _spicules(rng: np.random.Generator, angle: np.ndarray, beyond: np.ndarray) -> np.ndarray:
    """Thin radial lines from the margin outwards, 0–1; `beyond` is distance over margin distance."""
    lines = np.sort(rng.uniform(-np.pi, np.pi, rng.integers(9, 16)))
    table = np.linspace(-np.pi, np.pi, 361)
    away = np.abs((table - lines[:, None] + np.pi) % (2 * np.pi) - np.pi)
    comb = (np.exp(-((away / 0.075) ** 2)) * rng.uniform(0.5, 1.0, (len(lines), 1))).max(axis=0)
    return np.interp(angle, table, comb) * _ramp((1.45 - beyond) / 0.35) * (beyond > 0.85)


def _acquire(rng: np.random.Generator, canvas: np.ndarray) -> tuple[np.ndarray, float, float]:
    """What a scanner makes of it: coil bias, gain, Rician noise (Gudbjartsson and Patz 1995), 12 bits, a window."""
    size = canvas.shape[0]
    signal = canvas * np.exp(0.12 * _smooth_noise(rng, size, 3))
    noise = rng.standard_normal((2, size, size), dtype=np.float32) * np.float32(rng.uniform(0.015, 0.035))
    gain = rng.uniform(1400, 2600)
    image = np.minimum(np.hypot(signal + noise[0], noise[1]) * gain, TOP).astype(np.uint16)
    width = float(np.rint(gain * rng.uniform(0.95, 1.2)))
    return image, width / 2, width
