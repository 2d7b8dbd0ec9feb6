/** Ask the store anything, read-only: the store itself refuses the rest, and what it says is shown as it is. */

import { ApiError, download, get, isAbort, post } from "../core/api.js";
import { fill, h } from "../core/dom.js";
import { count, duration } from "../core/format.js";
import { choice, into, loading, notice } from "../parts/blocks.js";
import { isNumber, resultChart, resultTable } from "./sql_result.js";

const KEY = "bytetracker-sql";
const FIRST = "SELECT kind, severity, suspects, loss_rate, opened_at, story\nFROM fault_history\nWHERE state != 'resolved'\nORDER BY severity, opened_at";
const LIMIT = 1_000;

export function open({ route, signal }) {
  const editor = h("textarea.code", {
    id: "sql", spellcheck: "false", autocomplete: "off", autocapitalize: "off", rows: 9, "aria-label": "SQL query. Control and Enter runs it",
  });
  editor.value = route.query.q ?? sessionStorage.getItem(KEY) ?? FIRST;
  const result = h("div.result", { "aria-live": "polite" }, notice("Write a query and run it, or choose one on the left. Only reading is allowed; long or large queries are cut off by the store."));
  const runButton = h("button.primary", { type: "button", onclick: () => run() }, "Run");
  const csvButton = h("button", { type: "button", onclick: () => csv() }, "Download CSV");
  const told = h("span.faint", { role: "status" });
  let asking = null;

  async function run() {
    sessionStorage.setItem(KEY, editor.value);
    asking?.abort();
    asking = new AbortController();
    signal.addEventListener("abort", () => asking.abort());
    runButton.disabled = true;
    told.textContent = "";
    fill(result, loading("Asking the store"));
    try {
      const answer = await post("sql", { sql: editor.value, limit: LIMIT }, asking.signal);
      told.textContent = `${count(answer.rows.length)} rows${answer.truncated ? ", cut off there" : ""}, ${duration(answer.elapsed_ms * 1e3)}`;
      showResult(answer);
    } catch (error) {
      if (isAbort(error)) return;
      if (!(error instanceof ApiError)) throw error;
      fill(result, h("pre.storeerror", { role: "alert", tabindex: "0" }, error.message));
    } finally {
      runButton.disabled = false;
    }
  }

  function showResult(answer) {
    const body = h("div");
    const show = (as) => body.replaceChildren(as === "table" ? resultTable(answer) : resultChart(answer, as));
    const drawable = answer.rows.length > 1 && answer.types.some(isNumber);
    fill(result, drawable && choice("Show result as", [["table", "Table"], ["line", "Lines"], ["bar", "Bars"]], "table", show), body);
    show("table");
  }

  async function csv() {
    try {
      const file = await download("sql/csv", { sql: editor.value });
      const address = URL.createObjectURL(file);
      const link = h("a", { href: address, download: "bytetracker.csv" });
      document.body.append(link);
      link.click();
      link.remove();
      setTimeout(() => URL.revokeObjectURL(address), 10_000);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      fill(result, h("pre.storeerror", { role: "alert", tabindex: "0" }, error.message));
    }
  }

  editor.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      run();
    }
  });
  const put = (text) => {
    editor.value = text;
    editor.focus();
  };
  const insert = (text) => {
    editor.setRangeText(text, editor.selectionStart, editor.selectionEnd, "end");
    editor.focus();
  };
  if (route.query.q) queueMicrotask(run);
  return {
    element: h("div.sql",
      h("aside.card", { "aria-label": "Questions and tables" }, examples(put, signal), tables(insert, signal)),
      h("div.work",
        h("section.card", h("h1.unseen", "SQL"), editor, h("div.line", runButton, csvButton, h("span.faint", h("kbd", "Ctrl"), " ", h("kbd", "Enter"), " runs"), told)),
        h("section.card.grow", result))),
    title: "SQL",
  };
}

function examples(put, signal) {
  const list = h("div");
  const filter = h("input", { type: "search", placeholder: "Search questions", "aria-label": "Search questions" });
  into(list, get("sql/examples", {}, signal), (answer) => {
    const all = answer;
    const show = () => {
      const wanted = filter.value.trim().toLowerCase();
      const found = all.filter((one) => `${one.section} ${one.question} ${one.meaning} ${one.sql}`.toLowerCase().includes(wanted));
      list.replaceChildren(found.length ? bySection(found, put) : notice("No question is like that."));
    };
    filter.addEventListener("input", show);
    show();
  });
  return h("section", h("h2", "Questions"), filter, list);
}

function tables(insert, signal) {
  const list = h("div");
  into(list, get("sql/tables", {}, signal), (answer) => {
    list.replaceChildren(...answer.map((one) => h("details.schema",
      h("summary", h("span.mono", one.name), h("span.faint", ` ${one.kind}`)),
      one.meaning && h("p.faint", one.meaning),
      h("ul", one.columns.map((c) => h("li", h("button.quiet", { type: "button", title: "Put into the query", onclick: () => insert(c.name) }, h("span.mono", c.name)), h("span.faint", ` ${c.type}`), c.meaning && h("div.faint", c.meaning)))))));
  });
  return h("section", h("h2", "Tables and views"), list);
}

function bySection(found, put) {
  const sections = [...new Set(found.map((one) => one.section))];
  return h("div", sections.map((name) => h("div", h("h3.faint", name), h("ul.questions", found.filter((one) => one.section === name).map((one) =>
    h("li", h("button.quiet", { type: "button", title: one.meaning, onclick: () => put(one.sql) }, one.question)))))));
}
