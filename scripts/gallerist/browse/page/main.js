// The frame around every page: its address decides what is shown.

import { h, s } from "./dom.js";
import { live, once } from "./data.js";
import { count, day, whole } from "./format.js";
import { here, link } from "./links.js";
import { experimentPage, overviewPage } from "./overview.js";
import { queriesPage } from "./queries.js";
import { queryPage } from "./query.js";
import { differencesPage } from "./differences.js";
import { searchPage } from "./search.js";
import { reviewPage } from "./review.js";

const VIEWS = {
  "": ["Overview", overviewPage],
  queries: ["Queries", queriesPage],
  differences: ["Differences", differencesPage],
  search: ["Search", searchPage],
  review: ["Review", reviewPage],
  query: ["Query", queryPage],
  experiment: ["Experiment", experimentPage],
};
const TABS = live ? ["", "queries", "differences", "search", "review"] : ["", "queries", "differences", "review"];
const PARENT = { query: "queries", experiment: "" };

const content = document.getElementById("content");
let shownKeys = {};
let take = null;
let number = 0;
let last = null;

function go(address) {
  if (location.hash === address) show();
  else location.hash = address;
}

async function show() {
  const mine = ++number;
  const place = here();
  const [, make] = VIEWS[place.view] ?? VIEWS[""];
  shownKeys = {};
  take = null;
  const slow = setTimeout(() => content.setAttribute("aria-busy", "true"), 150);
  let node;
  let index = { data_sets: [] };
  const mayTake = (action) => { if (mine === number) take = action; };
  const mayPress = (keys) => { if (mine === number) shownKeys = keys; };
  try {
    index = await once("index");
    if (!place.dataSet && index.data_sets.length === 1) {
      location.replace(link(index.data_sets[0].name));
      clearTimeout(slow);
      return;
    }
    node = place.dataSet ? await make({ ...place, go, again: show, keys: mayPress, drops: mayTake }) : choice(index);
  } catch (error) {
    node = h("div", { class: "page" }, h("h1", { tabindex: "-1" }, "This cannot be shown"), h("p", { class: "notice", role: "alert" }, error.message),
      h("p", {}, h("a", { href: "#/" }, "To the data sets")));
  }
  clearTimeout(slow);
  if (mine !== number) return;
  content.removeAttribute("aria-busy");
  document.querySelectorAll("dialog").forEach((each) => each.close());
  const key = document.activeElement?.getAttribute("data-key");
  header(place, index);
  content.replaceChildren(node);
  const heading = content.querySelector("h1");
  document.title = [heading?.textContent.trim().slice(0, 80), place.dataSet, "Gallerist"].filter(Boolean).join(" · ");
  const moved = last !== `${place.dataSet}/${place.view}/${place.item}`;
  if (moved) window.scrollTo(0, 0);
  if (moved && last !== null) heading?.focus({ preventScroll: true });
  else if (key) content.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus({ preventScroll: true });
  last = `${place.dataSet}/${place.view}/${place.item}`;
}

function choice(index) {
  return h("div", { class: "page" }, h("h1", { tabindex: "-1" }, "Data sets"),
    index.data_sets.length === 0 && h("p", { class: "notice" }, "There are no compared experiments yet. Run the workflow first: make run"),
    h("ul", { class: "data-sets" }, index.data_sets.map((each) => h("li", {}, h("a", { href: link(each.name) },
      h("strong", {}, each.name), h("span", {}, `${count(each.experiments, "experiment", "experiments")}, ${count(each.queries, "query", "queries")}, gallery of ${whole(each.gallery)}`),
      h("span", { class: "small" }, day(each.finished)))))));
}

function header(place, index) {
  const current = PARENT[place.view] ?? place.view;
  const several = index.data_sets.length > 1;
  document.getElementById("header").replaceChildren(...[
    h("a", { class: "brand", href: "#/" }, mark(), "Gallerist"),
    place.dataSet && several && h("label", { class: "data-set" }, h("span", { class: "hidden" }, "Data set"),
      h("select", { onchange: (event) => go(link(event.target.value)) },
        index.data_sets.map(({ name }) => h("option", { value: name, selected: name === place.dataSet }, name)))),
    place.dataSet && h("nav", { "aria-label": "Views" }, TABS.map((view) => h("a", {
      href: link(place.dataSet, view), "aria-current": view === current ? "page" : null,
    }, VIEWS[view][0]))),
    h("button", { type: "button", class: "plain theme", onclick: turn, "aria-label": "Dark or light" }, "◐"),
  ].filter(Boolean));
  uncover(document.querySelector("#header [aria-current]"));
}

/** Scroll a link's row until it is seen. `scrollIntoView` would have the Tab key begin behind it. */
function uncover(one) {
  const [it, row] = [one, one?.parentElement].map((each) => each?.getBoundingClientRect());
  if (one) one.parentElement.scrollLeft += Math.min(0, it.left - row.left) + Math.max(0, it.right - row.right);
}

function mark() {
  const square = (x, y, opacity) => s("rect", { x, y, width: 9, height: 9, rx: 1.5, opacity });
  return s("svg", { viewBox: "0 0 20 20", width: 20, height: 20, "aria-hidden": "true" }, square(0, 0, 1), square(11, 0, 0.55), square(0, 11, 0.55), square(11, 11, 0.3));
}

function remembered() {
  try {
    return localStorage.getItem("gallerist theme");
  } catch {
    return null;
  }
}

function turn() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try {
    localStorage.setItem("gallerist theme", root.dataset.theme);
  } catch {
    // a browser may keep nothing
  }
}

addEventListener("hashchange", show);
addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, select, textarea, dialog, .strip, .scroll");
  if (typing || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
  shownKeys[event.key]?.();
});
addEventListener("dragover", (event) => {
  if (!take) return;
  event.preventDefault();
  document.documentElement.classList.add("dropping");
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.documentElement.classList.remove("dropping");
});
addEventListener("drop", (event) => {
  document.documentElement.classList.remove("dropping");
  if (!take) return;
  event.preventDefault();
  take(event.dataTransfer.files[0]);
});
addEventListener("paste", (event) => {
  const file = [...(event.clipboardData?.files ?? [])][0];
  if (take && file) take(file);
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  content.focus();
});

if (remembered()) document.documentElement.dataset.theme = remembered();
show();
