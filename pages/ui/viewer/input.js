// What the hand does: tools for dragging, keys, wheel.

/** Each tool begins a drag at a pointer event and returns what happens on move and at the end. */
const TOOLS = {
  window: {
    cursor: "ns-resize",
    begin(viewer) {
      const { shift, stretch } = viewer.look(viewer.picture.frame);
      // Half the shorter stage side is worth the frame's own width, whatever the bit depth.
      const reach = Math.min(viewer.stage.width, viewer.stage.height) / 2;
      return { move: (dx, dy) => viewer.setWindow(shift + dy / reach, stretch + dx / reach) };
    },
  },
  pan: {
    cursor: "grab",
    begin(viewer) {
      const { x, y } = viewer.view();
      const across = viewer.picture.flip ? -1 : 1;
      return { move: (dx, dy) => viewer.panTo(x - (across * dx) / viewer.zoom(), y - dy / viewer.zoom()) };
    },
  },
  rect: {
    cursor: "crosshair",
    begin(viewer, start) {
      let far = false;
      return {
        move(dx, dy, place) {
          far = Math.hypot(dx, dy) >= MIN_DRAG;
          viewer.draft = far ? rectangle(viewer.picture.frame.index, start, place) : null;
          viewer.draw();
        },
        end() {
          const region = viewer.draft;
          viewer.draft = null;
          viewer.draw();
          const [[left, top], [right, bottom]] = region?.points ?? [[0, 0], [0, 0]];
          if (far && right > left && bottom > top) viewer.addRegion(region);
        },
      };
    },
  },
  point: {
    cursor: "crosshair",
    begin(viewer, start) {
      viewer.addPoint(start);
      return { move() {} };
    },
  },
};

/** Key, what the help says, action. C, R, digits and Ctrl/Alt combinations belong to Streamlit and to the page. */
const KEYS = [
  ["w", "window and level tool (the right button always does it)", (viewer) => viewer.pick("window")],
  ["p", "pan tool (or Shift-drag, middle drag)", (viewer) => viewer.pick("pan")],
  ["b", "mark a region", (viewer) => viewer.pick("rect")],
  ["q", "mark a point", (viewer) => viewer.pick("point")],
  ["Backspace", "delete the last region", (viewer) => viewer.undoRegion()],
  ["v", "next of the windows that the file offers", (viewer) => viewer.nextWindow()],
  ["i", "invert", (viewer) => viewer.change({ inverted: !viewer.state.inverted })],
  ["f", "fit, reset the window", (viewer) => viewer.reset()],
  ["+", "zoom in (wheel; Ctrl-wheel with several images)", (viewer) => viewer.zoomBy(1.25)],
  ["-", "zoom out", (viewer) => viewer.zoomBy(0.8)],
  ["ArrowUp", "previous image or slice (wheel); the view above", (viewer) => viewer.arrow(0, -1)],
  ["ArrowDown", "next image or slice (wheel); the view below", (viewer) => viewer.arrow(0, 1)],
  ["ArrowLeft", "previous phase of the same slice (Shift-wheel); the view beside", (viewer) => viewer.arrow(-1, 0)],
  ["ArrowRight", "next phase of the same slice (Shift-wheel); the view beside", (viewer) => viewer.arrow(1, 0)],
  ["z", "one view at full size, all views (double click)", (viewer) => viewer.toggleOverview()],
  ["x", "one window for all views, or each its own", (viewer) => viewer.toggleLink()],
  ["s", "subtraction: this phase minus the first", (viewer) => viewer.toggleDerived("subtraction")],
  ["m", "maximum intensity of the subtraction", (viewer) => viewer.toggleDerived("projection")],
  ["k", "play or pause", (viewer) => viewer.togglePlay()],
  ["h", "heatmap on or off", (viewer) => viewer.toggleHeat()],
  ["[", "heatmap fainter", (viewer) => viewer.prefer({ opacity: Math.max(0.1, PREFERENCES.opacity - 0.1) })],
  ["]", "heatmap stronger", (viewer) => viewer.prefer({ opacity: Math.min(1, PREFERENCES.opacity + 0.1) })],
  ["?", "these keys", (viewer) => viewer.toggleHelp()],
];
const KEY_NAMES = { ArrowUp: "↑", ArrowDown: "↓", ArrowLeft: "←", ArrowRight: "→", Backspace: "⌫" };
const SAME_KEY = { "=": "+", _: "-" };
const NOT_TYPING = ["checkbox", "radio", "range", "button", "submit"];
// Streamlit's own sliders, radios, tables and menus use the arrows themselves.
const ARROW_OWNERS = "input, select, [role=radiogroup], [role=grid], [role=slider], [role=tablist], [role=tab]";
const KEY_OWNERS = "textarea, select, [contenteditable]:not([contenteditable=false]), [role=listbox], [role=combobox], "
  + "[role=textbox], [role=menu], [role=dialog]";

/** True where a key press is meant for what has the focus, not for the viewer. */
function belongsElsewhere(event) {
  const target = event.composedPath()[0];
  if (!(target instanceof Element)) return false;
  if (target.closest(KEY_OWNERS)) return true;
  if (target.tagName === "INPUT" && !NOT_TYPING.includes(target.type)) return true;
  return event.key.startsWith("Arrow") && target.closest(ARROW_OWNERS) !== null;
}

function handleKey(viewer, event) {
  if (event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented || belongsElsewhere(event)) return;
  if (event.key === "Escape") return viewer.escape();
  const name = SAME_KEY[event.key] ?? (event.key.length === 1 ? event.key.toLowerCase() : event.key);
  const action = KEYS.find(([key]) => key === name)?.[2];
  if (!action) return;
  event.preventDefault();
  action(viewer);
}

/** The tool for this press: right always windows, middle and Shift always pan, colour pictures have no window. */
function toolFor(viewer, event) {
  let tool = viewer.tool;
  if (event.button === 1 || event.shiftKey) tool = "pan";
  else if (event.button === 2) tool = "window";
  const { colour, derived } = viewer.picture.frame;
  if (derived === "projection" && (tool === "rect" || tool === "point")) tool = "window"; // has no slice
  return TOOLS[tool === "window" && colour ? "pan" : tool];
}

function listenToPointer(viewer, canvas) {
  let drag = null;
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("pointerdown", (event) => {
    const tile = viewer.tileAt(event);
    if (!tile || drag) return;
    if (tile.picture !== viewer.picture) viewer.choose(tile.picture.frame.index);
    canvas.setPointerCapture(event.pointerId);
    canvas.focus({ preventScroll: true });
    event.preventDefault(); // the middle button would start the browser's own scrolling
    const start = insidePicture(viewer.toImage(event), viewer.picture.frame);
    drag = { ...toolFor(viewer, event).begin(viewer, start), picture: viewer.picture, x: event.offsetX, y: event.offsetY };
  });
  canvas.addEventListener("pointermove", (event) => {
    viewer.probe(event);
    if (drag?.picture !== viewer.picture) drag = viewer.draft = null; // another picture arrived under the hand
    if (!drag) return;
    const place = insidePicture(viewer.toImage(event), viewer.picture.frame);
    drag.move(event.offsetX - drag.x, event.offsetY - drag.y, place);
  });
  const finish = () => {
    if (drag?.picture === viewer.picture) drag?.end?.();
    drag = null;
  };
  canvas.addEventListener("pointerup", finish);
  canvas.addEventListener("pointercancel", finish);
  canvas.addEventListener("pointerleave", () => viewer.probe(null));
  canvas.addEventListener("dblclick", () => {
    if (viewer.picture && viewer.tool !== "point") viewer.toggleOverview();
  });
}

function listenToWheel(viewer, canvas) {
  let turned = 0; // trackpads send many small turns, a wheel few large ones
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const delta = event.deltaY || event.deltaX; // with Shift some browsers turn it sideways
    const deltaY = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 33 * delta : delta;
    if (viewer.frames.length === 1 || event.ctrlKey) {
      viewer.zoomBy(Math.exp(-deltaY * 0.0015), event.offsetX, event.offsetY);
      return;
    }
    turned += deltaY;
    if (Math.abs(turned) < 40) return;
    const tile = viewer.tileAt(event);
    if (viewer.overview && tile && tile.picture !== viewer.picture) viewer.choose(tile.picture.frame.index);
    if (event.shiftKey) viewer.stepPhase(Math.sign(turned));
    else viewer.step(Math.sign(turned));
    turned = 0;
  }, { passive: false });
}
