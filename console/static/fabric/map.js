/**
 * The map of the fabric: a canvas, and what mouse and keyboard do on it.
 *
 * Keys: arrows move, + and - zoom, 0 shows all, n and p go to the next and previous thing that is wrong.
 * Tells by callbacks: onChoose(hit | null), onHover(hit | null, point), onInside(index) when the inside of a switch
 * is to be shown, onStep(1 | -1).
 */

import { h } from "../core/dom.js";
import { between, fitted, freeAspect, held, moved, zoomed } from "./camera.js";
import { readColours } from "./colours.js";
import { draw, inWindow } from "./draw.js";
import { hit } from "./hit.js";
import { layout } from "./layout.js";

const FLIGHT_MS = 280;
const CLICK_PX = 4;

export class FabricMap {
  #canvas = h("canvas", { "aria-hidden": "true" });
  #context = this.#canvas.getContext("2d", { alpha: false });
  #frame = 0;
  #flight = 0;
  #shown = { blocks: [], switches: [] };
  #wholly = true; // shows all: a new size of the window shows all again
  #asked = new Set();

  constructor({ model, onChoose, onHover, onInside, onStep, detailOf, signal }) {
    Object.assign(this, { model, onChoose, onHover, onInside, onStep });
    this.element = h("div.map", {
      tabindex: "0", role: "application", "aria-roledescription": "map",
      "aria-label": `Map of the fabric ${model.name}. Arrow keys move, plus and minus zoom, 0 shows all, n and p go through what is wrong. The list holds the same.`,
    }, this.#canvas);
    this.scene = {
      model, layout: null, state: null, links: null, camera: { k: 1, x: 0, y: 0 }, window: { w: 0, h: 0 },
      colours: {}, chosen: null, hovered: null,
      detailOf: (i) => {
        const detail = detailOf(i);
        if (!detail && !this.#asked.has(i)) {
          this.#asked.add(i);
          queueMicrotask(() => this.onInside(i));
        }
        return detail;
      },
    };
    this.#listen(signal);
    this.#watch = new ResizeObserver(() => this.#resize());
    this.#watch.observe(this.element);
    signal.addEventListener("abort", () => this.#watch.disconnect());
  }

  #watch;

  /** What is to be seen now; draws. */
  show(changes) {
    Object.assign(this.scene, changes);
    this.redraw();
  }

  recolour() {
    this.scene.colours = readColours(this.element);
    this.redraw();
  }

  redraw() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      if (!this.scene.layout || !this.scene.state) return;
      const started = performance.now();
      this.#context.setTransform(this.#ratio, 0, 0, this.#ratio, 0, 0);
      this.#shown = inWindow(this.scene);
      draw(this.#context, this.scene, this.#shown);
      this.lastDraw_ms = performance.now() - started;
      if (!this.#drawn) {
        this.#drawn = true;
        performance.mark("fabric-drawn");
        performance.measure("fabric-first-draw", { start: 0, end: performance.now() });
      }
    });
  }

  #drawn = false;
  #ratio = 1;

  #resize() {
    const { width, height } = this.element.getBoundingClientRect();
    if (width < 10 || height < 10) return;
    this.#ratio = Math.min(2, devicePixelRatio || 1);
    this.#canvas.width = Math.round(width * this.#ratio);
    this.#canvas.height = Math.round(height * this.#ratio);
    this.scene.window = { w: width, h: height };
    if (this.#wholly || !this.scene.layout) {
      this.scene.layout = layout(this.model, freeAspect(this.scene.window));
      this.scene.camera = this.#whole();
    }
    this.recolour();
  }

  #whole() {
    const { layout: all, window } = this.scene;
    return fitted({ x: 0, y: 0, w: all.width, h: all.height }, window);
  }

  get #least() {
    return this.#whole().k * 0.7;
  }

  // --- moving ---------------------------------------------------------------------------------------

  all() {
    this.#wholly = true;
    if (this.scene.layout) this.#fly(this.#whole());
  }

  zoom(factor, at = { x: this.scene.window.w / 2, y: this.scene.window.h / 2 }) {
    this.#go(zoomed(this.scene.camera, factor, at, this.#least));
  }

  /** Show a place of the fabric, as `locate` tells it; `close`: as near as its inside. */
  goTo(place, close = false) {
    const { layout: all, window } = this.scene;
    if (!all || !place) return;
    const rect = this.#rectOf(place, close);
    if (!rect) return;
    this.#wholly = false;
    this.#fly(fitted(rect, window, close ? 12 : 48, close ? 40 : 1.6));
  }

  #rectOf(place, close) {
    const { layout: all, model } = this.scene;
    const block = place.pod !== undefined && all.blocks.find((b) => b.kind === "pod" && b.pod === place.pod);
    if (block) return block;
    const ends = place.cable !== undefined ? [model.a[place.cable], model.b[place.cable]] : place.switches;
    if (!ends.length) return null;
    const xs = ends.map((i) => all.x[i]);
    const ys = ends.map((i) => all.y[i]);
    const rect = { x: Math.min(...xs), y: Math.min(...ys) };
    rect.w = Math.max(...xs) + all.cell.w - rect.x;
    rect.h = Math.max(...ys) + all.cell.h - rect.y;
    if (close) return rect;
    const room = 3 * all.cell.w; // neighbours too
    return { x: rect.x - room, y: rect.y - room / 2, w: rect.w + 2 * room, h: rect.h + room };
  }

  #go(camera) {
    cancelAnimationFrame(this.#flight);
    this.#wholly = false;
    this.scene.camera = held(camera, this.scene.layout, this.scene.window);
    this.redraw();
  }

  #fly(to) {
    cancelAnimationFrame(this.#flight);
    const from = this.scene.camera;
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const started = performance.now();
    const step = () => {
      const at = still ? 1 : Math.min(1, (performance.now() - started) / FLIGHT_MS);
      const eased = at < 0.5 ? 2 * at * at : 1 - (2 - 2 * at) ** 2 / 2;
      this.scene.camera = at === 1 ? to : between(from, to, eased, this.scene.window);
      this.redraw();
      if (at < 1) this.#flight = requestAnimationFrame(step);
    };
    step();
  }

  // --- mouse, touch, keyboard -----------------------------------------------------------------------

  #listen(signal) {
    const on = (name, run, more = {}) => this.element.addEventListener(name, run, { signal, ...more });
    const point = (event) => {
      const { left, top } = this.element.getBoundingClientRect();
      return { x: event.clientX - left, y: event.clientY - top };
    };
    let grabbed = null;
    on("pointerdown", (event) => {
      if (event.button) return;
      grabbed = { at: point(event), camera: this.scene.camera, moved: false };
      this.element.setPointerCapture(event.pointerId);
    });
    on("pointermove", (event) => {
      const at = point(event);
      if (!grabbed) return this.#hover(at);
      const [dx, dy] = [at.x - grabbed.at.x, at.y - grabbed.at.y];
      grabbed.moved ||= Math.hypot(dx, dy) > CLICK_PX;
      if (grabbed.moved) this.#go(moved(grabbed.camera, dx, dy));
      return undefined;
    });
    on("pointerup", (event) => {
      if (grabbed && !grabbed.moved) this.onChoose(this.#hit(point(event)));
      grabbed = null;
    });
    on("pointercancel", () => {
      grabbed = null;
    });
    on("pointerleave", () => this.#hover(null));
    on("dblclick", (event) => {
      const found = this.#hit(point(event));
      if (found) this.goTo(found, found.pod === undefined);
    });
    on("wheel", (event) => {
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.06 : 0.0018)), point(event));
    }, { passive: false });
    on("keydown", (event) => this.#key(event));
  }

  #hit(at) {
    return this.scene.layout && this.scene.state ? hit(this.scene, this.#shown, at) : null;
  }

  #hover(at) {
    const found = at && this.#hit(at);
    const same = keyOf(found) === keyOf(this.scene.hovered);
    this.element.classList.toggle("pointing", Boolean(found));
    this.onHover(found, at);
    if (!same) this.show({ hovered: found });
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = 80;
    const { camera } = this.scene;
    const does = {
      ArrowLeft: () => this.#go(moved(camera, step, 0)), ArrowRight: () => this.#go(moved(camera, -step, 0)),
      ArrowUp: () => this.#go(moved(camera, 0, step)), ArrowDown: () => this.#go(moved(camera, 0, -step)),
      "+": () => this.zoom(1.4), "=": () => this.zoom(1.4), "-": () => this.zoom(1 / 1.4),
      0: () => this.all(), n: () => this.onStep(1), p: () => this.onStep(-1),
    }[event.key];
    if (!does) return;
    event.preventDefault();
    event.stopPropagation();
    does();
  }
}

const keyOf = (place) => (place ? `${place.cable} ${place.pod} ${place.pod === undefined ? place.switches[0] : ""}` : "");
