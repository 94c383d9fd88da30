// The viewer as a components-v2 module. Nothing here asks Python for anything but marks: looking never causes a rerun.
// The files of this folder are joined in the order that __init__.py gives; they share one scope.

const PIXELS = new PixelCache(24, 400e6);
const KEPT = new Map(); // view_key -> how the reviewer left that case; lives as long as the tab
const PREFERENCES = { opacity: 0.5, threshold: 0.2, colours: "viridis" }; // the reviewer's taste: kept from case to case
const VIEWERS = new WeakMap(); // parent element -> Viewer; Streamlit calls the module again on every rerun
const MAX_ZOOM = 40;
const CINE_MS = 100;
let activeViewer = null; // keys go to the viewer last pointed at
let lastSerial = 0;

function newState() {
  // x, y: image coordinates at the middle of the stage; shift, stretch: the window relative to each frame's own.
  // choice: which of the windows that the file offers.
  return { frame: 0, fitted: true, zoom: 1, x: 0, y: 0, choice: 0, shift: 0, stretch: 1, inverted: false, heat: false, own: false, asked: "" };
}

class Viewer {
  constructor(root) {
    this.root = root;
    this.canvas = root.querySelector("canvas");
    this.stage = new Stage(root.querySelector(".stage"));
    this.hud = new Hud(root);
    Object.assign(this, { state: newState(), frames: [], regions: [], heats: new Map(), tool: "window" });
    Object.assign(this, { picture: null, draft: null, viewKey: null, unacknowledged: 0, drawing: 0, playing: null });
    this.bar = new Controls(this, root);
    listenToPointer(this, this.canvas);
    listenToWheel(this, this.canvas);
    this.onKey = (event) => {
      if (activeViewer === this && this.stage.width > 0) handleKey(this, event);
    };
    document.addEventListener("keydown", this.onKey);
    root.querySelector(".viewer").addEventListener("pointerenter", () => (activeViewer = this));
    if (!activeViewer?.canvas.isConnected) activeViewer = this;
    this.observer = new ResizeObserver(() => this.stage.resize(this));
    this.observer.observe(this.stage.element);
    this.stage.resize(this);
    this.attention = new Attention((active, idle_s) => this.tellAttention(active, idle_s));
  }

  dispose() {
    this.playing = null;
    this.attention.dispose();
    this.observer.disconnect();
    document.removeEventListener("keydown", this.onKey);
  }

  // ---- what Python says -------------------------------------------------------------------------------------------

  /** Called on every rerun and on a change of theme: cheap when nothing changed. */
  update(component) {
    this.component = component;
    const { view_key, frames, tables, heatmaps, height, prefetch } = component.data;
    this.stage.element.style.setProperty("--viewer-height", height ? `${height}px` : "");
    const arrives = view_key !== this.viewKey;
    if (arrives) this.open(view_key);
    if (arrives && component.data.cleaning) this.tool = "rect";
    this.root.querySelector(".viewer").classList.toggle("cleaning", component.data.cleaning);
    const unpacked = tables.map(tableBytes);
    this.frames = frames.map((frame, index) => {
      const windows = frame.windows.map((window) => ({ ...window, table: unpacked[window.table] }));
      return { ...frame, index, windows };
    });
    this.prefetch = prefetch;
    this.heats = new Map(heatmaps.map((packet) => {
      const known = this.heats.get(packet.image);
      return [packet.image, known?.packet.id === packet.id ? known.adopt(packet) : new HeatLayer(packet)];
    }));
    this.showAsked(component.data);
    this.takeRegions(component.data, arrives);
    if (arrives) this.attention.again();
    const index = Math.min(this.state.frame, this.frames.length - 1);
    if (this.wanted?.url !== this.frames[index].url) this.show(index);
    else this.draw();
    this.bar.sync();
  }

  /** Another case: the old picture disappears at once, so that it never stands under the new case's name. */
  open(viewKey) {
    this.viewKey = viewKey;
    this.state = KEPT.get(viewKey) ?? newState();
    KEPT.set(viewKey, this.state);
    Object.assign(this, { picture: null, wanted: null, draft: null, unacknowledged: 0, playing: null });
    this.hud.clear();
    this.draw();
  }

  /** A heatmap that the reviewer has just asked the page for is shown at once; switched off again, it stays off. */
  showAsked({ heatmap_on, heatmaps }) {
    const asked = heatmaps.map((packet) => packet.id).join();
    if (heatmap_on && asked !== this.state.asked) this.state.heat = heatmaps.length > 0;
    if (heatmap_on) this.state.asked = asked;
  }

  /** A rerun that began before the last mark was made carries an older list: what is on the screen stays. */
  takeRegions({ regions, acknowledged }, arrives) {
    if (!arrives && acknowledged < this.unacknowledged) return;
    this.regions = regions;
  }

  // ---- pictures ---------------------------------------------------------------------------------------------------

  async show(index) {
    const frame = this.frames[index];
    this.state.frame = index;
    this.wanted = frame;
    this.hud.say("Loading…", true);
    this.bar.sync();
    try {
      const buffer = await PIXELS.get(frame.url);
      if (this.wanted !== frame) return;
      const { width, height } = this.picture?.frame ?? frame;
      if (width !== frame.width || height !== frame.height) this.state.fitted = true; // an old place means nothing here
      this.picture = new Picture(frame, buffer);
      this.hud.say("");
    } catch (error) {
      if (this.wanted !== frame) return;
      this.picture = this.playing = null;
      this.hud.clear();
      this.hud.say(`This image could not be loaded (${error.message}); press F to try again.`);
    }
    this.refresh();
    this.bar.sync();
    this.fetchAhead(index);
  }

  /** Neighbours first, then what Python expects next; failures are reported when the picture is really wanted. */
  fetchAhead(index) {
    const neighbours = [1, -1, 2].map((offset) => this.frames[index + offset]?.url).filter(Boolean);
    for (const url of [...neighbours, ...this.prefetch]) PIXELS.get(url).catch(() => {});
  }

  step(by) {
    const index = Math.max(0, Math.min(this.frames.length - 1, this.state.frame + by));
    this.playing = null;
    if (index !== this.state.frame) this.show(index);
    this.bar.sync();
  }

  async togglePlay() {
    if (this.playing || this.frames.length < 2) {
      this.playing = null;
      return this.bar.sync();
    }
    const turn = (this.playing = {}); // a second press, another case or an error takes it away
    while (this.playing === turn) {
      const due = performance.now() + (this.frames[this.state.frame].time_ms ?? CINE_MS);
      await new Promise((resolve) => setTimeout(resolve, Math.max(4, due - performance.now())));
      if (this.playing === turn) await this.show((this.state.frame + 1) % this.frames.length);
    }
  }

  // ---- looking ----------------------------------------------------------------------------------------------------

  /** The window that the file gives a frame, in stored values: the chosen one of those that it offers. */
  ownWindow(frame) {
    const plain = { center: frame.window_center, width: frame.window_width, kind: frame.function, name: "" };
    return frame.windows[Math.min(this.state.choice, frame.windows.length - 1)] ?? plain;
  }

  /** The window in use for a frame, in stored values. */
  window(frame) {
    const { shift, stretch } = this.state;
    const { center, width, kind, table } = this.ownWindow(frame);
    const narrowest = kind === "LINEAR" ? 1 : width / 200;
    return { center: center + shift * width, width: Math.max(narrowest, width * stretch), kind, table };
  }

  /** Another of the file's windows, as it stands in the file. */
  chooseWindow(choice) {
    this.change({ choice, shift: 0, stretch: 1 });
  }

  nextWindow() {
    const count = this.frames[this.state.frame].windows.length;
    if (count > 1) this.chooseWindow((this.state.choice + 1) % count);
  }

  setWindow(shift, stretch) {
    this.change({ shift, stretch: Math.max(0.005, stretch) });
  }

  zoom() {
    const { frame } = this.picture;
    return this.state.fitted ? Math.min(this.stage.width / frame.width, this.stage.height / frame.height) : this.state.zoom;
  }

  /** Image coordinates in the middle of the stage. */
  view() {
    const { frame } = this.picture;
    return this.state.fitted ? { x: frame.width / 2, y: frame.height / 2 } : this.state;
  }

  toImage(event) {
    if (!this.picture) return [0, 0];
    const [zoom, { x, y }] = [this.zoom(), this.view()];
    return [x + (event.offsetX - this.stage.width / 2) / zoom, y + (event.offsetY - this.stage.height / 2) / zoom];
  }

  /** Zoom about a place of the stage (its middle by default), which stays where it is. */
  zoomBy(factor, stageX = this.stage.width / 2, stageY = this.stage.height / 2) {
    if (!this.picture) return;
    const [old, { x, y }] = [this.zoom(), this.view()];
    const zoom = Math.min(MAX_ZOOM, Math.max(0.02, old * factor));
    const [dx, dy] = [stageX - this.stage.width / 2, stageY - this.stage.height / 2];
    this.state.zoom = zoom;
    this.panTo(x + dx / old - dx / zoom, y + dy / old - dy / zoom, zoom);
  }

  /** The middle of the stage always shows some of the picture: it cannot be lost. */
  panTo(x, y, zoom = this.zoom()) {
    const { frame } = this.picture;
    const within = (value, size) => Math.min(size, Math.max(0, value));
    Object.assign(this.state, { fitted: false, zoom, x: within(x, frame.width), y: within(y, frame.height) });
    this.draw();
  }

  /** Fit and the frame's own window; also the second try after a failed fetch. */
  reset() {
    this.change({ fitted: true, choice: 0, shift: 0, stretch: 1, inverted: false });
    if (!this.picture) this.show(this.state.frame);
  }

  change(values) {
    Object.assign(this.state, values);
    this.refresh();
    this.bar.sync();
  }

  prefer(values) {
    Object.assign(PREFERENCES, values);
    this.draw();
    this.bar.sync();
  }

  heat() {
    return this.picture ? this.heats.get(this.picture.frame.index) : undefined;
  }

  toggleHeat() {
    if (this.heats.size) this.change({ heat: !this.state.heat });
  }

  pick(tool) {
    this.tool = tool;
    this.bar.sync();
  }

  toggleHelp(open) {
    this.bar.toggleHelp(open);
  }

  escape() {
    Object.assign(this, { draft: null, playing: null });
    this.toggleHelp(false);
    this.draw();
    this.bar.sync();
  }

  probe(place) {
    const text = place && this.picture ? this.picture.describe(...place) : "";
    const heat = text && this.state.heat ? this.heat() : null;
    const { width, height } = this.picture?.frame ?? {};
    this.hud.probe.textContent = heat ? `${text}\nheatmap ${shortNumber(heat.sample(place[0] / width, place[1] / height))}` : text;
  }

  // ---- marks ------------------------------------------------------------------------------------------------------

  addRegion(region) {
    this.sendRegions([...this.regions, region]);
  }

  addPoint([x, y]) {
    const { index } = this.picture.frame;
    this.addRegion({ kind: "point", image: index, points: [[x, y]] });
    if (this.component.data.wants_point) {
      this.component.setTriggerValue("point", { view_key: this.viewKey, image: index, x, y });
    }
  }

  undoRegion() {
    const last = this.regions.findLastIndex((region) => region.image === this.picture?.frame.index);
    if (last >= 0) this.sendRegions(this.regions.toSpliced(last, 1));
  }

  clearRegions() {
    if (this.regions.length) this.sendRegions([]);
  }

  /** `view_key` says whose regions these are; `serial` lets Python say which message it has seen. */
  sendRegions(items) {
    this.regions = items;
    lastSerial = Math.max(lastSerial, this.component.data.acknowledged) + 1;
    this.unacknowledged = lastSerial;
    this.component.setStateValue("regions", { view_key: this.viewKey, items, serial: lastSerial });
    this.draw();
    this.bar.sync();
  }

  tellAttention(active, idle_s) {
    if (this.component?.data.wants_attention && this.root.isConnected) {
      this.component.setTriggerValue("attention", { view_key: this.viewKey, active, idle_s });
    }
  }

  // ---- drawing ----------------------------------------------------------------------------------------------------

  /** The window or the picture changed: pixels are looked up again before the next drawing. */
  refresh() {
    this.stage.stale = true;
    this.draw();
  }

  draw() {
    this.drawing ||= requestAnimationFrame(() => {
      this.drawing = 0;
      this.stage.paint(this);
    });
  }
}

export default function mount(component) {
  const root = component.parentElement;
  let viewer = VIEWERS.get(root);
  if (!viewer?.canvas.isConnected) {
    viewer?.dispose();
    viewer = new Viewer(root);
    VIEWERS.set(root, viewer);
  }
  viewer.update(component);
  // Streamlit also runs the clean-up of a call that a quicker rerun overtook: the viewer goes only when the page did.
  return () => {
    if (root.isConnected) return;
    viewer.dispose();
    VIEWERS.delete(root);
  };
}
