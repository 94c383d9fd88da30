// The viewer as a components-v2 module. Nothing here asks Python for anything but marks: looking never causes a rerun.
// The files of this folder are joined in the order that __init__.py gives; they share one scope.

const PIXELS = new PixelCache(24, 400e6);
const KEPT = new Map(); // view_key -> how the reviewer left that case; lives as long as the tab
const PREFERENCES = { opacity: 0.5, threshold: 0.2, colours: "viridis" }; // the reviewer's taste: kept from case to case
const VIEWERS = new WeakMap(); // parent element -> Viewer; Streamlit calls the module again on every rerun
const CINE_MS = 100;
const SCREEN_MS = 17; // a screen of 60 Hz
let activeViewer = null; // keys go to the viewer last pointed at
let lastSerial = 0;

function newState() {
  // x, y: image coordinates at the middle of the stage. looks: windows relative to each frame's own (choice among those of
  // the file, shift, stretch). hung: which image of each view hangs. derived: "", "subtraction" or "projection".
  return {
    frame: null, fitted: true, zoom: 1, x: 0, y: 0, looks: { all: { ...PLAIN_LOOK } }, linked: true, inverted: false,
    heat: false, own: false, asked: "", overview: true, hung: [0, 0, 0, 0], derived: "",
  };
}

class Viewer {
  constructor(root) {
    this.root = root;
    this.canvas = root.querySelector("canvas");
    this.stage = new Stage(root.querySelector(".stage"));
    this.hud = new Hud(root);
    Object.assign(this, { state: newState(), frames: [], regions: [], heats: new Map(), tool: "window", hanging: [], dynamic: [] });
    Object.assign(this, { picture: null, pictures: new Map(), wanted: "", draft: null, viewKey: null, unacknowledged: 0, drawing: 0, playing: null });
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
    const { view_key, frames, tables, heatmaps, height, prefetch, hanging, dynamic } = component.data;
    this.stage.element.style.setProperty("--viewer-height", height ? `${height}px` : "");
    const arrives = view_key !== this.viewKey;
    if (arrives) this.open(view_key);
    if (arrives && component.data.cleaning) this.tool = "rect";
    this.root.querySelector(".viewer").classList.toggle("cleaning", component.data.cleaning);
    const unpacked = tables.map(tableBytes);
    this.frames = frames.map((frame, index) => {
      const windows = frame.windows.map((window) => ({ ...window, number: window.table, table: unpacked[window.table] }));
      return { ...frame, index, windows };
    });
    Object.assign(this, { prefetch, hanging, dynamic });
    this.heats = new Map(heatmaps.map((packet) => {
      const known = this.heats.get(packet.image);
      return [packet.image, known?.packet.id === packet.id ? known.adopt(packet) : new HeatLayer(packet)];
    }));
    this.showAsked(component.data);
    this.takeRegions(component.data, arrives);
    if (arrives) this.attention.again();
    if (arrives && component.data.wants_attention) beginArrival(view_key);
    const first = hanging.find((images) => images.length)?.[0] ?? 0;
    this.state.frame = Math.min(this.state.frame ?? first, this.frames.length - 1);
    if (this.wanted !== this.asked()) this.show(this.state.frame);
    else this.draw();
    this.bar.sync();
  }

  /** Another case: the old picture disappears at once, so that it never stands under the new case's name. */
  open(viewKey) {
    this.viewKey = viewKey;
    this.state = KEPT.get(viewKey) ?? newState();
    KEPT.set(viewKey, this.state);
    Object.assign(this, { picture: null, pictures: new Map(), wanted: "", draft: null, unacknowledged: 0, playing: null });
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

  /** Whether the views hang side by side. */
  get overview() {
    return this.hanging.length > 0 && this.state.overview;
  }

  /** Index of the image that hangs at each place; undefined where the study has none. */
  hung() {
    return this.hanging.map((images, place) => images[this.state.hung[place] % (images.length || 1)]);
  }

  /** The frame to show at an index: the file's own or a derived one. */
  frameAt(index) {
    return derivedFrame(this.frames[index], this.state.derived, this.dynamic);
  }

  /** What should be on the stage, as one text. */
  asked() {
    const indices = this.overview ? this.hung().filter((index) => index !== undefined) : [this.state.frame];
    return indices.map((index) => `${index} ${this.frameAt(index).url}`).join("|");
  }

  async show(index) {
    this.state.frame = index;
    this.wanted = this.asked();
    this.hud.say("Loading…", true);
    this.bar.sync();
    if (this.overview) await this.showAll();
    else await this.showOne(index);
    this.fetchAhead(index);
  }

  async showOne(index) {
    const { wanted } = this;
    const frame = this.frameAt(index);
    try {
      const picture = await this.load(frame);
      if (this.wanted !== wanted) return;
      const { width, height } = this.picture?.frame ?? frame;
      if (width !== frame.width || height !== frame.height) this.state.fitted = true; // an old place means nothing here
      this.picture = picture;
      this.hud.say("");
    } catch (error) {
      if (this.wanted !== wanted) return;
      this.fail(error);
    }
    this.draw();
    this.bar.sync();
  }

  /** Every view as soon as it has come; one that does not come leaves the others their places. */
  async showAll() {
    const { wanted } = this;
    const hang = async (index) => {
      const picture = this.pictures.get(index) ?? (await this.load(this.frames[index]));
      if (this.wanted !== wanted) return;
      this.pictures.set(index, picture);
      if (index === this.state.frame) this.picture = picture;
      this.hud.say("");
      this.draw();
      this.bar.sync();
    };
    const indices = this.hung().filter((index) => index !== undefined);
    const results = await Promise.allSettled(indices.map(hang));
    const failed = results.find(({ status }) => status === "rejected");
    if (failed && this.wanted === wanted) this.fail(failed.reason);
  }

  async load(frame) {
    const { buffer, meaning } = await PIXELS.get(frame.url);
    const picture = new Picture({ ...frame, ...meaning }, buffer);
    picture.flip = isFlipped(this, frame, picture.values);
    return picture;
  }

  fail(error) {
    this.picture = this.playing = null;
    this.hud.clear();
    this.draw();
    this.hud.say(error.sentence ?? `This image could not be loaded (${error.message}); press F to try again.`);
  }

  /** Neighbours first, then what Python expects next; failures are reported when the picture is really wanted. */
  fetchAhead(index) {
    const stack = walk(this.frames, index);
    const at = stack.indexOf(index);
    const neighbours = [1, -1, 2].map((offset) => stack[at + offset]).filter((next) => next !== undefined);
    for (const url of [...neighbours.map((next) => this.frameAt(next).url), ...this.prefetch]) PIXELS.get(url).catch(() => {});
  }

  /** The frame so many steps on among the slices, or among the images of the chosen view. */
  step(by) {
    if (this.state.derived === "projection") return;
    if (this.overview) return this.stepHung(by);
    const stack = walk(this.frames, this.state.frame);
    const at = stack.indexOf(this.state.frame) + by;
    this.go(stack[Math.max(0, Math.min(stack.length - 1, at))]);
  }

  /** Where the slider says; from the hanging, that picture at full size. */
  toPosition(place) {
    const index = walk(this.frames, this.state.frame)[place];
    if (!this.overview) return this.go(index);
    this.state.frame = index;
    this.toggleOverview();
  }

  go(index) {
    this.playing = null;
    if (index !== undefined && index !== this.state.frame) this.show(index);
    this.bar.sync();
  }

  place() {
    return this.hanging.findIndex((images) => images.includes(this.state.frame));
  }

  stepHung(by) {
    const place = this.place();
    const count = this.hanging[place]?.length ?? 0;
    if (count < 2) return;
    this.state.hung[place] = Math.max(0, Math.min(count - 1, this.state.hung[place] + by));
    this.choose(this.hung()[place]);
    if (this.wanted !== this.asked()) this.show(this.state.frame);
  }

  /** One of the hung pictures becomes the one that tools and keys work on. */
  choose(index) {
    this.state.frame = index;
    this.picture = this.pictures.get(index) ?? null;
    this.draw();
    this.bar.sync();
  }

  /** The views side by side, or the chosen one over the whole stage. */
  toggleOverview() {
    if (!this.hanging.length) return;
    this.state.overview = !this.state.overview;
    Object.assign(this.state, { fitted: true });
    if (this.overview && this.place() < 0) this.state.frame = this.hung().find((index) => index !== undefined);
    if (this.overview && !this.hung().includes(this.state.frame)) {
      this.state.hung[this.place()] = this.hanging[this.place()].indexOf(this.state.frame);
    }
    Object.assign(this, { draft: null, playing: null, pictures: new Map() });
    this.hud.clear();
    this.show(this.state.frame);
  }

  /** An arrow key: to the view beside, to the slice before or after, or to the phase before or after. */
  arrow(dx, dy) {
    const place = this.hanging.length ? this.place() : -1;
    if (place >= 0 && (this.overview || dx)) {
      const index = this.hung()[placeBeside(this, place, dx, dy)];
      if (this.overview) this.choose(index);
      else this.go(index);
    } else if (dy) this.step(dy);
    else this.stepPhase(dx);
  }

  // ---- dynamic series ---------------------------------------------------------------------------------------------

  stepPhase(by) {
    this.toPhase((this.frames[this.state.frame].phase ?? 0) + by);
  }

  /** The same slice in another phase; there is no subtraction of the first. */
  toPhase(phase) {
    const frame = this.frames[this.state.frame];
    const last = phaseCount(this.frames, frame) - 1;
    if (last < 1) return;
    this.go(inPhase(this.frames, frame.index, Math.max(this.state.derived ? 1 : 0, Math.min(last, phase))));
  }

  /** Subtraction or projection instead of the phase itself, and back. */
  toggleDerived(kind) {
    const frame = this.frames[this.state.frame];
    if (phaseCount(this.frames, frame) < 2) return;
    this.playing = null;
    this.state.derived = this.state.derived === kind ? "" : kind;
    const phase = this.state.derived && !frame.phase ? inPhase(this.frames, frame.index, 1) : frame.index;
    this.show(phase ?? frame.index);
  }

  // ---- films ------------------------------------------------------------------------------------------------------

  async togglePlay() {
    if (this.playing || this.frames.length < 2 || this.overview || this.state.derived === "projection") {
      this.playing = null;
      return this.bar.sync();
    }
    const turn = (this.playing = {}); // a second press, another case or an error takes it away
    while (this.playing === turn) {
      const due = (await this.drawn()) + (this.frames[this.state.frame].time_ms ?? CINE_MS);
      await new Promise((resolve) => setTimeout(resolve, Math.max(4, due - performance.now())));
      if (this.playing === turn) await this.show(this.nextOfFilm());
    }
  }

  /** Since when the frame counts as shown: now, or since it was drawn where a busy browser did so later than the screen's next picture. */
  async drawn() {
    const asked = performance.now();
    await new Promise(requestAnimationFrame);
    return Math.max(asked, performance.now() - SCREEN_MS);
  }

  nextOfFilm() {
    const stack = walk(this.frames, this.state.frame);
    return stack[(stack.indexOf(this.state.frame) + 1) % stack.length];
  }

  // ---- changes that draw ------------------------------------------------------------------------------------------

  change(values) {
    Object.assign(this.state, values);
    this.draw();
    this.bar.sync();
  }

  prefer(values) {
    Object.assign(PREFERENCES, values);
    this.draw();
    this.bar.sync();
  }

  heat() {
    return this.heatOf(this.picture);
  }

  /** The heatmap over a picture; derived pictures have none, since no model saw them. */
  heatOf(picture) {
    return picture && !picture.frame.derived ? this.heats.get(picture.frame.index) : undefined;
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

  /** Say what lies under the pointer, in whichever picture that is. */
  probe(event) {
    const tile = event && this.tileAt(event);
    const place = tile?.pose.toImage([event.offsetX, event.offsetY]);
    const text = tile ? tile.picture.describe(...place) : "";
    const heat = text && this.state.heat ? this.heatOf(tile.picture) : null;
    const { width, height } = tile?.pose.frame ?? {};
    this.hud.probe.textContent = heat ? `${text}\nheatmap ${shortNumber(heat.sample(place[0] / width, place[1] / height))}` : text;
  }

  tileAt({ offsetX, offsetY }) {
    const inside = ({ left, top, width, height }) =>
      offsetX >= left && offsetY >= top && offsetX < left + width && offsetY < top + height;
    return tilesOf(this).find(({ box }) => inside(box));
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
    if (this.picture?.frame.derived === "projection") return;
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

  draw() {
    this.drawing ||= requestAnimationFrame(() => {
      this.drawing = 0;
      this.stage.paint(this);
    });
  }
}

Object.assign(Viewer.prototype, Looking);

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
