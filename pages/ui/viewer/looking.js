// Window, zoom and pan of the viewer: mixed into it, since it is the part that never changes what is shown.

const MAX_ZOOM = 40;
const PLAIN_LOOK = { choice: 0, shift: 0, stretch: 1 };

const Looking = {
  /** How a frame's window differs from its own: derived pictures have theirs, an unlinked image too, the others share one. */
  look({ index, derived }) {
    const { looks, linked } = this.state;
    if (derived) return (looks[derived] ??= { ...PLAIN_LOOK });
    return linked ? looks.all : (looks[index] ??= { ...looks.all });
  },

  /** The window that the file gives a frame, in stored values: the chosen one of those that it offers. */
  ownWindow(frame) {
    const plain = { center: frame.window_center, width: frame.window_width, kind: frame.function, name: "" };
    return frame.windows[Math.min(this.look(frame).choice, frame.windows.length - 1)] ?? plain;
  },

  /** The window in use for a frame, in stored values. */
  window(frame) {
    const { shift, stretch } = this.look(frame);
    const own = this.ownWindow(frame);
    const narrowest = own.kind === "LINEAR" ? 1 : own.width / 200;
    return { ...own, center: own.center + shift * own.width, width: Math.max(narrowest, own.width * stretch) };
  },

  relook(values) {
    if (!this.picture) return;
    Object.assign(this.look(this.picture.frame), values);
    this.change({});
  },

  /** Another of the file's windows, as it stands in the file. */
  chooseWindow(choice) {
    this.relook({ choice, shift: 0, stretch: 1 });
  },

  nextWindow() {
    const { windows } = this.picture?.frame ?? { windows: [] };
    if (windows.length > 1) this.chooseWindow((this.look(this.picture.frame).choice + 1) % windows.length);
  },

  setWindow(shift, stretch) {
    this.relook({ shift, stretch: Math.max(0.005, stretch) });
  },

  /** One window for all images, or each its own; linking again gives all that of the chosen one. */
  toggleLink() {
    const { state, picture } = this;
    if (!this.hanging.length || !picture || picture.frame.derived) return;
    if (state.linked) return this.change({ linked: false });
    const { subtraction, projection } = state.looks;
    this.change({ linked: true, looks: { all: this.look(picture.frame), subtraction, projection } });
  },

  zoom() {
    if (this.overview) return this.tile()?.pose.zoom ?? 1;
    const { frame } = this.picture;
    return this.state.fitted ? Math.min(this.stage.width / frame.width, this.stage.height / frame.height) : this.state.zoom;
  },

  /** Image coordinates in the middle of the stage. */
  view() {
    const { frame } = this.picture;
    return this.state.fitted ? { x: frame.width / 2, y: frame.height / 2 } : this.state;
  },

  /** The tile of the chosen picture. */
  tile() {
    return tilesOf(this).find(({ picture }) => picture === this.picture);
  },

  toImage(event) {
    return this.tile()?.pose.toImage([event.offsetX, event.offsetY]) ?? [0, 0];
  },

  /** Zoom about a place of the stage (its middle by default), which stays where it is. */
  zoomBy(factor, stageX = this.stage.width / 2, stageY = this.stage.height / 2) {
    if (!this.picture) return;
    if (this.overview) return factor > 1 ? this.toggleOverview() : undefined;
    const { pose } = this.tile();
    const [fixedX, fixedY] = pose.toImage([stageX, stageY]);
    const zoom = Math.min(MAX_ZOOM, Math.max(0.02, pose.zoom * factor));
    const [dx, dy] = [(stageX - this.stage.width / 2) / zoom, (stageY - this.stage.height / 2) / zoom];
    this.panTo(pose.flip ? fixedX + dx : fixedX - dx, fixedY - dy, zoom);
  },

  /** The middle of the stage always shows some of the picture: it cannot be lost. */
  panTo(x, y, zoom = this.zoom()) {
    if (this.overview) return;
    const { frame } = this.picture;
    const within = (value, size) => Math.min(size, Math.max(0, value));
    Object.assign(this.state, { fitted: false, zoom, x: within(x, frame.width), y: within(y, frame.height) });
    this.draw();
  },

  /** Fit and the frames' own windows; also the second try after a failed fetch. */
  reset() {
    this.change({ fitted: true, looks: { all: { ...PLAIN_LOOK } }, inverted: false });
    if (!this.picture) this.show(this.state.frame);
  },
};
