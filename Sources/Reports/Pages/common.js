// What both pages use. Nothing here ever reads text as markup: elements are made one by one, text goes in as text.

/** The data that the page carries under a name. */
function read(name) {
  return JSON.parse(document.getElementById(`data-${name}`).textContent);
}

function byId(id) {
  return document.getElementById(id);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** An HTML element; functions among the attributes are listeners. */
function make(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** An SVG element. */
function draw(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

/** Names in lists are shown up to this length. */
const longestName = 300;

function shortened(name) {
  return name.length > longestName ? `${name.slice(0, longestName)}…` : name;
}

/** A name that is broken at its separators where it does not fit in one line. */
function breakable(name) {
  return shortened(name).split(/(?<=[/._])/).flatMap((part) => [make("wbr"), part]);
}

// Numbers

const groups = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

function grouped(value) {
  return groups.format(value);
}

function counted(count, thing) {
  return `${grouped(count)} ${thing}${count === 1 ? "" : "s"}`;
}

/** In binary units, as the program prints them. */
function bytesText(count) {
  let value = count;
  let unit = 0;
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024;
  return unit === 0 ? counted(count, "byte") : `${value.toFixed(1)} ${units[unit]}`;
}

/** Four significant digits. */
function significant(value) {
  if (value === null || Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value < 0 ? "-inf" : "inf";
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size < 1e-3 || size >= 1e5) return value.toExponential(2);
  return size >= 1e3 ? value.toFixed(size >= 1e4 ? 0 : 1) : value.toPrecision(4);
}

function percent(part) {
  if (part === 0 || part === 1) return `${part * 100}%`;
  if (part < 0.0001) return "<0.01%";
  // Never rounded up to 100: that is kept for all of it.
  const digits = part < 0.1 ? 2 : 1;
  return `${(Math.floor(part * 100 * 10 ** digits) / 10 ** digits).toFixed(digits)}%`;
}

// Colors

const isDark = matchMedia("(prefers-color-scheme: dark)");

function setUpTheme(button) {
  const root = document.documentElement;
  const current = () => root.dataset.theme ?? (isDark.matches ? "dark" : "light");
  const other = () => (current() === "dark" ? "light" : "dark");
  const label = () => { button.textContent = other() === "dark" ? "Dark colors" : "Light colors"; };
  button.addEventListener("click", () => {
    root.dataset.theme = other();
    label();
  });
  isDark.addEventListener("change", label);
  label();
}

// Cells of a drawing that the arrow keys walk through: one of them is a stop of the tab key.

/** The cell next to `from` in a direction, by where they are drawn. */
function neighbor(cells, from, dx, dy) {
  const start = from.getBoundingClientRect();
  let best = null;
  let least = Infinity;
  for (const cell of cells) {
    if (cell === from) continue;
    const box = cell.getBoundingClientRect();
    const ahead = dx > 0 ? box.left - start.right : dx < 0 ? start.left - box.right
      : dy > 0 ? box.top - start.bottom : start.top - box.bottom;
    if (ahead < -2) continue;
    const [gap, shift] = dx !== 0
      ? [Math.max(0, box.top - start.bottom, start.top - box.bottom), Math.abs(box.top - start.top)]
      : [Math.max(0, box.left - start.right, start.left - box.right), Math.abs(box.left - start.left)];
    const distance = Math.max(0, ahead) + 4 * gap + 0.01 * shift;
    if (distance < least) [best, least] = [cell, distance];
  }
  return best;
}

const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** Makes the `.cell` elements in `container`, now and later, walkable; `show` describes one, `enter` opens it. */
function walkable(container, show, enter, leave = () => {}) {
  const cells = () => [...container.querySelectorAll(".cell")];
  const cellOf = (event) => event.target.closest(".cell");
  container.addEventListener("focusin", (event) => {
    const cell = cellOf(event);
    if (!cell) return;
    for (const stop of container.querySelectorAll('.cell[tabindex="0"]')) stop.setAttribute("tabindex", "-1");
    cell.setAttribute("tabindex", "0");
    show(cell);
  });
  container.addEventListener("pointerover", (event) => {
    const cell = cellOf(event);
    if (cell) show(cell);
  });
  container.addEventListener("click", (event) => {
    const cell = cellOf(event);
    if (cell) enter(cell);
  });
  container.addEventListener("keydown", (event) => {
    const cell = cellOf(event);
    if (!cell || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key in arrows) neighbor(cells(), cell, ...arrows[event.key])?.focus();
    else if (event.key === "Home") cells()[0].focus();
    else if (event.key === "End") cells().at(-1).focus();
    else if (event.key === "Enter" || event.key === " ") enter(cell);
    else if (event.key === "Escape" || event.key === "Backspace") leave();
    else return;
    event.preventDefault();
  });
}

// Long lists

/** Rows made in chunks as the reader scrolls: a list may have any length. */
class RowList {
  static size = 100;

  constructor(body, button, makeRow) {
    Object.assign(this, { body, button, makeRow, items: [], done: 0 });
    button.addEventListener("click", () => this.more());
    this.watcher = new IntersectionObserver((entries) => {
      if (entries.some((entry) => entry.isIntersecting)) this.more();
    }, { rootMargin: "600px" });
    addEventListener("beforeprint", () => { if (this.items.length <= 2000) this.more(this.items.length); });
  }

  show(items) {
    this.items = items;
    this.done = 0;
    this.body.replaceChildren();
    this.more();
  }

  more(count = RowList.size) {
    const next = this.items.slice(this.done, this.done + count);
    this.done += next.length;
    for (const item of next) this.body.append(this.makeRow(item));
    const left = this.items.length - this.done;
    this.button.hidden = left === 0;
    this.button.textContent = `Show more (${grouped(left)} left)`;
    // Observed again, so that a button that is still in sight is reported again.
    this.watcher.unobserve(this.button);
    if (left > 0) this.watcher.observe(this.button);
  }

  /** Makes rows up to the one of `item`; false where that are too many, or where it is not among the items. */
  reach(item) {
    const index = this.items.indexOf(item);
    if (index < 0 || index >= this.done + 20 * RowList.size) return false;
    if (index >= this.done) this.more(index + 1 - this.done);
    return true;
  }
}

/** A table in a box that scrolls; a column is its title, or `[title, class]`, and `cells` gives what is in a row. */
function listTable(columns, rows, cells = (row) => row) {
  const body = make("tbody");
  const button = make("button", { type: "button", class: "more" });
  const titles = columns.map((column) => [column].flat());
  const head = titles.map(([title, kind]) => make("th", { scope: "col", class: kind }, title));
  new RowList(body, button, (row) =>
    make("tr", {}, cells(row).map((cell, index) => make("td", { class: titles[index][1] }, cell)))).show(rows);
  return make("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "table" },
    make("table", {}, make("thead", {}, make("tr", {}, head)), body), button);
}

/** A part that is made when it is opened first. */
function foldable(title, isOpen, content) {
  const part = make("details", {}, make("summary", {}, title));
  part.addEventListener("toggle", () => { if (part.open && part.children.length === 1) part.append(content()); });
  part.open = isOpen;
  return part;
}

function factList(list, facts) {
  list.append(...facts.flatMap(({ label, value }) => [make("dt", {}, label), make("dd", {}, value)]));
}

// Histograms

/** A path of bars, `heights` from 0 to 1. */
function barPath(heights, width, height) {
  const step = width / heights.length;
  return heights.map((part, index) => {
    const size = part * height;
    return size === 0 ? "" : `M${(index * step).toFixed(2)} ${height}v${(-size).toFixed(2)}h${(step * 0.92).toFixed(2)}V${height}z`;
  }).join("");
}

/** Heights of bars for counts, of which the smallest that is not zero can be seen. */
function barHeights(counts, isLogarithmic, least) {
  const size = (count) => (isLogarithmic ? Math.log1p(count) : count);
  const top = Math.max(...counts.map(size), 1e-300);
  return counts.map((count) => (count === 0 ? 0 : Math.max(least, size(count) / top)));
}

function spark(counts, label, marks = []) {
  return draw("svg", { class: "spark", viewBox: "0 0 84 18", role: "img", "aria-label": label, preserveAspectRatio: "none" },
    draw("path", { class: "bars", d: barPath(barHeights(counts, false, 0.06), 84, 17) }),
    draw("line", { class: "axis", x1: 0, y1: 17.5, x2: 84, y2: 17.5 }),
    marks.map((position) => draw("line", { class: "limit", x1: position * 84, y1: 0, x2: position * 84, y2: 18 })));
}

/**
 * A histogram to read: the arrow keys and the pointer walk through its bins.
 * `describe(bin)` is the sentence about one, `ticks` are `[position from 0 to 1, text]`, `limit` a position to mark.
 */
function chart(counts, { label, about, describe, ticks, limit = null }) {
  const [width, height] = [560, 130];
  const bars = draw("path", { class: "bars" });
  const cursor = draw("rect", { class: "cursor", y: 0, height, width: width / counts.length, visibility: "hidden" });
  const readout = make("p", { class: "readout", "aria-live": "polite" }, about);
  let current = -1;
  const show = (bin) => {
    current = Math.min(counts.length - 1, Math.max(0, bin));
    cursor.setAttribute("x", (current * width) / counts.length);
    cursor.setAttribute("visibility", "visible");
    readout.textContent = describe(current);
  };
  const texts = ticks.map(([position, text]) => draw("text", {
    x: position * width, y: height + 14, "text-anchor": position < 0.1 ? "start" : position > 0.9 ? "end" : "middle",
  }, text));
  const svg = draw("svg", {
    class: "chart", viewBox: `0 0 ${width} ${height + 18}`, width, height: height + 18, tabindex: "0", role: "img",
    "aria-label": `${label}. ${about}`,
    pointermove: (event) => {
      const box = svg.getBoundingClientRect();
      show(Math.floor(((event.clientX - box.left) / box.width) * counts.length));
    },
    keydown: (event) => {
      const [step] = arrows[event.key] ?? [0];
      if (step === 0) return;
      show(current < 0 ? (step > 0 ? 0 : counts.length - 1) : current + step);
      event.preventDefault();
    },
  }, cursor, bars, draw("line", { class: "axis", x1: 0, y1: height, x2: width, y2: height }), texts,
    limit === null ? null : draw("line", { class: "limit", x1: limit * width, y1: 0, x2: limit * width, y2: height }));
  const scale = make("button", { type: "button", "aria-pressed": "false", click: () => {
    const isLogarithmic = scale.getAttribute("aria-pressed") !== "true";
    scale.setAttribute("aria-pressed", isLogarithmic);
    paint(isLogarithmic);
  } }, "Log scale");
  const paint = (isLogarithmic) =>
    bars.setAttribute("d", barPath(barHeights(counts, isLogarithmic, 0.01), width, height));
  paint(false);
  return make("div", {}, svg, make("div", { class: "controls" }, scale), readout);
}
