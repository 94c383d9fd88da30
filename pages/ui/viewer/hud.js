// Everything written over the picture.

const RULER_MM = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200];

/** The longest round length that takes at most a quarter of the stage, and its width on the screen. */
function rulerLength(mmPerPixel, zoom, stageWidth) {
  const pixelsPerMm = zoom / mmPerPixel;
  const mm = RULER_MM.findLast((length) => length * pixelsPerMm <= stageWidth / 4);
  return mm ? { mm, width: mm * pixelsPerMm } : null;
}

class Hud {
  constructor(root) {
    const find = (selector) => root.querySelector(selector);
    Object.assign(this, {
      mark: find(".mark"), left: find(".edge.left"), right: find(".edge.right"), numbers: find(".hud"), probe: find(".probe"),
      legend: find(".legend"), ruler: find(".ruler"), message: find(".message"),
    });
  }

  say(text, loading = false) {
    this.message.textContent = text;
    this.message.classList.toggle("loading", loading);
  }

  /** Nothing of the last picture stays on an empty stage. */
  clear() {
    for (const element of [this.mark, this.left, this.right, this.numbers, this.probe]) element.textContent = "";
    this.legend.hidden = this.ruler.hidden = true;
  }

  update(viewer) {
    const { frame } = viewer.picture;
    this.mark.textContent = [`${frame.laterality} ${frame.view}`.trim(), frame.label].filter(Boolean).join("\n");
    [this.left.textContent, this.right.textContent] = frame.marks;
    this.numbers.textContent = this.describe(viewer, frame);
    this.updateRuler(frame, viewer.zoom(), viewer.stage.width);
    this.updateLegend(viewer, frame);
  }

  describe(viewer, frame) {
    const parts = [`${frame.width} × ${frame.height}`];
    if (!frame.colour) {
      const { center, width } = viewer.window(frame);
      // The window is kept in stored values and told in the modality's unit.
      parts.push(`WW ${shortNumber(width * Math.abs(frame.slope))}  WC ${shortNumber(center * frame.slope + frame.intercept)}`);
    }
    parts.push(`${Math.round(100 * viewer.zoom())} %`);
    if (viewer.frames.length > 1) parts.push(`${frame.index + 1}/${viewer.frames.length}`);
    if (viewer.state.inverted) parts.push("inverted");
    return parts.join("   ");
  }

  updateRuler(frame, zoom, stageWidth) {
    const length = frame.spacing_mm ? rulerLength(frame.spacing_mm[1], zoom, stageWidth) : null;
    this.ruler.hidden = !length;
    if (!length) return;
    const [rowMm, columnMm] = frame.spacing_mm;
    const square = Math.abs(rowMm / columnMm - 1) < 0.01;
    this.ruler.firstElementChild.style.width = `${length.width}px`;
    this.ruler.lastElementChild.textContent = `${length.mm} mm${square ? "" : " across"}`;
  }

  updateLegend(viewer, frame) {
    const heat = viewer.heat();
    this.legend.hidden = !(heat && viewer.state.heat);
    if (this.legend.hidden) return;
    const { own } = viewer.state;
    const [note, scale] = this.legend.children;
    note.textContent = heat.describe(frame, own);
    scale.hidden = heat.isZero;
    if (heat.isZero) return;
    const top = heat.top(own);
    const [upper, bar, lower] = scale.children;
    upper.textContent = (heat.packet.raw_max > top ? "≥ " : "") + shortNumber(top);
    lower.textContent = heat.packet.signed ? shortNumber(-top) : "0";
    bar.style.backgroundImage = heat.gradient({ ...PREFERENCES, own });
    bar.firstElementChild.style.bottom = `${100 * heat.heightOnScale(top)}%`;
  }
}
