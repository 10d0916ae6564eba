// A query and one of its answers side by side, why they match, and what somebody says of them.

import { h, s, say } from "./dom.js";
import { get, live, mark, marks, once, wholePicture } from "./data.js";
import { link } from "./links.js";
import { badge } from "./cards.js";

/* Opens the pair as a dialog. left: {title, shown, src} of the query; right: the answer. */
export function openPair({ dataSet, overview, experiment, query, answer, querySource }) {
  const explained = h("div", { class: "explained" });
  const said = h("div", {});
  const source = querySource ?? wholePicture(dataSet, query.id);
  const networks = networksOf(overview, experiment);
  const close = h("button", { type: "button", class: "plain close", "aria-label": "Close", onclick: () => dialog.close() }, "×");
  const plain = () => explained.replaceChildren(side(source, query, "query"), side(wholePicture(dataSet, answer.id), answer, `answer ${answer.rank}`));
  const explain = async (what, name, draw, event) => {
    const button = event.currentTarget;
    button.disabled = true;
    note.textContent = what === "heat" ? "The network is asked…" : "Key points are matched…";
    try {
      draw(await get(`${dataSet}/${what}/${name}/${query.id}/${answer.id}`));
    } catch (error) {
      note.textContent = error.message;
    }
    button.disabled = false;
  };
  const heat = (found) => {
    explained.replaceChildren(side(found.query, query, "query, as the network sees it"), side(found.answer, answer, "answer, as the network sees it"));
    note.textContent = `The brighter, the more it pulls towards the match. Cosine ${found.cosine.toFixed(3)}.`;
    say(note.textContent);
  };
  const matches = (found) => {
    explained.replaceChildren(matched(source, wholePicture(dataSet, answer.id), query, answer, found.lines));
    note.textContent = found.matched
      ? `${found.agreeing} of ${found.matched} matched key points agree in their places (green).`
      : `No key points match (${found.key_points.join(" and ")} were found).`;
    say(note.textContent);
  };
  const note = h("p", { class: "small", role: "status" });
  const ofDataSet = query.part !== undefined && query.id !== undefined && !querySource;
  const dialog = h("dialog", { class: "pair", "aria-labelledby": "pair-title", onclose: () => dialog.remove() },
    h("div", { class: "heading" },
      h("h2", { id: "pair-title" }, badge(answer.relevant), ` ${answer.label || "class unknown"}`, h("span", { class: "small" }, ` ${experiment}, rank ${answer.rank}, distance ${answer.distance.toFixed(4)}`)), close),
    explained, note,
    h("p", { class: "actions" },
      live && ofDataSet && networks.map((name) => h("button", { type: "button", class: "button second", onclick: (event) => explain("heat", name, heat, event) },
        `Where they match${name === experiment ? "" : `, by ${name}`}`)),
      live && ofDataSet && h("button", { type: "button", class: "button second", onclick: (event) => explain("matches", experiment, matches, event) }, "Key points"),
      h("button", { type: "button", class: "button second", onclick: () => { plain(); note.textContent = ""; } }, "Pictures alone"),
      live && h("a", { class: "button second", href: link(dataSet, "search", "", { picture: answer.id, with: experiment }), onclick: () => dialog.close() }, "Search with this answer")),
    live && h("details", {}, h("summary", {}, "Something is wrong with this answer"), said));
  plain();
  document.body.append(dialog);
  if (live) markForm(dataSet, answer, ofDataSet ? query : null).then((form) => said.replaceChildren(form));
  dialog.showModal();
  return dialog;
}

/* The networks whose vectors an experiment is made of. */
function networksOf(overview, experiment) {
  const of = (name) => overview.experiments.find((each) => each.name === name);
  const made = of(experiment);
  if (made?.kind === "network") return [experiment];
  return (made?.members ?? []).filter((name) => of(name)?.kind === "network");
}

function side(source, shown, title) {
  return h("figure", { class: "side" },
    h("span", { class: "frame" }, h("img", { src: source, alt: `${title}: ${shown.label || "class unknown"}` })),
    h("figcaption", {}, h("strong", {}, title), h("span", { class: "small name" }, h("bdi", {}, shown.name ?? ""))));
}

/* Both pictures beside each other with lines between their key points: agreeing ones over the others. */
function matched(left, right, query, answer, found) {
  const [width, gap] = [100, 6];
  const heights = [query, answer].map((each) => (width * (each.height || 1)) / (each.width || 1));
  const height = Math.max(...heights);
  const right0 = width + gap;
  const line = ([x1, y1, x2, y2, agrees]) => s("g", { class: agrees ? "agrees" : "differs" },
    s("line", { x1: x1 * width, y1: y1 * heights[0], x2: right0 + x2 * width, y2: y2 * heights[1] }),
    s("circle", { cx: x1 * width, cy: y1 * heights[0], r: 0.7 }), s("circle", { cx: right0 + x2 * width, cy: y2 * heights[1], r: 0.7 }));
  return s("svg", { class: "matched", viewBox: `0 0 ${2 * width + gap} ${height}`, role: "img", "aria-label": `${found.length} lines between key points of query and answer` },
    s("image", { href: left, width, height: heights[0] }), s("image", { href: right, x: right0, width, height: heights[1] }),
    [...found].sort((one, other) => Number(one[4]) - Number(other[4])).map(line));
}

/* What can be said of a picture, and what was said. query: of which it may be the same picture. */
export async function markForm(dataSet, shown, query = null, changed = () => {}) {
  const [table, known] = await Promise.all([once(`${dataSet}/queries`), marks(dataSet)]);
  const box = h("div", { class: "marking" });
  const note = h("input", { type: "text", maxlength: "500", placeholder: "why, if you like" });
  const label = h("select", {}, h("option", { value: "" }, "in doubt, I do not know which"),
    [...table.classes].filter((name) => name !== shown.label).sort().map((name) => h("option", { value: name }, name)));
  const problem = h("p", { class: "notice", hidden: true });
  const act = async (body, remove = false) => {
    problem.hidden = true;
    try {
      await mark(dataSet, body, remove);
      say(remove ? "Taken back" : "Marked");
      changed();
      box.replaceWith(await markForm(dataSet, shown, query, changed));
    } catch (error) {
      problem.textContent = error.message;
      problem.hidden = false;
    }
  };
  const make = (action, value) => act({ picture: shown.id, action, value, note: note.value });
  box.append(
    h("ul", { class: "said" }, (known.get(shown.id) ?? []).map((one) => h("li", {}, describe(one), " ",
      h("button", { type: "button", class: "plain", onclick: () => act({ picture: one.picture, action: one.action, value: one.value, note: "" }, true) }, "Take back")))),
    h("label", { class: "field wide" }, h("span", {}, "Note"), note),
    h("div", { class: "row" }, h("label", { class: "field" }, h("span", {}, "Its class is"), label),
      h("button", { type: "button", class: "button second", onclick: () => make("label", label.value) }, "Mark class")),
    h("div", { class: "row" },
      h("button", { type: "button", class: "button second", onclick: () => make("bad", "") }, "Picture is bad"),
      query && h("button", { type: "button", class: "button second", onclick: () => make("leak", `query:${query.id}`) }, "Same picture as the query")),
    problem);
  return box;
}

export function describe({ action, value, note }) {
  const words = {
    bad: () => "bad picture, left out",
    label: () => (value ? `its class is ${value}` : "its class is in doubt"),
    leak: () => (value.startsWith("no:") ? "looked at: no leak" : `also in ${value.split(":")[0]}, left out here`),
  };
  return `${words[action]()}${note ? ` (${note})` : ""}`;
}
