// One query: its answers by several experiments, one below the other.

import { h, say } from "./dom.js";
import { answersOf, get, live, marks, once, wholePicture } from "./data.js";
import { count, figure, whole } from "./format.js";
import { chosenExperiments, link } from "./links.js";
import { filtered } from "./filters.js";
import { answerCard, experimentBoxes, named, notSure, picture, strip } from "./cards.js";
import { chosenFrom } from "./queries.js";
import { markForm, openPair } from "./pair.js";

export async function queryPage({ dataSet, item, params, go, keys }) {
  const [overview, table, marked] = await Promise.all([once(`${dataSet}/overview`), once(`${dataSet}/queries`), marks(dataSet)]);
  const chosen = chosenFrom(params, overview);
  const two = chosenExperiments(overview, params.with);
  const experiments = params.with ? two : [...new Set([chosen.e, ...two])].slice(0, 2);
  const found = await answersOf(dataSet, item, experiments);
  const { query } = found;
  const rows = filtered(table, chosen, marked);
  const row = table.ids.indexOf(item);
  const place = rows.indexOf(row);
  const to = (step) => (place >= 0 ? rows[place + step] : undefined);
  const address = (other) => link(dataSet, "query", table.ids[other], { ...chosen, with: params.with });
  const step = (by, text, rel) => (to(by) === undefined
    ? h("span", { class: "off" }, text)
    : h("a", { href: address(to(by)), rel }, text));
  keys({ ArrowLeft: () => to(-1) !== undefined && go(address(to(-1))), ArrowRight: () => to(1) !== undefined && go(address(to(1))), k: () => to(-1) !== undefined && go(address(to(-1))), j: () => to(1) !== undefined && go(address(to(1))) });
  return h("div", { class: "page" },
    h("nav", { class: "pager top", "aria-label": "Queries" },
      h("a", { href: link(dataSet, "queries", "", chosen) }, "↑ All"), step(-1, "← Previous", "prev"),
      h("span", {}, place >= 0 ? `${whole(place + 1)} of ${whole(rows.length)}` : "not in this choice"), step(1, "Next →", "next"),
      h("span", { class: "small keys" }, "keys ← and →")),
    head(dataSet, found, table, row, chosen, marked),
    experimentBoxes(overview, experiments, (names) => go(link(dataSet, "query", item, { ...chosen, with: names.join(",") }))),
    experiments.map((name) => answers(dataSet, overview, name, found, table.experiments[name], row)));
}

function head(dataSet, found, table, row, chosen, marked) {
  const { query } = found;
  const flag = h("span", {}, marked.has(query.id) ? h("span", { class: "flag" }, "marked") : "");
  const form = h("div", {});
  if (live) {
    const changed = async () => flag.replaceChildren((await marks(dataSet)).has(query.id) ? h("span", { class: "flag" }, "marked") : "");
    markForm(dataSet, query, null, changed).then((made) => form.replaceChildren(made));
  }
  return h("header", { class: "queried" },
    h("a", { class: "frame large", href: wholePicture(dataSet, query.id), "aria-label": "The whole picture" },
      h("img", { src: wholePicture(dataSet, query.id), alt: `query: ${query.label}`, width: query.width, height: query.height })),
    h("div", {},
      h("p", { class: "eyebrow" }, "Query"),
      h("h1", { tabindex: "-1" }, query.label || "class unknown", " ", flag),
      h("p", { class: "name" }, h("bdi", {}, query.name)),
      h("p", { class: "small" }, `${query.width} × ${query.height} pixels · `,
        table.domains && `domain ${table.domains[row]} · `,
        found.relevant ? `${count(found.relevant, "right picture", "right pictures")} in the gallery` : "no right picture in the gallery"),
      live && h("p", { class: "actions" },
        h("a", { class: "button second", href: link(dataSet, "search", "", { picture: query.id }) }, "Search a region of it"),
        h("button", { type: "button", class: "button second", onclick: copy }, "Copy link")),
      live && h("details", {}, h("summary", {}, "Something is wrong with this query"), form)));
}

async function copy(event) {
  const button = event.currentTarget;
  try {
    await navigator.clipboard.writeText(location.href);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Copy the address bar";
  }
  say(button.textContent);
}

function answers(dataSet, overview, name, found, column, row) {
  const first = column.first[row];
  const verdict = first === 1 ? "right at once" : first > 1 ? `first right answer at rank ${whole(first)}` : first === 0 ? "no right answer in the ranking" : "not evaluated";
  const open = (answer) => openPair({ dataSet, overview, experiment: name, query: found.query, answer });
  const list = strip(dataSet, found.answers[name], open, `Answers of ${name}`);
  const more = h("button", { type: "button", class: "plain", onclick: async () => {
    more.disabled = true;
    const next = await get(`${dataSet}/query/${found.query.id}`, [["count", "10"], ["skipped", String(list.children.length)], ["experiment", name]]);
    list.append(...next.answers[name].map((answer) => answerCard(dataSet, answer, open)));
    more.disabled = false;
    if (!next.answers[name].length) more.remove();
  } }, "More answers");
  return h("section", { class: "answered", "aria-label": name },
    h("div", { class: "heading" }, h("h2", {}, h("a", { href: link(dataSet, "experiment", name) }, named(overview, name))),
      h("span", { class: `verdict-of ${first === 1 ? "right" : first < 0 ? "" : "wrong"}` }, verdict),
      first >= 0 && h("span", { class: "small" }, `score ${figure(column.score[row])}`), live && more),
    notSure(found.nothing[name]), list);
}
