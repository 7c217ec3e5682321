// Drawing by hand on canvas: scales, grids, and the fitness of all trials. Thousands of points, so no element for each.
import { $, fitnessWords, trialName, whenWords } from "./words.js";
import { model, select } from "./live.js";

// ---- what all drawings share ----

export function colours() {
  const style = getComputedStyle(document.documentElement);
  const get = (name) => style.getPropertyValue(name).trim();
  return { ink: get("--ink"), quiet: get("--quiet"), grid: get("--grid"), card: get("--card"), accent: get("--accent"), point: get("--point"), best: get("--best") };
}

// A canvas as sharp as the screen, inside a box that gives its size. Returns the pen, scaled to CSS pixels.
export function prepare(box) {
  let canvas = box.querySelector("canvas");
  if (!canvas) {
    canvas = document.createElement("canvas");
    canvas.setAttribute("aria-hidden", "true");
    box.prepend(canvas);
  }
  const width = box.clientWidth, height = box.clientHeight, ratio = Math.min(window.devicePixelRatio || 1, 3);
  const w = Math.round(width * ratio), h = Math.round(height * ratio);
  if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  return { pen, width, height };
}

// Round numbers from low to high, about `count` of them.
export function ticks(low, high, count) {
  const raw = (high - low) / Math.max(1, count), power = 10 ** Math.floor(Math.log10(raw || 1));
  const step = [1, 2, 2.5, 5, 10].map((n) => n * power).find((s) => s >= raw) ?? raw;
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) found.push(i * step || 0); // no -0
  return { step, found };
}

const decimals = (step) => Math.max(0, Math.min(8, -Math.floor(Math.log10(step) + 1e-9) + (step / 10 ** Math.floor(Math.log10(step)) === 2.5 ? 1 : 0)));

// The range of values with a little air; one value alone gets a range too.
export function range(values, air = 0.06) {
  let low = Infinity, high = -Infinity;
  for (const v of values) { if (v < low) low = v; if (v > high) high = v; }
  if (low > high) return [0, 1];
  const span = high - low || Math.abs(high) * 0.2 || 0.1;
  return [low - span * air, high + span * air];
}

// Many points are squares, which are drawn faster and look the same.
export function dot(pen, x, y, radius, many) {
  if (many) { pen.fillRect(x - radius, y - radius, 2 * radius, 2 * radius); return; }
  pen.beginPath();
  pen.arc(x, y, radius, 0, 2 * Math.PI);
  pen.fill();
}

export function ring(pen, x, y, radius, colour, width = 2) {
  pen.beginPath();
  pen.arc(x, y, radius, 0, 2 * Math.PI);
  pen.strokeStyle = colour;
  pen.lineWidth = width;
  pen.stroke();
}

export function showTip(words, x, y) {
  const tip = $("tip");
  if (tip.textContent !== words) tip.textContent = words;
  tip.hidden = false;
  const box = tip.getBoundingClientRect(), room = document.documentElement.clientWidth;
  tip.style.left = `${Math.max(6, Math.min(x + 14, room - box.width - 6))}px`;
  tip.style.top = `${y - box.height - 12 > 4 ? y - box.height - 12 : y + 18}px`;
}

export const hideTip = () => { $("tip").hidden = true; };

export function trialTip(t) {
  const words = [`${trialName(t.candidate)}${t === model.best ? " · best" : ""}`, `fitness ${fitnessWords(t.fitness)}`];
  if (t.results) words.push(`mAP@.5 ${fitnessWords(t.results[2])}, mAP@.5:.95 ${fitnessWords(t.results[3])}`);
  if (t.state === "stopped") words.push(`stopped early, epoch ${t.epoch}`);
  if (t.ended_ms) words.push(whenWords(t.ended_ms));
  return words.join("\n");
}

// ---- the fitness chart ----

const margin = { left: 46, right: 14, top: 28, bottom: 24 };
let byTime = false, placed = [], cursor = -1, open = () => {};

function xOf(t) {
  return byTime ? t.ended_ms : t.arrival;
}

function drawGrid(pen, area, x, y, c) {
  pen.font = "11.5px system-ui, sans-serif";
  pen.lineWidth = 1;
  pen.strokeStyle = c.grid;
  pen.fillStyle = c.quiet;
  const yTicks = ticks(y.low, y.high, Math.max(2, area.height / 48)), places = decimals(yTicks.step);
  pen.textAlign = "right";
  pen.textBaseline = "middle";
  for (const v of yTicks.found) {
    const at = Math.round(y.at(v)) + 0.5;
    pen.beginPath(); pen.moveTo(area.left, at); pen.lineTo(area.right, at); pen.stroke();
    pen.fillText(v.toFixed(places), area.left - 7, at);
  }
  pen.textAlign = "center";
  pen.textBaseline = "top";
  for (const [v, words] of x.labels) pen.fillText(words, Math.max(area.left, Math.min(x.at(v), area.right - 14)), area.bottom + 7);
}

const timeSteps = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 7200, 14400, 43200].map((m) => m * 60000);

function timeLabels(low, high, count) {
  const step = timeSteps.find((s) => (high - low) / s <= count) ?? timeSteps.at(-1);
  const shift = new Date(low).getTimezoneOffset() * 60000, found = [];
  for (let t = Math.ceil((low - shift) / step) * step + shift; t <= high; t += step) found.push([t, whenWords(t)]);
  return found;
}

function scaleX(trials, area) {
  const values = trials.map(xOf).filter((v) => v > 0 || !byTime);
  const count = Math.max(2, Math.floor((area.right - area.left) / (byTime ? 110 : 70)));
  let [low, high] = byTime ? range(values, 0.02) : [0, Math.max(10, values.at(-1) ?? 0) * 1.02];
  if (byTime && high - low < 60000) { low -= 30000; high += 30000; }
  const at = (v) => area.left + ((v - low) / (high - low)) * (area.right - area.left);
  const labels = byTime ? timeLabels(low, high, count)
    : ticks(low, high, count).found.filter((v) => Number.isInteger(v)).map((v) => [v, v.toLocaleString()]);
  return { at, labels };
}

function drawStart(pen, area, y, c) {
  const base = model.first?.fitness;
  if (base === null || base === undefined) return;
  const at = Math.round(y.at(base)) + 0.5;
  pen.strokeStyle = c.quiet;
  pen.lineWidth = 1.5;
  pen.setLineDash([5, 4]);
  pen.beginPath(); pen.moveTo(area.left, at); pen.lineTo(area.right, at); pen.stroke();
  pen.setLineDash([]);
}

function drawPoints(pen, c) {
  const many = placed.length > 3000, radius = many ? 1.3 : placed.length > 600 ? 2 : 2.8;
  pen.fillStyle = pen.strokeStyle = c.point;
  pen.lineWidth = 1.3;
  pen.globalAlpha = many ? 0.45 : 0.6;
  for (const p of placed) {
    if (p.trial.state !== "stopped") dot(pen, p.x, p.y, radius, many);
    else { pen.beginPath(); pen.arc(p.x, p.y, radius, 0, 2 * Math.PI); pen.stroke(); }
  }
  pen.globalAlpha = 1;
}

// The best so far, as steps up to the right edge.
function drawSteps(pen, area, c) {
  let top = null;
  pen.beginPath();
  for (const p of placed) {
    if (p.trial.state === "stopped" || (top !== null && p.y >= top)) continue;
    if (top === null) pen.moveTo(p.x, p.y);
    else { pen.lineTo(p.x, top); pen.lineTo(p.x, p.y); }
    top = p.y;
  }
  if (top === null) return;
  pen.lineTo(placed.at(-1).x, top);
  pen.strokeStyle = c.accent;
  pen.lineWidth = 2;
  pen.stroke();
}

function drawBest(pen, area, c) {
  const p = placed.find((q) => q.trial === model.best);
  if (!p) return;
  ring(pen, p.x, p.y, 6, c.best, 2.5);
  const words = `${fitnessWords(p.trial.fitness)} (${p.trial.candidate > 0 ? `candidate ${p.trial.candidate}` : "imported"})`;
  pen.font = "600 12.5px system-ui, sans-serif";
  const half = pen.measureText(words).width / 2, y = p.y - 17;
  const x = Math.max(area.left + half, Math.min(p.x, area.right - half));
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.lineWidth = 4;
  pen.strokeStyle = c.card;
  pen.strokeText(words, x, y);
  pen.fillStyle = c.best;
  pen.fillText(words, x, y);
}

function drawNothing(pen, width, height, c) {
  pen.fillStyle = c.quiet;
  pen.font = "14px system-ui, sans-serif";
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.fillText("The first result will appear here.", width / 2, height / 2);
}

export function drawFitness() {
  const box = $("fitness"), c = colours(), { pen, width, height } = prepare(box);
  const area = { left: margin.left, right: width - margin.right, top: margin.top, bottom: height - margin.bottom };
  area.height = area.bottom - area.top;
  const trials = byTime ? model.evaluated.filter((t) => t.ended_ms).sort((a, b) => a.ended_ms - b.ended_ms) : model.evaluated;
  placed = [];
  if (!trials.length) { drawNothing(pen, width, height, c); describe(); return; }
  const [low, high] = range(trials.map((t) => t.fitness));
  const y = { low, high, at: (v) => area.bottom - ((v - low) / (high - low)) * area.height };
  const x = scaleX(trials, area);
  placed = trials.map((trial) => ({ trial, x: x.at(xOf(trial)), y: y.at(trial.fitness) }));
  drawGrid(pen, area, x, y, c);
  drawStart(pen, area, y, c);
  drawPoints(pen, c);
  drawSteps(pen, area, c);
  drawBest(pen, area, c);
  const chosen = placed.find((p) => p.trial.candidate === model.selected);
  if (chosen) ring(pen, chosen.x, chosen.y, 8, c.ink, 2);
  describe();
}

// ---- looking closer: by pointer and by keyboard ----

export function nearest(points, x, y, reach) {
  let found = null, best = reach * reach;
  for (const p of points) {
    const d = (p.x - x) ** 2 + (p.y - y) ** 2;
    if (d < best) { best = d; found = p; }
  }
  return found;
}

function describe() {
  const box = $("fitness"), p = placed[cursor];
  box.setAttribute("aria-valuemax", String(Math.max(0, placed.length - 1)));
  box.setAttribute("aria-valuenow", String(Math.max(0, cursor)));
  const words = p ? trialTip(p.trial).replaceAll("\n", ", ")
    : model.best ? `${placed.length} trials, best ${fitnessWords(model.best.fitness)}, ${trialName(model.best.candidate)}` : "no trial yet";
  if (box.getAttribute("aria-valuetext") !== words) box.setAttribute("aria-valuetext", words);
}

function showCursor() {
  const p = placed[cursor];
  if (!p) return;
  select(p.trial.candidate);
  describe();
  const frame = $("fitness").getBoundingClientRect();
  showTip(trialTip(p.trial), frame.left + p.x, frame.top + p.y);
}

function takeKey(event) {
  const step = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageUp: 10, PageDown: -10 }[event.key];
  if (step) cursor = Math.max(0, Math.min(placed.length - 1, cursor < 0 ? placed.findIndex((p) => p.trial === model.best) : cursor + step));
  else if (event.key === "Home") cursor = 0;
  else if (event.key === "End") cursor = placed.length - 1;
  else if (event.key === "Enter" && placed[cursor]) { hideTip(); open(placed[cursor].trial); }
  else return;
  event.preventDefault();
  if (event.key !== "Enter") showCursor();
}

function pointed(event) {
  const frame = $("fitness").getBoundingClientRect();
  return nearest(placed, event.clientX - frame.left, event.clientY - frame.top, 28);
}

export function setUpFitness(opened) {
  const box = $("fitness");
  open = opened;
  box.addEventListener("keydown", takeKey);
  box.addEventListener("blur", hideTip);
  box.addEventListener("pointerleave", hideTip);
  box.addEventListener("pointermove", (event) => {
    const p = pointed(event);
    if (p) showTip(trialTip(p.trial), event.clientX, event.clientY);
    else hideTip();
  });
  box.addEventListener("click", (event) => {
    const p = pointed(event);
    if (!p) return;
    cursor = placed.indexOf(p);
    hideTip();
    select(p.trial.candidate);
    open(p.trial);
  });
  const choose = (time) => {
    byTime = time;
    cursor = -1;
    $("by-order").setAttribute("aria-pressed", String(!time));
    $("by-time").setAttribute("aria-pressed", String(time));
    drawFitness();
  };
  $("by-order").addEventListener("click", () => choose(false));
  $("by-time").addEventListener("click", () => choose(true));
}
