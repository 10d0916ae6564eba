// Charts as SVG in the page's own colours, drawn anew in the width that there is.

import { h, s, table } from "./dom.js";
import { figure, interval } from "./format.js";
import { named, seriesOf } from "./cards.js";

/* Means with their intervals, a row an experiment: for the eye and as a list for a reader.
   rows: {name, href, mean, low, high, remark}. */
export function intervals(overview, rows, words) {
  const lowest = Math.min(...rows.map((row) => row.low ?? row.mean));
  const from = lowest < 0.6 ? 0 : Math.floor(10 * lowest - 0.5) / 10;
  const place = (value) => `${(100 * (value - from)) / (1 - from)}%`;
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((share) => from + share * (1 - from));
  return h("div", { class: "intervals" },
    h("ul", { "aria-label": words }, rows.map((row) => {
      const { colour } = seriesOf(overview, row.name);
      const drawn = row.low !== null && row.low !== undefined;
      return h("li", {},
        h("a", { class: "who", href: row.href }, named(overview, row.name)),
        h("span", { class: "track", "aria-hidden": "true" },
          ticks.map((tick) => h("span", { class: "tick", css: { left: place(tick) } })),
          drawn && h("span", { class: "whisker", css: { left: place(row.low), right: `calc(100% - ${place(row.high)})`, background: colour } }),
          h("span", { class: "point", css: { left: place(row.mean), background: colour } })),
        h("span", { class: "number" }, figure(row.mean)),
        h("span", { class: "small ends" }, drawn ? interval(row.low, row.high) : "no interval"));
    })),
    h("div", { class: "scale", "aria-hidden": "true" }, ticks.map((tick) => h("span", { css: { left: place(tick) } }, tick.toFixed(2).replace(/0$/, "")))));
}

const HEIGHT = 300;
const EDGE = { left: 44, right: 12, top: 10, bottom: 40 };

/* Lines against an axis, with the values under the pointer. curves: name -> [at, mean, low, high]. */
export function lines(overview, curves, axis, title) {
  const names = Object.keys(curves);
  const hidden = new Set();
  const box = h("div", { class: "plot" });
  const legend = h("div", { class: "legend" }, names.map((name) => h("button", {
    type: "button", class: "plain", "aria-pressed": "true",
    onclick: (event) => {
      if (hidden.has(name)) hidden.delete(name); else hidden.add(name);
      event.currentTarget.setAttribute("aria-pressed", String(!hidden.has(name)));
      draw();
    },
  }, named(overview, name))));
  const draw = () => box.replaceChildren(plot(overview, curves, names.filter((name) => !hidden.has(name)), axis, title, box.clientWidth || 560));
  new ResizeObserver(draw).observe(box);
  const places = curves[names[0]].map((point) => point[0]);
  const few = places.filter((_, number) => places.length <= 15 || number < 10 || number % 10 === 9);
  const rows = few.map((at) => [axis.show(at), ...names.map((name) => figure((curves[name].find((point) => point[0] === at) ?? [])[1]))]);
  return h("figure", { class: "chart" }, h("figcaption", {}, title), box, legend,
    h("details", {}, h("summary", {}, "As a table"), table(title, [axis.title, ...names], rows, { class: "numbers" })));
}

function plot(overview, curves, names, axis, title, width) {
  const points = Object.values(curves).flat();
  const [first, last] = [Math.min(...points.map((point) => point[0])), Math.max(...points.map((point) => point[0]))];
  const scale = axis.log && last > 50 ? Math.log : (value) => value;
  const span = scale(last) - scale(first) || 1;
  const x = (at) => EDGE.left + ((scale(at) - scale(first)) / span) * (width - EDGE.left - EDGE.right);
  const y = (value) => EDGE.top + (1 - value) * (HEIGHT - EDGE.top - EDGE.bottom);
  const ticks = axis.ticks(first, last).filter((at) => at >= first && at <= last);
  const line = (name) => curves[name].map((point, number) => `${number ? "L" : "M"}${x(point[0]).toFixed(1)} ${y(point[1]).toFixed(1)}`).join("");
  const rule = s("line", { class: "rule", y1: EDGE.top, y2: HEIGHT - EDGE.bottom, visibility: "hidden" });
  const note = h("div", { class: "tip", hidden: true });
  const drawn = s("svg", { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": `${title}, ${names.length} lines; the table below has the numbers` },
    [0, 0.2, 0.4, 0.6, 0.8, 1].map((value) => [
      s("line", { class: "grid", x1: EDGE.left, x2: width - EDGE.right, y1: y(value), y2: y(value) }),
      s("text", { x: EDGE.left - 8, y: y(value) + 4, "text-anchor": "end" }, value.toFixed(1)),
    ]),
    ticks.map((at) => s("text", { x: x(at), y: HEIGHT - EDGE.bottom + 18, "text-anchor": "middle" }, axis.show(at))),
    s("text", { class: "title", x: (width + EDGE.left) / 2, y: HEIGHT - 4, "text-anchor": "middle" }, axis.title),
    names.map((name) => {
      const { colour, dash } = seriesOf(overview, name);
      return s("path", { d: line(name), fill: "none", css: { stroke: colour }, "stroke-width": 2.2, "stroke-dasharray": dash || null, "stroke-linejoin": "round" });
    }), rule);
  const move = (event) => {
    const wanted = event.clientX - drawn.getBoundingClientRect().left;
    const places = curves[names[0]]?.map((point) => point[0]) ?? [];
    if (!places.length) return;
    const at = places.reduce((best, each) => (Math.abs(x(each) - wanted) < Math.abs(x(best) - wanted) ? each : best));
    const values = names.map((name) => [name, (curves[name].find((point) => point[0] === at) ?? [])[1]]).sort((one, other) => (other[1] ?? 0) - (one[1] ?? 0));
    rule.setAttribute("x1", x(at));
    rule.setAttribute("x2", x(at));
    rule.setAttribute("visibility", "visible");
    note.hidden = false;
    note.replaceChildren(h("strong", {}, `${axis.short} ${axis.show(at)}`),
      ...values.map(([name, value]) => h("div", {}, named(overview, name), h("span", {}, figure(value)))));
    const left = x(at) > width / 2;
    note.style.setProperty("left", left ? "auto" : `${x(at) + 12}px`);
    note.style.setProperty("right", left ? `${width - x(at) + 12}px` : "auto");
  };
  const leave = () => {
    note.hidden = true;
    rule.setAttribute("visibility", "hidden");
  };
  return h("div", { class: "drawn", onpointermove: move, onpointerleave: leave }, drawn, note);
}

const STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000];

function evenly(first, last) {
  const rough = (last - first) / 6;
  const power = 10 ** Math.floor(Math.log10(rough || 1));
  const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough);
  const found = [];
  for (let at = Math.ceil(first / step) * step; at <= last + 1e-9; at += step) found.push(+at.toFixed(6));
  return found;
}

export const AXES = {
  "hit rate": {
    title: "k, answers looked at", short: "k =", log: true, show: String, heading: "Hit rate at k",
    ticks: (first, last) => (last > 50 ? STEPS : evenly(first, last)),
  },
  precision: {
    title: "recall", short: "recall", log: false, show: (at) => at.toFixed(2).replace(/0$/, ""), heading: "Precision against recall",
    ticks: () => [0, 0.2, 0.4, 0.6, 0.8, 1],
  },
  growth: {
    title: "distractors in the gallery", short: "distractors:", log: false, show: (at) => at.toLocaleString("en"), heading: "Hit rate at 1 as distractors are added",
    ticks: evenly,
  },
};
