// Which class the first answer comes from, by class of the query: each cell leads to its pictures.

import { h } from "./dom.js";
import { link } from "./links.js";
import { isEvaluated } from "./filters.js";

const MOST = 40;

export function confusion(dataSet, table, experiment) {
  const column = table.experiments[experiment];
  const counts = table.classes.map(() => table.classes.map(() => 0));
  table.ids.forEach((_, row) => {
    if (isEvaluated(column, row) && column.answered[row] >= 0) counts[table.labels[row]][column.answered[row]] += 1;
  });
  const asked = counts.map((cells, place) => [place, cells.reduce((sum, each) => sum + each, 0)]).filter(([, total]) => total);
  if (table.classes.length > MOST) return pairs(dataSet, table, counts, experiment);
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Confusion matrix" },
    h("table", { class: "confusion" },
      h("caption", { class: "hidden" }, "Class of the first answer, by class of the query"),
      h("thead", {}, h("tr", {}, h("td", {}), table.classes.map((name) => h("th", { scope: "col" }, h("span", {}, name))))),
      h("tbody", {}, asked.map(([place, total]) => h("tr", {}, h("th", { scope: "row" }, table.classes[place]),
        counts[place].map((number, answered) => h("td", {
          class: answered === place ? "diagonal" : "", css: { "--share": String(number / total) },
        }, number ? h("a", {
          href: link(dataSet, "queries", "", { e: experiment, class: table.classes[place], answered: table.classes[answered] }),
          "aria-label": `${number} queries of ${table.classes[place]} answered with ${table.classes[answered]}`,
        }, String(number)) : null)))))));
}

/* With many classes a matrix cannot be read: the pairs that are confused most. */
function pairs(dataSet, table, counts, experiment) {
  const found = [];
  counts.forEach((cells, query) => cells.forEach((number, answered) => {
    if (number && query !== answered) found.push([number, table.classes[query], table.classes[answered]]);
  }));
  found.sort((one, other) => other[0] - one[0]);
  return h("ol", { class: "pairs" }, found.slice(0, 30).map(([number, query, answered]) => h("li", {},
    h("a", { href: link(dataSet, "queries", "", { e: experiment, class: query, answered }) },
      `${query} answered with ${answered}: ${number}`))));
}
