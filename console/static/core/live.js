/**
 * What is so now, kept current by server-sent events: open faults, the state of links, the clock.
 *
 * One EventSource for the whole page. After each (re)connection what may have been missed is fetched, so that
 * events are only news. `on(what, run)` with what one of: faults, links, clock, state, overview.
 */

import { ApiError, eventsUrl, get } from "./api.js";

const QUIET_MS = 8_000; // a clock event comes each second
const WAITS_MS = [500, 1_000, 2_000, 5_000];
const OVERVIEW_EVERY_MS = 4_000;
const RESOLVED_KEPT = 50;

class Live extends EventTarget {
  state = "connecting"; // connecting, live, reconnecting, locked
  /** Newest event of each fault that is open, or was resolved while the page was open. */
  faults = new Map();
  links = null;
  overview = null;
  clock = { now_us: Date.now() * 1e3, lag_us: 0, at_ms: performance.now() };
  #source = null;
  #failures = 0;
  #heard_ms = 0;
  #timer = 0;

  start() {
    this.#connect();
    setInterval(() => this.#watch(), 1_000);
    const overview = async () => {
      if (!document.hidden) await this.#overview();
      setTimeout(overview, OVERVIEW_EVERY_MS);
    };
    overview();
  }

  /** Now by the console's clock, us, carried on by the browser's; event time is `clock.lag_us` behind it. */
  now_us() {
    return this.clock.now_us + this.clock.lag_us + (performance.now() - this.clock.at_ms) * 1e3;
  }

  on(what, run, signal) {
    this.addEventListener(what, (event) => run(event.detail), { signal });
  }

  open() {
    return [...this.faults.values()].filter((f) => f.state !== "resolved");
  }

  /** Connect again at once, e.g. after a login. */
  again() {
    this.#source?.close();
    this.#failures = 0;
    this.#connect();
    this.#overview();
  }

  #connect() {
    clearTimeout(this.#timer);
    this.#heard_ms = performance.now();
    const source = new EventSource(eventsUrl());
    this.#source = source;
    source.addEventListener("open", () => this.#caughtUp());
    source.addEventListener("error", () => this.#lost(source));
    source.addEventListener("hello", () => this.#heard());
    source.addEventListener("fault", (event) => this.#fault(JSON.parse(event.data)));
    source.addEventListener("links", (event) => this.#links(JSON.parse(event.data)));
    source.addEventListener("clock", (event) => this.#clock(JSON.parse(event.data)));
  }

  async #caughtUp() {
    this.#heard();
    try {
      await this.#fetch();
      this.#failures = 0;
      this.#become("live");
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.#source?.close();
      this.#later(error.status === 401);
    }
  }

  /** What is so now, whole. */
  async #fetch() {
    const known = new Map([...this.faults].map(([id, fault]) => [id, fault.version]));
    const [open, links] = await Promise.all([get("faults", { state: "open", limit: 500 }), get("links/now")]);
    const still = new Set(open.faults.map((f) => f.fault_id));
    for (const [id, fault] of this.faults) {
      // Resolved while we were away, unless it is news that came after what was asked.
      if (fault.state !== "resolved" && !still.has(id) && known.get(id) === fault.version) this.faults.delete(id);
    }
    for (const fault of open.faults) {
      if ((this.faults.get(fault.fault_id)?.version ?? 0) <= fault.version) this.#keep(fault);
    }
    this.links = links;
    this.#tell("faults", null);
    this.#tell("links", links);
  }

  #fault(fault) {
    this.#heard();
    const known = this.faults.get(fault.fault_id);
    if (known && known.version >= fault.version) return;
    this.#keep(fault);
    this.#tell("faults", fault);
  }

  #keep(fault) {
    this.faults.delete(fault.fault_id);
    this.faults.set(fault.fault_id, fault);
    const resolved = [...this.faults.values()].filter((f) => f.state === "resolved");
    for (const old of resolved.slice(0, -RESOLVED_KEPT)) this.faults.delete(old.fault_id);
  }

  #links(links) {
    this.#heard();
    this.links = links;
    this.#tell("links", links);
  }

  #clock(clock) {
    this.#heard();
    if (!clock.now_us) return; // nothing came yet, or the run is over: the browser's own clock will do
    this.clock = { ...clock, at_ms: performance.now() };
    this.#tell("clock", clock);
  }

  #heard() {
    this.#heard_ms = performance.now();
  }

  #watch() {
    if (this.state === "live" && performance.now() - this.#heard_ms > QUIET_MS) {
      this.#source.close();
      this.#later(false);
    }
  }

  #lost(source) {
    if (source !== this.#source) return;
    if (this.state !== "locked") this.#become("reconnecting");
    // A browser gives up for good when the answer was no stream (401, 503).
    if (source.readyState === EventSource.CLOSED) this.#later(false);
  }

  #later(locked) {
    clearTimeout(this.#timer);
    this.#become(locked ? "locked" : "reconnecting");
    const wait_ms = WAITS_MS[Math.min(this.#failures++, WAITS_MS.length - 1)];
    if (!locked) this.#timer = setTimeout(() => this.#connect(), wait_ms);
  }

  async #overview() {
    try {
      this.overview = await get("overview");
      this.#tell("overview", this.overview);
      // Without events one still sees what is so, a little later.
      if (this.state === "reconnecting") await this.#fetch();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status === 401) this.#become("locked");
    }
  }

  #become(state) {
    if (this.state === state) return;
    this.state = state;
    this.#tell("state", state);
  }

  #tell(what, detail) {
    this.dispatchEvent(new CustomEvent(what, { detail }));
  }
}

export const live = new Live();
