/**
 * What is to be seen of the fabric now: how bad each switch, cable and pod is. Pure.
 *
 * From the open faults and the state of links to columns that drawing reads: `level` of a switch or pod is one of
 * LEVELS, `bad` lists links that lose or alter, worst last, so that they are drawn on top.
 */

import { locate } from "./model.js";

export const LEVELS = ["fine", "silenced", "info", "warning", "critical"];
const LEVEL = Object.fromEntries(LEVELS.map((name, i) => [name, i]));

/** A second suspect is marked, weaker, from this confidence on. */
export const SUSPECT_FROM = 0.2;

export const levelOf = (fault) => (fault.silenced ? LEVEL.silenced : LEVEL[fault.severity] ?? LEVEL.warning);

/**
 * {level: Uint8Array, suspect: Uint8Array, podLevel: Uint8Array, podBad: Int32Array, faultyLinks: Map(link -> level),
 *  bad: [link], byLink: Map(link -> link), places: Map(fault_id -> place)}
 * A link here is {cable, reverse, id, passed, lost, altered, missing, loss, alteration}; id = 2 cable + reverse.
 */
export function fabricState(model, faults, links) {
  const level = new Uint8Array(model.switches.length);
  const suspect = new Uint8Array(model.switches.length);
  const faultyLinks = new Map();
  const places = new Map();
  for (const fault of faults) {
    const own = levelOf(fault);
    fault.suspects.forEach(({ element, confidence }, rank) => {
      if (rank > 0 && confidence < SUSPECT_FROM) return;
      const place = locate(model, element);
      if (rank === 0) places.set(fault.fault_id, place);
      mark({ level, suspect, faultyLinks }, place, own, rank > 0);
    });
    if (!places.get(fault.fault_id)?.switches.length && fault.direction.includes("~")) {
      // A server: what it hangs on tells where to look.
      const place = locate(model, fault.direction);
      if (places.get(fault.fault_id)?.server !== undefined) {
        places.set(fault.fault_id, { ...places.get(fault.fault_id), switches: place.switches });
        mark({ level, suspect, faultyLinks }, place, own, false);
      }
    }
  }
  const bad = badLinks(links);
  const byLink = new Map(bad.map((link) => [link.id, link]));
  return { level, suspect, faultyLinks, bad, byLink, places, ...ofPods(model, level, faultyLinks, bad) };
}

function mark({ level, suspect, faultyLinks }, place, own, weak) {
  if (place.cable !== undefined) {
    const id = 2 * place.cable + place.reverse;
    if (!weak) faultyLinks.set(id, Math.max(own, faultyLinks.get(id) ?? 0));
  }
  for (const at of place.switches) {
    if (weak) suspect[at] = 1;
    else level[at] = Math.max(level[at], own);
  }
}

export function badLinks(links) {
  if (!links) return [];
  return links.bad
    .map(([cable, reverse, passed, lost, altered, missing]) => ({
      cable, reverse, passed, lost, altered, missing,
      id: 2 * cable + reverse,
      loss: lost ? lost / (passed + lost) : 0,
      alteration: altered ? altered / Math.max(passed, altered) : 0,
    }))
    .filter((link) => link.lost || link.altered)
    .sort((x, y) => Math.max(x.loss, x.alteration) - Math.max(y.loss, y.alteration));
}

function ofPods(model, level, faultyLinks, bad) {
  const podLevel = new Uint8Array(model.pods.length);
  const podBad = new Int32Array(model.pods.length);
  const raise = (pod, to) => {
    if (pod >= 0) podLevel[pod] = Math.max(podLevel[pod], to);
  };
  level.forEach((own, i) => own && raise(model.switches[i].pod, own));
  for (const [id, own] of faultyLinks) {
    for (const end of [model.a[id >> 1], model.b[id >> 1]]) raise(model.switches[end].pod, own);
  }
  for (const link of bad) {
    const pods = new Set([model.switches[model.a[link.cable]].pod, model.switches[model.b[link.cable]].pod]);
    for (const pod of pods) if (pod >= 0) podBad[pod]++;
  }
  return { podLevel, podBad };
}

/** Bits of `crossed` as bytes: bit k is bit k % 8 of byte k / 8. */
export function crossedBits(base64) {
  const text = atob(base64 ?? "");
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0));
}

export const isCrossed = (bits, id) => ((bits[id >> 3] ?? 0) >> (id & 7)) & 1;
