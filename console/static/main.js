/** Starts the page: the frame around the views, the live connection, and the way from an address to a view. */

import { fill } from "./core/dom.js";
import { live } from "./core/live.js";
import { parse } from "./core/router.js";
import { checkAgainst, theModel } from "./core/world.js";
import { failure, notice } from "./parts/blocks.js";
import { tick } from "./parts/text.js";
import { listenKeys } from "./shell/keys.js";
import { watchAccess } from "./shell/login.js";
import { frame, showActive } from "./shell/frame.js";

/** First segment of an address -> the module of its view. */
const VIEWS = {
  fabric: () => import("./views/fabric.js"),
  faults: () => import("./views/faults.js"),
  probes: () => import("./views/probes.js"),
  probe: () => import("./views/probe.js"),
  matrix: () => import("./views/matrix.js"),
  coverage: () => import("./views/coverage.js"),
  health: () => import("./views/health.js"),
  sql: () => import("./views/sql.js"),
};

let current = null; // {key, view, stop}

async function route() {
  const now = parse(location.hash);
  const [name = "fabric"] = now.path;
  const key = keyOf(now);
  showActive(name);
  if (current?.key === key && current.view?.update) {
    current.view.update(now);
    shown();
    return;
  }
  current?.stop.abort();
  const stop = new AbortController();
  const opening = { key, stop, view: null };
  const first = current === null;
  current = opening;
  const main = document.querySelector("main");
  if (!VIEWS[name]) {
    fill(main, notice(`There is no page “${name}”.`));
    shown();
    return;
  }
  try {
    const module = await VIEWS[name]();
    if (current !== opening) return;
    opening.view = module.open({ route: parse(location.hash), signal: stop.signal });
    fill(main, opening.view.element);
    shown();
    document.title = `${opening.view.title} – ByteTracker`;
    document.querySelector("#announce").textContent = opening.view.title;
    if (!first) main.focus({ preventScroll: true });
    scrollTo(0, 0);
  } catch (error) {
    fill(main, failure(error));
    throw error;
  }
}

/** Which address is shown now; what waits for a view can see it. */
function shown() {
  document.querySelector("main").dataset.address = location.hash;
}

/** Views that look at one thing are opened anew for another thing; the others are updated. */
function keyOf({ path }) {
  const [name = "fabric"] = path;
  return name === "fabric" ? name : path.join("/");
}

document.body.append(...frame());
listenKeys();
watchAccess();
addEventListener("hashchange", route);
addEventListener("signedin", () => {
  current?.stop.abort();
  current = null;
  route();
});
setInterval(tick, 1_000);
live.on("overview", checkAgainst);
live.start();
theModel().catch(() => {}); // views that need it ask again, and say what went wrong
route();
