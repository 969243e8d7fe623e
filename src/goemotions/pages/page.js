"use strict";
// Sort a table by a column: its header's button says which way.
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const header = button.closest("th");
    const body = header.closest("table").tBodies[0];
    const column = header.cellIndex;
    const down = header.getAttribute("aria-sort") !== "descending";
    const value = (row) => {
      const text = row.cells[column].dataset.value;
      return text === "" ? null : isNaN(text) ? text : Number(text);
    };
    const rows = [...body.rows].sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === null || y === null) return (x === null) - (y === null); // empty cells last
      return (x > y ? 1 : x < y ? -1 : 0) * (down ? -1 : 1);
    });
    body.append(...rows);
    for (const other of header.parentElement.cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", down ? "descending" : "ascending");
  });
}
// A selection shows one of the panels that follow it.
for (const select of document.querySelectorAll("select[data-panels]")) {
  const show = () => {
    for (const panel of document.querySelectorAll(`[data-panel="${select.dataset.panels}"]`)) {
      panel.hidden = panel.dataset.of !== select.value;
    }
  };
  select.addEventListener("change", show);
  show();
}
// A label in the heat map selects it below.
for (const button of document.querySelectorAll("button[data-select]")) {
  button.addEventListener("click", () => {
    const select = document.getElementById(button.dataset.select);
    select.value = button.dataset.label;
    select.dispatchEvent(new Event("change"));
    select.focus();
  });
}
