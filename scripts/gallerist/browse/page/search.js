// Any picture, or a region of one, searched by several experiments.

import { h, say } from "./dom.js";
import { get, live, once, send, wholePicture } from "./data.js";
import { link, ranked } from "./links.js";
import { experimentBoxes, named, notSure, strip } from "./cards.js";
import { openPair } from "./pair.js";

export async function searchPage({ dataSet, params, go, drops }) {
  if (!live) return h("div", { class: "page" }, h("h1", { tabindex: "-1" }, "Search"), h("p", { class: "notice" }, "A picture can be searched while gallerist browse runs; this folder only shows what was found."));
  const overview = await once(`${dataSet}/overview`);
  const refused = (name) => overview.experiments.find((each) => each.name === name).refusal;
  const able = ranked(overview).filter((name) => !refused(name));
  const asked = (params.with ?? "").split(",").filter((name) => able.includes(name));
  const experiments = asked.length ? asked : able.slice(0, 2);
  const given = params.upload ? { upload: params.upload } : params.picture ? { picture: params.picture } : null;
  const again = (more) => go(link(dataSet, "search", "", { ...given, with: experiments.join(","), ...more }));
  const problem = h("p", { class: "notice", role: "alert", hidden: true });
  const fail = (error) => {
    problem.textContent = error.message;
    problem.hidden = false;
  };
  const take = async (file) => {
    if (!file) return;
    problem.hidden = true;
    say("The picture is sent");
    try {
      const { id } = await send("uploads", file);
      again({ upload: id, picture: "" });
    } catch (error) {
      fail(error);
    }
  };
  drops(take);
  const input = h("input", { type: "file", accept: "image/*,.tif,.tiff,.bmp", class: "hidden", id: "file", onchange: () => take(input.files[0]) });
  const zone = h("div", { class: `zone${given ? " slim" : ""}` },
    h("p", {}, h("label", { class: "button", for: "file" }, "Choose a picture"), input, " or drop or paste one anywhere on this page"),
    h("p", { class: "small" }, "It stays on this machine, and is forgotten when the server ends."));
  const shown = given && await preview(dataSet, given, again, fail);
  const columns = given ? experiments.map((name) => column(dataSet, overview, name, given, shown)) : [];
  return h("div", { class: "page" },
    h("h1", { tabindex: "-1" }, "Search"), zone, problem,
    experimentBoxes(overview, experiments, (names) => again({ with: names.join(",") }), refused),
    shown?.node, columns);
}

/* The picture that is searched, of which a region can be chosen. */
async function preview(dataSet, given, again, fail) {
  const known = given.picture ? await get(`${dataSet}/picture/${given.picture}`) : { id: given.upload, name: "your picture", label: "" };
  const source = given.picture ? wholePicture(dataSet, given.picture) : `uploads/${encodeURIComponent(given.upload)}.jpg`;
  const image = h("img", { src: source, alt: `searched: ${known.label || known.name}`, draggable: "false" });
  image.addEventListener("error", () => fail(new Error("this picture is not kept any more: drop it again")));
  const rectangle = h("span", { class: "region", hidden: true });
  const go = h("button", { type: "button", class: "button", disabled: true, onclick: search }, "Search this region");
  const numbers = ["left", "top", "right", "bottom"].map((name, place) => h("input", { type: "number", min: "0", max: "100", value: place < 2 ? "0" : "100", "aria-label": `${name}, % of the picture`, oninput: typed }));
  let box = [0, 0, 1, 1];
  function draw() {
    const [left, top, right, bottom] = box;
    const empty = right - left < 0.01 || bottom - top < 0.01 || (right - left > 0.99 && bottom - top > 0.99);
    rectangle.hidden = empty;
    go.disabled = empty;
    for (const [name, value] of Object.entries({ left, top, right: 1 - right, bottom: 1 - bottom })) rectangle.style.setProperty(name, `${100 * value}%`);
  }
  function typed() {
    box = numbers.map((each) => Math.min(100, Math.max(0, Number(each.value))) / 100);
    draw();
  }
  async function search() {
    try {
      const { id } = await send("regions", { data_set: given.picture ? dataSet : "", picture: given.picture ?? given.upload, box });
      again({ upload: id, picture: "" });
    } catch (error) {
      fail(error);
    }
  }
  const frame = h("div", { class: "crop" }, image, rectangle);
  image.addEventListener("load", () => frame.style.setProperty("max-width", `${Math.min(15, (18 * image.naturalWidth) / image.naturalHeight)}rem`));
  let start = null;
  const at = (event) => {
    const edge = image.getBoundingClientRect();
    return [(event.clientX - edge.left) / edge.width, (event.clientY - edge.top) / edge.height].map((share) => Math.min(1, Math.max(0, share)));
  };
  frame.addEventListener("pointerdown", (event) => {
    start = at(event);
    frame.setPointerCapture(event.pointerId);
    event.preventDefault();
  });
  frame.addEventListener("pointermove", (event) => {
    if (!start) return;
    const now = at(event);
    box = [Math.min(start[0], now[0]), Math.min(start[1], now[1]), Math.max(start[0], now[0]), Math.max(start[1], now[1])];
    numbers.forEach((each, place) => { each.value = String(Math.round(100 * box[place])); });
    draw();
  });
  frame.addEventListener("pointerup", () => { start = null; });
  const node = h("section", { class: "queried", "aria-label": "The picture that is searched" }, frame,
    h("div", {}, h("p", { class: "eyebrow" }, given.picture ? "Picture of the data set" : "Your picture"),
      h("h2", {}, h("span", { id: "known" }, known.label || "class unknown")), h("p", { class: "name small" }, h("bdi", {}, known.name)),
      h("p", { class: "small" }, "Drag on the picture to search a region of it, or say where it is:"),
      h("div", { class: "row numbers" }, ["left", "top", "right", "bottom"].map((name, place) => h("label", { class: "field tiny" }, h("span", {}, `${name} %`), numbers[place]))), h("p", {}, go)));
  return { node, known, source };
}

function column(dataSet, overview, name, given, { known, source }) {
  const body = h("div", {}, h("p", { class: "wait" }, "Searching; the first picture waits for the network to load"));
  const heading = h("span", { class: "small" });
  const started = performance.now();
  get(`${dataSet}/search/${name}`, Object.entries(given)).then(({ label, answers, nothing }) => {
    const seconds = (performance.now() - started) / 1000;
    heading.textContent = `${label ? `a picture of ${label} that the data set has` : "not in the data set"} · ${seconds.toFixed(2)} s`;
    if (label && !known.label) document.getElementById("known").textContent = label;
    const query = { ...known, label: label ?? known.label };
    const querySource = given.upload ? source : undefined;
    body.replaceChildren(notSure(nothing) ?? "", strip(dataSet, answers, (answer) => openPair({ dataSet, overview, experiment: name, query, answer, querySource }), `Answers of ${name}`));
    say(`${name}: ${nothing ? "nothing in the gallery; " : ""}${answers.length} answers, the first is ${answers[0]?.label ?? "none"}`);
  }, (error) => body.replaceChildren(h("p", { class: "notice" }, error.message)));
  return h("section", { class: "answered", "aria-label": name },
    h("div", { class: "heading" }, h("h2", {}, h("a", { href: link(dataSet, "experiment", name) }, named(overview, name))), heading), body);
}
