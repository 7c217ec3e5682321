// What the page knows of the run, and how it hears of it: by server-sent events, else by asking, again and again.

const POLL_MS = 2000, SILENCE_MS = 15000, RETRY_EVENTS_MS = 20000, PULL_MS = 1000, AT_ONCE = 1000;

export const model = {
  run: null, // what does not change: name, space
  state: null, // the last state
  trials: new Map(), // by number
  evaluated: [], // those with a fitness, in the order of their results
  best: null,
  first: null, // candidate 1
  selected: null,
};

let tell = () => {};
let source = null, lastNews = 0, timer = 0, eventsFrom = 0;
let start = null, change = 0, pulling = false;
let link = "connecting";

function setLink(now) {
  if (now === link) return;
  link = now;
  tell("link", link);
}

async function ask(path) {
  const control = new AbortController();
  const limit = setTimeout(() => control.abort(), 20000);
  try {
    const answer = await fetch(path, { signal: control.signal, cache: "no-store" });
    if (answer.status === 401) setLink("locked");
    return answer.ok ? await answer.json() : null;
  } catch {
    return null;
  } finally {
    clearTimeout(limit);
  }
}

// ---- trials ----

const isMember = (t) => t.state === "done" || t.state === "imported";

function digest() {
  const all = [...model.trials.values()].filter((t) => t.fitness !== null);
  all.sort((a, b) => a.arrival - b.arrival || b.candidate - a.candidate);
  model.evaluated = all;
  model.best = null;
  for (const t of all) if (isMember(t) && (!model.best || t.fitness > model.best.fitness)) model.best = t;
  model.first = model.trials.get(1) ?? null;
}

async function pullTrials() {
  if (pulling) return;
  pulling = true;
  let more = true, took = 0;
  while (more && model.state && change < model.state.trials) {
    const page = await ask(`/api/trials?since=${change}&limit=${AT_ONCE}`);
    if (!page || page.start !== start) break;
    for (const t of page.trials) model.trials.set(t.candidate, t);
    took += page.trials.length;
    change = page.next;
    more = page.more;
    if (took && (!more || took % (AT_ONCE * 2) === 0)) { digest(); tell("trials"); }
  }
  setTimeout(() => { pulling = false; if (model.state && change < model.state.trials && link !== "lost") pullTrials(); }, PULL_MS);
}

// ---- states ----

// A coordinator that was started again counts anew.
async function beginAgain(state) {
  start = state.start;
  change = 0;
  model.trials.clear();
  digest();
  const run = await ask("/api/run");
  if (run) model.run = run;
  else start = null; // the next state tries again
  tell("run");
  tell("trials");
}

async function takeState(state) {
  lastNews = Date.now();
  if (state.start !== start) await beginAgain(state);
  model.state = state;
  tell("state");
  if (change < state.trials) pullTrials();
}

// ---- events, and asking ----

function closeEvents() {
  if (source) source.close();
  source = null;
}

function openEvents() {
  closeEvents();
  source = new EventSource("/api/events");
  source.onmessage = (event) => {
    setLink("live");
    takeState(JSON.parse(event.data));
  };
  source.onerror = () => {
    // The browser tries again by itself unless it was refused.
    if (source && source.readyState === EventSource.CLOSED) closeEvents();
    eventsFrom = Date.now() + RETRY_EVENTS_MS;
    schedule(200);
  };
}

function schedule(ms) {
  clearTimeout(timer);
  timer = setTimeout(look, ms);
}

// Runs while the page is seen: is there news? If not, ask.
async function look() {
  if (document.hidden) return;
  const now = Date.now();
  if (source && source.readyState === EventSource.OPEN && now - lastNews < SILENCE_MS) {
    schedule(POLL_MS);
    return;
  }
  const state = await ask("/api/state");
  if (state) {
    if (link !== "live" || !source || source.readyState !== EventSource.OPEN) setLink("asking");
    await takeState(state);
  } else if (link !== "locked") setLink("lost");
  if (Date.now() >= eventsFrom && link !== "locked" && state) {
    eventsFrom = Date.now() + RETRY_EVENTS_MS;
    openEvents();
  }
  schedule(POLL_MS);
}

// A page that nobody sees holds no connection: browsers have few for each server.
function seenOrNot() {
  if (document.hidden) {
    closeEvents();
    clearTimeout(timer);
  } else {
    eventsFrom = 0;
    look();
  }
}

export function listen(handler) {
  tell = handler;
  document.addEventListener("visibilitychange", seenOrNot);
  look();
}

export function select(number) {
  if (model.selected === number) return;
  model.selected = number;
  tell("selected");
}
