// The page: puts what live.js hears where it belongs, at a pace that a browser can keep with ten thousand trials.
import { $, say, dress, fitnessWords, numberWords, timeWords, whenWords, plural } from "./words.js";
import { model, listen } from "./live.js";
import { drawFitness, setUpFitness } from "./charts.js";
import { drawPanels, makePanels } from "./panels.js";
import { makeTable, setUpTable, showTable } from "./table.js";
import { setUpWorkers, showWorkers } from "./workers.js";
import { setUpFailures, showFailures } from "./failures.js";
import { openTrial, setUpDetail } from "./detail.js";

const MANY = 2000, MANY_EVERY_MS = 3000, FEW_EVERY_MS = 250, OLD_S = 6;
const phases = {
  starting: ["starting", ""], running: ["running", ""], paused: ["paused", "warn"], full: ["no space", "bad"],
  finished: ["finished", "good"], broken: ["stopped with a reason", "bad"], stopped: ["stopped", "warn"],
};
const links = {
  connecting: ["connecting", ""], live: ["live", "live"], asking: ["every 2 s", "slow"], lost: ["no answer", "lost"], locked: ["locked", "lost"],
};
let link = "connecting";

// ---- the head ----

function showRun() {
  const run = model.run;
  if (!run) return;
  say($("name"), run.name);
  say($("about"), `strategy ${run.strategy} · ${run.folder}`);
  $("about").title = run.folder;
  say($("version"), `Mendel ${run.version}`);
}

const hasEnded = (state) => ["finished", "broken", "stopped"].includes(state.phase);

// What is worth a sentence, and how grave it is.
function noticeOf(state) {
  if (link === "locked") return ["This page is no longer let in: open the address that the coordinator has printed again.", "bad"];
  if (link === "lost") return state && hasEnded(state) ? ["The coordinator has ended. This is how the run stood.", ""] : ["The coordinator does not answer. This is how the run stood.", "bad"];
  if (!state) return ["", ""];
  if (state.age_s > OLD_S) return [`The coordinator's loop has been silent for ${timeWords(state.age_s)}.`, "bad"];
  if (state.phase === "paused") return ["Paused: trainings under way go on, new ones do not start.", "warn"];
  if (state.notice) return [state.notice, state.phase === "running" ? "warn" : "bad"];
  if (state.phase === "finished") return ["Finished.", ""];
  if (state.phase === "stopped") return ["Stopped: the same command goes on.", "warn"];
  return [paceOf(state), ""];
}

// How fast results come: of the last fifty, or as many as there are.
function paceOf(state) {
  const recent = model.evaluated.slice(-50).filter((t) => t.ended_ms && t.arrival);
  if (!recent.length) return state.workers.length ? "The first results are on their way." : "Waiting for workers.";
  const last = Math.max(...recent.map((t) => t.ended_ms)), first = Math.min(...recent.map((t) => t.ended_ms));
  const words = [`Last result ${timeWords((state.time_ms - last) / 1000)} ago`];
  if (recent.length > 4 && last > first) words.push(`${numberWords(((recent.length - 1) * 3600000) / (last - first), 3)} an hour`);
  return words.join(", ");
}

function showPhase() {
  const state = model.state, [words, kind] = phases[state?.phase] ?? phases.starting, [linkWords, linkKind] = links[link];
  say($("phase"), words);
  dress($("phase"), `chip ${kind}`);
  const ended = link === "lost" && state && hasEnded(state);
  say($("link"), ended ? "ended" : linkWords);
  dress($("link"), `link ${ended ? "" : linkKind}`);
  const [notice, gravity] = noticeOf(state);
  say($("notice"), notice);
  dress($("notice"), `notice ${gravity}`);
  // Read aloud is what holds the run up, not every result.
  say($("announce"), gravity ? notice : "");
}

function showFigures(s) {
  const gain = s.best && s.base_fitness !== null && s.best.candidate !== 1 ? `, ${fitnessWords(s.best.fitness - s.base_fitness, true)}` : "";
  say($("best"), s.best ? fitnessWords(s.best.fitness) : "–");
  say($("best-more"), s.best ? (s.best.candidate > 0 ? `# ${s.best.candidate}` : "imported") + gain : "no result yet");
  say($("evaluated"), s.evaluated.toLocaleString());
  say($("evaluated-more"), `of ${s.generations.toLocaleString()}${s.imported ? `, ${s.imported.toLocaleString()} imported` : ""}`);
  const left = s.seconds_left;
  say($("left"), left === null ? (s.evaluated >= s.generations ? "none" : "–") : timeWords(left));
  say($("left-more"), left === null ? "" : `until ${whenWords(Date.now() + left * 1000)}`);
  say($("running"), s.running.toLocaleString());
  say($("running-more"), plural(s.workers.length, "worker") + (s.waiting ? `, ${s.waiting.toLocaleString()} waiting` : ""));
  say($("failed"), s.failed.toLocaleString());
  say($("failed-more"), s.failed ? "see below" : "");
  $("bar").max = Math.max(1, s.generations);
  $("bar").value = s.evaluated;
  const name = model.run?.name ?? "Mendel";
  document.title = `${s.evaluated}/${s.generations} ${name}`;
}

function showState() {
  showPhase();
  if (!model.state || model.state.phase === "starting") return;
  showFigures(model.state);
  showWorkers();
}

// ---- what takes longer: at most so often, and never while nobody looks ----

let due = false, drawn = 0;

function drawAll() {
  due = false;
  drawn = performance.now();
  drawFitness();
  drawPanels();
  showTable();
  showFailures();
}

function drawSoon() {
  if (due) return;
  due = true;
  const every = model.evaluated.length > MANY ? MANY_EVERY_MS : FEW_EVERY_MS;
  setTimeout(() => requestAnimationFrame(drawAll), Math.max(0, drawn + every - performance.now()));
}

function drawNow() {
  requestAnimationFrame(() => { drawFitness(); drawPanels(); });
}

const heard = {
  run: () => { showRun(); makePanels(); makeTable(); drawSoon(); },
  state: showState,
  trials: drawSoon,
  selected: () => { drawNow(); showTable(); },
  link: (now) => { link = now; showPhase(); },
};

setUpFitness(openTrial);
setUpTable(openTrial);
setUpWorkers(openTrial);
setUpFailures();
setUpDetail();
new ResizeObserver(drawNow).observe($("fitness"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawNow);
drawNow();
listen((what, value) => heard[what](value));
