// Regions marked by the reviewer, in image pixels: pixel (column, row) covers [column, column + 1) × [row, row + 1).

const REGION_COLOUR = "#4ad6ff";
const MIN_DRAG = 4; // screen pixels; less is a slip of the hand

const tenth = (value) => Math.round(10 * value) / 10;

/** The place inside the picture that is nearest to (x, y). */
function insidePicture([x, y], frame) {
  return [tenth(Math.min(frame.width, Math.max(0, x))), tenth(Math.min(frame.height, Math.max(0, y)))];
}

/** A rectangle as its top left and bottom right corner. */
function rectangle(image, [ax, ay], [bx, by]) {
  return { kind: "rect", image, points: [[Math.min(ax, bx), Math.min(ay, by)], [Math.max(ax, bx), Math.max(ay, by)]] };
}

/** Draw one region on a context in screen pixels; `place` turns image into screen coordinates. */
function drawRegion(context, region, name, place) {
  const [x, y] = place(region.points[0]);
  context.beginPath();
  if (region.kind === "rect") {
    const [right, bottom] = place(region.points[1]); // left of x where the picture is flipped
    context.rect(x, y, right - x, bottom - y);
  } else {
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      context.moveTo(x + 4 * dx, y + 4 * dy); // the centre stays open: the marked pixel is visible
      context.lineTo(x + 12 * dx, y + 12 * dy);
    }
  }
  const [labelX, labelY] = region.kind === "rect" ? [x + 2, y - 5] : [x + 8, y - 8];
  // A dark rim first: the line must show on white tissue as well as on black.
  for (const [colour, width] of [["#0009", 4], [REGION_COLOUR, 2]]) {
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.stroke();
    if (name && width > 2) context.strokeText(name, labelX, labelY);
  }
  context.fillStyle = REGION_COLOUR;
  context.fillText(name, labelX, labelY);
}
