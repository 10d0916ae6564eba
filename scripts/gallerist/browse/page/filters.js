// Which queries are shown, in which order.

const UNANSWERABLE = -1;

export const ORDERS = [
  ["worst", "worst first"],
  ["best", "best first"],
  ["disagree", "experiments disagree most"],
  ["close", "closest wrong answer first"],
  ["given", "in the given order"],
];

export function isRight(column, row, k) {
  return column.first[row] > 0 && column.first[row] <= k;
}

export function isEvaluated(column, row) {
  return column.first[row] !== UNANSWERABLE;
}

/* The rows of the table that fit, in order. chosen: as an address has them. */
export function filtered(table, chosen, marked) {
  const experiment = table.experiments[chosen.e];
  const k = Number(chosen.k) || 1;
  const other = table.experiments[chosen.other];
  const label = table.classes.indexOf(chosen.class);
  const first = table.classes.indexOf(chosen.answered);
  const text = (chosen.text ?? "").toLowerCase();
  const fits = (row) =>
    (!chosen.class || table.labels[row] === label) &&
    (!chosen.domain || !table.domains || table.domains[row] === chosen.domain) &&
    (!chosen.right || (isEvaluated(experiment, row) && isRight(experiment, row, k) === (chosen.right === "yes"))) &&
    (!chosen.also || !other || (isEvaluated(other, row) && isRight(other, row, k) === (chosen.also === "yes"))) &&
    (!chosen.answered || experiment.answered[row] === first) &&
    (!chosen.flagged || marked.has(table.ids[row])) &&
    (!text || table.names[row].toLowerCase().includes(text) ||
      table.classes[table.labels[row]].toLowerCase().includes(text));
  const shown = table.shown ? new Set(table.shown) : null;
  const rows = table.ids.map((_, row) => row).filter((row) => (!shown || shown.has(row)) && fits(row));
  return sorted(table, rows, chosen.sort || "worst", experiment);
}

function sorted(table, rows, order, experiment) {
  if (order === "given") return rows;
  const columns = Object.values(table.experiments);
  const spread = (row) => {
    const scores = columns.filter((column) => isEvaluated(column, row)).map((column) => column.score[row]);
    return scores.length ? Math.max(...scores) - Math.min(...scores) : -1;
  };
  const score = (row) => (isEvaluated(experiment, row) ? experiment.score[row] : 2);
  const keys = {
    worst: score,
    best: (row) => (isEvaluated(experiment, row) ? -experiment.score[row] : 2),
    disagree: (row) => -spread(row),
    close: (row) => experiment.wrong[row] ?? Infinity,
  };
  const key = (keys[order] ?? score);
  const values = new Map(rows.map((row) => [row, key(row)]));
  return rows.sort((one, other) => values.get(one) - values.get(other) || one - other);
}
