// The page of `verify --fixtures`.

const summary = read("summary");
const outputs = read("outputs");
const { tolerance } = summary;

setUpTheme(byId("theme"));
byId("model").textContent = summary.model;
byId("footer").textContent = `Made by ${summary.tool}.`;
byId("verdict").classList.add(summary.passed ? "good" : "bad");
byId("verdict").append(make("span", {}, summary.passed ? "Passed" : "Failed"));
const failed = outputs.filter((output) => !output.passed).length;
const scope = `over ${counted(summary.tokens, "token")} in ${counted(summary.sequences, "sequence")}`;
byId("scope").textContent = failed === 0
  ? `${outputs.length === 1 ? "The output agrees" : `All ${outputs.length} outputs agree`} within ${tolerance} ${scope}.`
  : `${failed} of ${outputs.length} outputs ${failed === 1 ? "is" : "are"} off by more than ${tolerance} ${scope}.`;
if (summary.divergence !== null) {
  byId("divergence").append(make("div", { class: "callout" }, make("h3", {}, "First divergence"), summary.divergence));
}
factList(byId("facts"), summary.facts);
byId("checks").append(...summary.checks.map((text) => make("li", { class: summary.passed ? "good" : "fact" }, make("span", {}, text))),
  ...summary.warnings.map((text) => make("li", { class: "note" }, make("span", {}, text))));

// Outputs

/** The bins that any output has something in, and the tolerance, so that all histograms have the same scale. */
const binCount = outputs[0].counts.length;
const used = outputs.flatMap((output) => output.counts.flatMap((count, bin) => (count > 0 ? [bin] : [])));
if (tolerance > 0) used.push(Math.max(0, Math.min(binCount - 1, Math.floor(Math.log2(tolerance) - summary.lowest_exponent))));
const first = Math.max(0, Math.min(...used, binCount - 1) - 1);
const last = Math.min(binCount, Math.max(...used, first) + 2);
const edge = (bin) => 2 ** (summary.lowest_exponent + first + bin);
const positionOf = (value) => (Math.log2(value) - summary.lowest_exponent - first) / (last - first);
const toleranceMark = tolerance === 0 ? null : Math.min(1, Math.max(0, positionOf(tolerance)));
const errorText = (value) => (value === null ? "not finite" : significant(value));

const columns = [
  ["output", "name"], ["verdict"], ["largest", "number"], ["mean", "number"], ["cosine", "number"], ["argmax", "number"],
  ["values", "number"], ["differences"], ["computed by"],
];
byId("columns").append(...columns.map(([title, kind]) => make("th", { scope: "col", class: kind }, title)));
for (const output of outputs) {
  const counts = output.counts.slice(first, last);
  const name = make("button", { type: "button", class: "plain name", "aria-expanded": "false" }, output.name);
  const row = make("tr", {}, [
    null, make("span", { class: output.passed ? "good" : "bad" }, output.passed ? " ok" : " off"), errorText(output.max), errorText(output.mean),
    output.cosine === null ? "not finite" : output.cosine.toFixed(7), percent(output.argmax), grouped(output.count),
    spark(counts, `differences of ${output.name}`, toleranceMark === null ? [] : [toleranceMark]),
    output.part,
  ].map((cell, index) => (index === 0 ? make("th", { scope: "row", class: "name" }, name) : make("td", { class: columns[index][1] }, cell))));
  name.addEventListener("click", () => {
    const isOpen = row.classList.toggle("open");
    name.setAttribute("aria-expanded", isOpen);
    if (isOpen) row.after(make("tr", { class: "open" }, make("td", { colspan: columns.length }, opened(output, counts))));
    else row.nextElementSibling.remove();
  });
  byId("rows").append(row);
}

function opened(output, counts) {
  const powers = [];
  for (let power = -15; power <= 10; power++) {
    const position = positionOf(10 ** power);
    if (position >= 0 && position <= 1) powers.push([position, `1e${power}`]);
  }
  const step = Math.ceil(powers.length / 8);
  const rest = [[output.equal, "equal"], [output.odd, "not finite"]].filter(([count]) => count > 0)
    .map(([count, what]) => `; ${counted(count, "value")} ${count === 1 ? "is" : "are"} ${what}`).join("");
  const worst = listTable(["row", "column", "index", "value", "reference", "difference"].map((title) => [title, "number"]),
    output.worst.map((worst) => [worst.row, worst.column ?? "", worst.index ?? "", worst.value, worst.reference, errorText(worst.error)]));
  return make("div", { class: "opened" },
    make("div", {}, make("h3", {}, "How large the differences are"), chart(counts, {
      label: `Differences of ${output.name}`, about: `${counted(output.count, "value")} compared${rest}`,
      describe: (bin) => `${errorText(edge(bin))} to ${errorText(edge(bin + 1))}: ${counted(counts[bin], "value")}, ${percent(counts[bin] / output.count)}`,
      ticks: powers.filter((_, index) => index % step === 0), limit: toleranceMark,
    })),
    make("div", {}, make("h3", {}, `Where they are largest: the worst ${output.worst[0]?.column === null ? "rows" : "tokens"}`), worst));
}

// Errors by output and position

const errors = read("errors");
const sequences = read("sequences");
/** More columns than this are drawn several in one. */
const maxColumns = 512;
const perColumn = Math.max(1, Math.ceil(errors.columns / maxColumns));
const shownColumns = Math.ceil(errors.columns / perColumn);
const drawing = byId("map-drawing");
const isOff = (error) => error === null || error > tolerance;
/** What is not finite is larger than any number. */
const larger = (a, b) => (a === null || b === null ? null : Math.max(a, b));

const everyError = errors.largest.flat().filter((error) => error !== null && error > 0);
const top = Math.log10(everyError.reduce((a, b) => Math.max(a, b), Math.max(tolerance, 1e-12)));
const bottom = Math.min(Math.log10(everyError.reduce((a, b) => Math.min(a, b), 1)), top - 1);

/** Paler is smaller; orange is over the tolerance. */
function color(error) {
  const part = error === null ? 1 : error === 0 ? 0 : Math.max(0, Math.min(1, (Math.log10(error) - bottom) / (top - bottom)));
  return `color-mix(in oklab, var(${isOff(error) ? "--high" : "--low"}) ${(8 + 92 * part).toFixed(0)}%, var(--panel))`;
}

function gather(row) {
  if (perColumn === 1) return row;
  return Array.from({ length: shownColumns }, (_, column) =>
    row.slice(column * perColumn, (column + 1) * perColumn).reduce(larger));
}

function drawMap() {
  const index = byId("sequence").selectedIndex;
  const table = (index === 0 ? errors.largest : sequences[index - 1].errors).map(gather);
  const [width, height, left] = [Math.max(9, Math.min(26, Math.floor(900 / shownColumns))), 17, 220];
  const size = [left + shownColumns * width + 2, 20 + table.length * height];
  drawing.setAttribute("viewBox", `0 0 ${size[0]} ${size[1]}`);
  drawing.setAttribute("width", size[0]);
  drawing.setAttribute("height", size[1]);
  const parts = [];
  const every = Math.ceil(30 / width) > 2 ? 10 : 5;
  for (let column = 0; column < shownColumns; column += every) {
    parts.push(draw("text", { x: left + column * width + 2, y: 12 }, column * perColumn));
  }
  table.forEach((row, number) => {
    const y = 18 + number * height;
    const largest = row.reduce(larger, -1);
    parts.push(draw("text", { x: 0, y: y + 12 }, errors.rows[number]));
    parts.push(draw("text", { x: left - 8, y: y + 12, "text-anchor": "end" }, largest === -1 ? "" : errorText(largest)));
    row.forEach((error, column) => {
      const x = left + column * width;
      if (error === -1) {
        parts.push(draw("rect", { class: "masked", x: x + width / 2 - 1, y: y + height / 2 - 1, width: 2, height: 2 }));
        return;
      }
      const cell = draw("rect", {
        class: "cell", x, y, width, height, role: "img", tabindex: "-1", "data-row": number, "data-column": column,
        "aria-label": cellText(table, number, column),
      });
      cell.style.fill = color(error);
      parts.push(cell);
      if (isOff(error)) parts.push(draw("path", { class: "off", d: `M${x + 2} ${y + height - 3}L${x + width - 2} ${y + 3}` }));
    });
  });
  drawing.replaceChildren();
  for (const part of parts) drawing.append(part);
  drawing.querySelector(".cell")?.setAttribute("tabindex", "0");
  byId("map-readout").textContent = `${index === 0 ? "Of all sequences the largest" : "The errors"} at each position, and before them the largest of the row.`;
}

function cellText(table, row, column) {
  const error = table[row][column];
  const from = column * perColumn;
  const to = Math.min(errors.columns, from + perColumn) - 1;
  return `${errors.rows[row]}, ${from === to ? `position ${from}` : `positions ${from} to ${to}`}: ${errorText(error)}${isOff(error) ? ", off" : ""}`;
}

byId("errors-section").hidden = errors.rows.length === 0;
if (errors.rows.length > 0) {
  byId("sequence").append(make("option", {}, "all: the largest"),
    ...sequences.map((sequence) => make("option", {}, grouped(sequence.number))));
  byId("sequence").addEventListener("change", drawMap);
  byId("map-note").textContent = [
    sequences.length < errors.sequences ? `Of ${grouped(errors.sequences)} sequences, the ${grouped(sequences.length)} that are off most can be chosen.` : "",
    perColumn > 1 ? `A column is ${perColumn} positions.` : "",
  ].join(" ");
  const samples = [10 ** bottom, tolerance, 10 ** top].filter((error, index, all) => error > 0 && all.indexOf(error) === index);
  byId("legend").append(...samples.sort((a, b) => a - b).map((error) => {
    const box = draw("rect", { width: 14, height: 14 });
    box.style.fill = color(error);
    return make("span", {}, draw("svg", { width: 14, height: 14, "aria-hidden": "true" }, box),
      error === tolerance ? `${errorText(error)}, the tolerance` : errorText(error));
  }), make("span", {}, "a dot: not compared"));
  walkable(drawing, (cell) => { byId("map-readout").textContent = cell.getAttribute("aria-label"); }, () => {});
  drawMap();
}
