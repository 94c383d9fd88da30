// The tool bar, the foot and the help: they show the viewer's state and change it through the viewer.

class Controls {
  constructor(viewer, root) {
    this.viewer = viewer;
    this.all = (selector) => [...root.querySelectorAll(selector)];
    this.one = (selector) => root.querySelector(selector);
    this.actions = {
      undo: () => viewer.undoRegion(),
      clear: () => viewer.clearRegions(),
      invert: () => viewer.change({ inverted: !viewer.state.inverted }),
      fit: () => viewer.reset(),
      heat: () => viewer.toggleHeat(),
      own: () => viewer.change({ own: !viewer.state.own }),
      play: () => viewer.togglePlay(),
      overview: () => viewer.toggleOverview(),
      link: () => viewer.toggleLink(),
      subtraction: () => viewer.toggleDerived("subtraction"),
      projection: () => viewer.toggleDerived("projection"),
      help: () => this.toggleHelp(),
    };
    for (const button of this.all("[data-tool]")) button.onclick = () => viewer.pick(button.dataset.tool);
    for (const button of this.all("[data-do]")) button.onclick = this.actions[button.dataset.do];
    for (const input of this.all("[data-set]")) input.oninput = () => this.set(input.dataset.set, input.value);
    this.fillHelp();
  }

  set(name, value) {
    if (name === "frame") this.viewer.toPosition(Number(value));
    else if (name === "phase") this.viewer.toPhase(Number(value));
    else if (name === "choice") this.viewer.chooseWindow(Number(value));
    else this.viewer.prefer({ [name]: name === "colours" ? value : Number(value) });
  }

  fillHelp() {
    for (const [key, meaning] of KEYS) {
      const row = this.one(".help table").insertRow();
      const name = document.createElement("kbd");
      name.textContent = KEY_NAMES[key] ?? key.toUpperCase();
      row.insertCell().append(name);
      row.insertCell().textContent = meaning;
    }
  }

  toggleHelp(open = this.one(".help").hidden) {
    this.one(".help").hidden = !open;
    this.one("[data-do=help]").setAttribute("aria-expanded", open);
  }

  press(action, pressed) {
    this.one(`[data-do=${action}]`).setAttribute("aria-pressed", Boolean(pressed));
  }

  sync() {
    const { viewer } = this;
    for (const button of this.all("[data-tool]")) button.setAttribute("aria-pressed", button.dataset.tool === viewer.tool);
    this.press("invert", viewer.state.inverted);
    this.one("[data-do=undo]").disabled = !viewer.regions.some((region) => region.image === viewer.state.frame);
    this.one("[data-do=clear]").disabled = !viewer.regions.length;
    viewer.canvas.style.cursor = TOOLS[viewer.tool].cursor;
    this.syncChoice();
    this.syncHeat();
    this.syncCine();
    this.syncHanging();
    this.syncPhases();
  }

  syncHanging() {
    const { hanging, overview, state } = this.viewer;
    this.one(".hanging").hidden = !hanging.length;
    this.press("overview", overview);
    this.press("link", state.linked);
  }

  syncPhases() {
    const { frames, state } = this.viewer;
    const count = frames.length ? phaseCount(frames, frames[state.frame]) : 0;
    this.one(".phases").hidden = count < 2;
    for (const kind of Object.keys(DERIVED)) this.press(kind, state.derived === kind);
    const select = this.one("[data-set=phase]");
    if (select.options.length !== count) {
      select.replaceChildren(...Array.from({ length: count }, (_, phase) => new Option(`phase ${phase + 1} of ${count}`, phase)));
    }
    if (select.options[0]) select.options[0].disabled = Boolean(state.derived);
    if (count) select.value = frames[state.frame].phase;
  }

  /** The windows that this frame's file offers, by name or number; nothing to choose from is no control. */
  syncChoice() {
    const { viewer } = this;
    const frame = viewer.picture?.frame;
    const windows = frame?.windows ?? [];
    const select = this.one("[data-set=choice]");
    select.hidden = windows.length < 2;
    const told = windows.map((window, place) => window.name || `Window ${place + 1}`);
    // A file may call a table and a curve alike.
    const names = told.map((name, place) => (told.indexOf(name) === told.lastIndexOf(name)
      ? name : `${name}, ${windows[place].kind.toLowerCase().replace("_", " ")}`));
    if ([...select.options].map((option) => option.text).join() !== names.join()) {
      select.replaceChildren(...names.map((name, place) => new Option(name, place)));
    }
    if (windows.length) select.value = Math.min(viewer.look(frame).choice, windows.length - 1);
  }

  syncHeat() {
    const { state, heats } = this.viewer;
    this.one(".heat-controls").hidden = heats.size === 0;
    this.press("heat", state.heat);
    this.press("own", state.own);
    for (const control of this.all(".heat-controls :is(input, select), [data-do=own]")) control.disabled = !state.heat;
    for (const name of ["opacity", "threshold"]) this.one(`[data-set=${name}]`).value = PREFERENCES[name];
    const signed = heats.get(state.frame)?.packet.signed ?? false;
    const select = this.one("[data-set=colours]");
    const names = signed ? ["blue–orange"] : Object.keys(COLOUR_STOPS);
    if (select.options.length !== names.length) select.replaceChildren(...names.map((name) => new Option(name)));
    if (signed) select.disabled = true; // only a two-sided map tells for from against
    else select.value = PREFERENCES.colours;
  }

  syncCine() {
    const { viewer } = this;
    const { frames, state, playing, overview } = viewer;
    const slider = this.one("[data-set=frame]");
    this.one(".cine").hidden = frames.length < 2;
    const stack = frames.length ? walk(frames, state.frame) : [];
    slider.max = stack.length - 1;
    slider.value = stack.indexOf(state.frame);
    slider.disabled = state.derived === "projection";
    this.one("[data-do=play]").disabled = overview || slider.disabled;
    const hung = viewer.hung().filter((index) => index !== undefined).length;
    const place = slider.disabled ? `all ${stack.length}` : `${stack.indexOf(state.frame) + 1} / ${stack.length}`;
    this.one("output").textContent = overview ? `${hung} of ${frames.length} images` : place;
    this.one("[data-do=play]").classList.toggle("playing", Boolean(playing));
    this.one("[data-do=play]").setAttribute("aria-label", playing ? "Pause" : "Play");
  }
}
