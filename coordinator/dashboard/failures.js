// Attempts that failed, the latest first: why, where, and the trainer's last lines when somebody wants to see them.
import { $, make, say, whenWords, trialName, capital, plural } from "./words.js";
import { model } from "./live.js";
import { place } from "./workers.js";

const STEP = 30;
let shown = STEP, kept = new Map();

async function fetchLog(candidate, attempt) {
  try {
    const answer = await fetch(`/api/log?candidate=${candidate}&attempt=${attempt}`, { cache: "no-store" });
    return answer.ok ? await answer.text() : "The log is kept no longer; the run's store has it.";
  } catch {
    return "The coordinator does not answer.";
  }
}

async function openLog(item, into) {
  if (into.childElementCount) return;
  const log = make("pre", "", "…");
  log.tabIndex = 0;
  log.setAttribute("role", "region");
  log.setAttribute("aria-label", "Last lines of the trainer");
  into.append(log);
  log.textContent = (await fetchLog(item.candidate, item.attempt)).trimEnd();
  log.scrollTop = log.scrollHeight;
}

export function makeFailure(item) {
  const where = [item.host, item.device].filter(Boolean).join(", ");
  const summary = make("summary", "", null,
    make("span", "what", capital(trialName(item.candidate)) + (item.attempt > 1 ? `, attempt ${item.attempt}` : "")),
    make("span", "chip bad", item.reason ?? "failed"), make("span", "why", item.detail ?? ""), make("span", "quiet", whenWords(item.ended_ms)));
  const log = make("div");
  const details = make("details", "failure", null, summary, make("p", "", item.detail ?? "No more is known."));
  if (where) details.append(make("p", "quiet", `On ${where}`));
  details.append(log);
  if (item.log) details.addEventListener("toggle", () => { if (details.open) openLog(item, log); });
  return details;
}

// The failed attempts of a trial; a candidate that was given up without one (lost too often) counts as one.
export function failuresOf(t) {
  const found = t.failures.map((f) => ({ candidate: t.candidate, ...f }));
  if (t.state === "failed" && !found.some((f) => f.reason === t.reason))
    found.push({ candidate: t.candidate, attempt: 0, ended_ms: t.ended_ms, host: t.host, device: t.device, reason: t.reason, detail: t.detail, log: false });
  return found;
}

export function showFailures() {
  const all = [];
  for (const t of model.trials.values()) if (t.failures.length || t.state === "failed") all.push(...failuresOf(t));
  all.sort((a, b) => b.ended_ms - a.ended_ms || b.candidate - a.candidate);
  const wanted = all.slice(0, shown).map((item) => {
    const key = `${model.run?.start} ${item.candidate} ${item.attempt}`;
    if (!kept.has(key)) kept.set(key, makeFailure(item));
    return kept.get(key);
  });
  say($("failures-count"), all.length ? plural(all.length, "failed attempt") : "");
  if (!wanted.length) wanted.push(make("p", "nothing", "Nothing has failed."));
  place($("failures"), wanted);
  $("failures-more").hidden = all.length <= shown;
}

export function setUpFailures() {
  $("failures-more").addEventListener("click", () => { shown += STEP; showFailures(); });
}
