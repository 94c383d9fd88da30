// The canvas: picture, heatmap and regions, in this order, as often as something changed.

class Stage {
  constructor(element) {
    const canvas = element.querySelector("canvas");
    // `stale`: the picture's grey levels must be looked up again before the next drawing.
    Object.assign(this, { element, canvas, context: canvas.getContext("2d"), width: 0, height: 0, ratio: 1, stale: true });
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
    const { picture, state } = viewer;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#000";
    context.fillRect(0, 0, canvas.width, canvas.height);
    let heatDrawn = false;
    if (picture && this.width) {
      if (this.stale) picture.paint(viewer.window(picture.frame), state.inverted);
      this.stale = false;
      this.paintPicture(viewer);
      heatDrawn = this.paintHeat(viewer);
      this.paintRegions(viewer);
      viewer.hud.update(viewer);
    }
    this.report(viewer, heatDrawn);
  }

  paintPicture(viewer) {
    const { context, ratio } = this;
    const [zoom, { x, y }] = [viewer.zoom(), viewer.view()];
    const scale = zoom * ratio;
    context.setTransform(scale, 0, 0, scale, (this.width / 2) * ratio - x * scale, (this.height / 2) * ratio - y * scale);
    context.imageSmoothingEnabled = zoom < 4; // beyond, a reviewer wants to see the pixels themselves
    context.imageSmoothingQuality = "high"; // a shrunken mammogram must not lose single bright pixels
    context.drawImage(viewer.picture.canvas, 0, 0);
  }

  /** The heatmap over the picture, edge to edge, where it is asked for; true when something was really drawn. */
  paintHeat(viewer) {
    const { context } = this;
    const { frame } = viewer.picture;
    const heat = viewer.heat();
    if (!viewer.state.heat || !heat || heat.isZero) return false;
    context.imageSmoothingEnabled = true;
    context.globalAlpha = PREFERENCES.opacity;
    context.drawImage(heat.layer({ ...PREFERENCES, own: viewer.state.own }), 0, 0, frame.width, frame.height);
    context.globalAlpha = 1;
    return true;
  }

  paintRegions(viewer) {
    const { context, ratio } = this;
    const [zoom, { x, y }] = [viewer.zoom(), viewer.view()];
    const place = ([px, py]) => [this.width / 2 + (px - x) * zoom, this.height / 2 + (py - y) * zoom];
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.font = "600 12px sans-serif";
    viewer.regions.forEach((region, i) => {
      if (region.image === viewer.picture.frame.index) drawRegion(context, region, String(i + 1), place);
    });
    if (viewer.draft) drawRegion(context, viewer.draft, "", place);
  }

  /** What is on the screen, for tests and for screen readers. */
  report(viewer, heatDrawn) {
    const frame = viewer.picture?.frame;
    const { center = "", width = "" } = frame && !frame.colour ? viewer.window(frame) : {};
    Object.assign(this.canvas.dataset, {
      view: viewer.viewKey, shown: frame?.url ?? "", frame: frame?.index ?? "", zoom: frame ? viewer.zoom() : "",
      wc: center, ww: width, heat: heatDrawn ? "on" : "off", draws: Number(this.canvas.dataset.draws ?? 0) + 1,
    });
    const words = frame
      ? [`Image ${frame.index + 1} of ${viewer.frames.length}`, `${frame.laterality} ${frame.view}`.trim(), frame.label]
      : ["No image"];
    this.canvas.setAttribute("aria-label", [...words.filter(Boolean), `heatmap ${heatDrawn ? "on" : "off"}`].join(", "));
  }
}
