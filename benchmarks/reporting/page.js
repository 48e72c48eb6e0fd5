// What answers to the reader: tables that sort, charts, folded sections, pictures that move.

for (const table of document.querySelectorAll("table:not(.grid)")) {
  const body = table.tBodies[0];
  [...table.tHead.rows[0].cells].forEach((cell, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...cell.childNodes);
    cell.append(button);
    button.addEventListener("click", () => {
      const up = cell.getAttribute("aria-sort") === "descending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      cell.setAttribute("aria-sort", up ? "ascending" : "descending");
      const key = row => {
        const text = row.cells[column].textContent.replaceAll(",", "");
        const number = parseFloat(text);
        return Number.isNaN(number) ? text : number;
      };
      const compare = (a, b) => {
        const [x, y] = [key(a), key(b)];
        if (typeof x !== typeof y) return typeof x === "number" ? -1 : 1;
        const order = typeof x === "number" ? x - y : x.localeCompare(y);
        return up ? order : -order;
      };
      body.append(...[...body.rows].sort(compare));
    });
  });
}

// Charts in the reader's light or dark, as wide as the page; those of folded sections too, since
// what is hidden has no width of its own.
const LEAST_WIDTH = 640; // pixels; on a narrower page a legend stands for names, or it scrolls
const isName = layer => layer.name?.startsWith("names");
function withLegend(chart) {
  chart.layer = chart.layer.filter(layer => !isName(layer));
  for (const { encoding } of chart.layer)
    if (encoding?.color) encoding.color.legend = { title: null, orient: "bottom", columns: 1, labelLimit: 0 };
}
function drawChart(place) {
  const chart = JSON.parse(place.nextElementSibling.textContent);
  const theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : undefined;
  const room = document.querySelector("h1").clientWidth;
  const named = chart.layer?.some(isName);
  if (named && room < LEAST_WIDTH) withLegend(chart);
  const least = named && room < LEAST_WIDTH ? 0 : LEAST_WIDTH;
  const width = () => Math.max(least, document.querySelector("h1").clientWidth);
  chart.width = width();
  vegaEmbed(place, chart, { actions: false, theme }).then(({ view }) => {
    addEventListener("resize", () => view.width(width()).runAsync());
  });
}
addEventListener("load", () => {
  for (const place of document.querySelectorAll(".chart"))
    if (place.closest("details")) requestIdleCallback(() => drawChart(place));
    else drawChart(place);
});

// Folded sections open for links to them, and all of them for printing.
function openTarget() {
  const target = document.getElementById(location.hash.slice(1));
  const folded = target?.closest("details");
  if (!folded) return;
  folded.open = true;
  target.scrollIntoView();
}
addEventListener("hashchange", openTarget);
openTarget();
for (const link of document.querySelectorAll('a[href^="#"]'))
  link.addEventListener("click", () => { if (link.hash === location.hash) openTarget(); });
let opened = [];
addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("details:not([open])")];
  for (const folded of opened) folded.open = true;
});
addEventListener("afterprint", () => { for (const folded of opened) folded.open = false; });

const MILLISECONDS = 300; // of a picture while it plays

for (const viewer of document.querySelectorAll(".viewer")) {
  const slider = viewer.querySelector("input[type=range]");
  const positions = JSON.parse(viewer.dataset.positions);
  const last = positions.length - 1;
  const show = () => {
    const at = Number(slider.value);
    viewer.style.setProperty("--at", last ? at / last : 0);
    viewer.querySelector("output").textContent = positions[at];
    slider.setAttribute("aria-valuetext", positions[at]);
    for (const line of viewer.querySelectorAll("[data-said]"))
      line.textContent = JSON.parse(line.dataset.said)[at];
  };
  slider.addEventListener("input", show);

  const scenes = viewer.querySelectorAll(".tiles");
  const chooser = viewer.querySelector("select");
  chooser?.addEventListener("change", () =>
    scenes.forEach((scene, number) => { scene.hidden = number !== chooser.selectedIndex; }));

  const maps = viewer.querySelector("input.maps");
  const toggle = () => viewer.classList.toggle("mapped", maps.checked);
  maps?.addEventListener("change", toggle);
  if (maps) toggle();

  const play = viewer.querySelector("button");
  let timer = null;
  play.addEventListener("click", () => {
    if (timer !== null) {
      clearInterval(timer);
      timer = null;
    } else {
      timer = setInterval(() => {
        slider.value = Number(slider.value) < last ? Number(slider.value) + 1 : 0;
        show();
      }, MILLISECONDS);
    }
    play.textContent = timer === null ? "Play" : "Pause";
  });
  show();
}
