/** What is under a point of the screen: a switch, a link that stands out, a cable, a pod. Pure. */

import { cablesShown, directed, ends } from "./draw.js";

const NEAR_PX = 6;

/** {switches: [i]} | {cable, reverse, switches: []} | {pod, switches} | null */
export function hit(scene, shown, at) {
  const { layout, camera, model, state } = scene;
  const world = { x: (at.x - camera.x) / camera.k, y: (at.y - camera.y) / camera.k };
  const within = (b) => world.x >= b.x && world.x <= b.x + b.w && world.y >= b.y && world.y <= b.y + b.h;
  const block = layout.blocks.find(within);
  const slack = Math.max(0, 3 / camera.k - layout.cell.w / 2);
  for (const i of block?.switches ?? []) {
    const cell = { x: layout.x[i] - slack, y: layout.y[i] - slack, w: layout.cell.w + 2 * slack, h: layout.cell.h + 2 * slack };
    if (within(cell)) return { switches: [i] };
  }
  let best = null;
  const look = (id, [from, to], near) => {
    const far = distance(at, from, to);
    if (far < (best?.far ?? near)) best = { far, id };
  };
  for (const id of [...state.faultyLinks.keys(), ...state.byLink.keys()]) look(id, directed(scene, id), NEAR_PX + 2);
  if (!best) for (const cable of cablesShown(scene, shown)) look(2 * cable, ends(scene, model.a[cable], model.b[cable]), NEAR_PX - 2);
  if (best) return { cable: best.id >> 1, reverse: best.id & 1, switches: [] };
  if (block?.kind === "pod") return { pod: block.pod, switches: block.switches };
  return null;
}

function distance(at, from, to) {
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const along = Math.max(0, Math.min(1, ((at.x - from.x) * dx + (at.y - from.y) * dy) / (dx * dx + dy * dy || 1)));
  return Math.hypot(at.x - from.x - along * dx, at.y - from.y - along * dy);
}
