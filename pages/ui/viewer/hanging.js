// Where pictures lie on the stage: one over all of it, or the views of a mammogram side by side.

const GAP = 2; // screen pixels between places

/** A picture's place on the stage; `zoom` is screen pixels per image pixel, a flip mirrors left and right on the screen only. */
class Pose {
  constructor(frame, zoom, left, top, flip) {
    Object.assign(this, { frame, zoom, left, top, flip });
  }

  across(x) {
    return this.flip ? this.frame.width - x : x;
  }

  toStage([x, y]) {
    return [this.left + this.across(x) * this.zoom, this.top + y * this.zoom];
  }

  toImage([x, y]) {
    return [this.across((x - this.left) / this.zoom), (y - this.top) / this.zoom];
  }

  /** Let the context draw in image pixels. */
  apply(context, ratio) {
    const scale = this.zoom * ratio;
    const start = this.left + (this.flip ? this.frame.width * this.zoom : 0);
    context.setTransform(this.flip ? -scale : scale, 0, 0, scale, start * ratio, this.top * ratio);
  }
}

/** The four places, above and below, left and right. */
function places(width, height) {
  const [w, h] = [(width - GAP) / 2, (height - GAP) / 2];
  return [0, 1, 2, 3].map((place) => ({ left: (place % 2) * (w + GAP), top: (place >> 1) * (h + GAP), width: w, height: h }));
}

/** Screen pixels per image pixel for each picture, so that all fit and a millimetre is as long in each, where it is known. */
function equalZooms(frames, box) {
  const known = frames.every((frame) => frame.spacing_mm);
  const units = frames.map((frame) => (known ? frame.spacing_mm[0] : 1));
  const fits = frames.map((frame, i) => Math.min(box.width / frame.width, box.height / frame.height) / units[i]);
  return units.map((unit) => unit * Math.min(...fits));
}

/** The edge at which most of the tissue lies: what is not air, the commonest level along the border; empty where it is even. */
function tissueSide({ width, height }, values) {
  const step = Math.max(1, Math.floor(Math.sqrt((width * height) / 40_000)));
  const border = Math.max(1, 0.04 * Math.min(width, height));
  let [low, high] = [Infinity, -Infinity];
  for (let i = 0; i < values.length; i += step) [low, high] = [Math.min(low, values[i]), Math.max(high, values[i])];
  const [edge, left, right] = [0, 1, 2].map(() => new Uint32Array(32));
  for (let y = 0; y < height; y += step) {
    for (let x = 0; x < width; x += step) {
      const level = Math.floor((31.99 * (values[y * width + x] - low)) / (high - low || 1));
      (x < width / 2 ? left : right)[level] += 1;
      if (Math.min(x, y, width - 1 - x, height - 1 - y) < border) edge[level] += 1;
    }
  }
  const air = edge.indexOf(Math.max(...edge));
  const tissue = (counts) => counts.reduce((sum, count, level) => sum + (level === air ? 0 : count), 0);
  const [onLeft, onRight] = [tissue(left), tissue(right)];
  if (Math.abs(onLeft - onRight) < 0.1 * (onLeft + onRight)) return "";
  return onLeft > onRight ? "left" : "right";
}

/** Whether a hung picture is mirrored: chest walls meet in the middle. Pictures of other views stay as they are. */
function isFlipped(viewer, frame, values) {
  const place = viewer.hanging.findIndex((images) => images.includes(frame.index));
  if (place < 0 || frame.colour) return false;
  const side = frame.chest_wall || tissueSide(frame, values);
  return side !== "" && side !== (place % 2 ? "left" : "right");
}

/** The tiles on the stage: place, box, pose and picture; places without a picture (yet) are left out. */
function tilesOf(viewer) {
  const { width, height } = viewer.stage;
  if (!width || !height) return [];
  if (!viewer.overview) return viewer.picture ? [{ place: 0, box: { left: 0, top: 0, width, height }, picture: viewer.picture, pose: wholePose(viewer) }] : [];
  const boxes = places(width, height);
  const hung = viewer.hung().map((index, place) => ({ index, place })).filter(({ index }) => index !== undefined);
  const zooms = equalZooms(hung.map(({ index }) => viewer.frames[index]), boxes[0]);
  const tiles = hung.map(({ index, place }, i) => {
    const [box, picture, frame] = [boxes[place], viewer.pictures.get(index), viewer.frames[index]];
    // Chest walls against the middle, tops in line.
    const left = place % 2 ? box.left : box.left + box.width - frame.width * zooms[i];
    return { place, box, picture, pose: picture && new Pose(frame, zooms[i], left, box.top, picture.flip) };
  });
  return tiles.filter((tile) => tile.picture);
}

/** One picture over the whole stage, fitted or as the reviewer has moved it. */
function wholePose(viewer) {
  const { frame, flip } = viewer.picture;
  const { width, height } = viewer.stage;
  const [zoom, { x, y }] = [viewer.zoom(), viewer.view()];
  const across = flip ? frame.width - x : x;
  return new Pose(frame, zoom, width / 2 - across * zoom, height / 2 - y * zoom, flip);
}

/** The place beside, with a picture; the same where there is none. */
function placeBeside(viewer, place, dx, dy) {
  const [column, row] = [(place % 2) + dx, (place >> 1) + dy];
  const next = 2 * row + column;
  return column in [0, 1] && row in [0, 1] && viewer.hanging[next].length ? next : place;
}
