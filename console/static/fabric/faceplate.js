/**
 * Chips and ports of a switch within a rectangle. Pure.
 *
 * `detail`: the answer of GET fabric/switches/{name}. Chips that own ports stand in a row, fabric chips below
 * them. {chips: [{chip, x, y, w, h}], ports: [{port, x, y, w, h}]}
 */
export function faceplate(detail, rect) {
  const groups = byChip(detail);
  const owners = groups.filter((group) => group.ports.length);
  const others = groups.filter((group) => !group.ports.length);
  const gap = rect.w * 0.012;
  const head = rect.h * 0.2;
  const below = others.length ? rect.h * 0.16 : 0;
  const chips = [];
  const ports = [];
  const inner = { x: rect.x + gap, w: rect.w - 2 * gap };
  row(owners, inner, rect.y + head, rect.h - head - below - gap, gap, (group, box) => {
    chips.push({ chip: group.chip, ...box });
    ports.push(...portsIn(group.ports, box, gap));
  });
  row(others, inner, rect.y + rect.h - below, below - gap, gap, (group, box) => chips.push({ chip: group.chip, ...box }));
  return { chips, ports };
}

/** [{chip, ports}] in the order of the switch's chips; ports by number. */
export function byChip(detail) {
  const labels = detail.chips.map((chip) => chip.label);
  for (const port of detail.ports) if (!labels.includes(port.chip)) labels.push(port.chip);
  return labels.map((chip) => ({
    chip,
    ports: detail.ports.filter((port) => port.chip === chip).sort((x, y) => x.number - y.number),
  }));
}

function row(groups, inner, y, h, gap, place) {
  if (!groups.length) return;
  const w = (inner.w - gap * (groups.length - 1)) / groups.length;
  groups.forEach((group, i) => place(group, { x: inner.x + i * (w + gap), y, w, h }));
}

function portsIn(ports, box, gap) {
  const head = box.h * 0.16;
  const room = { w: box.w - gap, h: box.h - head - gap * 0.5 };
  // Three times as wide as high, so that there is room for a name.
  const columns = Math.max(1, Math.min(ports.length, Math.round(Math.sqrt((ports.length * room.w) / (3 * room.h)))));
  const lines = Math.ceil(ports.length / columns);
  const w = room.w / columns;
  const h = room.h / lines;
  return ports.map((port, i) => ({
    port,
    x: box.x + gap / 2 + (i % columns) * w + w * 0.04,
    y: box.y + head + Math.floor(i / columns) * h + h * 0.06,
    w: w * 0.92,
    h: h * 0.88,
  }));
}
