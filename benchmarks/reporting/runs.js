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
  const { first, metrics } = JSON.parse(board.dataset.chosen);
  const titles = [...board.querySelectorAll("thead th")].map(cell => cell.textContent);
  const label = document.createElement("label");
  const chooser = document.createElement("select");
  label.append("Metric ", chooser);
  for (const name of metrics) chooser.append(new Option(name, name, false, name === first));
  board.prepend(label);
  const show = () => {
    for (const row of board.querySelectorAll("tr"))
      [...row.cells].forEach((cell, column) => {
        cell.hidden = metrics.includes(titles[column]) && titles[column] !== chooser.value;
      });
  };
  chooser.addEventListener("change", show);
  show();
}
