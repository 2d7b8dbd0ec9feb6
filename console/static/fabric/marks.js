/** Marks of a status on a canvas: each level has a shape of its own, like the icons elsewhere. */

const SHAPES = {
  critical: "M8 0.5 L16 15 H0 Z",
  warning: "M8 0 L16 8 L8 16 L0 8 Z",
  info: "M8 1 A7 7 0 1 0 8 15 A7 7 0 1 0 8 1",
  silenced: "M1.5 1.5 H14.5 V14.5 H1.5 Z",
};
const SIGNS = {
  critical: "M8 5.5 V10 M8 11.7 V13.2",
  warning: "M8 4.2 V8.8 M8 10.4 V11.9",
  info: "M8 7 V11.6 M8 4 V5.6",
  silenced: "M5 5 L11 11 M11 5 L5 11",
};
const paths = new Map();

function pathOf(text) {
  if (!paths.has(text)) paths.set(text, new Path2D(text));
  return paths.get(text);
}

/** Centred at (x, y), `size` px wide. */
export function drawMark(context, level, x, y, size, colours) {
  if (!SHAPES[level]) return;
  context.save();
  context.translate(x - size / 2, y - size / 2);
  context.scale(size / 16, size / 16);
  const body = pathOf(SHAPES[level]);
  context.lineJoin = "round";
  context.strokeStyle = colours.surface;
  context.lineWidth = 3;
  context.stroke(body);
  context.fillStyle = colours[level];
  context.fill(body);
  context.strokeStyle = colours.surface;
  context.lineWidth = 1.8;
  context.stroke(pathOf(SIGNS[level]));
  context.restore();
}
