// One trial in full: results, hyperparameters beside those of the start and of the best, where it ran, what went wrong.
import { $, make, capital, fitnessWords, numberWords, timeWords, bytesWords, whenWords, trialName } from "./words.js";
import { model, select } from "./live.js";
import { failuresOf, makeFailure } from "./failures.js";

const RESULTS = ["P", "R", "mAP@.5", "mAP@.5:.95", "box loss", "objectness loss", "class loss"];

function addFact(list, name, value) {
  const shown = make("dd");
  shown.append(value);
  list.append(make("dt", "", name), shown);
}

function parentOf(t) {
  if (t.parent === "mean") return "mean of the best";
  if (t.parent === null) return t.candidate === 1 ? "none: the start" : "the start";
  const button = make("button", "plain", trialName(t.parent));
  button.type = "button";
  button.addEventListener("click", () => openTrial(model.trials.get(t.parent)));
  return button;
}

function facts(t) {
  const list = make("dl", "facts");
  addFact(list, "State", t.state + (t.reason ? `: ${t.reason}` : ""));
  if (t.detail) addFact(list, "Why", t.detail);
  if (t.fitness !== null) addFact(list, "Fitness", fitnessWords(t.fitness) + (t === model.best ? ", the best so far" : ""));
  if (t.results) RESULTS.forEach((name, i) => addFact(list, name, fitnessWords(t.results[i])));
  if (t.state !== "imported") addFact(list, "Parent", parentOf(t));
  if (t.epoch) addFact(list, "Epochs", String(t.epoch));
  if (t.attempts) addFact(list, "Attempts", String(t.attempts) + (t.lost ? `, ${t.lost} lost` : "") + (t.resumed ? ", resumed" : ""));
  if (t.host) addFact(list, "Worker", [t.host, t.device, t.precision].filter(Boolean).join(", "));
  if (t.seconds) addFact(list, "Training", timeWords(t.seconds) + (t.memory ? `, at most ${bytesWords(t.memory)}` : ""));
  if (t.bred_ms) addFact(list, "Bred", whenWords(t.bred_ms));
  if (t.ended_ms) addFact(list, "Ended", whenWords(t.ended_ms));
  return list;
}

function hyps(t) {
  const head = make("tr", "", null, ...["hyperparameter", "value", "start", "best"].map((words, i) => make("th", i ? "" : "word", words)));
  for (const cell of head.children) cell.scope = "col";
  const body = make("tbody");
  (model.run?.space ?? []).forEach((row, i) => {
    const start = model.first?.hyps[i], differs = start !== undefined && start !== t.hyps[i];
    const name = make("td", "word", row.key);
    name.title = row.meaning ?? "";
    body.append(make("tr", "", null, name, make("td", differs ? "changed" : "", numberWords(t.hyps[i], 6)),
      make("td", "", numberWords(start, 6)), make("td", "", numberWords(model.best?.hyps[i], 6))));
  });
  const box = make("div", "scroll", null, make("table", "", null, make("thead", "", null, head), body));
  box.tabIndex = 0;
  box.setAttribute("role", "region");
  box.setAttribute("aria-label", "Hyperparameters");
  return box;
}

export function openTrial(t) {
  if (!t) return;
  select(t.candidate);
  $("detail-title").textContent = capital(trialName(t.candidate));
  $("detail-body").replaceChildren(facts(t), ...failuresOf(t).map(makeFailure), hyps(t));
  if (!$("detail").open) $("detail").showModal();
  $("detail").scrollTop = 0;
}

export function setUpDetail() {
  $("detail-close").addEventListener("click", () => $("detail").close());
  // A click beside the dialog, on its backdrop, closes it.
  $("detail").addEventListener("click", (event) => { if (event.target === $("detail")) $("detail").close(); });
}
