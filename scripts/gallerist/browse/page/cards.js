// Pictures with what is said of them, and an experiment's name in its colour.

import { h } from "./dom.js";
import { thumbnail } from "./data.js";
import { lineOf } from "./links.js";

/* The colour of an experiment, by its place in the comparison: the same everywhere, and for all seeds. */
export function seriesOf(overview, name) {
  const place = overview.lines.indexOf(lineOf(overview, name));
  return { colour: `var(--series-${place % 7})`, dash: ["", "6 4", "2 3", "8 3 2 3"][Math.floor(place / 7) % 4] };
}

export function named(overview, name, attributes = {}) {
  return h("span", { class: "series", ...attributes },
    h("span", { class: "dot", css: { background: seriesOf(overview, name).colour }, "aria-hidden": "true" }), name);
}

const MARKS = new Map([[true, ["right", "○", "right"]], [false, ["wrong", "×", "wrong"]], [null, ["unknown", "?", "unknown whether right"]]]);

export function badge(relevant) {
  const [kind, sign, words] = MARKS.get(relevant ?? null);
  return h("span", { class: `badge ${kind}` }, h("span", { "aria-hidden": "true" }, sign), h("span", { class: "hidden" }, words));
}

export function picture(dataSet, shown, attributes = {}) {
  const failed = (event) => {
    event.target.closest(".frame")?.classList.add("missing");
    event.target.remove();
  };
  return h("span", { class: "frame" },
    h("img", {
      src: thumbnail(dataSet, shown.id), alt: `${shown.label || "class unknown"}, ${shown.name}`,
      width: shown.width, height: shown.height, loading: "lazy", decoding: "async", onerror: failed, ...attributes,
    }));
}

/* An answer in its place. open: what happens when it is chosen. */
export function answerCard(dataSet, answer, open) {
  const kind = answer.relevant === null ? "unknown" : answer.relevant ? "right" : "wrong";
  const inside = [
    picture(dataSet, answer),
    h("span", { class: "line" }, h("span", { class: "rank" }, String(answer.rank)), badge(answer.relevant),
      h("span", { class: "label", title: answer.label }, answer.label)),
    h("span", { class: "small" }, answer.distance.toFixed(3)),
  ];
  return h("li", { class: `answer ${kind}` },
    open ? h("button", { type: "button", onclick: () => open(answer) }, inside) : h("div", {}, inside));
}

export function strip(dataSet, answers, open, label) {
  return h("ol", { class: "strip", tabindex: "0", "aria-label": label }, answers.map((answer) => answerCard(dataSet, answer, open)));
}

/* What stands over answers that a threshold refuses. reason: as the server gives it; nothing without. */
export function notSure(reason) {
  return reason && h("p", { class: "notice" }, `${reason[0].toUpperCase()}${reason.slice(1)}. The nearest pictures, of which none may be right:`);
}

/* Where an experiment has its first right answer, as a chip. */
export function rankChip(overview, name, first) {
  const text = first > 0 ? String(first) : first === 0 ? "none" : "–";
  const words = first > 0 ? `first right answer at rank ${first}` : first === 0 ? "no right answer in the ranking" : "not evaluated";
  return h("span", { class: `chip ${first === 1 ? "right" : first < 0 ? "" : "wrong"}`, title: `${name}: ${words}` },
    h("span", { class: "dot", css: { background: seriesOf(overview, name).colour }, "aria-hidden": "true" }),
    h("span", { "aria-hidden": "true" }, text), h("span", { class: "hidden" }, `${name}: ${words}`));
}

/* Boxes to choose experiments by. change: gets the names that are chosen, never none. */
export function experimentBoxes(overview, chosen, change, refused = () => null) {
  const toggled = (name) => {
    const next = chosen.includes(name) ? chosen.filter((each) => each !== name) : [...chosen, name];
    if (next.length) change(overview.experiments.map((each) => each.name).filter((each) => next.includes(each)));
    else change(chosen);
  };
  return h("fieldset", { class: "boxes" }, h("legend", {}, "Experiments"),
    overview.experiments.map(({ name }) => h("label", { class: `box${refused(name) ? " off" : ""}`, title: refused(name) },
      h("input", { type: "checkbox", "data-key": `box ${name}`, checked: chosen.includes(name), disabled: Boolean(refused(name)), onchange: () => toggled(name) }),
      named(overview, name))));
}
