"use strict";
const facts = JSON.parse(document.getElementById("facts").textContent);
const names = facts.models.map((model) => model.name);
const element = (id) => document.getElementById(id);
const SHOWN = 20; // texts at a time
const AT_ONCE = 200; // texts of a request, so that progress shows
let shown = 0;
let answered = []; // {text, given: {model: {labels, probabilities}}}
let run = 0; // a newer run ends older ones

const make = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};
const say = (text, wrong = false) => {
  element("status").textContent = text;
  element("status").className = wrong ? "wrong" : "";
};
const ask = async (path, body) => {
  const json = !(body instanceof Blob);
  const answer = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": json ? "application/json" : "application/octet-stream" },
    body: json ? JSON.stringify(body) : body,
  });
  const found = await answer.json().catch(() => ({ detail: answer.statusText }));
  if (!answer.ok) throw new Error(found.detail);
  return found;
};
const attempt = async (work, tell = (text) => say(text, true)) => {
  try {
    await work();
  } catch (error) {
    tell(error instanceof TypeError ? "The server does not answer; is it running?" : error.message);
  }
};
const differ = ({ given }) =>
  facts.labels.filter((label) => new Set(names.map((name) => given[name].labels.includes(label))).size > 1);

// A model's probability of a label as a bar, with a mark at the threshold.
const bar = (model, label, given) => {
  const share = given.probabilities[label];
  const threshold = facts.thresholds[model]?.[label];
  const on = given.labels.includes(label);
  const words = `${model}: ${label} ${share.toFixed(3)}` +
    (threshold === undefined ? "" : `, threshold ${threshold.toFixed(3)}`) + (on ? ", predicted" : ", not predicted");
  const fill = make("span", { className: `fill i${names.indexOf(model) % 6}` });
  fill.style.width = `${100 * share}%`;
  const track = make("span", { className: on ? "track on" : "track", role: "img", title: words }, fill);
  track.setAttribute("aria-label", words);
  if (threshold !== undefined) {
    const mark = make("span", { className: "mark" });
    mark.style.left = `${100 * threshold}%`;
    track.append(mark);
  }
  return make("td", {}, track, make("span", { className: on ? "number strong" : "number" }, share.toFixed(2)));
};
const labelCell = (label) => {
  const cell = make("th", { scope: "row" });
  const anchor = `/comparison#g1-row-${encodeURIComponent(label.replaceAll(" ", "_"))}`;
  cell.append(facts.linked ? make("a", { href: anchor, textContent: label }) : label);
  return cell;
};
const table = ({ given }, all) => {
  const best = (label) => Math.max(...names.map((name) => given[name].probabilities[label]));
  const ranked = [...facts.labels].sort((a, b) => best(b) - best(a));
  const predicted = ranked.filter((label) => names.some((name) => given[name].labels.includes(label)));
  const chosen = all ? ranked : [...new Set([...predicted, ...ranked.slice(0, 5)])];
  const head = make("tr", {}, ...["label", ...names].map((name) => make("th", { scope: "col" }, name)));
  const rows = chosen.map((label) =>
    make("tr", {}, labelCell(label), ...names.map((name) => bar(name, label, given[name]))));
  return make("table", { className: "bars" }, make("thead", {}, head), make("tbody", {}, ...rows));
};

// With a value, since the text of an option has its spaces collapsed.
const option = (name) => make("option", { value: name }, name);
const signed = (value) => {
  const size = Math.abs(value).toFixed(1);
  return size === "0.0" ? size : (value > 0 ? "+" : "−") + size;
};
// Each word on a ground as strong as what it does to the label's logit.
const showWords = async (panel, { text, given }, button) => {
  const found = await ask("/words", { text });
  if (button.getAttribute("aria-expanded") === "false") return; // closed in the meantime
  const select = make("select", {}, ...facts.labels.map(option));
  const first = given[names[0]];
  select.value = first.labels[0] ?? Object.keys(first.probabilities)[0];
  const lines = make("div");
  const show = () => {
    lines.replaceChildren(...names.map((name) => {
      const effects = found.effects[name][select.value];
      const strongest = Math.max(...effects.map(Math.abs), 1);
      const words = found.words.flatMap((word, index) => {
        const effect = effects[index];
        const shownWord = make("span", { className: "word", title: effect.toFixed(2) }, word);
        const colour = effect > 0 ? "var(--for)" : "var(--against)";
        const strength = Math.round((60 * Math.abs(effect)) / strongest);
        shownWord.style.background = `color-mix(in srgb, ${colour} ${strength}%, transparent)`;
        return [shownWord, make("span", { className: "dim" }, ` ${signed(effect)} `)];
      });
      return make("p", {}, make("strong", {}, `${name}: `), ...words);
    }));
  };
  select.addEventListener("change", show);
  panel.replaceChildren(
    make("p", {}, make("label", {}, "What each word does to the logit of ", select)), lines,
    make("p", { className: "dim" }, "The logit of the whole text minus that of the text without the word; blue raises it, orange lowers it."));
  show();
};
const pause = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));
const showSimilar = async (panel, { text }) => {
  const select = make("select", {}, ...names.map(option));
  const list = make("div", { role: "status" });
  const show = async () => {
    for (;;) {
      const model = select.value;
      const found = await ask("/similar", { text, model });
      if (!list.isConnected || model !== select.value) return;
      if (found.texts.length > 0) {
        list.replaceChildren(make("ul", {}, ...found.texts.map((one) =>
          make("li", {}, one.text, make("span", { className: "dim" }, ` ${one.labels.join(", ") || "no label"}, ${one.similarity.toFixed(2)}`)))));
        return;
      }
      const progress = make("progress", { max: found.total, value: found.done });
      list.replaceChildren(make("label", {}, `Reading the training texts: ${found.done.toLocaleString("en")} of ${found.total.toLocaleString("en")} `, progress));
      await pause(0.5);
    }
  };
  select.addEventListener("change", () => attempt(show));
  panel.replaceChildren(make("p", {}, make("label", {}, "The most similar training texts, as seen by ", select)), list);
  await show();
};

const article = (one, index) => {
  const panels = [make("div"), make("div")];
  const buttons = [["Which words mattered?", showWords], ["Similar training texts", showSimilar]].map(([title, show], i) => {
    const button = make("button", { type: "button" }, title);
    button.setAttribute("aria-expanded", "false");
    button.addEventListener("click", () => attempt(async () => {
      const open = button.getAttribute("aria-expanded") === "false";
      button.setAttribute("aria-expanded", String(open));
      if (open) await show(panels[i], one, button);
      else panels[i].replaceChildren();
    }, (text) => panels[i].replaceChildren(make("p", { className: "wrong", role: "alert" }, text))));
    return button;
  });
  const holder = make("div", { className: "wide" }, table(one, false));
  const all = make("button", { type: "button" }, `All ${facts.labels.length} labels`);
  all.setAttribute("aria-expanded", "false");
  all.addEventListener("click", () => {
    const open = all.getAttribute("aria-expanded") === "false";
    all.setAttribute("aria-expanded", String(open));
    holder.replaceChildren(table(one, open));
  });
  const disagreed = differ(one);
  const heading = make("h3", { id: `text-${index}` }, one.text || "(empty text)");
  const section = make("article", {}, heading);
  section.setAttribute("aria-labelledby", heading.id);
  if (disagreed.length > 0) section.append(make("p", { className: "disagree" }, `The models disagree on ${disagreed.join(", ")}.`));
  section.append(holder, make("p", {}, ...buttons.flatMap((button) => [button, " "]), all), ...panels);
  return section;
};
const listed = () => (element("only").checked ? answered.filter((one) => differ(one).length > 0) : answered);
const showMore = () => {
  const all = listed();
  const next = all.slice(shown, shown + SHOWN);
  element("results").append(...next.map((one, index) => article(one, shown + index)));
  shown += next.length;
  element("more").hidden = shown >= all.length;
};
const restart = () => {
  element("results").replaceChildren();
  shown = 0;
  showMore();
};
const summarise = () => {
  element("summary").hidden = answered.length < 2;
  if (answered.length < 2) return;
  const disagreed = answered.filter((one) => differ(one).length > 0).length;
  element("disagreement").textContent = names.length > 1
    ? `The models disagree on ${disagreed.toLocaleString("en")} of ${answered.length.toLocaleString("en")} texts.`
    : `${answered.length.toLocaleString("en")} texts.`;
  const count = (name, label) => answered.filter(({ given }) => given[name].labels.includes(label)).length;
  const counted = facts.labels.map((label) => [label, names.map((name) => count(name, label))])
    .filter(([, counts]) => counts.some((of) => of > 0))
    .sort((a, b) => b[1][0] - a[1][0]);
  const head = make("tr", {}, ...["label", ...names].map((name) => make("th", { scope: "col" }, name)));
  element("counts").replaceChildren(make("thead", {}, head), make("tbody", {}, ...counted.map(([label, counts]) =>
    make("tr", {}, labelCell(label), ...counts.map((of) => make("td", {}, of.toLocaleString("en")))))));
};

const classify = (texts) => attempt(async () => {
  const current = ++run;
  const found = [];
  say(`Classifying ${texts.length.toLocaleString("en")} ${texts.length === 1 ? "text" : "texts"} …`);
  for (let start = 0; start < texts.length; start += AT_ONCE) {
    const part = texts.slice(start, start + AT_ONCE);
    const { results } = await ask("/predict", { texts: part });
    if (current !== run) return;
    found.push(...part.map((text, index) => ({ text, given: results[index] })));
    if (texts.length > AT_ONCE) say(`${found.length.toLocaleString("en")} of ${texts.length.toLocaleString("en")} texts`);
  }
  answered = found;
  summarise();
  restart();
  say(`${found.length.toLocaleString("en")} ${found.length === 1 ? "text" : "texts"} classified.`);
});
const readFile = (file) => attempt(async () => {
  if (file.size > facts.maxBytes) {
    throw new Error(`${file.name} has ${(file.size / 1e6).toFixed(1)} MB; at most ${facts.maxBytes / 1e6} MB are read`);
  }
  say(`Reading ${file.name} …`);
  const where = new URLSearchParams({ name: file.name, column: element("column").value });
  const { texts } = await ask(`/table?${where}`, file);
  await classify(texts);
});

element("form").addEventListener("submit", (event) => {
  event.preventDefault();
  const texts = element("texts").value.split("\n").filter((text) => text.trim() !== "");
  if (texts.length > 0) classify(texts);
  else say("Type a text first.", true);
});
element("texts").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) element("form").requestSubmit();
});
element("file").addEventListener("change", (event) => {
  if (event.target.files.length > 0) readFile(event.target.files[0]);
  event.target.value = ""; // so that the same file can be chosen again
});
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  if (event.dataTransfer.files.length > 0) readFile(event.dataTransfer.files[0]);
});
element("only").addEventListener("change", restart);
element("more").addEventListener("click", showMore);
element("download").addEventListener("click", () => {
  const quoted = (cell) => `"${String(cell).replaceAll('"', '""')}"`;
  const lines = [["text", ...names], ...answered.map(({ text, given }) => [text, ...names.map((name) => given[name].labels.join("; "))])];
  const content = new Blob([lines.map((cells) => cells.map(quoted).join(",")).join("\r\n") + "\r\n"], { type: "text/csv" });
  const link = make("a", { href: URL.createObjectURL(content), download: "labels.csv" });
  link.click();
  URL.revokeObjectURL(link.href);
});
