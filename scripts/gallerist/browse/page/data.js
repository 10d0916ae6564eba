// Where the page's data come from: the server that serves it, or the folder that it was exported to.

export const live = document.documentElement.dataset.form !== "folder";

const kept = new Map();
const waiting = new Map();

globalThis.gallerist = (path, value) => waiting.get(path)?.(value);

function fromFolder(path) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    waiting.set(path, resolve);
    script.src = `data/${path.split("/").map(encodeURIComponent).join("/")}.js`;
    script.onerror = () => reject(new Error("this is not part of the exported folder"));
    script.onload = () => script.remove();
    document.head.append(script);
  });
}

async function answered(response) {
  const text = await response.text();
  let value = null;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error(text.trim() || `the server answers ${response.status}`);
  }
  if (!response.ok) throw new Error(value.error ?? `the server answers ${response.status}`);
  return value;
}

function address(path, params) {
  const query = new URLSearchParams(params).toString();
  return `api/${path.split("/").map(encodeURIComponent).join("/")}${query ? `?${query}` : ""}`;
}

/* One answer of the server. params: pairs, which a folder does without. */
export async function get(path, params = []) {
  if (!live) return fromFolder(path);
  let response;
  try {
    response = await fetch(address(path, params));
  } catch {
    throw new Error("the server does not answer: is gallerist browse still running?");
  }
  return answered(response);
}

/* The same, asked for once. */
export function once(path) {
  if (!kept.has(path)) {
    const found = get(path);
    kept.set(path, found);
    found.catch(() => kept.delete(path));
  }
  return kept.get(path);
}

export function forget(path) {
  kept.delete(path);
}

export async function send(path, body) {
  const raw = body instanceof Blob;
  return answered(await fetch(address(path, []), {
    method: "POST",
    headers: { "X-Gallerist": "1", "Content-Type": raw ? "application/octet-stream" : "application/json" },
    body: raw ? body : JSON.stringify(body),
  }));
}

export function thumbnail(dataSet, id) {
  return `thumbnails/${encodeURIComponent(dataSet)}/${encodeURIComponent(id)}.jpg`;
}

export function wholePicture(dataSet, id) {
  return live ? `pictures/${encodeURIComponent(dataSet)}/${encodeURIComponent(id)}` : thumbnail(dataSet, id);
}

export function figureFile(dataSet, experiment, file) {
  return `figures/${[dataSet, experiment, file].map(encodeURIComponent).join("/")}`;
}

/* The answers to one query by some experiments. */
export async function answersOf(dataSet, query, experiments, skipped = 0) {
  const params = [["count", "10"], ["skipped", String(skipped)]];
  return get(`${dataSet}/query/${query}`, [...params, ...experiments.map((name) => ["experiment", name])]);
}

/* Picture id -> what was said of it; nothing in a folder. */
export async function marks(dataSet) {
  if (!live) return new Map();
  const found = new Map();
  for (const one of (await once(`${dataSet}/corrections`)).corrections) {
    found.set(one.picture, [...(found.get(one.picture) ?? []), one]);
  }
  return found;
}

export async function mark(dataSet, said, remove = false) {
  const shown = await send(`${dataSet}/corrections${remove ? "/remove" : ""}`, said);
  kept.set(`${dataSet}/corrections`, Promise.resolve(shown));
  return shown;
}
