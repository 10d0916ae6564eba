// The first page: what is best, how sure that is, and the pictures that show why.

import { h, select, table as tableOf } from "./dom.js";
import { answersOf, figureFile, get, live, once } from "./data.js";
import { cost, count, day, figure, interval, kOf, ordered, percent, signed, whole } from "./format.js";
import { lineOf, link, rankedLines, shownFor } from "./links.js";
import { filtered } from "./filters.js";
import { named, picture, strip } from "./cards.js";
import { AXES, intervals, lines } from "./charts.js";

export async function overviewPage({ dataSet, params, go }) {
  const overview = await once(`${dataSet}/overview`);
  const best = overview.verdict.best ?? overview.lines[0].name;
  const metric = params.metric || overview.decided_by;
  const examples = h("div", { class: "examples" }, h("p", { class: "wait" }, "Loading"));
  showWorst(dataSet, overview, shownFor(overview, best)).then((found) => examples.replaceChildren(found),
    (error) => examples.replaceChildren(h("p", { class: "notice" }, error.message)));
  return h("div", { class: "page" },
    answer(dataSet, overview, best),
    h("section", { "aria-labelledby": "why" }, h("h2", { id: "why" }, `The pictures that ${best} gets wrong`), examples),
    comparison(dataSet, overview, metric, go),
    h("section", { "aria-labelledby": "curves" }, h("h2", { id: "curves" }, "Curves"),
      h("div", { class: "charts" }, Object.keys(AXES).filter((kind) => overview.curves[kind]).map((kind) =>
        lines(overview, overview.curves[kind], AXES[kind], AXES[kind].heading)))),
    pairwise(dataSet, overview, metric),
    overview.caveats.length > 0 && h("section", { "aria-labelledby": "limits" }, h("h2", { id: "limits" }, "What one must know"),
      h("ul", { class: "caveats" }, overview.caveats.map((text) => h("li", {}, text)))));
}

// Experiments that are named in a sentence.
const NAMED = 6;

/* The sentence that everybody comes for, and where to go from it. */
function answer(dataSet, overview, best) {
  const metric = overview.decided_by;
  const { members, over, metrics: { [metric]: reached } } = lineOf(overview, best);
  const k = kOf(metric);
  const right = Math.round(reached.mean * overview.queries);
  const found = k === null
    ? [`reaches ${metric} `, h("strong", {}, figure(reached.mean))]
    : [k === 1 ? "finds a right picture first for " : `finds a right picture among the first ${k} for `,
      h("strong", {}, `${whole(right)} of ${count(overview.queries, "query", "queries")}`)];
  const wrong = overview.queries - right;
  const { surpasses, unsure } = overview.verdict;
  const others = overview.lines.length - 1;
  return h("section", { class: "verdict", "aria-labelledby": "answer" },
    h("p", { class: "eyebrow" }, `${dataSet} · gallery of ${whole(overview.gallery)} · ${day(overview.finished)}`),
    h("h1", { id: "answer", tabindex: "-1" }, h("a", { href: link(dataSet, "experiment", members[0]) }, named(overview, best)), " ", found, members.length > 1 && ` (mean of ${members.length} seeds)`, "."),
    h("p", { class: "lead" },
      reached.low !== null && `${percent(overview.confidence)} interval ${interval(reached.low, reached.high)}, drawn over ${over}. `,
      sure(dataSet, overview, best, surpasses, unsure, others), overview.wrong_labels && ` ${overview.wrong_labels}`),
    h("p", { class: "actions" },
      h("a", { class: "button", href: link(dataSet, "queries", "", { e: members[0], right: "no", k: k ?? 1, sort: "worst" }) },
        k === null ? "See its worst queries" : `See the ${whole(wrong)} it gets wrong`),
      live && h("a", { class: "button second", href: link(dataSet, "search") }, "Try your own picture"),
      unsure.length > 0 && h("a", { class: "button second", href: link(dataSet, "differences", "", { a: members[0], b: shownFor(overview, otherOf(unsure[0], best)) }) },
        `Compare with ${otherOf(unsure[0], best)}`)));
}

function otherOf(row, name) {
  return row.first === name ? row.second : row.first;
}

function sure(dataSet, overview, best, surpasses, unsure, others) {
  if (!others) return "There is no other experiment to compare it with.";
  const compare = (name) => h("a", { href: link(dataSet, "differences", "", { a: shownFor(overview, best), b: shownFor(overview, name) }) }, name);
  const listed = (names) => {
    const shown = names.length > NAMED + 1 ? names.slice(0, NAMED) : names;
    const last = shown.length === names.length ? shown.length - 1 : -1;
    return [shown.map((name, place) => [place ? (place === last ? " and " : ", ") : "", compare(name)]),
      shown.length < names.length && ` and ${names.length - shown.length} others`];
  };
  const better = surpasses.length === others
    ? `It is really better than all ${others === 1 ? "" : `${others} `}others.`
    : surpasses.length ? ["It is really better than ", listed(surpasses), "."] : "It is not really better than any other.";
  const open = unsure.length && surpasses.length < others
    ? [" It cannot be told apart from ", listed(unsure.map((row) => otherOf(row, best))), ": so many queries do not decide it."] : "";
  return [better, open];
}

async function showWorst(dataSet, overview, best) {
  const queries = await once(`${dataSet}/queries`);
  const wrong = filtered(queries, { e: best, right: "no", k: kOf(overview.decided_by) ?? 1, sort: "worst" }, new Map());
  const rows = (wrong.length ? wrong : filtered(queries, { e: best, sort: "worst" }, new Map())).slice(0, 4);
  const found = await Promise.all(rows.map((row) => answersOf(dataSet, queries.ids[row], [best])));
  return h("ul", { class: "pairings" }, found.map(({ query, answers }) => {
    const answer = answers[best].slice(0, 4);
    return h("li", {},
      h("a", { class: "query", href: link(dataSet, "query", query.id, { e: best, right: "no", sort: "worst" }) },
        picture(dataSet, query), h("span", { class: "label" }, query.label || query.name), h("span", { class: "small" }, "query")),
      strip(dataSet, answer, null, `First answers to ${query.name}`));
  }));
}

function comparison(dataSet, overview, metric, go) {
  const names = ordered(new Set(overview.lines.flatMap((each) => Object.keys(each.metrics))));
  const order = rankedLines(overview);
  const by = Object.fromEntries(overview.lines.map((each) => [each.name, each]));
  const rows = order.filter((name) => by[name].metrics[metric]).map((name) => {
    const { mean, low, high } = by[name].metrics[metric];
    return { name, mean, low, high, href: link(dataSet, "experiment", by[name].members[0]) };
  });
  rows.sort((one, other) => other.mean - one.mean);
  const costs = Object.keys(overview.lines[0].costs);
  return h("section", { "aria-labelledby": "compared" },
    h("div", { class: "heading" }, h("h2", { id: "compared" }, "All experiments"),
      select("Metric", metric, names.map((name) => [name, name]), (value) => go(link(dataSet, "", "", { metric: value })))),
    intervals(overview, rows, `${metric} of each experiment with its interval`),
    h("p", { class: "small" }, `Dots are means over ${whole(overview.queries)} queries, lines their ${percent(overview.confidence)} intervals, drawn over original pictures, and over seeds where there are several.`,
      overview.excluded > 0 && ` ${count(overview.excluded, "query has", "queries have")} no right picture in the gallery and count neither as right nor as wrong.`),
    h("h3", {}, "Every metric"),
    tableOf("Every metric of every experiment", ["experiment", ...names], order.map((name) => [
      h("a", { href: link(dataSet, "experiment", by[name].members[0]) }, named(overview, name)),
      ...names.map((each) => cell(dataSet, by[name].members[0], each, by[name].metrics[each])),
    ]), { class: "numbers" }),
    seeds(dataSet, overview, metric),
    h("h3", {}, "What it costs"),
    tableOf("What every experiment costs", ["experiment", ...costs], order.map((name) => [
      h("a", { href: link(dataSet, "experiment", by[name].members[0]) }, named(overview, name)),
      ...costs.map((each) => cost(each, by[name].costs[each])),
    ]), { class: "numbers" }));
}

/* What every line's interval is drawn over, and each seed by itself. */
function seeds(dataSet, overview, metric) {
  const several = overview.lines.some((each) => each.members.length > 1);
  if (!several && overview.lines.every((each) => each.over === "queries")) return null;
  const by = Object.fromEntries(overview.experiments.map((each) => [each.name, each.metrics[metric]?.mean]));
  return [h("h3", {}, "The chance of training"),
    h("p", { class: "small" }, "A training from another seed comes out otherwise. Where there is one seed, interval and tests hold for that training only."),
    tableOf(`${metric} of every seed`, ["experiment", "interval drawn over", ...(several ? [`${metric} of each seed`] : [])], overview.lines.map((each) => [
      h("a", { href: link(dataSet, "experiment", each.members[0]) }, named(overview, each.name)), each.over,
      ...(several ? [each.members.length > 1 && each.members.map((name, place) => [place > 0 && ", ",
        h("a", { href: link(dataSet, "experiment", name), title: name }, figure(by[name]))])] : []),
    ]), { class: "narrow" })];
}

function cell(dataSet, experiment, metric, reached) {
  if (!reached) return h("span", { class: "small", title: "the ranking is not deep enough" }, "–");
  const k = kOf(metric);
  const text = figure(reached.mean);
  const title = reached.low === null ? null : `interval ${interval(reached.low, reached.high)}`;
  if (k === null) return h("span", { title }, text);
  return h("a", { title, href: link(dataSet, "queries", "", { e: experiment, right: "no", k }) }, text);
}

/* Every pair by the metric: the row minus the column. */
function pairwise(dataSet, overview, metric) {
  const found = overview.differences.filter((row) => row.metric === metric);
  if (!found.length) return null;
  const order = rankedLines(overview);
  const pairs = new Map();
  found.forEach((pair) => {
    pairs.set(`${pair.first} ${pair.second}`, { ...pair, value: pair.difference });
    pairs.set(`${pair.second} ${pair.first}`, { ...pair, value: -pair.difference });
  });
  return h("section", { "aria-labelledby": "better" }, h("h2", { id: "better" }, "What is really better"),
    h("p", { class: "small" }, `Difference in ${metric}, row minus column. Filled: a paired test on the same queries, corrected for the number of pairs, calls it real.`),
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Differences of all pairs" },
      h("table", { class: "pairwise" },
        h("thead", {}, h("tr", {}, h("td", {}), order.map((name) => h("th", { scope: "col" }, h("span", {}, name))))),
        h("tbody", {}, order.map((row) => h("tr", {}, h("th", { scope: "row" }, named(overview, row)), order.map((column) => {
          const pair = pairs.get(`${row} ${column}`);
          if (!pair) return h("td", { class: "self" });
          const kind = !pair.different ? "" : pair.value > 0 ? "better" : "worse";
          return h("td", { class: kind }, h("a", {
            href: link(dataSet, "differences", "", { a: shownFor(overview, row), b: shownFor(overview, column) }),
            title: `adjusted p ${pair.p_adjusted}`, "aria-label": `${row} minus ${column}: ${signed(pair.value)}${kind ? `, really ${kind}` : ", not told apart"}`,
          }, signed(pair.value)));
        })))))));
}

/* One experiment: what it reaches, its classes, its pictures, its settings. */
export async function experimentPage({ dataSet, item }) {
  const overview = await once(`${dataSet}/overview`);
  const [page, queries] = await Promise.all([get(`${dataSet}/experiment/${item}`), once(`${dataSet}/queries`)]);
  const reached = overview.experiments.find((each) => each.name === item);
  const line = lineOf(overview, item);
  const metrics = ordered(Object.keys(reached.metrics));
  const settings = Object.entries(page.settings).filter(([, value]) => value !== null);
  return h("div", { class: "page" },
    h("header", {},
      h("p", { class: "eyebrow" }, line.members.length > 1 ? `One of ${line.members.length} seeds of ${line.name}` : "Experiment"),
      h("h1", { tabindex: "-1" }, named(overview, item)),
      line.members.length > 1 && h("p", { class: "small" }, "The others: ", line.members.filter((name) => name !== item).map((name, place) => [place > 0 && ", ",
        h("a", { href: link(dataSet, "experiment", name) }, name)])),
      h("p", { class: "actions" },
        h("a", { class: "button", href: link(dataSet, "queries", "", { e: item, right: "no" }) }, "Queries it gets wrong"),
        h("a", { class: "button second", href: link(dataSet, "differences", "", { a: item }) }, "Compare it"),
        live && !reached.refusal && h("a", { class: "button second", href: link(dataSet, "search", "", { with: item }) }, "Search with it"))),
    h("section", {}, h("h2", {}, "What it reaches"),
      tableOf("Metrics", ["metric", "mean", "interval", "mean of classes"], metrics.map((name) => {
        const { mean, low, high, macro_mean: macro } = reached.metrics[name];
        return [name, figure(mean), interval(low, high), macro === undefined ? "" : figure(macro)];
      }), { class: "numbers narrow" }),
      page.threshold && h("p", {}, `Threshold: ${page.threshold}.`),
      Object.entries(page.unknown).map(([name, reason]) => h("p", { class: "small" }, `${name} is not known: ${reason}`))),
    means("class", page.classes, dataSet, item),
    means("domain", page.domains, dataSet, item),
    page.figures.length > 0 && h("section", {}, h("h2", {}, "Pictures of its evaluation"),
      h("div", { class: "figures" }, page.figures.map(({ file, title }) => h("figure", {},
        h("a", { href: figureFile(dataSet, item, file) }, h("img", { src: figureFile(dataSet, item, file), alt: title, loading: "lazy" })),
        h("figcaption", {}, title))))),
    h("section", {}, h("h2", {}, "How it was made"),
      h("p", { class: "small" }, `Evaluated ${day(page.finished)}, code ${page.commit ? page.commit.slice(0, 12) : "of no known commit"}${page.dirty ? ", with changes" : ""}. ${count(queries.ids.length, "query", "queries")}.`),
      tableOf("Settings", ["setting", "value"], settings.map(([name, value]) => [name, text(value)]), { class: "narrow" }),
      h("details", {}, h("summary", {}, "Parameters of every stage"),
        tableOf("Parameters", ["parameter", "value"], Object.entries(page.parameters).map(([name, value]) => [name, text(value)])))));
}

/* The mean of every metric by class or by domain, each a link to its queries. */
function means(kind, table, dataSet, experiment) {
  const shown = table.columns.filter((name, place) => place > 0 && !/ (low|high)$/.test(name));
  const at = (name) => table.columns.indexOf(name);
  return table.columns.length > 0 && h("section", {}, h("h2", {}, `By ${kind}`),
    tableOf(`Mean of each ${kind}`, [kind, ...shown], table.rows.map((row) => [
      h("a", { href: link(dataSet, "queries", "", { e: experiment, [kind]: row[0] }) }, row[0]),
      ...shown.map((name) => (/^(queries|originals)$/.test(name) ? row[at(name)] : figure(Number(row[at(name)])))),
    ]), { class: "numbers" }));
}

function text(value) {
  return typeof value === "object" && value !== null ? JSON.stringify(value) : String(value);
}
