// The canvas: picture, heatmap and regions, in this order, as often as something changed.

class Stage {
  constructor(element) {
    const canvas = element.querySelector("canvas");
    Object.assign(this, { element, canvas, context: canvas.getContext("2d"), width: 0, height: 0, ratio: 1 });
  }

  resize(viewer) {
    [this.width, this.height] = [this.element.clientWidth, this.element.clientHeight];
    if (!this.width || !this.height) return; // in a tab that is not shown
    this.ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(this.width * this.ratio);
    this.canvas.height = Math.round(this.height * this.ratio);
    this.paint(viewer); // at once: a resized canvas is blank
  }

  paint(viewer) {
    const { context, canvas } = this;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#000";
    context.fillRect(0, 0, canvas.width, canvas.height);
    const tiles = tilesOf(viewer);
    let heatDrawn = false;
    for (const tile of tiles) {
      this.clipped(tile.box, () => {
        this.paintPicture(viewer, tile);
        heatDrawn = this.paintHeat(viewer, tile) || heatDrawn;
        this.paintRegions(viewer, tile);
      });
    }
    viewer.hud.updateTiles(viewer, tiles);
    if (viewer.picture && this.width) viewer.hud.update(viewer);
    this.report(viewer, tiles, heatDrawn);
  }

  /** Draw inside a box only. */
  clipped({ left, top, width, height }, draw) {
    const { context, ratio } = this;
    context.save();
    context.beginPath();
    context.rect(left * ratio, top * ratio, width * ratio, height * ratio);
    context.clip();
    draw();
    context.restore();
  }

  paintPicture(viewer, { picture, pose }) {
    const { context, ratio } = this;
    const { frame } = picture;
    picture.paint(frame.colour ? {} : viewer.window(frame), viewer.state.inverted, pose.zoom * ratio);
    pose.apply(context, ratio);
    context.imageSmoothingEnabled = pose.zoom < 4; // beyond, a reviewer wants to see the pixels themselves
    context.imageSmoothingQuality = "high"; // a shrunken mammogram must not lose single bright pixels
    const { canvas, step } = picture;
    if (step === 1) return context.drawImage(canvas, 0, 0);
    context.save(); // the outermost blocks may reach beyond the picture
    context.beginPath();
    context.rect(0, 0, frame.width, frame.height);
    context.clip();
    context.drawImage(canvas, 0, 0, canvas.width * step, canvas.height * step);
    context.restore();
  }

  /** The heatmap over the picture, edge to edge, where it is asked for; true when something was really drawn. */
  paintHeat(viewer, { picture }) {
    const { context } = this;
    const { frame } = picture;
    const heat = viewer.heatOf(picture);
    if (!viewer.state.heat || !heat || heat.isZero) return false;
    context.imageSmoothingEnabled = true;
    context.globalAlpha = PREFERENCES.opacity;
    context.drawImage(heat.layer({ ...PREFERENCES, own: viewer.state.own }), 0, 0, frame.width, frame.height);
    context.globalAlpha = 1;
    return true;
  }

  paintRegions(viewer, { picture, pose }) {
    const { context, ratio } = this;
    const { index, derived } = picture.frame;
    if (derived === "projection") return; // it shows all slices, a region belongs to one
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.font = "600 12px sans-serif";
    const place = (point) => pose.toStage(point);
    viewer.regions.forEach((region, i) => {
      if (region.image === index) drawRegion(context, region, String(i + 1), place);
    });
    if (viewer.draft?.image === index) drawRegion(context, viewer.draft, "", place);
  }

  /** What is on the screen, for tests and for screen readers. */
  report(viewer, tiles, heatDrawn) {
    const frame = viewer.picture?.frame;
    const { center = "", width = "" } = frame && !frame.colour ? viewer.window(frame) : {};
    Object.assign(this.canvas.dataset, {
      view: viewer.viewKey, shown: frame?.url ?? "", frame: frame?.index ?? "", zoom: frame ? viewer.zoom() : "",
      wc: center, ww: width, heat: heatDrawn ? "on" : "off", draws: Number(this.canvas.dataset.draws ?? 0) + 1,
      tiles: tiles.map(({ picture }) => picture.frame.index).join(), derived: frame?.derived ?? "",
      flipped: tiles.filter(({ picture }) => picture.flip).map(({ picture }) => picture.frame.index).join(),
    });
    const words = frame
      ? [`Image ${frame.index + 1} of ${viewer.frames.length}`, `${frame.laterality} ${frame.view}`.trim(), frame.label]
      : ["No image"];
    this.canvas.setAttribute("aria-label", [...words.filter(Boolean), `heatmap ${heatDrawn ? "on" : "off"}`].join(", "));
  }
}
