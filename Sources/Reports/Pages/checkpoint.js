// The page of `inspect`.

const summary = read("summary");

/** Names in which numbers sort by their value. */
const sortable = (name) => name.replace(/\d+/g, (digits) => digits.padStart(12, "0"));

/** The group of tensors that belong to none, whose color is the last. */
const otherGroup = 7;

const tensors = read("tensors").map((record, index) => {
  const { name, shape, stats } = record;
  const { min, max, mean, std, zeros, nan, inf: infinite } = stats ?? {};
  const values = shape.reduce((product, size) => product * size, 1);
  const count = stats === undefined ? undefined : values;
  return {
    ...record, index, values, count, min, max, mean, std, zeros, nan, infinite, group: record.group ?? otherGroup,
    key: sortable(name), search: `${name} ${record.full_name ?? ""}`.toLowerCase(),
    zeroShare: count > 0 ? zeros / count : null,
    isOdd: nan > 0 || infinite > 0,
    isEmpty: count > 0 && zeros === count,
    isConstant: count > 1 && min === max && min !== 0 && nan + infinite === 0,
  };
});

const shapeText = (tensor) => (tensor.shape.length === 0 ? "scalar" : tensor.shape.join(" × "));
const binCounts = (tensor) => tensor.histogram.split(" ").map(Number);
const shownBytes = tensors.reduce((sum, tensor) => sum + tensor.bytes, 0);
const shareOf = (bytes) => percent(shownBytes === 0 ? 0 : bytes / shownBytes);

// What to know first

setUpTheme(byId("theme"));
byId("file").textContent = summary.file;
byId("footer").textContent = `Made by ${summary.tool}. Nothing in a checkpoint is ever run.`;
byId("checks").append(...summary.checks.map((check) =>
  make("li", { class: check.level }, make("span", {}, check.text))));
factList(byId("facts"), summary.facts);
byId("numbers").append(...[
  ["tensors", grouped(summary.total_tensors)], ["values", grouped(summary.parameters)],
  ["size", bytesText(summary.bytes)],
  ["types", [...new Set(tensors.map((tensor) => tensor.dtype))].join(", ") || "none"],
].map(([label, value]) => make("div", {}, make("dt", {}, label), make("dd", {}, value))));
const byVerdict = (list) => {
  const order = ["dangerous", "unknown", "known"];
  return [...list].sort((a, b) => order.indexOf(a.verdict) - order.indexOf(b.verdict));
};
const verdictMark = (item) =>
  make("span", { class: { dangerous: "bad", unknown: "note", known: "good" }[item.verdict] }, ` ${item.verdict}`);
if (summary.imports.length > 0) {
  byId("imports").append(make("h3", {}, "What the pickle imports"),
    listTable([["name", "name"], "verdict"], byVerdict(summary.imports).map((item) => (
      [breakable(item.name), verdictMark(item)]))));
}
if (summary.code.length > 0) {
  byId("code").append(make("h3", {}, "Code in the checkpoint"),
    listTable([["name", "name"], "kind", "detail", "verdict"], byVerdict(summary.code).map((item) => (
      [breakable(item.name), item.kind, item.detail ?? "", verdictMark(item)]))));
}

// Where the bytes are: the tree, with the tensors as its leaves

const nodes = read("nodes").map(({ label, parent }, id) => (
  { id, label: shortened(label) || "everything", parent, key: sortable(label), bytes: 0, count: 0, children: [] }));
for (const tensor of tensors) {
  nodes[tensor.node].children.push(tensor);
  for (let id = tensor.node; id !== null; id = nodes[id].parent) {
    nodes[id].bytes += tensor.bytes;
    nodes[id].count++;
  }
}
for (const node of nodes) if (node.parent !== null) nodes[node.parent].children.push(node);
for (const node of nodes) node.children.sort((a, b) => b.bytes - a.bytes || (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));

const isNode = (item) => item.children !== undefined;
const groupOf = (item) => (isNode(item) ? groupOf(item.children[0]) : item.group);

/**
 * Rectangles in `box` whose areas are as the items' bytes, as near to squares as their order allows (Bruls, Huizing and
 * van Wijk, "Squarified Treemaps", 2000). The items come largest first.
 */
function squarify(items, box) {
  const rectangles = [];
  let { x, y, width, height } = box;
  let left = items.reduce((sum, item) => sum + item.bytes, 0);
  for (let start = 0; start < items.length && left > 0;) {
    const side = Math.min(width, height);
    const scale = (width * height) / left;
    // The worst ratio of a row of areas that sum up to `sum`.
    const worst = (sum, largest, smallest) =>
      Math.max((side * side * largest) / (sum * sum), (sum * sum) / (side * side * smallest));
    let end = start + 1;
    let sum = items[start].bytes;
    for (; end < items.length; end++) {
      const largest = items[start].bytes * scale;
      const now = worst(sum * scale, largest, items[end - 1].bytes * scale);
      if (worst((sum + items[end].bytes) * scale, largest, items[end].bytes * scale) > now) break;
      sum += items[end].bytes;
    }
    const depth = (sum * scale) / side;
    let along = 0;
    for (; start < end; start++) {
      const length = (items[start].bytes / sum) * side;
      rectangles.push(width <= height
        ? { x: x + along, y, width: length, height: depth }
        : { x, y: y + along, width: depth, height: length });
      along += length;
    }
    if (width <= height) [y, height] = [y + depth, height - depth];
    else [x, width] = [x + depth, width - depth];
    left -= sum;
  }
  return rectangles;
}

const treemap = byId("treemap");
const heading = 15;
/** Cells of one drawing are about this many at most, and none is smaller than this many pixels. */
const maximumCells = 1200;
const minimumArea = 24;
let shown = nodes[0];
let targets = new Map();

/** As much of a text as fits. */
function fitting(text, width) {
  const letters = Math.floor((width - 8) / 6.4);
  return letters < 3 ? "" : text.length > letters ? `${text.slice(0, letters - 1)}…` : text;
}

/** What the keys and the pointer find: a tensor, a part, its heading, or what is too small in it. */
function drawCell(item, box, part, lines) {
  const cell = draw("g", { class: "cell", role: "button", tabindex: targets.size === 0 ? "0" : "-1", "aria-label": cellText(item) },
    draw("rect", { ...box, class: `part${part}` }),
    lines.map((text, line) => (box.height < 14 + 13 * line ? null
      : draw("text", { x: box.x + 4, y: box.y + 11 + 13 * line, class: isNode(item) ? "heading" : null }, fitting(text, box.width)))));
  targets.set(cell, item);
  treemap.append(cell);
}

/** Draws the children of `node` into `box`; gives the number of tensors that are too small to be drawn. */
function drawParts(node, box, depth) {
  const area = (item) => (item.bytes / shown.bytes) * treemap.clientWidth * treemapHeight();
  const items = node.children.filter((item, index) =>
    area(item) >= minimumArea && (item.bytes * maximumCells >= shown.bytes || index < 24));
  const rest = node.children.slice(items.length);
  const count = rest.reduce((sum, item) => sum + (isNode(item) ? item.count : 1), 0);
  const bytes = rest.reduce((sum, item) => sum + item.bytes, 0);
  if (bytes > 0) items.push({ bytes, rest: count, of: node, label: `${grouped(count)} smaller` });
  items.sort((a, b) => b.bytes - a.bytes);
  let hidden = count;
  squarify(items, box).forEach((cellBox, index) => {
    const item = items[index];
    if (isNode(item) && cellBox.width > 44 && cellBox.height > 34 && depth < 8) {
      treemap.append(draw("rect", { ...cellBox, class: `part${groupOf(item)}` }));
      drawCell(item, { ...cellBox, height: heading }, groupOf(item), [item.label]);
      hidden += drawParts(item,
        { x: cellBox.x + 2, y: cellBox.y + heading, width: cellBox.width - 4, height: cellBox.height - heading - 2 }, depth + 1);
      treemap.append(draw("rect", { ...cellBox, class: "frame" }));
    } else if (item.rest === undefined || cellBox.width * cellBox.height >= minimumArea) {
      drawCell(item, cellBox, groupOf(item.rest === undefined ? item : node), [item.label, bytesText(item.bytes)]);
    }
  });
  return hidden;
}

const treemapHeight = () => Math.round(Math.min(520, Math.max(300, treemap.clientWidth * 0.42)));

function drawTreemap(focused = false) {
  const width = treemap.clientWidth;
  if (width === 0) return;
  const height = treemapHeight();
  treemap.setAttribute("viewBox", `0 0 ${width} ${height}`);
  treemap.setAttribute("height", height);
  treemap.replaceChildren();
  targets = new Map();
  const hidden = shown.bytes === 0 ? 0 : drawParts(shown, { x: 0, y: 0, width, height }, 0);
  byId("treemap-note").textContent = shown.bytes === 0 ? "Nothing to draw: no tensor has any bytes."
    : hidden === 0 ? "" : `${counted(hidden, "tensor")} ${hidden === 1 ? "is" : "are"} too small to show; zoom in.`;
  byId("treemap-readout").textContent = cellText(shown);
  const path = [];
  for (let id = shown.id; id !== null; id = nodes[id].parent) path.unshift(nodes[id]);
  byId("crumbs").replaceChildren(...path.map((node) => make("button", {
    type: "button", "aria-current": node === shown ? "true" : null, click: () => zoom(node),
  }, node.label)));
  if (focused) targets.keys().next().value?.focus();
}

/** A cell in words. */
function cellText(item) {
  const size = `${bytesText(item.bytes)}, ${shareOf(item.bytes)} of all`;
  if (item.rest !== undefined) return `${counted(item.rest, "smaller tensor")} of ${item.of.label}: ${size}`;
  if (isNode(item)) return `${item.label}: ${counted(item.count, "tensor")}, ${size}`;
  return `${shortened(item.name)}: ${item.dtype}, ${shapeText(item)}, ${size}`;
}

function zoom(node) {
  shown = node;
  drawTreemap(true);
}

function enterCell(cell) {
  const item = targets.get(cell);
  if (isNode(item)) zoom(item);
  else if (item.rest !== undefined && item.of !== shown) zoom(item.of);
  else if (item.rest === undefined) reveal(item);
}

walkable(treemap, (cell) => { byId("treemap-readout").textContent = cellText(targets.get(cell)); }, enterCell,
  () => { if (shown.parent !== null) zoom(nodes[shown.parent]); });
new ResizeObserver(() => {
  if (treemap.clientWidth !== treemap.viewBox.baseVal.width) drawTreemap();
}).observe(treemap);
drawTreemap();

function totals(id, key, label, swatch) {
  const sums = new Map();
  for (const tensor of tensors) {
    const sum = sums.get(tensor[key]) ?? { tensors: 0, values: 0, bytes: 0 };
    sum.tensors++;
    sum.values += tensor.values;
    sum.bytes += tensor.bytes;
    sums.set(tensor[key], sum);
  }
  const rows = [...sums].sort(([, a], [, b]) => b.bytes - a.bytes).map(([name, sum]) => {
    const bar = make("span");
    bar.style.width = `${shownBytes === 0 ? 0 : (sum.bytes / shownBytes) * 100}%`;
    return [make("span", {}, swatch ? make("span", { class: `swatch part${name}` }) : null, label(name)),
      grouped(sum.tensors), grouped(sum.values), bytesText(sum.bytes),
      make("span", {}, shareOf(sum.bytes), make("span", { class: "share" }, bar))];
  });
  const table = listTable([["", "name"], ["tensors", "number"], ["values", "number"], ["bytes", "number"], ["share", "number"]], rows);
  byId(id).append(table);
}
totals("by-part", "group", (group) => breakable(summary.groups[group] ?? "others"), true);
totals("by-type", "dtype", (dtype) => dtype, false);

// Layer by layer

const measures = {
  "norm (root of the sum of squares)": (t) => Math.sqrt((t.count - t.nan - t.infinite) * (t.mean ** 2 + t.std ** 2)),
  "root mean square": (t) => Math.sqrt(t.mean ** 2 + t.std ** 2),
  "standard deviation": (t) => t.std,
  "largest magnitude": (t) => Math.max(-t.min, t.max),
  "share of zeros": (t) => t.zeroShare,
};
const { grids, more: moreGrids } = read("grids");

function drawGrids() {
  const measure = measures[byId("measure").value];
  byId("grids").replaceChildren(...grids.flatMap((grid) => {
    const rows = grid.rows.map(({ part, tensors: members }) => {
      const values = members.map((index) => (index === null ? null : measure(tensors[index])));
      const sorted = values.filter((value) => value !== null).sort((a, b) => a - b);
      const middle = sorted[Math.floor((sorted.length - 1) / 2)];
      const cells = values.map((value, column) => {
        if (value === null) return make("td");
        const cell = make("span", { class: "cell", role: "button", tabindex: "-1", "data-tensor": members[column] }, significant(value));
        // Two doublings either way are full color.
        const ratio = value === middle ? 0 : middle > 0 ? Math.max(-1, Math.min(1, Math.log2(value / middle) / 2)) : 1;
        cell.style.background = `color-mix(in oklab, var(${ratio < 0 ? "--low" : "--high"}) ${(Math.abs(ratio) * 75).toFixed(1)}%, transparent)`;
        return make("td", {}, cell);
      });
      return make("tr", {}, make("th", { scope: "row", class: "name" }, breakable(part.replace(/^[/.]/, "") || "itself")), cells);
    });
    const left = [[grid.more_layers, "layer"], [grid.more_rows, "part"]].filter(([count]) => count > 0)
      .map(([count, thing]) => counted(count, `more ${thing}`)).join(" and ");
    return [
      make("h3", { class: "name" }, breakable(`${grid.prefix}…`)),
      make("div", { class: "scroll" }, make("table", { class: "grid" },
        make("thead", {}, make("tr", {}, make("th", { scope: "col" }, ""), grid.layers.map((layer) => make("th", { scope: "col" }, layer)))),
        make("tbody", {}, rows))),
      left === "" ? null : make("p", { class: "quiet" }, `${left} not shown here.`),
    ].filter(Boolean);
  }));
  byId("grids").querySelector(".cell")?.setAttribute("tabindex", "0");
}

byId("layers").hidden = grids.length === 0;
byId("measure").append(...Object.keys(measures).map((name) => make("option", {}, name)));
byId("measure").addEventListener("change", drawGrids);
walkable(byId("grids"), (cell) => {
  const tensor = tensors[cell.dataset.tensor];
  byId("grids-readout").textContent = `${shortened(tensor.name)}: ${shapeText(tensor)}, ${byId("measure").value} ${cell.textContent}`;
}, (cell) => reveal(tensors[cell.dataset.tensor]));
if (moreGrids > 0) byId("layers").append(make("p", { class: "quiet" }, `${counted(moreGrids, "more stack")} of layers not shown here.`));
drawGrids();

// The table of tensors

const target = new Map(read("mapping").mapped.map((entry) => [entry.name, entry]));
const rows = new WeakMap();
const columns = [
  { title: "name", key: "key", kind: "name", isText: true },
  { title: "type", key: "dtype", isText: true },
  { title: "shape" },
  { title: "values", key: "values", kind: "number", text: (t) => grouped(t.values) },
  { title: "bytes", key: "bytes", kind: "number", text: (t) => bytesText(t.bytes) },
  ...["min", "max", "mean", "std"].map((key) => ({ title: key, key, kind: "number", text: (t) => (t.count === undefined ? "" : significant(t[key])) })),
  { title: "zeros", key: "zeroShare", kind: "number", text: (t) => (t.count ? percent(t.zeroShare) : "") },
  { title: "histogram" },
];
const filters = [
  ...[...new Set(tensors.map((tensor) => tensor.dtype))].sort().map((dtype) => ({ group: "dtype", title: dtype, accepts: (t) => t.dtype === dtype })),
  { group: "flag", title: "NaN or infinity", accepts: (t) => t.isOdd },
  { group: "flag", title: "all zeros", accepts: (t) => t.isEmpty },
  { group: "flag", title: "one value", accepts: (t) => t.isConstant },
];
let order = { column: null, isDescending: false };

function flags(tensor) {
  const list = [];
  if (tensor.nan > 0) list.push([`! ${grouped(tensor.nan)} NaN`, "flag"]);
  if (tensor.infinite > 0) list.push([`! ${grouped(tensor.infinite)} infinite`, "flag"]);
  if (tensor.isEmpty) list.push(["all zeros", "flag calm"]);
  if (tensor.isConstant) list.push(["one value", "flag calm"]);
  return list.map(([text, kind]) => make("span", { class: kind }, text));
}

function makeRow(tensor) {
  const name = make("button", { type: "button", class: "plain name", "aria-expanded": "false", click: () => toggle(tensor) }, breakable(tensor.name));
  const cells = columns.map((column) => make("td", { class: column.kind }, column.text?.(tensor)));
  cells[0] = make("th", { scope: "row", class: "name" }, name, flags(tensor));
  cells[1].textContent = tensor.dtype;
  cells[2].textContent = shapeText(tensor);
  if (tensor.histogram) cells[10].append(spark(binCounts(tensor), `histogram of ${shortened(tensor.name)}`));
  const row = make("tr", {}, cells);
  rows.set(tensor, row);
  return row;
}

function toggle(tensor) {
  const row = rows.get(tensor);
  const isOpen = row.classList.toggle("open");
  row.querySelector("button").setAttribute("aria-expanded", isOpen);
  if (isOpen) row.after(make("tr", { class: "open" }, make("td", { colspan: columns.length }, opened(tensor))));
  else row.nextElementSibling.remove();
}

function opened(tensor) {
  const facts = make("dl", { class: "facts" });
  factList(facts, [
    tensor.name.length > longestName ? ["name", tensor.name] : null,
    tensor.full_name === undefined ? null : ["full name", tensor.full_name],
    ["shape", `${shapeText(tensor)}, ${tensor.dtype}`],
    ["bytes", `${grouped(tensor.bytes)}, ${shareOf(tensor.bytes)} of all`],
    tensor.file === undefined ? null : ["data", `${tensor.file}, offset ${grouped(tensor.offset)}`],
    ...(tensor.count === undefined ? [] : [
      ["minimum", significant(tensor.min)], ["maximum", significant(tensor.max)], ["mean", significant(tensor.mean)],
      ["standard deviation", significant(tensor.std)],
      ["norm", significant(Object.values(measures)[0](tensor))],
      ["zeros", `${grouped(tensor.zeros)} of ${grouped(tensor.count)}`],
      ["NaN, infinite", `${grouped(tensor.nan)}, ${grouped(tensor.infinite)}`],
    ]),
    target.has(tensor.name) ? ["mapped to", `${target.get(tensor.name).targets.join(", ")} (${target.get(tensor.name).operation})`] : null,
  ].filter(Boolean).map(([label, value]) => ({ label, value })));
  const box = make("div", { class: "opened" });
  if (tensor.histogram) {
    const counts = binCounts(tensor);
    const width = (tensor.max - tensor.min) / counts.length;
    const sum = counts.reduce((a, b) => a + b, 0);
    const zero = tensor.min < 0 && tensor.max > 0 ? -tensor.min / (tensor.max - tensor.min) : 0;
    box.append(chart(counts, {
      label: `Histogram of ${shortened(tensor.name)}`,
      about: `${counted(counts.length, "bin")}, at most ${counted(Math.max(...counts), "value")} in one`,
      describe: (bin) => `${significant(tensor.min + bin * width)} to ${significant(tensor.min + (bin + 1) * width)}: `
        + `${counted(counts[bin], "value")}, ${percent(counts[bin] / sum)}`,
      ticks: [[0, significant(tensor.min)], ...(zero > 0.15 && zero < 0.85 ? [[zero, "0"]] : []), [1, significant(tensor.max)]],
    }));
  }
  box.append(facts);
  return box;
}

const table = new RowList(byId("rows"), byId("more"), makeRow);

function update() {
  const words = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const pressed = Map.groupBy(filters.filter((filter) => filter.button?.getAttribute("aria-pressed") === "true"), (filter) => filter.group);
  const list = tensors.filter((tensor) => words.every((word) => tensor.search.includes(word))
    && [...pressed.values()].every((group) => group.some((filter) => filter.accepts(tensor))));
  if (order.column) {
    const { key, isText } = order.column;
    const sign = order.isDescending ? -1 : 1;
    // What has no value comes last in either order.
    const missing = (tensor) => tensor[key] === null || tensor[key] === undefined;
    list.sort((a, b) => missing(a) - missing(b)
      || sign * (isText ? (a[key] < b[key] ? -1 : a[key] > b[key] ? 1 : 0) : a[key] - b[key]) || a.index - b.index);
  }
  table.show(list);
  const all = summary.filter === null ? "" : `, those of ${grouped(summary.total_tensors)} that match ${summary.filter}`;
  byId("count").textContent = (list.length === tensors.length ? counted(list.length, "tensor")
    : `${grouped(list.length)} of ${counted(tensors.length, "tensor")}`) + all;
}

/** Opens the row of a tensor, wherever it is; where it is not in the list, or too far down, it is searched for. */
function reveal(tensor) {
  if (!table.reach(tensor)) {
    byId("search").value = tensor.name;
    for (const filter of filters) filter.button?.setAttribute("aria-pressed", "false");
    update();
    if (!table.reach(tensor)) table.more(table.items.indexOf(tensor) + 1);
  }
  const row = rows.get(tensor);
  if (!row.classList.contains("open")) toggle(tensor);
  row.scrollIntoView({ block: "center" });
  row.querySelector("button").focus({ preventScroll: true });
}

byId("columns").append(...columns.map((column) => {
  if (!column.key) return make("th", { scope: "col", class: column.kind }, column.title);
  const head = make("th", { scope: "col", class: column.kind, "aria-sort": "none" },
    make("button", { type: "button", click: () => {
      // Texts from A on, numbers from the largest on; then the other way round.
      order = { column, isDescending: order.column === column ? !order.isDescending : !column.isText };
      for (const other of byId("columns").querySelectorAll("[aria-sort]")) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", order.isDescending ? "descending" : "ascending");
      update();
    } }, column.title));
  return head;
}));
for (const filter of filters) {
  const count = tensors.filter(filter.accepts).length;
  if (count === 0 || (filter.group === "dtype" && count === tensors.length)) continue;
  filter.button = make("button", { type: "button", "aria-pressed": "false", click: () => {
    filter.button.setAttribute("aria-pressed", filter.button.getAttribute("aria-pressed") !== "true");
    update();
  } }, `${filter.title} ${grouped(count)}`);
  byId("filters").append(filter.button);
}
byId("search").addEventListener("input", update);
update();

// Name mapping

const mapping = read("mapping");
const kinds = [
  ["In conflict with the config", mapping.conflicts, ["what"], (text) => [text]],
  ["Unexpected", mapping.unexpected, ["name", "nearest known name", "hint"], (e) => [e.name, e.nearest, e.hint]],
  ["Wrong shape", mapping.misshapen, ["name", "found", "expected"], (e) => [e.name, e.found, e.expected]],
  ["Missing", mapping.missing, ["name", "of the model"], (e) => [e.name, e.target]],
  ["Dropped", mapping.dropped, ["name", "by the rule", "reason"], (e) => [e.name, e.rule, e.reason]],
  ["Mapped", mapping.mapped, ["name", "operation", "mapped to"], (e) => [e.name, e.operation, e.targets.join(", ")]],
];
byId("mapping-about").textContent = mapping.dialect === null
  ? `${mapping.description ?? "This checkpoint"}: no table matches.`
  : `As ${mapping.description ?? mapping.family}, dialect ${mapping.dialect}: ${kinds.filter(([, list]) => list.length > 0).map(([title, list]) => `${grouped(list.length)} ${title.toLowerCase()}`).join(", ")}.`;
byId("mapping-parts").append(...kinds.filter(([, list]) => list.length > 0).map(([title, list, heads, cells]) =>
  foldable(`${title}: ${grouped(list.length)}`, title !== "Mapped" && title !== "Dropped",
    () => listTable(heads.map((head) => [head, "wide name"]), list, (entry) => cells(entry).map((text) => breakable(text ?? ""))))));

// Tokens

const tokens = read("tokens");
const mostTokens = 200;

/** Ids of the tokens that a search names: by number, else the token itself first, then those that contain it. */
function lookUp(text) {
  if (text === "") return tokens.keys();
  const id = /^\d+$/.test(text) && Number(text) < tokens.length ? [Number(text)] : [];
  const whole = [], parts = [];
  const wanted = text.toLowerCase();
  for (const [index, token] of tokens.entries()) {
    if (token === text) whole.push(index);
    else if (token.toLowerCase().includes(wanted)) parts.push(index);
  }
  return [...new Set([...id, ...whole, ...parts])];
}

function showTokens() {
  const found = [...lookUp(byId("token-search").value)];
  byId("token-count").textContent = found.length > mostTokens
    ? `the first ${grouped(mostTokens)} of ${grouped(found.length)}` : counted(found.length, "token");
  byId("token-rows").replaceChildren(listTable([["id", "number"], ["token", "wide name"]],
    found.slice(0, mostTokens).map((id) => [grouped(id), tokens[id]])));
}

if (tokens.length > 0) {
  byId("tokens").hidden = false;
  byId("tokens-about").textContent = `${summary.facts.find(({ label }) => label === "tokenizer").value}.`;
  byId("token-search").addEventListener("input", showTokens);
  showTokens();
}

byId("config").append(...[["Config", summary.config], ["Metadata", summary.metadata]].map(([title, pairs]) =>
  pairs.length === 0 ? make("p", { class: "quiet" }, `${title}: none.`)
    : foldable(`${title}: ${counted(pairs.length, "key")}`, title === "Config" && pairs.length <= 40,
      () => listTable([["key", "name"], ["value", "wide name"]], pairs.map(({ key, value }) => [key, value])))));
