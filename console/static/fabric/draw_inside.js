/** Chips and ports of a switch that is large enough on the screen. */

import { lossClass } from "../core/scale.js";
import { box, fit } from "./draw.js";
import { faceplate } from "./faceplate.js";

export function drawInside(context, scene, index, detail, rect, font) {
  const { colours, model, window } = scene;
  const plate = faceplate(detail, rect);
  context.textBaseline = "middle";
  context.textAlign = "left";
  write(context, model.switches[index].name, rect.x + rect.w * 0.012, rect.y + rect.h * 0.1, rect.h * 0.11, rect.w, colours.text, font);
  for (const { chip, x, y, w, h } of plate.chips) {
    context.fillStyle = colours.chip;
    context.strokeStyle = colours["block-line"];
    context.lineWidth = 1;
    box(context, x, y, w, h, 4);
    context.fill();
    context.stroke();
    const size = Math.min(rect.h * 0.07, h * 0.7);
    write(context, chip, x + size * 0.4, y + size * 0.75, size, w - size, colours["text-soft"], font);
  }
  for (const { port, x, y, w, h } of plate.ports) {
    if (x > window.w || x + w < 0 || y > window.h || y + h < 0) continue;
    const { colour, bad } = portColour(scene, index, port);
    context.fillStyle = bad ? colour : colours.cell;
    context.strokeStyle = bad ? colour : colours["cell-line"];
    box(context, x, y, w, h, 2);
    context.fill();
    context.stroke();
    const size = Math.min(12, h * 0.34);
    if (size < 6) continue;
    const ink = bad ? colours.surface : colours.text;
    write(context, port.name, x + 4, y + h * 0.32, size, w - 6, ink, font);
    write(context, port.peer, x + 4, y + h * 0.7, size, w - 6, bad ? ink : colours["text-soft"], font);
  }
}

function write(context, text, x, y, size, room, colour, font) {
  if (size < 6) return;
  context.font = `${Math.min(size, 15)}px ${font}`;
  context.fillStyle = colour;
  context.fillText(fit(context, String(text), room), x, y);
}

/** By the worse direction of the link behind it. */
function portColour({ model, state, colours }, index, port) {
  const peer = model.byName.get(port.peer);
  if (peer === undefined) return { colour: colours["cell-line"], bad: false };
  let worst = null;
  for (const cable of model.cablesOf(index)) {
    if (model.otherEnd(cable, index) !== peer) continue;
    for (const id of [2 * cable, 2 * cable + 1]) {
      const link = state.byLink.get(id);
      if (link && (!worst || link.loss > worst.loss)) worst = link;
    }
  }
  if (!worst) return { colour: colours["cell-line"], bad: false };
  return { colour: worst.lost ? colours[`loss-${lossClass(worst.loss)}`] : colours.altered, bad: true };
}
