// Pixels: fetched once, kept for a while, painted through a grey table.

/** Least recently used buffers by address; bounded in number and in bytes, since a mammogram has 20 MB. */
class PixelCache {
  constructor(maxCount, maxBytes) {
    Object.assign(this, { maxCount, maxBytes, entries: new Map() });
  }

  get(url) {
    const entry = this.entries.get(url) ?? this.fetch(url);
    this.entries.delete(url);
    this.entries.set(url, entry); // last in the map is the latest used
    this.trim();
    return entry.buffer;
  }

  fetch(url) {
    const entry = { bytes: 0 };
    entry.buffer = fetch(url, { credentials: "same-origin" }).then(async (response) => {
      if (!response.ok) throw new Error(`status ${response.status}`);
      const buffer = await response.arrayBuffer();
      entry.bytes = buffer.byteLength;
      this.trim();
      return buffer;
    });
    entry.buffer.catch(() => this.entries.delete(url)); // a failed fetch may be tried again
    return entry;
  }

  trim() {
    let bytes = 0;
    for (const entry of this.entries.values()) bytes += entry.bytes;
    for (const [url, entry] of this.entries) {
      if (this.entries.size === 1 || (this.entries.size <= this.maxCount && bytes <= this.maxBytes)) return;
      this.entries.delete(url);
      bytes -= entry.bytes;
    }
  }
}

/** One decoded frame and the canvas that holds it as displayed, one canvas pixel per image pixel. */
class Picture {
  constructor(frame, buffer) {
    const samples = frame.width * frame.height;
    const bytes = samples * (frame.colour ? 3 : frame.bits / 8);
    if (buffer.byteLength !== bytes) throw new Error(`${buffer.byteLength} bytes instead of ${bytes}`);
    this.frame = frame;
    this.values = frame.bits === 16 && !frame.colour ? new Uint16Array(buffer) : new Uint8Array(buffer);
    this.canvas = document.createElement("canvas");
    this.canvas.width = frame.width;
    this.canvas.height = frame.height;
    this.context = this.canvas.getContext("2d");
    this.image = new ImageData(frame.width, frame.height);
    this.words = new Uint32Array(this.image.data.buffer);
  }

  /** Paint through the window; the caller says only when something has changed. */
  paint(window, inverted) {
    if (this.frame.colour) this.paintColour(inverted);
    else this.paintGrey(greyTable(window, inverted, 2 ** this.frame.bits));
    this.context.putImageData(this.image, 0, 0);
  }

  paintGrey(table) {
    const { values, words } = this;
    for (let i = 0; i < values.length; i++) words[i] = table[values[i]];
  }

  paintColour(inverted) {
    const { values, words } = this;
    const flip = inverted ? 0x00ffffff : 0;
    for (let i = 0, j = 0; i < words.length; i++, j += 3) {
      words[i] = (0xff000000 | (values[j + 2] << 16) | (values[j + 1] << 8) | values[j]) ^ flip;
    }
  }

  /** Text for the pixel under the cursor, in the modality's own unit; empty outside the picture. */
  describe(x, y) {
    const { width, height, colour, slope, intercept } = this.frame;
    const [column, row] = [Math.floor(x), Math.floor(y)];
    if (column < 0 || row < 0 || column >= width || row >= height) return "";
    const at = row * width + column;
    const value = colour
      ? `RGB ${[0, 1, 2].map((c) => this.values[3 * at + c]).join(" ")}`
      : shortNumber(this.values[at] * slope + intercept);
    return `x ${column}  y ${row}  value ${value}`;
  }
}

/** At most four significant digits, without exponents for ordinary sizes. */
function shortNumber(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-3) return value.toExponential(1);
  return String(size >= 1000 ? Math.round(value) : Number(value.toPrecision(3)));
}
