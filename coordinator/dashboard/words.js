// Numbers and times as people read them, and elements. Texts that come from elsewhere are only ever set as text.

export const $ = (id) => document.getElementById(id);

// An element with a class, text and children; nothing here reads HTML.
export function make(tag, className = "", words = null, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (words !== null) element.textContent = words;
  element.append(...children);
  return element;
}

// Leaves what is right alone, so that a reader's selection and a screen reader's peace survive.
export function say(element, words) {
  const text = words === "" ? "\u00a0" : String(words);
  if (element.textContent !== text) element.textContent = text;
}

export function dress(element, className) {
  if (element.className !== className) element.className = className;
}

// As the coordinator's own lines have them: "45 s", "12 min", "1 h 20 min", "3 d 4 h".
export function timeWords(seconds) {
  const s = Math.round(Math.max(0, seconds)), minutes = Math.round(s / 60), hours = Math.round(s / 3600);
  if (s < 60) return `${s} s`;
  if (minutes < 60) return `${minutes} min`;
  if (minutes < 24 * 60) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

// Four decimals, or where those would say nothing, three digits.
export function fitnessWords(value, withSign = false) {
  if (value === null || value === undefined) return "–";
  const small = value !== 0 && Math.abs(value) < 0.001;
  const words = small ? value.toPrecision(3) : value.toFixed(4);
  return withSign && value >= 0 ? `+${words}` : words;
}

export function numberWords(value, digits = 4) {
  if (value === null || value === undefined) return "–";
  return String(Number(value.toPrecision(digits)));
}

export function bytesWords(bytes) {
  if (!bytes) return "–";
  return bytes >= 1 << 30 ? `${(bytes / (1 << 30)).toFixed(1)} GB` : `${Math.round(bytes / (1 << 20))} MB`;
}

const sameDay = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const otherDay = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });
const isToday = (date) => date.toDateString() === new Date().toDateString();

export function whenWords(ms) {
  if (!ms) return "–";
  const date = new Date(ms);
  return (isToday(date) ? sameDay : otherDay).format(date);
}

export const trialName = (number) => (number > 0 ? `candidate ${number}` : `imported row ${-number}`);
export const capital = (words) => words.charAt(0).toUpperCase() + words.slice(1);
export const plural = (count, one, many = `${one}s`) => `${count.toLocaleString()} ${count === 1 ? one : many}`;
