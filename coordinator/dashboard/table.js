// The population as a table: sorted by any column, a page at a time, so that ten thousand trials cost no more than thirty.
import { $, make, say, dress, fitnessWords, numberWords, timeWords, whenWords, trialName } from "./words.js";
import { model, select } from "./live.js";

const ROWS = 25;
let columns = [], rows = [], page = 0, sorted = { key: "fitness", down: true }, filter = "all", open = () => {};

const states = { leased: "under way", bred: "waiting", lost: "lost, waiting", yielded: "handed back, waiting" };

function fixedColumns() {
  const result = (name, i) => ({ key: name, name, value: (t) => t.results?.[i], words: fitnessWords });
  return [
    { key: "candidate", name: "#", value: (t) => t.candidate, words: (v) => (v > 0 ? String(v) : `imported ${-v}`) },
    { key: "state", name: "state", word: true, value: (t) => t.state, words: (v) => states[v] ?? v },
    { key: "fitness", name: "fitness", value: (t) => t.fitness, words: fitnessWords },
    ...["P", "R", "mAP@.5", "mAP@.5:.95"].map(result),
    { key: "seconds", name: "time", value: (t) => t.seconds, words: (v) => (v ? timeWords(v) : "–") },
    { key: "host", name: "worker", word: true, value: (t) => t.host, words: (v) => v ?? "–" },
    { key: "parent", name: "parent", value: (t) => (t.parent === "mean" ? 0 : t.parent), words: (v) => (v ? String(v) : v === 0 ? "mean" : "–") },
    { key: "ended", name: "ended", value: (t) => t.ended_ms || null, words: whenWords },
  ];
}

export function makeTable() {
  const hyps = (model.run?.space ?? []).map((row, i) => ({ key: `hyp ${row.key}`, name: row.key, title: row.meaning, value: (t) => t.hyps[i], words: (v) => numberWords(v) }));
  columns = [...fixedColumns(), ...hyps];
  const head = make("tr");
  for (const c of columns) {
    const button = make("button", "", c.name), cell = make("th", c.word ? "word" : "", null, button);
    button.type = "button";
    cell.scope = "col";
    if (c.title) button.title = c.title;
    button.addEventListener("click", () => sortBy(c.key));
    head.append(cell);
    c.cell = cell;
  }
  rows = [];
  const body = make("tbody");
  $("table").replaceChildren(make("table", "", null, make("thead", "", null, head), body));
  markSorting();
}

function markSorting() {
  for (const c of columns) {
    if (c.key === sorted.key) c.cell.setAttribute("aria-sort", sorted.down ? "descending" : "ascending");
    else c.cell.removeAttribute("aria-sort");
  }
}

function sortBy(key) {
  const word = columns.find((c) => c.key === key)?.word;
  sorted = { key, down: sorted.key === key ? !sorted.down : !word && key !== "candidate" };
  page = 0;
  markSorting();
  showTable();
}

const filters = {
  all: () => true,
  evaluated: (t) => t.fitness !== null && t.state !== "failed",
  open: (t) => ["bred", "leased", "lost", "yielded"].includes(t.state),
  failed: (t) => t.state === "failed",
};

// What has no value comes last, whichever way it is sorted; equals by number.
function sortedTrials() {
  const column = columns.find((c) => c.key === sorted.key) ?? columns[0], sign = sorted.down ? -1 : 1;
  const keyed = [];
  for (const t of model.trials.values()) if (filters[filter](t)) keyed.push([column.value(t) ?? null, t]);
  keyed.sort(([a, s], [b, t]) => {
    if (a === null || b === null) return (a === null) - (b === null) || s.candidate - t.candidate;
    const order = typeof a === "string" ? a.localeCompare(b) : a - b;
    return sign * order || s.candidate - t.candidate;
  });
  return keyed.map(([, t]) => t);
}

function makeRow() {
  const button = make("button", "plain"), line = make("tr");
  button.type = "button";
  const cells = columns.map((c, i) => make("td", c.word ? "word" : "", null, ...(i ? [] : [button])));
  line.append(...cells);
  const row = { line, button, cells, trial: null };
  button.addEventListener("click", () => row.trial && open(row.trial));
  line.addEventListener("click", () => row.trial && select(row.trial.candidate));
  return row;
}

function fillRow(row, t) {
  row.trial = t;
  row.line.hidden = !t;
  if (!t) return;
  const kinds = [t === model.best ? "best" : "", t.candidate === model.selected ? "selected" : ""];
  dress(row.line, kinds.filter(Boolean).join(" "));
  columns.forEach((c, i) => {
    const words = c.words(c.value(t));
    if (i === 0) { say(row.button, words); row.button.setAttribute("aria-label", `Show ${trialName(t.candidate)}${t === model.best ? ", the best" : ""}`); return; }
    say(row.cells[i], words);
    if (c.word) { row.cells[i].title = words; dress(row.cells[i], c.key === "state" ? `word state-${t.state}` : "word"); }
  });
}

export function showTable() {
  if (!columns.length) return;
  const body = $("table").querySelector("tbody"), all = sortedTrials(), pages = Math.max(1, Math.ceil(all.length / ROWS));
  page = Math.min(page, pages - 1);
  const shown = all.slice(page * ROWS, (page + 1) * ROWS), wanted = pages > 1 ? ROWS : shown.length;
  while (rows.length < wanted) { const row = makeRow(); rows.push(row); body.append(row.line); }
  rows.forEach((row, i) => fillRow(row, shown[i] ?? null));
  // A short last page is as high as the others, so that the buttons stay where they are.
  body.parentElement.style.marginBottom = `${Math.max(0, wanted - shown.length) * 32}px`;
  say($("page"), all.length ? `${(page * ROWS + 1).toLocaleString()}–${(page * ROWS + shown.length).toLocaleString()} of ${all.length.toLocaleString()}` : "none yet");
  $("first").disabled = $("previous").disabled = page === 0;
  $("next").disabled = $("last").disabled = page === pages - 1;
}

export function setUpTable(opened) {
  open = opened;
  const turn = (to) => { page = Math.max(0, to()); showTable(); };
  $("first").addEventListener("click", () => turn(() => 0));
  $("previous").addEventListener("click", () => turn(() => page - 1));
  $("next").addEventListener("click", () => turn(() => page + 1));
  $("last").addEventListener("click", () => turn(() => 1e9));
  $("filter").addEventListener("change", (event) => { filter = event.target.value; page = 0; showTable(); });
}
