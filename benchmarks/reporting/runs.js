// The index of runs: a filter, and leaderboards by the metric that the reader chooses.

const filter = document.getElementById("filter");
filter?.addEventListener("input", () => {
  const wanted = filter.value.toLowerCase().split(/\s+/);
  for (const row of document.querySelectorAll("#runs tbody tr")) {
    const text = row.textContent.toLowerCase();
    row.hidden = !wanted.every(word => text.includes(word));
  }
});

for (const board of document.querySelectorAll(".leaderboard")) {
  const { first, falling } = JSON.parse(board.dataset.chosen);
  const titles = [...board.querySelectorAll("thead th")].map(cell => cell.textContent);
  const body = board.querySelector("tbody");
  const label = document.createElement("label");
  const chooser = document.createElement("select");
  label.append("Metric ", chooser);
  for (const name of Object.keys(falling)) chooser.append(new Option(name, name, false, name === first));
  board.prepend(label);
  const show = () => {
    const ranked = titles.indexOf(chooser.value);
    for (const row of board.querySelectorAll("tr"))
      [...row.cells].forEach((cell, column) => {
        cell.hidden = titles[column] in falling && column !== ranked;
      });
    const sign = falling[chooser.value] ? -1 : 1;
    const value = row => {
      const found = parseFloat(row.cells[ranked].textContent.replaceAll(",", ""));
      return Number.isNaN(found) ? Infinity : sign * found;
    };
    body.append(...[...body.rows].sort((a, b) => value(a) - value(b)));
  };
  chooser.addEventListener("change", show);
  show();
}
