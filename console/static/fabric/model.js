/**
 * The fabric as the API tells it, with the lookups that drawing and linking need. Pure, immutable.
 *
 * Switches and cables are known by their index. Cable i joins a[i] and b[i] (a < b); its directed links are
 * 2i (a to b) and 2i + 1 (b to a).
 */

export class FabricModel {
  /** `told`: the answer of GET fabric. */
  constructor(told) {
    this.name = told.name ?? "";
    this.tiers = told.tiers;
    this.pods = told.pods;
    this.switches = told.switches;
    this.servers = told.servers_by_switch;
    this.probers = told.probers;
    this.a = Int32Array.from(told.cables, (cable) => cable[0]);
    this.b = Int32Array.from(told.cables, (cable) => cable[1]);
    this.byName = new Map(told.switches.map((one, i) => [one.name, i]));
    this.podByName = new Map(told.pods.map((name, i) => [name, i]));
    this.proberByName = new Map(told.probers.map((one, i) => [one.name, i]));
    this.servers_total = told.servers_by_switch.reduce((sum, n) => sum + n, 0);
    this.#index();
  }

  /** Cables of each switch, as one array with a start per switch. */
  #index() {
    const degree = new Int32Array(this.switches.length + 1);
    for (let i = 0; i < this.a.length; i++) {
      degree[this.a[i] + 1]++;
      degree[this.b[i] + 1]++;
    }
    for (let i = 0; i < this.switches.length; i++) degree[i + 1] += degree[i];
    this.start = degree;
    const next = degree.slice();
    this.cablesAt = new Int32Array(2 * this.a.length);
    for (let i = 0; i < this.a.length; i++) {
      this.cablesAt[next[this.a[i]]++] = i;
      this.cablesAt[next[this.b[i]]++] = i;
    }
    this.switchesOfPod = this.pods.map(() => []);
    this.loose = []; // switches in no pod
    this.switches.forEach((one, i) => (one.pod >= 0 ? this.switchesOfPod[one.pod] : this.loose).push(i));
  }

  cablesOf(index) {
    return this.cablesAt.subarray(this.start[index], this.start[index + 1]);
  }

  otherEnd(cable, index) {
    return this.a[cable] === index ? this.b[cable] : this.a[cable];
  }

  /** {cable, reverse} of a directed link by its name `A~B`; null if it joins no two switches of this fabric. */
  link(name) {
    const cut = name.indexOf("~");
    const from = this.byName.get(name.slice(0, cut));
    const to = this.byName.get(name.slice(cut + 1));
    if (cut < 0 || from === undefined || to === undefined) return null;
    for (const cable of this.cablesOf(from)) {
      if (this.otherEnd(cable, from) === to) return { cable, reverse: this.a[cable] === from ? 0 : 1 };
    }
    return null;
  }

  linkName(cable, reverse) {
    const [from, to] = reverse ? [this.b[cable], this.a[cable]] : [this.a[cable], this.b[cable]];
    return `${this.switches[from].name}~${this.switches[to].name}`;
  }

  tierOf(index) {
    return this.tiers[this.switches[index].tier];
  }
}

/**
 * Where an element of a fault is: {switches: [index], cable, reverse, pod, server, prober}; what does not apply
 * is undefined. Chips (`spine-1/lc-1`), pairs of chips and ports (`tor-1-1:Ethernet1`) are at their switch.
 */
export function locate(model, element) {
  const pod = model.podByName.get(element);
  if (pod !== undefined) return { switches: model.switchesOfPod[pod], pod };
  const at = model.byName.get(element);
  if (at !== undefined) return { switches: [at] };
  const prober = model.proberByName.get(element);
  if (prober !== undefined) return { switches: [model.probers[prober].switch], prober };
  if (element.includes("~")) {
    const link = model.link(element);
    if (link) return { switches: [], ...link };
    const ends = element.split("~");
    const known = ends.map((end) => model.byName.get(end)).filter((i) => i !== undefined);
    const server = ends.find((end) => !model.byName.has(end) && !model.proberByName.has(end));
    return { switches: known, server };
  }
  const owner = switchOf(model, element);
  return owner === undefined ? { switches: [], server: element } : { switches: [owner] };
}

/** Index of the switch that a chip, pair of chips or port belongs to. */
export function switchOf(model, element) {
  for (const separator of ["/", ":"]) {
    const cut = element.indexOf(separator);
    if (cut > 0 && model.byName.has(element.slice(0, cut))) return model.byName.get(element.slice(0, cut));
  }
  return undefined;
}

/** link, switch, pod, prober, part (of a switch), server: what kind of thing a name names. */
export function kindOf(model, element) {
  if (element.includes("~")) return "link";
  if (!model) return "server";
  if (model.byName.has(element)) return "switch";
  if (model.podByName.has(element)) return "pod";
  if (model.proberByName.has(element)) return "prober";
  return switchOf(model, element) === undefined ? "server" : "part";
}
