/** The one client of the API. Every call has a deadline; every failure is an ApiError that says what to do. */

const BASE = new URL("api/v1/", document.baseURI);
const DEADLINE_MS = 30_000;

export class ApiError extends Error {
  /** status 0: the console itself did not answer. */
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/** Told of every answer's status: the shell shows the login form and what is away. */
export const answers = new EventTarget();

export const eventsUrl = () => new URL("events", BASE);

export const get = (path, query = {}, signal = undefined) => call("GET", path, { query, signal });
export const post = (path, body, signal = undefined) => call("POST", path, { body, signal });
export const remove = (path, signal = undefined) => call("DELETE", path, { signal, body: {} });

/** A file made by the API, as a Blob. */
export const download = (path, body) => call("POST", path, { body, as: "blob" });

/** Path of one thing: names are encoded, slashes and all. */
export const named = (path, name) => `${path}/${encodeURIComponent(name)}`;

async function call(method, path, { query = {}, body, signal, as = "json" }) {
  const url = new URL(path, BASE);
  for (const [key, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== "") url.searchParams.set(key, value);
  }
  const deadline = AbortSignal.timeout(DEADLINE_MS);
  let answer;
  try {
    answer = await fetch(url, {
      method,
      credentials: "same-origin",
      signal: signal ? AbortSignal.any([signal, deadline]) : deadline,
      headers: body === undefined ? {} : { "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    tell(0, path);
    throw new ApiError(0, deadline.aborted
      ? "The console did not answer within 30 s."
      : "The console does not answer. Is it still running?");
  }
  tell(answer.status, path);
  if (!answer.ok) throw new ApiError(answer.status, await reason(answer));
  if (answer.status === 204) return null;
  return as === "blob" ? answer.blob() : answer.json();
}

async function reason(answer) {
  try {
    const { detail } = await answer.json();
    if (typeof detail === "string") return detail;
    // FastAPI's own refusals of parameters are a list.
    return detail.map((d) => `${(d.loc ?? []).slice(1).join(".")}: ${d.msg}`).join("; ");
  } catch {
    return `The console answered ${answer.status} ${answer.statusText}.`;
  }
}

function tell(status, path) {
  answers.dispatchEvent(new CustomEvent("answer", { detail: { status, path } }));
}

export const isAbort = (error) => error?.name === "AbortError";
