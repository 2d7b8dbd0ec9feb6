/** Addresses behind the "#": `#/faults/ID?state=open` -> {path: ["faults", "ID"], query}. */

export function parse(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  return {
    path: path.split("/").filter(Boolean).map(decoded),
    query: Object.fromEntries(new URLSearchParams(query)),
  };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a stray % is what it is
  }
}

/** href(["faults", id], {state: "open"}); empty values are left out. */
export function href(path, query = {}) {
  const kept = Object.entries(query).filter(([, v]) => v !== "" && v !== null && v !== undefined);
  const asked = kept.length ? `?${new URLSearchParams(kept.map(([k, v]) => [k, String(v)]))}` : "";
  return `#/${path.map(encodeURIComponent).join("/")}${asked}`;
}

export function go(path, query, { replace = false } = {}) {
  const address = href(path, query);
  if (address === location.hash) return;
  if (replace) {
    history.replaceState(null, "", address);
    dispatchEvent(new HashChangeEvent("hashchange"));
  } else {
    location.hash = address;
  }
}

/** Change only what is asked for; does not add a step to the history unless told to. */
export function ask(changes, { replace = true } = {}) {
  const { path, query } = parse(location.hash);
  go(path, { ...query, ...changes }, { replace });
}
