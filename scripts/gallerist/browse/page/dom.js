// Elements, made of texts and never of markup: a name from the disk stays a name.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "css") {
      for (const [property, text] of Object.entries(value)) node.style.setProperty(property, text);
    } else if (name === "value") node.value = value;
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

export function h(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function s(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

export function say(text) {
  document.getElementById("said").textContent = text;
}

/* A table whose cells are texts or elements. The first column heads its row. */
export function table(caption, columns, rows, attributes = {}) {
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    h("table", attributes,
      h("caption", { class: "hidden" }, caption),
      h("thead", {}, h("tr", {}, columns.map((column) => h("th", { scope: "col" }, column)))),
      h("tbody", {}, rows.map((cells) => h("tr", {},
        cells.map((cell, place) => place ? h("td", {}, cell) : h("th", { scope: "row" }, cell)))))));
}

export function select(label, value, options, change, attributes = {}) {
  const chosen = h("select", { "data-key": label, onchange: (event) => change(event.target.value), ...attributes },
    options.map(([key, text]) => h("option", { value: key, selected: key === value }, text)));
  return h("label", { class: "field" }, h("span", {}, label), chosen);
}
