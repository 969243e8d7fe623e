"use strict";
// Sort a table by a column: its header's button says which way.
for (const button of document.querySelectorAll("thead button")) {
  button.addEventListener("click", () => {
    const header = button.closest("th");
    const body = header.closest("table").tBodies[0];
    const column = header.cellIndex;
    const down = header.getAttribute("aria-sort") !== "descending";
    const value = (row) => {
      const text = row.cells[column]?.dataset.value ?? "";
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
// A text filters the rows of tables by their first cell.
for (const input of document.querySelectorAll("input[data-filter]")) {
  input.addEventListener("input", () => {
    const wanted = input.value.trim().toLowerCase();
    const filtered = `[data-filtered="${input.dataset.filter}"]`;
    for (const row of document.querySelectorAll(`${filtered} tbody tr`)) {
      row.hidden = !row.cells[0].dataset.value.toLowerCase().includes(wanted);
    }
    for (const details of document.querySelectorAll(`details:has(${filtered})`)) {
      details.open = wanted !== "";
    }
  });
}
// Two losses: what is known of their difference, and texts that one gets right and the other wrong.
for (const first of document.querySelectorAll("select[id$='-a'][data-pair]")) {
  const id = first.dataset.pair;
  const [second, label] = ["-b", "-of"].map((end) => document.getElementById(id + end));
  const data = document.querySelector(`[data-texts-of="${id}"]`);
  const found = data === null ? null : JSON.parse(data.textContent);
  const list = (title, rows) => {
    const part = document.createElement("div");
    part.append(Object.assign(document.createElement("h4"), { textContent: title }));
    const texts = document.createElement("ul");
    for (const [text, labels] of rows.map((row) => found.texts[row])) {
      const item = Object.assign(document.createElement("li"), { textContent: text });
      const names = Object.assign(document.createElement("span"), { className: "dim" });
      names.textContent = ` ${labels.join(", ")}`;
      item.append(names);
      texts.append(item);
    }
    part.append(rows.length > 0 ? texts : "no text");
    return part;
  };
  const show = () => {
    const [a, b] = [Number(first.value), Number(second.value)];
    const pair = `${Math.min(a, b)}-${Math.max(a, b)}`;
    for (const panel of document.querySelectorAll(`[data-pair-of="${id}"]`)) {
      panel.hidden = panel.dataset.losses !== pair;
    }
    if (found === null) return;
    const names = [first, second].map((select) => select.selectedOptions[0].textContent);
    const rows = found.right[label.value][pair] ?? [[], []];
    const [ours, theirs] = a <= b ? rows : [rows[1], rows[0]];
    document.querySelector(`[data-texts="${id}"]`).replaceChildren(
      list(`${names[0]} is right, ${names[1]} wrong`, ours),
      list(`${names[1]} is right, ${names[0]} wrong`, theirs),
    );
  };
  for (const select of [first, second, label]) select?.addEventListener("change", show);
  show();
}
