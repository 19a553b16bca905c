(() => {
  "use strict";
  // One sound at a time.
  const players = [...document.querySelectorAll("audio")];
  for (const player of players) {
    player.addEventListener("play", () => {
      for (const other of players) if (other !== player) other.pause();
    });
  }

  // On paper nothing can be opened.
  addEventListener("beforeprint", () => {
    for (const closed of document.querySelectorAll("details:not([open])")) closed.open = true;
  });

  const form = document.querySelector(".filters");
  if (!form) return;
  const rows = [...document.querySelectorAll(".row")];
  const find = document.getElementById("find");
  const shown = document.getElementById("shown");
  const nothing = document.getElementById("nothing");
  form.hidden = false;

  function filter() {
    const facets = Object.fromEntries(
      [...form.querySelectorAll("select")].map((select) => [select.dataset.facet, select.value]),
    );
    facets.outcome = form.querySelector("input[name=outcome]:checked").value;
    const words = find.value.trim().toLowerCase();
    let count = 0;
    for (const row of rows) {
      const fits =
        Object.entries(facets).every(([name, value]) => !value || row.dataset[name] === value) &&
        row.dataset.words.includes(words);
      if (!fits) row.querySelector("audio")?.pause();
      row.hidden = !fits;
      count += fits;
    }
    shown.textContent = `${count} of ${rows.length} ${rows.length === 1 ? "row" : "rows"} shown`;
    nothing.hidden = count > 0;
  }

  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("show-all").addEventListener("click", () => {
    form.reset();
    filter();
    find.focus();
  });
  filter();
})();
