// Who works, on what, how far, how fast, and when it was heard last.
import { $, make, say, dress, timeWords, numberWords, trialName, plural } from "./words.js";
import { model } from "./live.js";

const SHOWN = 200, SILENT_S = 12;
let cards = new Map(), open = () => {};

export function setUpWorkers(opened) {
  open = opened;
}

function makeSlot() {
  const button = make("button", "plain"), bar = document.createElement("progress");
  button.type = "button";
  const step = make("span", "step"), rate = make("span", "rate"), idle = make("span");
  const row = make("div", "slot", null, button, bar, step, rate, idle);
  button.addEventListener("click", () => open(model.trials.get(slot.candidate)));
  const slot = { row, button, bar, step, rate, idle, candidate: 0 };
  return slot;
}

function fillSlot(slot, s) {
  slot.candidate = s.candidate;
  dress(slot.row, s.candidate ? "slot" : "slot idle");
  for (const part of [slot.button, slot.bar, slot.step, slot.rate]) part.hidden = !s.candidate;
  slot.idle.hidden = Boolean(s.candidate);
  if (!s.candidate) { say(slot.idle, "waits for work"); return; }
  say(slot.button, `# ${s.candidate}`);
  const name = trialName(s.candidate) + (s.attempt > 1 ? `, attempt ${s.attempt}` : "");
  slot.button.setAttribute("aria-label", `Show ${name}`);
  const epoch = Math.min(s.epoch + 1, s.epochs), part = s.epochs ? (s.epoch + (s.steps ? s.step / s.steps : 0)) / s.epochs : 0;
  slot.bar.value = Math.max(0, Math.min(1, part));
  slot.bar.setAttribute("aria-label", s.epochs ? `${name}: epoch ${epoch} of ${s.epochs}` : `${name} is starting`);
  say(slot.step, s.epochs ? `epoch ${epoch}/${s.epochs}${s.steps ? `, step ${s.step}/${s.steps}` : ""}` : "starting");
  say(slot.rate, s.images_per_s ? `${numberWords(s.images_per_s, 3)} img/s` : "");
  slot.row.title = s.epochs ? `${name}: epoch ${epoch} of ${s.epochs}, step ${s.step} of ${s.steps}, loss ${numberWords(s.loss)}` : name;
}

function makeCard() {
  const host = make("span", "host"), heard = make("span", "heard quiet"), device = make("div", "device quiet"), slots = make("div");
  const body = make("div", "worker", null, make("div", "who", null, host, heard), device, slots);
  return { body, host, heard, device, slots, rows: [] };
}

function fillCard(card, w) {
  say(card.host, `${w.host} ${w.id.slice(0, 6)}`);
  card.host.title = w.host;
  say(card.device, w.device || "unknown device");
  card.device.title = w.device;
  const silent = w.silent_s > SILENT_S;
  dress(card.heard, silent ? "heard quiet warn" : "heard quiet");
  say(card.heard, silent ? `silent for ${timeWords(w.silent_s)}` : w.silent_s < 2 ? "heard just now" : `heard ${timeWords(w.silent_s)} ago`);
  while (card.rows.length < w.slots.length) {
    const slot = makeSlot();
    card.rows.push(slot);
    card.slots.append(slot.row);
  }
  while (card.rows.length > w.slots.length) card.rows.pop().row.remove();
  w.slots.forEach((s, i) => fillSlot(card.rows[i], s));
}

// Leased before this start of the coordinator, and not heard of since: nobody's slot says so.
function strays(workers) {
  const held = new Set(workers.flatMap((w) => w.slots.map((s) => s.candidate)));
  return [...model.trials.values()].filter((t) => t.state === "leased" && !held.has(t.candidate));
}

function nobody(state) {
  if (["finished", "broken", "stopped"].includes(state.phase)) return "The run has ended; its workers have left.";
  return "No worker is connected.";
}

export function showWorkers() {
  const state = model.state, list = [...(state?.workers ?? [])];
  const collator = new Intl.Collator();
  list.sort((a, b) => collator.compare(a.host, b.host) || collator.compare(a.id, b.id));
  const slots = list.reduce((n, w) => n + w.slots.length, 0);
  const lost = state && list.length + 1 < SHOWN ? strays(list) : [];
  say($("workers-count"), list.length ? `${plural(list.length, "worker")}, ${plural(slots, "slot")}` : "");
  const wanted = list.slice(0, SHOWN).map((w) => {
    const card = cards.get(w.id) ?? makeCard();
    cards.set(w.id, card);
    fillCard(card, w);
    return card.body;
  });
  for (const id of [...cards.keys()]) if (!list.some((w) => w.id === id)) cards.delete(id);
  if (list.length > SHOWN) wanted.push(make("p", "quiet", `and ${list.length - SHOWN} more`));
  if (lost.length) wanted.push(make("p", "worker quiet", `Not heard of for now: ${lost.slice(0, 20).map((t) => `${trialName(t.candidate)} (${t.host ?? "unknown"})`).join(", ")}`));
  if (!wanted.length && state) wanted.push(make("p", "nothing", nobody(state)));
  place($("workers"), wanted);
}

// Put children in this order, moving only what is elsewhere.
export function place(parent, wanted) {
  wanted.forEach((node, i) => { if (parent.children[i] !== node) parent.insertBefore(node, parent.children[i] ?? null); });
  while (parent.children.length > wanted.length) parent.lastElementChild.remove();
}
