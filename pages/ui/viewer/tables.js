// Look-up tables: grey levels (DICOM PS3.3 C.11.2.1) and perceptually even colour maps.

// COLOUR_STOPS and SIGNED_STOPS are written in front of this file from core.colours, which exported pictures use as well.

function parseStops(text) {
  return text.split(" ").map((hex) => [0, 2, 4].map((i) => parseInt(hex.slice(i, i + 2), 16)));
}

/** 256 RGB triples, linear between the stops. */
function colourTable(text) {
  const stops = parseStops(text);
  const table = new Uint8ClampedArray(256 * 3);
  for (let i = 0; i < 256; i++) {
    const at = (i / 255) * (stops.length - 1);
    const below = Math.min(Math.floor(at), stops.length - 2);
    for (let c = 0; c < 3; c++) {
      table[3 * i + c] = stops[below][c] + (at - below) * (stops[below + 1][c] - stops[below][c]);
    }
  }
  return table;
}

/** Display brightness in 0–1 of a stored value; the same arithmetic as core.records.Window.apply. */
function brightness(value, { center, width, kind, table }) {
  if (kind === "SIGMOID") return 1 / (1 + Math.exp((-4 * (value - center)) / width));
  if (kind === "LINEAR_EXACT") return (value - center) / width + 0.5;
  if (kind === "TABLE") {
    const place = Math.floor(((value - center) / width + 0.5) * table.length);
    return table[Math.min(table.length - 1, Math.max(0, place))] / 255;
  }
  if (width === 1) return value > center - 0.5 ? 1 : 0;
  return (value - (center - 0.5)) / (width - 1) + 0.5;
}

/** The bytes of a look-up table that Python sent. */
function tableBytes(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

/** One packed little-endian RGBA word per stored value. */
function greyTable(window, inverted, levels) {
  const table = new Uint32Array(levels);
  for (let value = 0; value < levels; value++) {
    const shown = Math.round(255 * Math.min(1, Math.max(0, brightness(value, window))));
    const grey = inverted ? 255 - shown : shown;
    table[value] = 0xff000000 | (grey << 16) | (grey << 8) | grey;
  }
  return table;
}
