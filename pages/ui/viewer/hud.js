// Everything written over the picture.

const PLACES = ["R CC", "L CC", "R MLO", "L MLO"];
const FLIPPED = "flipped for display";
const RULER_MM = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200];

/** The longest round length that takes at most a quarter of the stage, and its width on the screen. */
function rulerLength(mmPerPixel, zoom, stageWidth) {
  const pixelsPerMm = zoom / mmPerPixel;
  const mm = RULER_MM.findLast((length) => length * pixelsPerMm <= stageWidth / 4);
  return mm ? { mm, width: mm * pixelsPerMm } : null;
}

/** Where a frame stands: slice and phase of a dynamic series, else its number among all. */
function position(viewer, frame) {
  const phases = phaseCount(viewer.frames, frame);
  if (phases < 2) return `${frame.index + 1}/${viewer.frames.length}`;
  const phase = `phase ${frame.phase + 1}/${phases}`;
  if (frame.derived === "projection") return phase;
  const stack = walk(viewer.frames, frame.index);
  return `${phase}   slice ${stack.indexOf(frame.index) + 1}/${stack.length}`;
}

class Hud {
  constructor(root) {
    const find = (selector) => root.querySelector(selector);
    Object.assign(this, {
      mark: find(".mark"), left: find(".edge.left"), right: find(".edge.right"), numbers: find(".hud"), probe: find(".probe"),
      legend: find(".legend"), ruler: find(".ruler"), message: find(".message"), tiles: find(".tiles"),
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

  /** What hangs at each place, and which one is chosen; empty places say what they are for. */
  updateTiles(viewer, tiles) {
    this.tiles.hidden = !viewer.overview;
    if (!viewer.overview) return;
    while (this.tiles.children.length < 4) {
      this.tiles.append(document.createElement("div"));
      this.tiles.lastChild.append(Object.assign(document.createElement("span"), { className: "note" }));
    }
    places(viewer.stage.width, viewer.stage.height).forEach((box, place) => {
      const picture = tiles.find((tile) => tile.place === place)?.picture;
      const element = this.tiles.children[place];
      for (const side of ["left", "top", "width", "height"]) element.style[side] = `${box[side]}px`;
      element.className = picture && picture === viewer.picture ? "chosen" : "";
      element.firstChild.textContent = picture ? this.caption(viewer, picture, place) : viewer.hanging[place].length ? "" : `${PLACES[place]}: no image`;
    });
  }

  caption(viewer, { frame, flip }, place) {
    const images = viewer.hanging[place];
    const count = images.length > 1 ? `${images.indexOf(frame.index) + 1} of ${images.length} (wheel)` : "";
    return [`${frame.laterality} ${frame.view}`, count, flip ? FLIPPED : ""].filter(Boolean).join("\n");
  }

  update(viewer) {
    const { frame, flip } = viewer.picture;
    const words = [`${frame.laterality} ${frame.view}`.trim(), flip ? FLIPPED : "", frame.label];
    this.mark.textContent = viewer.overview ? "" : words.filter(Boolean).join("\n");
    const marks = flip ? [...frame.marks].reverse() : frame.marks;
    [this.left.textContent, this.right.textContent] = viewer.overview ? ["", ""] : marks;
    this.numbers.textContent = this.describe(viewer, frame);
    this.updateRuler(frame, viewer.zoom(), viewer.stage.width);
    this.updateLegend(viewer, frame);
  }

  describe(viewer, frame) {
    const parts = [viewer.overview ? `${frame.laterality} ${frame.view}` : `${frame.width} × ${frame.height}`];
    if (!frame.colour) {
      const { center, width } = viewer.window(frame);
      // The window is kept in stored values and told in the modality's unit.
      parts.push(`WW ${shortNumber(width * Math.abs(frame.slope))}  WC ${shortNumber(center * frame.slope + frame.intercept)}`);
    }
    if (!viewer.overview) parts.push(`${Math.round(100 * viewer.zoom())} %`);
    if (viewer.frames.length > 1 && !viewer.overview) parts.push(position(viewer, frame));
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
