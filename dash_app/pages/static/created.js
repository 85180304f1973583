// What stands at the end of making a pipeline: the secret, shown this once, a script to paste, and the first record as
// soon as it comes.

import { formatFullTime, formatNumber } from "./format.js";
import { liveClient } from "./live.js";
import { adoptStyles } from "./styles.js";

function make(tag, className, parent, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  parent?.append(made);
  return made;
}

function code(parent, label, text, key) {
  const field = make("div", "field", parent);
  make("span", "label", field, label);
  const block = make("div", "code-block", field);
  const pre = make("pre", "", block, text);
  pre.dataset.code = key;
  const button = make("button", "button small copy", block, "Copy");
  button.type = "button";
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      // The clipboard needs https or localhost: the text is selected, so that the keyboard can copy it.
      getSelection().selectAllChildren(pre);
      button.textContent = "Selected: press Ctrl+C";
    }
    setTimeout(() => (button.textContent = "Copy"), 1800);
  });
}

const shown = (column, value) =>
  value === null ? "–" : column.type === "timestamp" ? formatFullTime(value) : typeof value === "number" ? formatNumber(value, { unit: column.unit }) : typeof value === "object" ? JSON.stringify(value) : String(value);

export function render({ model, box }) {
  adoptStyles(box);
  const { name, address, slug, url, secret, script, signed } = model.data;
  box.style.font = "400 var(--size-m)/20px var(--font)";
  box.style.color = "var(--text)";
  const stack = make("div", "stack", box);
  const link = make("link", "", stack);
  link.rel = "stylesheet";
  link.href = new URL("pages.css", import.meta.url).href;

  const sides = make("div", "two", stack);
  const head = make("section", "card", sides);
  make("h2", "", make("div", "card-head", head), `${name} is ready`);
  const body = make("div", "card-body stack", head);
  if (url) {
    code(body, "Address", url, "url");
    if (secret && signed) {
      const once = make("div", "secret-once", body);
      make("strong", "", once, "The secret is shown this once. Keep it where the sender finds it; a new one can be made at any time.");
      code(once, "Secret", secret, "secret");
    }
    code(body, signed ? "Paste this into a terminal to send a signed sample" : "Paste this into a terminal to send a sample", script, "script");
  } else make("p", "", body, "The first run begins now; what it brings appears below.");

  const right = make("div", "stack", sides);
  const first = make("section", "card", right);
  const title = make("h2", "", make("div", "card-head", first), url ? "Waiting for the first payload…" : "Waiting for the first run…");
  const place = make("div", "card-body stack", first);
  place.setAttribute("role", "status");
  for (const width of ["70%", "45%"]) make("span", "skeleton", place).style.width = width;
  const actions = make("div", "form-actions", right);
  const open = make("a", "button", actions, "Open the pipeline");
  open.href = address;

  const client = liveClient("/live");
  const watching = client.subscribe({ kind: "records", query: { pipeline: slug, limit: 1 } }, (message) => {
    if (message.kind === "error" || !message.data?.[0]?.length) return;
    watching.close();
    title.textContent = "The first record is here";
    place.replaceChildren();
    const list = make("dl", "facts", place);
    message.columns.forEach((column, at) => {
      if (column.name === "_index" || column.name === "_payload") return;
      make("dt", "", list, { _time: "Time", _received: "Received" }[column.name] ?? column.name);
      make("dd", "num", list, shown(column, message.data[at][0]));
    });
    first.dataset.arrived = "true";
    open.textContent = "See it in the pipeline";
    if (!slug) return;
    open.href = `${address}?tab=records`;
    const show = make("a", "button primary", null, "Make a dashboard of it");
    show.href = `/dashboards/new?pipeline=${slug}`;
    open.before(show);
  });
  // A payload that gives rejects alone brings no record: the counts tell of it.
  const counts = client.subscribe({ kind: "pipelines" }, (message) => {
    if (message.kind === "error" || first.dataset.arrived) return;
    const column = (wanted) => message.data[message.columns.findIndex((each) => each.name === wanted)] ?? [];
    const at = column("slug").indexOf(slug);
    if (at < 0 || !column("rejects")[at]) return;
    counts.close();
    title.textContent = "Something came, and was refused";
    place.replaceChildren();
    const why = make("p", "", place, "The payload is kept, and the reason stands under ");
    const rejects = make("a", "", why, "Rejects");
    rejects.href = `${address}?tab=rejects`;
  });
}
