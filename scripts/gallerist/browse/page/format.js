// Numbers and times as people read them.

export function figure(value) {
  return value === null || value === undefined ? "–" : value.toFixed(3);
}

export function signed(value) {
  if (value === null || value === undefined) return "–";
  const text = Math.abs(value).toFixed(3);
  return value < 0 ? `−${text}` : `+${text}`;
}

export function interval(low, high, show = figure) {
  return low === null || low === undefined ? "no interval" : `${show(low)} to ${show(high)}`;
}

export function whole(value) {
  return value.toLocaleString("en");
}

export function count(number, one, many) {
  return `${whole(number)} ${number === 1 ? one : many}`;
}

export function cost(name, value) {
  if (typeof value !== "number") return String(value ?? "–");
  return Number.isInteger(value) ? whole(value) : value.toFixed(1);
}

export function day(text) {
  const time = new Date(text);
  if (Number.isNaN(time.getTime())) return "";
  return time.toLocaleDateString("en", { year: "numeric", month: "long", day: "numeric" });
}

export function percent(confidence) {
  return `${+(100 * confidence).toFixed(2)} %`;
}

/* "top-5" -> 5; null for another metric. */
export function kOf(metric) {
  const found = /^top-(\d+)$/.exec(metric);
  return found ? Number(found[1]) : null;
}

/* Accuracies first, as they are read: hit rates by k, then mAP, then the rest. */
export function ordered(metrics) {
  const place = (name) => kOf(name) ?? (name === "mAP" ? 1e6 : 1e7);
  return [...metrics].sort((one, other) => place(one) - place(other));
}
