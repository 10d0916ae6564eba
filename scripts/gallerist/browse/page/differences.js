// Two experiments: what one finds and the other does not, and which classes each confuses.

import { h, select } from "./dom.js";
import { once } from "./data.js";
import { count, interval, kOf, signed, whole } from "./format.js";
import { lineOf, link, ranked } from "./links.js";
import { filtered, isEvaluated, isRight } from "./filters.js";
import { named, picture, rankChip } from "./cards.js";
import { confusion } from "./confusion.js";

const SHOWN = 8;

export async function differencesPage({ dataSet, params, go }) {
  const [overview, table] = await Promise.all([once(`${dataSet}/overview`), once(`${dataSet}/queries`)]);
  const names = overview.experiments.map((each) => each.name);
  const order = ranked(overview);
  const a = names.includes(params.a) ? params.a : order[0];
  const b = names.includes(params.b) && params.b !== a ? params.b : order.find((name) => name !== a) ?? a;
  const k = params.k ?? String(kOf(overview.decided_by) ?? 1);
  const change = (more) => go(link(dataSet, "differences", "", { a, b, k, ...more }));
  const ks = [...new Set(overview.experiments.flatMap((each) => Object.keys(each.metrics)).map(kOf).filter((each) => each !== null))].sort((one, other) => one - other).map(String);
  return h("div", { class: "page" },
    h("h1", { tabindex: "-1" }, named(overview, a), " against ", named(overview, b)),
    h("form", { class: "filters", "aria-label": "Which experiments", onsubmit: (event) => event.preventDefault() },
      select("First", a, names.map((name) => [name, name]), (value) => change({ a: value, b: value === b ? a : b })),
      select("Second", b, names.map((name) => [name, name]), (value) => change({ b: value, a: value === a ? b : a })),
      select("Right among the first", k, (ks.length ? ks : ["1"]).map((each) => [each, each]), (value) => change({ k: value }))),
    test(overview, a, b, k),
    quarters(dataSet, overview, table, a, b, Number(k)),
    h("section", { "aria-labelledby": "confused" },
      h("h2", { id: "confused" }, "Classes that are confused"),
      h("p", { class: "small" }, "Rows: class of the query. Columns: class of the first answer. Every number leads to its queries."),
      h("div", { class: "charts" }, [a, b].map((name) => h("div", {}, h("h3", {}, named(overview, name)), confusion(dataSet, table, name))))));
}

function test(overview, a, b, k) {
  const metric = `top-${k}`;
  const [one, other] = [lineOf(overview, a).name, lineOf(overview, b).name];
  if (one === other) return h("p", { class: "small" }, `Two seeds of ${one}: they differ in the chance of training, and are one experiment in the tests.`);
  const found = overview.differences.find((row) => row.metric === metric && [row.first, row.second].includes(one) && [row.first, row.second].includes(other));
  if (!found) return h("p", { class: "small" }, `The two were not tested by ${metric}.`);
  const several = [one, other].map((name) => lineOf(overview, name)).filter((line) => line.members.length > 1);
  const sign = found.first === one ? 1 : -1;
  const ends = [found.low, found.high].map((end) => (end === null ? null : sign * end)).sort((one, other) => one - other);
  const better = sign * found.difference > 0 ? one : other;
  return h("p", { class: "lead" },
    found.different ? h("strong", {}, `${better} is really better. `) : h("strong", {}, "The two cannot be told apart. "),
    `Difference in ${metric}: ${signed(sign * found.difference)} (${interval(ends[0], ends[1], signed)}), adjusted p ${found.p_adjusted}.`,
    several.length > 0 && ` That is of ${several.map((line) => `${line.name}, the mean of ${line.members.length} seeds`).join(", and of ")}.`,
    found.trained_once.length > 0 && ` That holds for ${found.trained_once.join(" and ")} as trained here, from one seed; another training is not in it.`);
}

function quarters(dataSet, overview, table, a, b, k) {
  const [one, other] = [table.experiments[a], table.experiments[b]];
  const kinds = [
    { key: "won", title: `Only ${a} is right`, right: "yes", also: "no" },
    { key: "lost", title: `Only ${b} is right`, right: "no", also: "yes" },
    { key: "neither", title: "Both are wrong", right: "no", also: "no" },
    { key: "both", title: "Both are right", right: "yes", also: "yes" },
  ];
  const evaluated = table.ids.map((_, row) => row).filter((row) => isEvaluated(one, row) && isEvaluated(other, row));
  const number = (kind) => evaluated.filter((row) => isRight(one, row, k) === (kind.right === "yes") && isRight(other, row, k) === (kind.also === "yes")).length;
  return h("div", { class: "quarters" }, kinds.map((kind) => {
    const chosen = { e: a, right: kind.right, other: b, also: kind.also, k, sort: kind.key === "both" ? "close" : "disagree" };
    const rows = filtered(table, chosen, new Map());
    return h("section", { class: kind.key, "aria-label": kind.title },
      h("div", { class: "heading" }, h("h2", {}, h("a", { href: link(dataSet, "queries", "", chosen) }, h("span", { class: "big" }, whole(number(kind))), ` ${kind.title}`))),
      rows.length === 0 ? h("p", { class: "small" }, "none")
        : h("ul", { class: "grid small-cards" }, rows.slice(0, SHOWN).map((row) => h("li", { class: "card" },
          h("a", { href: link(dataSet, "query", table.ids[row], { ...chosen, with: [a, b].join(",") }) },
            picture(dataSet, { id: table.ids[row], label: table.classes[table.labels[row]], name: table.names[row] }),
            h("span", { class: "label" }, table.classes[table.labels[row]]),
            h("span", { class: "chips" }, rankChip(overview, a, one.first[row]), rankChip(overview, b, other.first[row])))))),
      rows.length > SHOWN && h("p", { class: "small" }, h("a", { href: link(dataSet, "queries", "", chosen) }, `All ${count(rows.length, "query", "queries")}`)));
  }));
}
