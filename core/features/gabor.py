"""Gabor energies: how much of a picture waves at a given wavelength in a given direction."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy import fft
from skimage.filters import gabor_kernel

from core.features.family import Family, stretched

WAVELENGTHS = (4, 8, 16)  # pixels
DIRECTIONS = (0, 45, 90, 135)  # degrees: 0 waves from left to right, that is upright stripes


@cache
def _kernel(wavelength: int, direction: int) -> np.ndarray:
    return gabor_kernel(1 / wavelength, theta=np.deg2rad(direction)).astype(np.complex64)


def responses(grey: np.ndarray) -> dict[tuple[int, int], np.ndarray]:
    """Magnitude (H, W) float32 of the response to each (wavelength, direction); the border is reflected.

    Equal to scikit-image's `gabor` (one octave of bandwidth), but by one Fourier transform of the picture for all filters. The
    picture's mean is taken out first, since even Gabor kernels do not quite sum to 0.
    """
    margin = max(max(_kernel(w, d).shape) // 2 for w in WAVELENGTHS for d in DIRECTIONS)
    centred = grey - grey.mean(dtype=np.float64).astype(np.float32)
    padded = np.pad(centred, margin, mode="symmetric")
    h, w = grey.shape
    # Long enough that what wraps around stays inside the margin, which is cut away.
    size = tuple(fft.next_fast_len(n) for n in padded.shape)
    spectrum = fft.fft2(padded, size)
    found = {}
    for wavelength in WAVELENGTHS:
        for direction in DIRECTIONS:
            kernel = _kernel(wavelength, direction)
            top, left = (n // 2 for n in kernel.shape)
            answer = fft.ifft2(spectrum * fft.fft2(kernel, size))
            found[wavelength, direction] = np.abs(
                answer[margin + top : margin + top + h, margin + left : margin + left + w]
            )
    return found


def values(grey: np.ndarray) -> dict[str, float]:
    """Mean and standard deviation of each response, and its energy, the mean square."""
    found = {}
    for (wavelength, direction), response in responses(grey).items():
        name = f"w{wavelength:02}.a{direction:03}"
        x = response.astype(np.float64)
        found |= {f"mean.{name}": x.mean(), f"sd.{name}": x.std(), f"energy.{name}": (x * x).mean()}
    return {name: float(value) for name, value in found.items()}


def pictures(grey: np.ndarray) -> dict[str, np.ndarray]:
    """The strongest direction's response for each wavelength."""
    found = responses(grey)
    return {f"Wavelength {w} pixels": stretched(np.max([found[w, d] for d in DIRECTIONS], axis=0)) for w in WAVELENGTHS}


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
