/**
 * Draws the fabric on a canvas: blocks, cables, switches, and on top what is wrong. Knows no events.
 *
 * `scene`: {model, layout, state, links, camera, window, colours, chosen, hovered, detailOf}. How much is drawn
 * goes by how large it is on the screen, and only what is in the window is.
 */

import { share } from "../core/format.js";
import { lossClass } from "../core/scale.js";
import { drawInside } from "./draw_inside.js";
import { drawMark } from "./marks.js";
import { crossedBits, isCrossed, LEVELS } from "./state.js";

const LABEL_FROM_PX = 22; // width of a cell with a name in it
export const INSIDE_FROM_PX = 260; // width of a cell in which chips and ports are drawn
const CABLES_MOST = 4_000;
const FONT = '"DejaVu Sans Mono", ui-monospace, "Cascadia Mono", Menlo, Consolas, monospace';

/** `shown`: what inWindow gives. */
export function draw(context, scene, shown) {
  const { window, colours } = scene;
  context.fillStyle = colours.surface;
  context.fillRect(0, 0, window.w, window.h);
  drawBlocks(context, scene, shown);
  drawCables(context, scene, shown);
  drawLabels(context, scene, shown);
  drawSwitches(context, scene, shown);
  drawBad(context, scene);
  drawMarks(context, scene, shown);
}

/** Blocks and switches in the window. */
export function inWindow({ layout, camera, window }) {
  const left = -camera.x / camera.k;
  const top = -camera.y / camera.k;
  const right = left + window.w / camera.k;
  const bottom = top + window.h / camera.k;
  const blocks = layout.blocks.filter((b) => b.x < right && b.x + b.w > left && b.y < bottom && b.y + b.h > top);
  const switches = [];
  for (const block of blocks) {
    for (const i of block.switches) {
      const [x, y] = [layout.x[i], layout.y[i]];
      if (x < right && x + layout.cell.w > left && y < bottom && y + layout.cell.h > top) switches.push(i);
    }
  }
  return { blocks, switches };
}

function drawBlocks(context, scene, { blocks }) {
  const { camera, colours, state, chosen, hovered } = scene;
  const { k } = camera;
  for (const block of blocks) {
    const [x, y, w, h] = [block.x * k + camera.x, block.y * k + camera.y, block.w * k, block.h * k];
    const level = block.kind === "pod" ? state.podLevel[block.pod] : 0;
    context.fillStyle = colours.block;
    context.strokeStyle = level > 1 ? colours[LEVELS[level]] : colours["block-line"];
    context.lineWidth = level > 1 ? 1.5 : 1;
    if (block.kind === "pod" && chosen?.pod === block.pod) [context.strokeStyle, context.lineWidth] = [colours.accent, 2];
    if (block.kind === "pod" && hovered?.pod === block.pod && !hovered.switches?.length) context.strokeStyle = colours.accent;
    box(context, x, y, w, h, Math.min(6, 10 * k));
    context.fill();
    context.stroke();
  }
}

/** Names of blocks, over the cables that lead into them. */
function drawLabels(context, { camera, colours }, { blocks }) {
  const { k } = camera;
  const size = Math.max(8, Math.min(13, 15 * k));
  context.font = `600 ${size}px ${FONT}`;
  context.textBaseline = "middle";
  context.textAlign = "left";
  for (const block of blocks) {
    if (block.w * k <= 24) continue;
    const text = fit(context, block.label, block.w * k - 12);
    const x = block.x * k + camera.x + Math.min(9, 9 * k);
    const y = block.y * k + camera.y + Math.max(size * 0.65, 10 * k);
    context.fillStyle = colours.block;
    context.fillRect(x - 2, y - size * 0.55, context.measureText(text).width + 4, size * 1.1);
    context.fillStyle = colours["text-soft"];
    context.fillText(text, x, y + 0.5);
  }
}

/** Both ends of a cable on the screen: from the lower edge of the upper switch to the upper edge of the lower. */
export function ends({ layout, camera }, from, to) {
  const { k } = camera;
  const down = layout.y[from] < layout.y[to];
  const flat = Math.abs(layout.y[from] - layout.y[to]) < 1;
  const middle = layout.cell.w / 2;
  const at = (i, edge) => ({ x: (layout.x[i] + middle) * k + camera.x, y: (layout.y[i] + edge) * k + camera.y });
  if (flat) return [at(from, 0), at(to, 0)];
  return down ? [at(from, layout.cell.h), at(to, 0)] : [at(from, 0), at(to, layout.cell.h)];
}

/**
 * Cables to draw: all of a small fabric. Of a large one, where every leaf has a cable to everything, only those
 * of what is in the window that no probe crossed; the chosen and the bad ones are drawn besides.
 */
export function cablesShown(scene, shown) {
  const { model, layout, camera, links } = scene;
  if (layout.mode === "tree") return model.a.length <= CABLES_MOST ? model.a.keys() : [];
  const cables = new Set();
  if (links && layout.cell.w * camera.k >= LABEL_FROM_PX) {
    const bits = crossed(links);
    for (const i of shown.switches) {
      for (const cable of model.cablesOf(i)) {
        if (!isCrossed(bits, 2 * cable) && !isCrossed(bits, 2 * cable + 1)) cables.add(cable);
      }
      if (cables.size > CABLES_MOST) break;
    }
  }
  return cables;
}

function drawCables(context, scene, shown) {
  const { model, links, colours, chosen } = scene;
  const bits = crossed(links);
  const seen = new Path2D();
  const unseen = new Path2D();
  const own = new Path2D();
  for (const cable of cablesShown(scene, shown)) {
    const path = !links || isCrossed(bits, 2 * cable) || isCrossed(bits, 2 * cable + 1) ? seen : unseen;
    trace(path, ends(scene, model.a[cable], model.b[cable]));
  }
  if (chosen?.cable !== undefined) trace(own, ends(scene, model.a[chosen.cable], model.b[chosen.cable]));
  const few = chosen?.pod === undefined ? chosen?.switches ?? [] : [];
  for (const i of few) for (const cable of model.cablesOf(i)) trace(own, ends(scene, model.a[cable], model.b[cable]));
  stroke(context, seen, colours.link, 1);
  stroke(context, unseen, colours.link, 1, [2, 4]);
  stroke(context, own, colours.accent, 1.4);
}

let held = { of: null, bits: null };
function crossed(links) {
  if (held.of !== links) held = { of: links, bits: crossedBits(links?.crossed) };
  return held.bits;
}

function trace(path, [from, to]) {
  path.moveTo(from.x, from.y);
  path.lineTo(to.x, to.y);
}

function stroke(context, path, colour, width, dash = []) {
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.setLineDash(dash);
  context.stroke(path);
  context.setLineDash([]);
}

function drawSwitches(context, scene, { switches }) {
  const { model, layout, camera, colours, state, chosen, hovered, detailOf } = scene;
  const { k } = camera;
  const [w, h] = [layout.cell.w * k, layout.cell.h * k];
  const named = w >= LABEL_FROM_PX;
  const longest = switches.reduce((most, i) => Math.max(most, model.switches[i].name.length), 1);
  const size = Math.max(8, Math.min(13, h * 0.55, (w - 4) / (longest * 0.605)));
  const isChosen = new Set(chosen?.pod === undefined ? chosen?.switches ?? [] : []);
  const isHovered = new Set(hovered?.pod === undefined ? hovered?.switches ?? [] : []);
  context.font = `${size}px ${FONT}`;
  context.textBaseline = "middle";
  context.textAlign = "center";
  for (const i of switches) {
    const [x, y] = [layout.x[i] * k + camera.x, layout.y[i] * k + camera.y];
    const level = state.level[i];
    const drained = model.switches[i].drained;
    context.fillStyle = level ? colours[`${LEVELS[level]}-soft`] : colours.cell;
    if (!named && level > 1) context.fillStyle = colours[LEVELS[level]];
    context.strokeStyle = level ? colours[LEVELS[level]] : colours["cell-line"];
    context.lineWidth = level > 1 ? 2 : 1;
    if (isChosen.has(i) || isHovered.has(i)) [context.strokeStyle, context.lineWidth] = [colours.accent, isChosen.has(i) ? 2.5 : 1.5];
    if (drained || state.suspect[i]) context.setLineDash(drained ? [3, 3] : [6, 2]);
    if (state.suspect[i] && !level) context.strokeStyle = colours.warning;
    if (named) box(context, x, y, w, h, Math.min(5, 4 * k));
    else {
      context.beginPath();
      context.rect(x, y, w, h);
    }
    context.fill();
    if (w > 4 || level || isChosen.has(i)) context.stroke();
    context.setLineDash([]);
    if (w >= INSIDE_FROM_PX) {
      const detail = detailOf(i);
      if (detail) {
        drawInside(context, scene, i, detail, { x, y, w, h }, FONT);
        context.font = `${size}px ${FONT}`;
        context.textBaseline = "middle";
        context.textAlign = "center";
        continue;
      }
    }
    if (named) {
      context.fillStyle = colours.text;
      // What all of a tier begin with is told by where they stand.
      const { name } = model.switches[i];
      const text = fit(context, name, w - 2) === name ? name : fit(context, name.replace(/^[a-z]+-/i, ""), w - 2);
      context.fillText(text, x + w / 2, y + h / 2 + 0.5);
    }
  }
}

/** Links that lose or alter something, and those that a fault names. */
function drawBad(context, scene) {
  const { state, colours } = scene;
  for (const [id, level] of state.faultyLinks) {
    const [from, to] = directed(scene, id);
    context.globalAlpha = 0.28;
    line(context, from, to, colours[LEVELS[level]], 11);
    context.globalAlpha = 1;
    if (!state.byLink.has(id)) arrow(context, from, to, colours[LEVELS[level]], 1.5, 0.62);
  }
  for (const link of state.bad) {
    const [from, to] = directed(scene, link.id);
    const of = lossClass(link.loss);
    if (of) arrow(context, from, to, colours[`loss-${of}`], 1.2 + of * 0.7, 0.62);
    if (link.altered) arrow(context, from, to, colours.altered, 2.6, 0.5, [7, 4]);
  }
}

/** Ends of a directed link, moved a little to its right, so that both directions are seen. */
export function directed(scene, id) {
  const { model } = scene;
  const [a, b] = [model.a[id >> 1], model.b[id >> 1]];
  const [from, to] = id & 1 ? ends(scene, b, a) : ends(scene, a, b);
  const length = Math.hypot(to.x - from.x, to.y - from.y) || 1;
  const [dx, dy] = [(-(to.y - from.y) / length) * 2, ((to.x - from.x) / length) * 2];
  return [{ x: from.x + dx, y: from.y + dy }, { x: to.x + dx, y: to.y + dy }];
}

function line(context, from, to, colour, width, dash = []) {
  context.beginPath();
  context.moveTo(from.x, from.y);
  context.lineTo(to.x, to.y);
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.lineCap = "round";
  context.setLineDash(dash);
  context.stroke();
  context.setLineDash([]);
  context.lineCap = "butt";
}

function arrow(context, from, to, colour, width, at, dash = []) {
  line(context, from, to, colour, width, dash);
  const angle = Math.atan2(to.y - from.y, to.x - from.x);
  const tip = { x: from.x + (to.x - from.x) * at, y: from.y + (to.y - from.y) * at };
  const size = 5 + width * 1.6;
  context.beginPath();
  for (const turn of [0, 2.6, -2.6]) {
    const reach = turn ? size * 0.9 : size * 0.8;
    context.lineTo(tip.x + Math.cos(angle + turn) * reach, tip.y + Math.sin(angle + turn) * reach);
  }
  context.closePath();
  context.fillStyle = colour;
  context.fill();
}

/** Marks of a size of their own, so that what is faulty is found at any zoom; rates where there is room. */
function drawMarks(context, scene, { blocks, switches }) {
  const { layout, camera, state, colours, window } = scene;
  const { k } = camera;
  const w = layout.cell.w * k;
  for (const [id, level] of state.faultyLinks) {
    const [from, to] = directed(scene, id);
    const at = { x: (from.x + to.x) / 2, y: (from.y + to.y) / 2 };
    if (at.x < 0 || at.y < 0 || at.x > window.w || at.y > window.h) continue;
    drawMark(context, LEVELS[level], at.x, at.y, 18, colours);
    const link = state.byLink.get(id);
    if (link?.lost) rate(context, `${share(link.loss)} lost`, at, colours);
  }
  if (w < 12) {
    for (const block of blocks) {
      if (block.kind === "pod" && state.podLevel[block.pod] > 0) {
        drawMark(context, LEVELS[state.podLevel[block.pod]], (block.x + block.w) * k + camera.x - 10, block.y * k + camera.y + 9, 15, colours);
      }
    }
  }
  for (const i of switches) {
    if (!state.level[i] || (w < 12 && state.level[i] < 2)) continue;
    drawMark(context, LEVELS[state.level[i]], (layout.x[i] + layout.cell.w) * k + camera.x - 1, layout.y[i] * k + camera.y + 1, w < 12 ? 11 : 15, colours);
  }
}

function rate(context, text, at, colours) {
  context.font = `600 11px ${FONT}`;
  context.textAlign = "left";
  context.textBaseline = "middle";
  const width = context.measureText(text).width;
  context.fillStyle = colours.surface;
  box(context, at.x + 12, at.y - 9, width + 10, 18, 4);
  context.fill();
  context.fillStyle = colours.text;
  context.fillText(text, at.x + 17, at.y + 0.5);
}

export function box(context, x, y, w, h, radius) {
  context.beginPath();
  context.roundRect(x, y, w, h, Math.max(0, Math.min(radius, w / 2, h / 2)));
}

const widths = new Map();

/** As much of a text as fits; its end tells more than its beginning, since names begin alike. */
export function fit(context, text, room) {
  const key = `${context.font}\n${text}`;
  let width = widths.get(key);
  if (width === undefined) {
    if (widths.size > 20_000) widths.clear();
    width = context.measureText(text).width;
    widths.set(key, width);
  }
  if (width <= room) return text;
  const keep = Math.floor((text.length * room) / width) - 1;
  if (keep < 2) return "";
  return `…${text.slice(-keep)}`;
}
