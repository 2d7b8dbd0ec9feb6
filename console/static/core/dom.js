/**
 * Elements built from values. Text is only ever set as text, so no name, story or cell can become markup.
 *
 * h("button.quiet", {onclick: fn, "aria-label": "close"}, "x", child, [more]) -> HTMLElement
 * s("path", {d}) does the same for SVG. null, undefined and false among children are left out.
 */

const SVG = "http://www.w3.org/2000/svg";
const LINKS = /^(#|api\/|static\/|blob:)/;

export const h = (spec, attributes, ...children) => build(spec, attributes, children, false);
export const s = (spec, attributes, ...children) => build(spec, attributes, children, true);

function build(spec, attributes, children, svg) {
  const [tag, ...classes] = spec.split(".");
  const element = svg ? document.createElementNS(SVG, tag) : document.createElement(tag);
  if (classes.length) element.setAttribute("class", classes.join(" "));
  let rest = children;
  if (attributes !== null && attributes !== undefined) {
    if (isAttributes(attributes)) setAll(element, attributes);
    else rest = [attributes, ...children];
  }
  append(element, rest);
  return element;
}

function isAttributes(value) {
  return typeof value === "object" && !(value instanceof Node) && !Array.isArray(value);
}

function setAll(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) {
      if (typeof value !== "function") throw new TypeError(`${name} must be a function`);
      element.addEventListener(name.slice(2), value);
    } else if (name === "style") {
      // By property: a policy without inline style allows that, and nothing else.
      for (const [property, text] of Object.entries(value)) element.style.setProperty(property, text);
    } else if (name === "class") {
      for (const word of String(value).split(/\s+/)) if (word) element.classList.add(word);
    } else if (name === "value" || name === "checked" || name === "selected") {
      element[name] = value;
    } else {
      if ((name === "href" || name === "src") && !LINKS.test(value)) throw new TypeError(`no link: ${value}`);
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
}

export function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
  return element;
}

/**
 * Replace what is in a container, and keep the keyboard where it was: on the element with the same `data-key`.
 */
export function fill(container, ...children) {
  const active = document.activeElement;
  const key = active && container.contains(active) ? active.dataset.key : undefined;
  const top = container.scrollTop;
  container.replaceChildren();
  append(container, children);
  if (key !== undefined) {
    const again = [...container.querySelectorAll("[data-key]")].find((e) => e.dataset.key === key);
    again?.focus({ preventScroll: true });
  }
  container.scrollTop = top;
  return container;
}

/**
 * Run at most once in `wait_ms`, once more after the last call, and never while it still runs: what a slow console
 * is asked does not pile up.
 */
export function gently(run, wait_ms) {
  let timer = 0;
  let running = false;
  let again = false;
  let last_ms = -Infinity;
  const start = async () => {
    timer = 0;
    running = true;
    last_ms = performance.now();
    try {
      await run();
    } finally {
      running = false;
      if (again) plan();
    }
  };
  const plan = () => {
    again = false;
    timer = setTimeout(start, Math.max(0, last_ms + wait_ms - performance.now()));
  };
  return () => {
    if (running) again = true;
    else if (!timer) plan();
  };
}

/** Run every `wait_ms` while the page is looked at, the wait beginning when the last run is done. */
export function every(wait_ms, run, signal) {
  let timer = 0;
  const next = () => {
    timer = setTimeout(async () => {
      if (!document.hidden) await run();
      if (!signal.aborted) next();
    }, wait_ms);
  };
  next();
  signal.addEventListener("abort", () => clearTimeout(timer));
}
