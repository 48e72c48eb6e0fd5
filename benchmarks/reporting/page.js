// What answers to the reader: tables that sort, and pictures that move.

for (const table of document.querySelectorAll("table")) {
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

const LEGEND_ENTRY = 190; // pixels

// A chart in the reader's light or dark, its legend as wide as the page allows.
function drawChart(place, chart) {
  const columns = Math.max(1, Math.floor(document.getElementById(place).clientWidth / LEGEND_ENTRY));
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const config = { legend: { columns } };
  vegaEmbed("#" + place, chart, { actions: false, theme: dark ? "dark" : undefined, config });
}

const MILLISECONDS = 300; // of a picture while it plays

for (const viewer of document.querySelectorAll(".viewer")) {
  const slider = viewer.querySelector("input");
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
