// What was marked, and the doubtful labels and leaks that were found, to be confirmed or rejected.

import { h, say } from "./dom.js";
import { get, live, mark, once } from "./data.js";
import { count, whole } from "./format.js";
import { link } from "./links.js";
import { picture } from "./cards.js";
import { doubtful } from "./doubts.js";
import { describe } from "./pair.js";

export async function reviewPage(context) {
  const { dataSet } = context;
  const doubts = await once(`${dataSet}/doubts`);
  if (!live) {
    return h("div", { class: "page" }, h("h1", { tabindex: "-1" }, "Review"),
      h("p", { class: "notice" }, "Pictures can be marked while gallerist browse runs."), doubtful(dataSet, doubts, [], null));
  }
  const [shown, leaks] = await Promise.all([once(`${dataSet}/corrections`), get(`${dataSet}/leaks`)]);
  const problem = h("p", { class: "notice", role: "alert", hidden: true });
  const act = async (body, remove) => {
    try {
      await mark(dataSet, body, remove);
      say(remove ? "Taken back" : "Kept");
      await context.again();
    } catch (error) {
      problem.textContent = error.message;
      problem.hidden = false;
    }
  };
  return h("div", { class: "page" },
    h("h1", { tabindex: "-1" }, "Review"), problem,
    h("p", { class: "lead" }, "What you mark is written to ", h("code", {}, shown.file), ". No picture and no folder of yours is changed."),
    shown.configured
      ? h("p", { class: "small" }, "The configuration names this file: the next run applies what it says.")
      : h("p", { class: "small" }, "To apply it, add ", h("code", {}, `corrections: ${shown.file}`), " below ", h("code", {}, "dataset:"), " in the configuration, and run the workflow again."),
    h("section", { "aria-labelledby": "marked" }, h("h2", { id: "marked" }, `Marked pictures (${whole(shown.corrections.length)})`),
      shown.corrections.length === 0
        ? h("p", { class: "small" }, "None yet. Open a query and choose “Something is wrong with this query”, or one of its answers.")
        : h("ul", { class: "marked" }, shown.corrections.map((one) => marked(dataSet, one, act)))),
    doubtful(dataSet, doubts, shown.corrections, act, context.keys),
    h("section", { "aria-labelledby": "leaks" }, h("h2", { id: "leaks" }, `Pictures in two parts (${whole(leaks.total)})`),
      leaks.pairs.length === 0
        ? h("p", { class: "small" }, "The leak report found none.")
        : [h("p", { class: "small" }, "The same or nearly the same picture on both sides flatters the figures. Confirmed: the picture on the left is left out, the one on the right stays.",
          leaks.total > leaks.pairs.length && ` The first ${count(leaks.pairs.length, "pair", "pairs")} are listed.`),
          h("ul", { class: "leaks" }, leaks.pairs.map((pair, place) => leak(dataSet, pair, place, shown.corrections, act)))]));
}

function marked(dataSet, one, act) {
  const { shown } = one;
  const body = { picture: one.picture, action: one.action, value: one.value, note: "" };
  return h("li", {},
    shown ? picture(dataSet, shown) : h("span", { class: "frame missing" }),
    h("div", {}, h("strong", {}, shown ? shown.label : one.picture), " ", h("span", { class: "small name" }, h("bdi", {}, shown ? shown.name : "not in the data set")),
      h("p", {}, describe(one)),
      shown?.part === "query" && h("a", { href: link(dataSet, "query", one.picture) }, "Open the query")),
    h("button", { type: "button", class: "button second", onclick: () => act(body, true) }, "Take back"));
}

function leak(dataSet, pair, place, corrections, act) {
  const { left, kept } = pair;
  const can = left.id !== null && kept.id !== null;
  const said = can && corrections.find((one) => one.picture === left.id && one.action === "leak" && one.value.split(":")[1] === kept.id);
  const state = !said ? null : said.value.startsWith("no:") ? "no" : "yes";
  const part = (one) => h("figure", {}, one.id ? picture(dataSet, one) : h("span", { class: "frame missing" }),
    h("figcaption", {}, h("strong", {}, one.part), ` ${one.label}`, h("span", { class: "small name" }, h("bdi", {}, one.name))));
  const button = (value, text, pressed) => h("button", {
    type: "button", class: `button${pressed ? "" : " second"}`, "aria-pressed": String(pressed), "data-key": `${place}${text}`,
    onclick: () => act({ picture: left.id, action: "leak", value: `${value}:${kept.id}`, note: "" }, pressed),
  }, text);
  return h("li", {}, part(left), part(kept),
    h("div", {}, h("p", {}, pair.kind === "exact" ? "The same file" : `Nearly the same: ${pair.bits} of 64 bits differ`,
      left.label !== kept.label && h("span", { class: "flag" }, "different classes")),
    can ? h("p", { class: "actions" }, button(kept.part, "It is a leak", state === "yes"), button("no", "It is none", state === "no"))
      : h("p", { class: "small" }, "left out since")));
}
