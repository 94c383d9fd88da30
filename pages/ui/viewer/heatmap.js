// The heatmap arrives as raw numbers on its own grid; colours, threshold and scale are chosen here.

const SOFT_EDGE = 0.05; // part of the scale over which a value just above the threshold fades in
const MIN_PAINTED = 256; // painted pixels along each side, before the browser stretches them over the image

class HeatLayer {
  constructor(packet) {
    this.packet = packet;
    const bytes = Uint8Array.from(atob(packet.data), (character) => character.charCodeAt(0));
    this.values = new Float32Array(bytes.buffer);
    this.canvas = document.createElement("canvas");
    this.painted = "";
  }

  /** The same grid with another scale or label. */
  adopt(packet) {
    this.packet = packet;
    return this;
  }

  get isZero() {
    return this.packet.raw_max === 0;
  }

  /** The raw value at the colour scale's end. */
  top(own) {
    return own ? this.packet.raw_max : this.packet.scale_max;
  }

  /** Where this image's maximum lies on the scale, 0 at the bottom and 1 at the top. */
  heightOnScale(top) {
    const part = Math.min(1, this.packet.raw_max / top);
    return this.packet.signed ? (1 + part) / 2 : part;
  }

  /** Raw value at a place given as fractions of the image, bilinear between cell centres, constant beyond the outer ones. */
  sample(u, v) {
    const { w, h } = this.packet;
    const x = Math.min(w - 1, Math.max(0, u * w - 0.5));
    const y = Math.min(h - 1, Math.max(0, v * h - 0.5));
    const [x0, y0] = [Math.floor(x), Math.floor(y)];
    const [x1, y1] = [Math.min(w - 1, x0 + 1), Math.min(h - 1, y0 + 1)];
    const [fx, fy] = [x - x0, y - y0];
    const upper = this.values[y0 * w + x0] * (1 - fx) + this.values[y0 * w + x1] * fx;
    const lower = this.values[y1 * w + x0] * (1 - fx) + this.values[y1 * w + x1] * fx;
    return upper * (1 - fy) + lower * fy;
  }

  /** Colour index 0–255 and alpha 0–255 of a raw value. Nothing at or below the threshold is drawn, and zero never is. */
  look(value, threshold, top) {
    const part = Math.max(-1, Math.min(1, value / top));
    const strength = this.packet.signed ? Math.abs(part) : part;
    const alpha = Math.max(0, Math.min(1, (strength - threshold) / SOFT_EDGE));
    const index = Math.round(255 * (this.packet.signed ? (part + 1) / 2 : Math.max(0, part)));
    return [index, Math.round(255 * alpha)];
  }

  stops(colours) {
    return this.packet.signed ? SIGNED_STOPS : COLOUR_STOPS[colours];
  }

  /** The coloured layer as a canvas; painted anew only when its looks change. */
  layer({ colours, threshold, own }) {
    const looks = `${colours}|${threshold}|${this.top(own)}`;
    if (looks === this.painted) return this.canvas;
    this.painted = looks;
    const table = colourTable(this.stops(colours));
    const [width, height] = [this.packet.w, this.packet.h].map((n) => Math.max(n, MIN_PAINTED));
    const image = new ImageData(width, height);
    for (let y = 0, at = 0; y < height; y++) {
      for (let x = 0; x < width; x++, at += 4) {
        const [index, alpha] = this.look(this.sample((x + 0.5) / width, (y + 0.5) / height), threshold, this.top(own));
        image.data.set([table[3 * index], table[3 * index + 1], table[3 * index + 2], alpha], at);
      }
    }
    [this.canvas.width, this.canvas.height] = [width, height];
    this.canvas.getContext("2d").putImageData(image, 0, 0);
    return this.canvas;
  }

  /** The same colours as a CSS gradient from bottom to top. */
  gradient({ colours, threshold, own }) {
    const table = colourTable(this.stops(colours));
    const top = this.top(own);
    const steps = Array.from({ length: 65 }, (_, i) => {
      const value = this.packet.signed ? top * (i / 32 - 1) : top * (i / 64);
      const [index, alpha] = this.look(value, threshold, top);
      return `rgb(${table[3 * index]} ${table[3 * index + 1]} ${table[3 * index + 2]} / ${alpha / 255})`;
    });
    return `linear-gradient(to top, ${steps.join(", ")})`;
  }

  /** What the colours mean, for the legend. */
  describe(frame, own) {
    const { label, layer, w, h, raw_max, signed, target, painted } = this.packet;
    const factor = painted ? 1 : Math.max(frame.width / w, frame.height / h); // windows and superpixels have no grid
    const lines = [label + (factor > 1 ? `, enlarged ${factor < 10 ? Math.round(10 * factor) / 10 : Math.round(factor)}×` : "") + (layer ? ` · ${layer}` : "")];
    if (this.isZero) lines.push("zero everywhere: nothing to draw");
    else lines.push(own ? "colours stretched to this image's maximum" : `this image's maximum ${signed ? "±" : ""}${shortNumber(raw_max)}`);
    if (signed && !this.isZero) lines.push(`orange speaks for ${target}, blue against`);
    return [...lines, "not a lesion outline"].join("\n");
  }
}
