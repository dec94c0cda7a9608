"use strict";
// The page works without this script: tables, plots and still charts are there. It adds sorting, the choice between
// light and dark, charts that answer, and, where the page is served by `watch`, what has changed since.

const root = document.documentElement;
const specs = JSON.parse(document.getElementById("charts").textContent);
const views = new Map(); // by chart, the drawn Vega view
const hidden = new Map(); // by group of charts, the variants that are switched off
const sorted = new Map(); // by table, [column, direction]

// Light and dark: as the system has it, until somebody chooses.
const dark = matchMedia("(prefers-color-scheme: dark)");
let chosen = null;
try { chosen = localStorage.getItem("theme"); } catch { /* a page from a file may have no storage */ }
const showTheme = () => { root.dataset.theme = chosen ?? (dark.matches ? "dark" : "light"); };
showTheme();
dark.addEventListener("change", showTheme);
document.getElementById("theme").addEventListener("click", () => {
  chosen = root.dataset.theme === "dark" ? "light" : "dark";
  try { localStorage.setItem("theme", chosen); } catch { /* as above */ }
  showTheme();
});

// Sorting: by number where the texts begin with one.
const keyOf = (row, column) => row.cells[column].dataset.key ?? row.cells[column].textContent.trim();
const numberOf = (text) => { const found = /^[<≤]?\s*([+−-]?\d[\d,]*(\.\d+)?)/.exec(text); return found ? Number(found[1].replace(/,/g, "").replace("−", "-")) : NaN; };
function sortTable(table, column, direction) {
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row) => ({ row, text: keyOf(row, column) }));
  const numeric = rows.some(({ text }) => text !== "") && rows.every(({ text }) => text === "" || !Number.isNaN(numberOf(text)));
  const sign = direction === "ascending" ? 1 : -1;
  rows.sort((a, b) => {
    if ((a.text === "") !== (b.text === "")) return a.text === "" ? 1 : -1; // what is not there comes last
    return sign * (numeric ? numberOf(a.text) - numberOf(b.text) : a.text.localeCompare(b.text, "en", { numeric: true }));
  });
  body.append(...rows.map(({ row }) => row));
  [...table.tHead.rows[0].cells].forEach((cell, place) => { if (cell.hasAttribute("aria-sort")) cell.setAttribute("aria-sort", place === column ? direction : "none"); });
  sorted.set(table.id, [column, direction]);
}
document.addEventListener("click", (event) => {
  const head = event.target.closest("table.sortable th button")?.closest("th");
  if (head) sortTable(head.closest("table"), head.cellIndex, head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending");
  const name = event.target.closest("[data-variant]");
  if (name) {
    const group = name.closest("[data-chart-group]").dataset.chartGroup;
    const off = hidden.get(group) ?? new Set();
    const variant = Number(name.dataset.variant);
    if (!off.delete(variant)) off.add(variant);
    hidden.set(group, off);
    showVariants();
  }
});

// Which variants are shown, in legends and charts.
const groupOf = (chart) => chart.slice(0, chart.lastIndexOf("-"));
function showVariants() {
  for (const button of document.querySelectorAll("[data-variant]")) {
    const off = hidden.get(button.closest("[data-chart-group]").dataset.chartGroup);
    button.setAttribute("aria-pressed", String(!off?.has(Number(button.dataset.variant))));
  }
  for (const [chart, view] of views) {
    const off = hidden.get(groupOf(chart)) ?? new Set();
    const shown = specs[chart].params[0].value.filter((variant) => !off.has(variant));
    view.signal("shown", shown).runAsync();
  }
}

// Charts are drawn when they come near the screen, or before a print.
const waiting = new Map();
async function draw(figure) {
  const chart = figure.dataset.chart;
  if (views.has(chart) || !specs[chart] || figure.dataset.drawing) return;
  figure.dataset.drawing = "true";
  const place = document.createElement("div");
  place.className = "drawn";
  const width = Math.max(240, Math.floor(figure.clientWidth) - 8);
  const spec = { ...specs[chart], width, autosize: { type: "fit-x", contains: "padding" } };
  const still = figure.querySelector(".still");
  figure.append(place);
  const { view } = await vegaEmbed(place, spec, { renderer: "svg", actions: false, ast: true, tooltip: { theme: "custom" } });
  for (const svg of place.querySelectorAll("svg")) svg.setAttribute("aria-hidden", "true");
  still?.remove();
  views.set(chart, view);
  delete figure.dataset.drawing;
  const off = hidden.get(groupOf(chart));
  if (off?.size) showVariants();
}
const near = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) { near.unobserve(entry.target); draw(entry.target); }
}, { rootMargin: "400px" });
const observe = () => { for (const figure of document.querySelectorAll(".chart:not(:has(.drawn))")) near.observe(figure); };
observe();
let narrow = innerWidth;
addEventListener("resize", () => {
  clearTimeout(waiting.get("resize"));
  waiting.set("resize", setTimeout(() => {
    if (innerWidth === narrow) return;
    narrow = innerWidth;
    for (const [chart, view] of views) {
      const figure = document.querySelector(`[data-chart="${CSS.escape(chart)}"]`);
      if (figure) view.width(Math.max(240, figure.clientWidth - 8)).runAsync();
    }
  }, 200));
});

// What `watch` sends: the parts of the page and the charts that have changed.
function replace(part, html) {
  const open = new Set([...part.querySelectorAll("details[open]")].map((one) => one.id));
  const closed = new Set([...part.querySelectorAll("details:not([open])")].map((one) => one.id));
  const focused = part.contains(document.activeElement) ? document.activeElement : null;
  const again = focused?.id || focused?.closest("[id]")?.id;
  part.innerHTML = html;
  for (const one of part.querySelectorAll("details[id]")) {
    if (open.has(one.id)) one.open = true;
    if (closed.has(one.id)) one.open = false;
  }
  for (const table of part.querySelectorAll("table.sortable")) if (sorted.has(table.id)) sortTable(table, ...sorted.get(table.id));
  if (again) { const found = document.getElementById(again); (found?.matches("a,button,summary,[tabindex]") ? found : found?.querySelector("a,button,summary"))?.focus({ preventScroll: true }); }
}
function forget(part) {
  for (const figure of part.querySelectorAll(".chart")) { views.get(figure.dataset.chart)?.finalize(); views.delete(figure.dataset.chart); }
}
function receive(news) {
  Object.assign(specs, news.charts);
  const main = document.getElementById("main");
  const here = new Map([...main.children].map((part) => [part.dataset.part, part]));
  if (news.order) {
    for (const [name, part] of here) if (!news.order.includes(name)) { forget(part); part.remove(); }
    for (const name of news.order) {
      if (!here.has(name)) { const part = document.createElement("div"); part.dataset.part = name; here.set(name, part); }
      main.append(here.get(name));
    }
  }
  for (const [name, html] of Object.entries(news.parts)) { const part = here.get(name); if (part) { forget(part); replace(part, html); } }
  for (const chart of Object.keys(news.charts)) {
    const view = views.get(chart);
    if (view) view.data("curves", specs[chart].data.values).runAsync();
  }
  showVariants();
  observe();
}
if (document.body.dataset.version) {
  const word = document.getElementById("connection");
  const source = new EventSource(`events?since=${document.body.dataset.version}`);
  source.addEventListener("message", (event) => { word.textContent = "live"; word.classList.remove("lost"); receive(JSON.parse(event.data)); });
  source.addEventListener("open", () => { word.textContent = "live"; word.classList.remove("lost"); });
  source.addEventListener("error", () => { word.textContent = "not connected"; word.classList.add("lost"); });
}
addEventListener("beforeprint", () => { for (const one of document.querySelectorAll("details.tables")) one.open = true; });
