// Addresses within the page: #/data set/view/item?what=is-chosen, which can be kept and sent.

export function link(dataSet, view = "", item = "", params = {}) {
  const chosen = Object.entries(params).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const query = new URLSearchParams(chosen).toString();
  const parts = [dataSet, view, item].filter((part) => part !== "").map(encodeURIComponent);
  return `#/${parts.join("/")}${query ? `?${query}` : ""}`;
}

export function here() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [dataSet = "", view = "", item = ""] = path.split("/").map(decodeURIComponent);
  return { dataSet, view, item, params: Object.fromEntries(new URLSearchParams(query)) };
}

/* The experiments that an address names, else the two that are best; only such as there are. */
export function chosenExperiments(overview, text, most = 2) {
  const names = overview.experiments.map((each) => each.name);
  const asked = (text ?? "").split(",").filter((name) => names.includes(name));
  return asked.length ? asked : ranked(overview).slice(0, most);
}

/* Names of the experiments, best first by what decides. */
export function ranked(overview) {
  const mean = (each) => each.metrics[overview.decided_by]?.mean ?? -1;
  return [...overview.experiments].sort((one, other) => mean(other) - mean(one)).map((each) => each.name);
}

/* The line of the comparison that a name is of: its own, or the one that has this seed. */
export function lineOf(overview, name) {
  return overview.lines.find((each) => each.name === name) ?? overview.lines.find((each) => each.members.includes(name));
}

/* The experiment whose pages stand for a line of the comparison: its first seed. */
export function shownFor(overview, line) {
  return lineOf(overview, line).members[0];
}

/* Names of the lines of the comparison, best first by what decides. */
export function rankedLines(overview) {
  return ranked({ ...overview, experiments: overview.lines });
}
