// A grid of queries: which are shown, in which order, page by page.

import { h, say, select } from "./dom.js";
import { marks, once } from "./data.js";
import { count, kOf, whole } from "./format.js";
import { link, ranked, shownFor } from "./links.js";
import { filtered, ORDERS } from "./filters.js";
import { picture, rankChip } from "./cards.js";

const PER_PAGE = 60;
const CHIPS = 8;

/* What an address says of the choice, without the page: it goes along to each query. */
export function chosenFrom(params, overview) {
  const kept = ["e", "k", "class", "domain", "right", "other", "also", "answered", "flagged", "text", "sort"];
  const chosen = Object.fromEntries(kept.filter((name) => params[name]).map((name) => [name, params[name]]));
  const names = overview.experiments.map((each) => each.name);
  if (!names.includes(chosen.e)) chosen.e = overview.verdict.best ? shownFor(overview, overview.verdict.best) : names[0];
  return chosen;
}

export async function queriesPage({ dataSet, params, go }) {
  const [overview, table, marked] = await Promise.all([once(`${dataSet}/overview`), once(`${dataSet}/queries`), marks(dataSet)]);
  const chosen = chosenFrom(params, overview);
  const rows = filtered(table, chosen, marked);
  const pages = Math.max(1, Math.ceil(rows.length / PER_PAGE));
  const page = Math.min(pages, Math.max(1, Number(params.page) || 1));
  const change = (more) => go(link(dataSet, "queries", "", { ...chosen, ...more }));
  say(`${rows.length} queries`);
  return h("div", { class: "page" },
    h("h1", { tabindex: "-1" }, "Queries"),
    filters(overview, table, chosen, change),
    h("p", { class: "counted" }, h("strong", {}, count(rows.length, "query", "queries")), ` of ${whole(table.ids.length)}`,
      table.shown && ` (this folder has the pictures of ${whole(table.shown.length)})`,
      summary(chosen), h("span", { class: "small key" }, "Chips: rank of the first right answer, by experiment.")),
    rows.length === 0 && h("p", { class: "notice" }, "No query fits. ", h("a", { href: link(dataSet, "queries", "", { e: chosen.e }) }, "Show all")),
    h("ul", { class: "grid" }, rows.slice((page - 1) * PER_PAGE, page * PER_PAGE).map((row) => card(dataSet, overview, table, row, chosen, marked))),
    pages > 1 && pager(dataSet, chosen, page, pages));
}

function summary(chosen) {
  const parts = [];
  if (chosen.also) parts.push(`${chosen.other} is ${chosen.also === "yes" ? "right" : "wrong"}`);
  if (chosen.answered) parts.push(`first answer ${chosen.answered}`);
  return parts.length ? ` · ${parts.join(" · ")}` : "";
}

function filters(overview, table, chosen, change) {
  const names = overview.experiments.map((each) => each.name);
  const ks = [...new Set(overview.experiments.flatMap((each) => Object.keys(each.metrics)).map(kOf).filter((k) => k !== null))].sort((one, other) => one - other);
  if (!ks.includes(1)) ks.unshift(1);
  const k = chosen.k ?? "1";
  const search = h("input", { type: "search", "data-key": "text", value: chosen.text ?? "", placeholder: "name or class", onchange: (event) => change({ text: event.target.value }) });
  return h("form", { class: "filters", role: "search", "aria-label": "Which queries", onsubmit: (event) => { event.preventDefault(); change({ text: search.value }); } },
    select("Experiment", chosen.e, names.map((name) => [name, name]), (value) => change({ e: value })),
    select("First answers", chosen.right ?? "", [["", "right or wrong"], ["no", `wrong at ${k}`], ["yes", `right at ${k}`]], (value) => change({ right: value })),
    select("k", k, ks.map((each) => [String(each), String(each)]), (value) => change({ k: value })),
    select("Class", chosen.class ?? "", [["", "all"], ...[...table.classes].sort().map((name) => [name, name])], (value) => change({ class: value })),
    table.domains && select("Domain", chosen.domain ?? "", [["", "all"], ...[...new Set(table.domains)].sort().map((name) => [name, name])], (value) => change({ domain: value })),
    select("Order", chosen.sort ?? "worst", ORDERS, (value) => change({ sort: value })),
    h("label", { class: "field" }, h("span", {}, "Name"), search),
    h("label", { class: "check" }, h("input", { type: "checkbox", "data-key": "flagged", checked: Boolean(chosen.flagged), onchange: (event) => change({ flagged: event.target.checked ? "1" : "" }) }), "marked only"),
    (chosen.also || chosen.answered) && h("button", { type: "button", class: "plain", onclick: () => change({ other: "", also: "", answered: "" }) }, "Drop the other conditions"));
}

function card(dataSet, overview, table, row, chosen, marked) {
  const [id, label] = [table.ids[row], table.classes[table.labels[row]]];
  return h("li", { class: "card" },
    h("a", { href: link(dataSet, "query", id, chosen) },
      picture(dataSet, { id, label, name: table.names[row] }),
      h("span", { class: "label" }, label || "class unknown", marked.has(id) && h("span", { class: "flag" }, "marked")),
      h("span", { class: "small name", title: table.names[row] }, h("bdi", {}, table.names[row])),
      h("span", { class: "chips" }, chips(overview, chosen).map((name) => rankChip(overview, name, table.experiments[name].first[row])))));
}

/* The experiments that a card says something of: all, or the chosen one and the best. */
function chips(overview, chosen) {
  const names = overview.experiments.map((each) => each.name);
  if (names.length <= CHIPS) return names;
  return [...new Set([chosen.e, ...ranked(overview)])].slice(0, CHIPS);
}

function pager(dataSet, chosen, page, pages) {
  const to = (number, text, rel) => (number < 1 || number > pages
    ? h("span", { class: "off" }, text)
    : h("a", { href: link(dataSet, "queries", "", { ...chosen, page: number }), rel }, text));
  return h("nav", { class: "pager", "aria-label": "Pages" }, to(page - 1, "← Previous", "prev"), h("span", {}, `Page ${page} of ${whole(pages)}`), to(page + 1, "Next →", "next"));
}
