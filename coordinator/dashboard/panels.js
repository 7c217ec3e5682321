// One small plot for each hyperparameter: its value against fitness, as evolve.png has them.
import { $, make, say, numberWords } from "./words.js";
import { model, select } from "./live.js";
import { colours, prepare, range, dot, ring, nearest, showTip, hideTip, trialTip } from "./charts.js";

const SHADES = 6;
let panels = [], seen = new Set(), watcher = null;

function makePanel(row, index) {
  const name = make("span", "", row.key), value = make("span");
  const area = make("div", "area"), low = make("span"), high = make("span");
  const figure = make("figure", "panel", null, make("figcaption", "", null, name, value), area, make("div", "ends", null, low, high));
  figure.title = row.meaning ?? "";
  area.setAttribute("role", "img");
  const panel = { row, index, figure, area, value, low, high, placed: [] };
  area.addEventListener("pointermove", (event) => {
    const p = pointed(panel, event);
    if (p) showTip(`${row.key} ${numberWords(p.trial.hyps[index])}\n${trialTip(p.trial)}`, event.clientX, event.clientY);
    else hideTip();
  });
  area.addEventListener("pointerleave", hideTip);
  area.addEventListener("click", (event) => {
    const p = pointed(panel, event);
    if (p) select(p.trial.candidate);
  });
  return panel;
}

function pointed(panel, event) {
  const frame = panel.area.getBoundingClientRect();
  return nearest(panel.placed, event.clientX - frame.left, event.clientY - frame.top, 18);
}

export function makePanels() {
  const space = model.run?.space ?? [];
  watcher?.disconnect();
  seen.clear();
  panels = space.map(makePanel);
  $("panels").replaceChildren(...panels.map((p) => p.figure));
  watcher = new IntersectionObserver((entries) => {
    for (const e of entries) {
      const panel = panels.find((p) => p.area === e.target);
      if (!panel) continue;
      if (e.isIntersecting) { seen.add(panel); draw(panel); } else seen.delete(panel);
    }
  }, { rootMargin: "200px" });
  for (const p of panels) watcher.observe(p.area);
}

// Positive values over more than a decade and a half are easier to tell apart by their logarithm.
function scale(values) {
  let low = Infinity, high = -Infinity;
  for (const v of values) { if (v < low) low = v; if (v > high) high = v; }
  const log = low > 0 && high / low > 30, to = log ? Math.log : (v) => v;
  const span = to(high) - to(low) || Math.abs(to(high)) || 1;
  return { low, high, at: (v) => (high > low ? (to(v) - to(low)) / span : 0.5) };
}

function drawFrame(pen, width, height, c) {
  pen.strokeStyle = c.grid;
  pen.lineWidth = 1;
  pen.strokeRect(0.5, 0.5, width - 1, height - 1);
  pen.beginPath();
  for (const part of [0.25, 0.5, 0.75]) { pen.moveTo(0, Math.round(height * part) + 0.5); pen.lineTo(width, Math.round(height * part) + 0.5); }
  pen.stroke();
}

function draw(panel) {
  const { pen, width, height } = prepare(panel.area), c = colours(), trials = model.evaluated;
  drawFrame(pen, width, height, c);
  panel.placed = [];
  if (!trials.length) { say(panel.value, ""); say(panel.low, ""); say(panel.high, ""); return; }
  const x = scale(trials.map((t) => t.hyps[panel.index])), [low, high] = range(trials.map((t) => t.fitness), 0.04);
  const place = (t) => ({ trial: t, x: 7 + x.at(t.hyps[panel.index]) * (width - 14), y: height - 7 - ((t.fitness - low) / (high - low)) * (height - 14) });
  panel.placed = trials.map(place);
  const many = trials.length > 1000, radius = many ? 1.1 : 2;
  pen.fillStyle = c.point;
  for (let shade = 0; shade < SHADES; shade++) {
    const from = Math.floor((trials.length * shade) / SHADES), to = Math.floor((trials.length * (shade + 1)) / SHADES);
    pen.globalAlpha = 0.2 + (0.7 * (shade + 1)) / SHADES;
    for (let i = from; i < to; i++) dot(pen, panel.placed[i].x, panel.placed[i].y, radius, many);
  }
  pen.globalAlpha = 1;
  mark(pen, panel, model.best, 5.5, c.best);
  mark(pen, panel, model.trials.get(model.selected), 7.5, c.ink);
  say(panel.value, numberWords(model.best?.hyps[panel.index]));
  say(panel.low, numberWords(x.low, 3));
  say(panel.high, numberWords(x.high, 3));
  panel.area.setAttribute("aria-label", `${panel.row.key}: from ${numberWords(x.low, 3)} to ${numberWords(x.high, 3)}, best ${numberWords(model.best?.hyps[panel.index])}`);
}

function mark(pen, panel, trial, radius, colour) {
  const p = trial && panel.placed.find((q) => q.trial === trial);
  if (p) ring(pen, p.x, p.y, radius, colour);
}

// Hyperparameters that have one value in all trials need no plot, only a word.
function sortOut() {
  const still = [];
  for (const p of panels) {
    const first = model.evaluated[0]?.hyps[p.index];
    const same = model.evaluated.length > 1 && model.evaluated.every((t) => t.hyps[p.index] === first);
    if (same) still.push(`${p.row.key} ${numberWords(first)}`);
    if (p.figure.hidden !== same) p.figure.hidden = same;
  }
  say($("constant"), still.length ? `The same in all trials: ${still.join(", ")}` : "");
}

export function drawPanels() {
  sortOut();
  for (const p of seen) draw(p);
}
