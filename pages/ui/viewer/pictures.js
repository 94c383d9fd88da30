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
      if (!response.ok) throw await refusal(response);
      const buffer = await response.arrayBuffer();
      entry.bytes = buffer.byteLength;
      this.trim();
      return { buffer, meaning: JSON.parse(response.headers.get("X-Picture") ?? "{}") };
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

/** Why a picture does not come: the server's own sentence where it has refused to make one. */
async function refusal(response) {
  const error = new Error(`status ${response.status}`);
  if (response.status === 422) error.sentence = await response.text();
  return error;
}

/** One decoded frame and the canvas that holds it as displayed; a picture that is shown small is painted small. */
class Picture {
  constructor(frame, buffer) {
    const samples = frame.width * frame.height;
    const bytes = samples * (frame.colour ? 3 : frame.bits / 8);
    if (buffer.byteLength !== bytes) throw new Error(`${buffer.byteLength} bytes instead of ${bytes}`);
    this.frame = frame;
    this.values = frame.bits === 16 && !frame.colour ? new Uint16Array(buffer) : new Uint8Array(buffer);
    this.canvas = document.createElement("canvas");
    this.context = this.canvas.getContext("2d");
    Object.assign(this, { flip: false, step: 0, painted: "" });
  }

  /** Let one canvas pixel stand for `step` × `step` image pixels, whose mean it shows. */
  resize(step) {
    if (step === this.step) return;
    const { frame, canvas, context } = this;
    Object.assign(this, { step, painted: "", small: step === 1 ? this.values : averaged(frame, this.values, step) });
    [canvas.width, canvas.height] = [Math.ceil(frame.width / step), Math.ceil(frame.height / step)];
    this.image = context.createImageData(canvas.width, canvas.height);
    this.words = new Uint32Array(this.image.data.buffer);
  }

  /** Paint through the window where anything has changed; `zoom` is canvas pixels of the stage per image pixel. */
  paint(window, inverted, zoom) {
    this.resize(this.frame.colour || zoom > 0.5 ? 1 : 2 ** Math.floor(-Math.log2(zoom)));
    const { center, width, kind, number } = window;
    const looks = this.frame.colour ? `${inverted}` : `${center} ${width} ${kind} ${number} ${inverted}`;
    if (looks === this.painted) return;
    this.painted = looks;
    if (this.frame.colour) this.paintColour(inverted);
    else this.paintGrey(greyTable(window, inverted, this.levels()));
    this.context.putImageData(this.image, 0, 0);
  }

  /** One more than the largest value: a table for 12 bits is made sooner than one for 16. */
  levels() {
    if (!this.top) for (const value of this.values) if (!(value <= this.top)) this.top = value;
    return this.top + 1;
  }

  paintGrey(table) {
    const { small, words } = this;
    for (let i = 0; i < small.length; i++) words[i] = table[small[i]];
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

/** Means of blocks of `step` × `step` values; those at the right and lower edge may be smaller. */
function averaged({ width, height }, values, step) {
  const [columns, rows] = [Math.ceil(width / step), Math.ceil(height / step)];
  const means = new values.constructor(columns * rows);
  const sums = new Float64Array(columns);
  for (let row = 0, y = 0; row < rows; row++) {
    sums.fill(0);
    const end = Math.min(height, y + step);
    const count = end - y;
    for (; y < end; y++) {
      for (let column = 0, x = 0, at = y * width; column < columns; column++) {
        let sum = 0;
        for (const stop = Math.min(width, x + step); x < stop; x++) sum += values[at + x];
        sums[column] += sum;
      }
    }
    for (let column = 0; column < columns; column++) {
      means[row * columns + column] = Math.round(sums[column] / (count * Math.min(step, width - column * step)));
    }
  }
  return means;
}

/** At most four significant digits, without exponents for ordinary sizes. */
function shortNumber(value) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-3) return value.toExponential(1);
  return String(size >= 1000 ? Math.round(value) : Number(value.toPrecision(3)));
}
