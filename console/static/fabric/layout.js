/**
 * Where everything stands, in world units. Pure: the same fabric and the same shape of window, the same places.
 *
 * Pods stand side by side below the tiers that are in no pod; border switches, which hang below the spines like
 * any leaf, stand beside the pods as a block of their own. A small fabric is drawn as a tree (one row a tier); a
 * large one as blocks: each pod a block in a grid, each tier above a strip, each switch a cell of it.
 *
 *     {mode, width, height, x, y: Float32Array per switch (top left), cell: {w, h},
 *      blocks: [{kind: "pod"|"strip", pod, tier, label, x, y, w, h, switches}]}
 */

const CELL = { w: 68, h: 26 };
const GAP = 5;
const PAD = 9;
const LABEL = 20;
const BLOCK_GAP = 16;
const GAP_MOST = 300; // between the tiers of a tree
export const TREE_MOST = 160; // switches

/** `aspect`: width / height of the window that it is to fill. */
export function layout(model, aspect = 1.6) {
  return model.switches.length <= TREE_MOST ? tree(model, aspect) : grid(model, aspect);
}

/** Rows of a group of switches, one a tier, from the top. */
function rowsByTier(model, switches) {
  const rows = new Map();
  for (const i of switches) {
    const tier = model.switches[i].tier;
    if (!rows.has(tier)) rows.set(tier, []);
    rows.get(tier).push(i);
  }
  return [...rows.entries()].sort(([x], [y]) => x - y).map(([tier, members]) => ({ tier, members }));
}

const rowWidth = (n) => n * CELL.w + (n - 1) * GAP;
const isBorder = (model, row) => model.tiers[row.tier] === "border";

function start(model, mode) {
  return {
    mode, cell: CELL, width: 0, height: 0, blocks: [],
    x: new Float32Array(model.switches.length), y: new Float32Array(model.switches.length),
  };
}

function tree(model, aspect) {
  const made = start(model, "tree");
  const loose = rowsByTier(model, model.loose);
  const above = loose.filter((row) => !isBorder(model, row));
  const groups = model.switchesOfPod
    .map((switches, pod) => ({ kind: "pod", pod, label: model.pods[pod], rows: rowsByTier(model, switches) }))
    .filter((group) => group.rows.length);
  for (const row of loose.filter((r) => isBorder(model, r))) {
    groups.push({ kind: "strip", tier: row.tier, label: model.tiers[row.tier], rows: [row] });
  }
  for (const group of groups) {
    group.w = Math.max(...group.rows.map((row) => rowWidth(row.members.length))) + 2 * PAD;
  }
  const width = Math.max(
    groups.reduce((sum, group) => sum + group.w + BLOCK_GAP, -BLOCK_GAP),
    ...above.map((row) => rowWidth(row.members.length) + 2 * PAD),
  );
  const deepest = Math.max(1, ...groups.map((group) => group.rows.length));
  // Between tiers as much room as the window has, within reason.
  const fixed = (above.length + deepest) * CELL.h + LABEL + 2 * PAD + above.length * (LABEL + 2 * PAD);
  const gaps = above.length + deepest - 1 || 1;
  const gap = Math.min(GAP_MOST, Math.max(44, (width / aspect - fixed) / gaps));
  let y = 0;
  for (const row of above) {
    const h = LABEL + CELL.h + PAD;
    const w = Math.min(width, Math.max(rowWidth(row.members.length) + 2 * PAD, width * 0.72));
    const x = (width - w) / 2;
    made.blocks.push({ kind: "strip", tier: row.tier, label: model.tiers[row.tier], x, y, w, h, switches: row.members });
    const step = (w - 2 * PAD) / row.members.length;
    row.members.forEach((i, k) => {
      made.x[i] = x + PAD + step * (k + 0.5) - CELL.w / 2;
      made.y[i] = y + LABEL;
    });
    y += h + gap;
  }
  let x = (width - groups.reduce((sum, group) => sum + group.w + BLOCK_GAP, -BLOCK_GAP)) / 2;
  let bottom = y;
  for (const group of groups) {
    const h = LABEL + group.rows.length * CELL.h + (group.rows.length - 1) * gap + PAD;
    made.blocks.push({ ...blockOf(group), x, y, w: group.w, h });
    group.rows.forEach((row, depth) => {
      const left = x + (group.w - rowWidth(row.members.length)) / 2;
      row.members.forEach((i, k) => {
        made.x[i] = left + k * (CELL.w + GAP);
        made.y[i] = y + LABEL + depth * (CELL.h + gap);
      });
    });
    x += group.w + BLOCK_GAP;
    bottom = Math.max(bottom, y + h);
  }
  return Object.assign(made, { width, height: bottom });
}

function blockOf(group) {
  const { kind, pod, tier, label, rows } = group;
  return { kind, pod, tier, label, switches: rows.flatMap((row) => row.members) };
}

function grid(model, aspect) {
  const made = start(model, "blocks");
  const groups = model.switchesOfPod
    .map((switches, pod) => ({ kind: "pod", pod, label: model.pods[pod], rows: rowsByTier(model, switches) }))
    .filter((group) => group.rows.length);
  const wide = Math.min(10, Math.max(4, ...groups.map((group) => Math.min(10, group.rows[0].members.length))));
  for (const group of groups) {
    group.w = rowWidth(wide) + 2 * PAD;
    group.lines = group.rows.map((row) => Math.ceil(row.members.length / wide));
    group.h = LABEL + group.lines.reduce((sum, n) => sum + n * (CELL.h + GAP), 0) + (group.rows.length - 1) * GAP + PAD;
  }
  const tallest = Math.max(1, ...groups.map((group) => group.h));
  const blockWidth = rowWidth(wide) + 2 * PAD + BLOCK_GAP;
  const columns = bestColumns(groups.length, blockWidth, tallest + BLOCK_GAP, aspect);
  const width = Math.max(1, columns) * blockWidth - BLOCK_GAP;
  const y = strips(model, made, width);
  groups.forEach((group, at) => {
    const left = (at % columns) * blockWidth;
    const top = y + Math.floor(at / columns) * (tallest + BLOCK_GAP);
    made.blocks.push({ ...blockOf(group), x: left, y: top, w: group.w, h: tallest });
    let line = top + LABEL;
    group.rows.forEach((row, depth) => {
      row.members.forEach((i, k) => {
        made.x[i] = left + PAD + (k % wide) * (CELL.w + GAP);
        made.y[i] = line + Math.floor(k / wide) * (CELL.h + GAP);
      });
      line += group.lines[depth] * (CELL.h + GAP) + GAP;
    });
  });
  const lines = Math.ceil(groups.length / columns);
  return Object.assign(made, { width, height: y + lines * (tallest + BLOCK_GAP) - BLOCK_GAP });
}

/** Tiers in no pod, from the top: those with many switches across the whole width, few ones side by side. */
function strips(model, made, width) {
  const per = Math.max(1, Math.floor((width - 2 * PAD + GAP) / (CELL.w + GAP)));
  let y = 0;
  let x = 0;
  let lowest = 0;
  for (const row of rowsByTier(model, model.loose)) {
    const lines = Math.ceil(row.members.length / per);
    const many = Math.ceil(row.members.length / lines);
    const w = rowWidth(many) + 2 * PAD;
    const h = LABEL + lines * (CELL.h + GAP) + PAD;
    if (x > 0 && x + w > width) {
      x = 0;
      y = lowest + 2 * BLOCK_GAP;
    }
    made.blocks.push({ kind: "strip", tier: row.tier, label: model.tiers[row.tier], x, y, w, h, switches: row.members });
    row.members.forEach((i, k) => {
      made.x[i] = x + PAD + (k % many) * (CELL.w + GAP);
      made.y[i] = y + LABEL + Math.floor(k / many) * (CELL.h + GAP);
    });
    x += w + BLOCK_GAP;
    lowest = Math.max(lowest, y + h);
  }
  return lowest ? lowest + 3 * BLOCK_GAP : 0;
}

function bestColumns(n, w, h, aspect) {
  let best = 1;
  let off = Infinity;
  for (let columns = 1; columns <= Math.max(1, n); columns++) {
    const lines = Math.ceil(n / columns);
    const miss = Math.abs(Math.log((columns * w) / (lines * h + 300) / aspect)) + (columns * lines - n) * 0.01;
    if (miss < off) [best, off] = [columns, miss];
  }
  return best;
}
