// Slices and phases: which frame comes next, and the derived pictures of a series that was taken several times over.

const DERIVED = { subtraction: "Subtraction", projection: "Maximum intensity of subtraction" };

/** The phases of a frame's series. */
function phaseCount(frames, { series, phase }) {
  if (phase === null) return 0;
  return 1 + Math.max(...frames.map((frame) => (frame.series === series ? frame.phase ?? 0 : 0)));
}

/** Indices of the frames that wheel and slider go through: one phase of each series, the shown one or the nearest. */
function walk(frames, at) {
  const wanted = frames[at].phase ?? 0;
  const last = new Map(); // series -> its last phase
  for (const { series, phase } of frames) last.set(series, Math.max(last.get(series) ?? 0, phase ?? 0));
  return frames.filter(({ series, phase }) => phase === null || phase === Math.min(wanted, last.get(series))).map(({ index }) => index);
}

/** The frame of another phase at the same slice, or at the nearest one that this phase has; undefined where it has none. */
function inPhase(frames, at, phase) {
  const { series, slice } = frames[at];
  const distance = (frame) => Math.abs((frame.slice ?? 0) - (slice ?? 0));
  const candidates = frames.filter((frame) => frame.series === series && frame.phase === phase);
  return candidates.sort((a, b) => distance(a) - distance(b))[0]?.index;
}

/** The picture that is asked for at a frame: itself, or one that the server derives from its phase and the first. */
function derivedFrame(frame, kind, dynamic) {
  const source = dynamic.find(({ series }) => series === frame.series);
  if (!kind || !source || !frame.phase) return frame;
  const at = kind === "subtraction" ? `&slice=${frame.slice}` : "";
  return {
    ...frame,
    url: `${source.url}&kind=${kind}&phase=${frame.phase}${at}`,
    derived: kind,
    label: `${DERIVED[kind]} ${frame.phase + 1} - 1\nderived for looking: not seen by any model`,
    windows: [], bits: 16,
  };
}
