"""The one set of colour tables for heatmaps: drawn in the browser and in exported pictures alike."""

from __future__ import annotations

import numpy as np

# Stops at equal distances, sRGB; between them colours are linear.
# From 0 to full scale: ten stops each of matplotlib's published tables (CC0). All rise in lightness, so that a stronger value is
# never darker.
SEQUENTIAL = {
    "viridis": "440154 482878 3e4989 31688e 26828e 1f9e89 35b779 6ece58 b5de2b fde725",
    "magma": "000004 180f3d 440f76 721f81 9e2f7f cd4071 f1605d fd9668 feca8d fcfdbf",
    "cividis": "00224e 123570 3b496c 575d6d 707173 8a8678 a59c74 c3b369 e1cc55 fee838",
    "inferno": "000004 1b0c41 4a0c6b 781c6d a52c60 cf4446 ed6925 fb9b06 f7d13d fcffa4",
}
# For maps with a sign: blue speaks against the class, light grey is zero, orange speaks for it. In CIELAB both arms are straight
# and alike: lightness falls from 96 to 50 and chroma rises from 0 to 57 in equal steps, at hues 280° and 62°. So equal values for
# and against look equally strong, and the two hues are told apart in all common colour blindness.
SIGNED = (
    "1d77d7 4f85db 6e94df 87a3e3 9fb3e6 b5c2ea cad2ed dfe3f0 f3f3f3 "
    "efe1d7 e9cebc e2bba0 daa986 d2976c c88652 bd7438 b2631d"
)


def colours(values: np.ndarray, signed: bool, table: str = "viridis") -> np.ndarray:
    """Colours (…, 3) in [0, 1] of scaled values (…): 0–1 through a sequential table, −1 to 1 through the signed one."""
    stops = np.array([list(bytes.fromhex(stop)) for stop in (SIGNED if signed else SEQUENTIAL[table]).split()]) / 255
    places = np.linspace(-1 if signed else 0, 1, len(stops))
    return np.stack([np.interp(values, places, stops[:, channel]) for channel in range(3)], axis=-1)
