// Labels that the nearest pictures contradict, each to be confirmed or rejected.

import { h } from "./dom.js";
import { live } from "./data.js";
import { count, whole } from "./format.js";
import { link } from "./links.js";
import { picture } from "./cards.js";

/* The section of the page. corrections: what was said so far. act: says or takes back; null where nothing can be said. keys: see main.js. */
export function doubtful(dataSet, found, corrections, act, keys) {
  const said = new Map(corrections.filter((one) => one.action === "label").map((one) => [one.picture, one.value]));
  const open = found.doubts.filter((one) => !said.has(one.picture.id)).length;
  const list = h("ul", { class: "doubts" }, found.doubts.map((one) => doubt(dataSet, one, said.get(one.picture.id), act)));
  if (act && found.doubts.length) keys(pressed(list, found.doubts, said, act));
  return h("section", { "aria-labelledby": "doubts" }, h("h2", { id: "doubts" }, `Doubtful labels (${whole(found.total)})`),
    found.doubts.length === 0
      ? h("p", { class: "small" }, "The nearest pictures contradict no label of a query or a gallery picture.")
      : [h("p", { class: "small" }, "Pictures whose nearest pictures are of another class, the surest first. The label may be wrong, or the picture hard. ",
        found.total > found.doubts.length && `The first ${whole(found.doubts.length)} are listed. `,
        act && [`${count(open, "is", "are")} to be decided: keys `, h("kbd", {}, "y"), " for the class suggested, ", h("kbd", {}, "n"), " for the label as it is, ", h("kbd", {}, "j"), " and ", h("kbd", {}, "k"), " for the next and the one before."]),
      list]);
}

function doubt(dataSet, one, value, act) {
  const { picture: own, suggested } = one;
  const near = one.neighbours.map((each) => h("li", { class: each.label === suggested ? "suggested" : each.label === own.label ? "own" : "" },
    picture(dataSet, each), h("span", { class: "small name" }, each.label)));
  const names = own.part === "query" ? h("a", { href: link(dataSet, "query", own.id) }, h("bdi", {}, own.name)) : h("bdi", {}, own.name);
  return h("li", { tabindex: act ? "0" : null, "data-key": `doubt ${own.id}`, "data-decided": value === undefined ? null : "yes" },
    h("figure", {}, picture(dataSet, own), h("figcaption", {}, h("strong", {}, own.part), h("span", { class: "small name" }, names))),
    h("div", {},
      h("p", {}, "Labelled ", h("strong", {}, own.label), `, as ${share(one.label_probability)} of its neighbours; `, h("strong", {}, suggested), ` are ${share(one.probability)}. `,
        h("span", { class: "small" }, `By ${one.experiments.join(", ")}.`)),
      h("ol", { class: "neighbours", "aria-label": "Its nearest pictures" }, near),
      act ? h("p", { class: "actions" }, choice(one, suggested, value, act), choice(one, own.label, value, act),
        value !== undefined && ![suggested, own.label].includes(value) && h("span", { class: "flag" }, value ? `marked as ${value}` : "marked as in doubt"))
        : null));
}

function share(probability) {
  return `${Math.round(100 * probability)} %`;
}

function choice(one, label, value, act) {
  const chosen = value === label;
  return h("button", {
    type: "button", class: `button${chosen ? "" : " second"}`, "aria-pressed": String(chosen), "data-key": `doubt ${one.picture.id} ${label}`,
    onclick: () => act(saying(one, label), chosen),
  }, `It is ${label}`);
}

function saying(one, label) {
  return { picture: one.picture.id, action: "label", value: label, note: "" };
}

/* Keys act on the picture that has the focus, else on the first that is not decided. */
function pressed(list, doubts, said, act) {
  const rows = () => [...list.children];
  const first = () => rows().findIndex((row) => !row.dataset.decided);
  const current = () => rows().findIndex((row) => row.contains(document.activeElement));
  const move = (step) => {
    const at = current();
    const to = at < 0 ? Math.max(0, first()) : at + step;
    rows()[Math.min(doubts.length - 1, Math.max(0, to))].focus();
  };
  const say = (pick) => {
    const at = current() < 0 ? first() : current();
    if (at < 0) return;
    const next = rows().findIndex((row, place) => place > at && !row.dataset.decided);
    rows()[next < 0 ? at : next].focus();
    act(saying(doubts[at], pick(doubts[at])), false);
  };
  return { j: () => move(1), k: () => move(-1), y: () => say((one) => one.suggested), n: () => say((one) => one.picture.label) };
}
