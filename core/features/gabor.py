"""Gabor energies: how much of a picture waves at a given wavelength in a given direction."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from itertools import product

import numpy as np
from scipy import fft
from skimage.filters import gabor_kernel

from core.features.family import Family, stretched

WAVELENGTHS = (4, 8, 16)  # pixels
DIRECTIONS = (0, 45, 90, 135)  # degrees: 0 waves from left to right, that is upright stripes


@cache
def _kernel(wavelength: int, direction: int) -> np.ndarray:
    return gabor_kernel(1 / wavelength, theta=np.deg2rad(direction)).astype(np.complex64)


def responses(grey: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
    """(wavelength, direction, magnitude of the response (H, W) float32), one after the other; the border is reflected.

    Equal to scikit-image's `gabor` (one octave of bandwidth), but by one Fourier transform of the picture for all filters. The
    picture's mean is taken out first, since even Gabor kernels do not quite sum to 0.
    """
    margin = max(max(_kernel(w, d).shape) // 2 for w in WAVELENGTHS for d in DIRECTIONS)
    centred = grey - grey.mean(dtype=np.float64).astype(np.float32)
    padded = np.pad(centred, margin, mode="symmetric")
    h, w = grey.shape
    # What wraps around stays inside the margin, which is cut away.
    size = tuple(fft.next_fast_len(n) for n in padded.shape)
    spectrum = fft.fft2(padded, size)
    for wavelength, direction in product(WAVELENGTHS, DIRECTIONS):
        kernel = _kernel(wavelength, direction)
        top, left = (margin + n // 2 for n in kernel.shape)
        answer = fft.ifft2(spectrum * fft.fft2(kernel, size))
        yield wavelength, direction, np.abs(answer[top : top + h, left : left + w])


def values(grey: np.ndarray) -> dict[str, float]:
    """Mean and standard deviation of each response, and its energy, the mean square."""
    found = {}
    for wavelength, direction, response in responses(grey):
        name = f"w{wavelength:02}.a{direction:03}"
        mean = float(response.mean(dtype=np.float64))
        energy = float(np.square(response).mean(dtype=np.float64))
        found |= {f"mean.{name}": mean, f"sd.{name}": math.sqrt(max(0.0, energy - mean**2)), f"energy.{name}": energy}
    return found


def pictures(grey: np.ndarray) -> dict[str, np.ndarray]:
    """The strongest direction's response for each wavelength."""
    strongest: dict[int, np.ndarray] = {}
    for wavelength, _, response in responses(grey):
        strongest[wavelength] = np.maximum(strongest.get(wavelength, 0), response)
    return {f"Wavelength {wavelength} pixels": stretched(found) for wavelength, found in strongest.items()}


FAMILY = Family(
    "gabor",
    "Gabor energies",
    "How strongly the picture waves, finely to coarsely, in each of four directions.",
    1,
    values,
    pictures,
    {"mean": "brightness", "sd": "brightness", "energy": "brightness²"},
    "Brighter where the picture waves with about that wavelength, whatever the direction.",
)
