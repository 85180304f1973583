// What one real request of a source brought, before it is saved: the answer as it came, how its pages follow each other, its
// records, and the mapping that would be proposed for them.

import { formatNumber } from "../format.js";
import { h, plural, size } from "../mapping/dom.js";
import { act } from "../page.js";
import { segments } from "./scripts.js";

/**
 * @param {object} trial `pipelines/trial.py` as JSON
 * @param {{use?: (options: object) => void}} [given] `use`: puts what was found out into the form
 */
export function trialView(trial, { use } = {}) {
  const box = h("div", { class: "stack trial" });
  const answered = trial.status !== null && trial.status !== undefined;
  const line = h("p", { class: "trial-line" });
  if (answered) line.append(h("span", { class: `badge ${trial.status < 400 ? "ok" : "failing"}`, text: `${trial.status} ${trial.reason}`.trim() }));
  else if (trial.ok) line.append(h("span", { class: "badge ok", text: "It answers" }));
  else line.append(h("span", { class: "badge failing", text: "No answer" }));
  const said = [];
  if (trial.seconds) said.push(trial.seconds < 1 ? `${Math.round(trial.seconds * 1000)} ms` : `${formatNumber(trial.seconds, { figures: 2 })} s`);
  if (trial.size) said.push(size(trial.size));
  if (trial.content_type) said.push(trial.content_type);
  line.append(h("span", { class: "muted", text: said.join(" · ") }));
  box.append(line);
  if (trial.url) box.append(h("code", { class: "break", text: `${trial.method ? `${trial.method} ` : ""}${trial.url}` }));
  for (const [place, what] of trial.problems ?? []) box.append(h("div", { class: "problem" }, h("strong", { text: place === "answer" ? "This would fail" : place }), h("p", { text: what })));
  if (trial.pagination) box.append(pages(trial.pagination, use));
  if (trial.selector && use) box.append(h("p", { class: "notice split" }, h("span", {}, "The records seem to be at ", h("code", { text: trial.selector })), h("button", { type: "button", class: "button small", text: "Use it", onclick: () => use({ data_selector: trial.selector }) })));
  const parts = [];
  if (trial.records?.length || trial.fields?.length) parts.push(["records", `Records${trial.count === null || trial.count === undefined ? "" : ` ${trial.count}`}`, records(trial)]);
  if (trial.fields?.length) parts.push(["fields", `Fields ${trial.fields.length}`, fields(trial)]);
  if (trial.text) parts.push(["text", "Body", h("pre", { class: "body", tabindex: "0", "aria-label": "Body", text: trial.cut ? `${trial.text}\n…` : trial.text })]);
  if (Object.keys(trial.headers ?? {}).length) parts.push(["headers", "Headers", headers(trial.headers)]);
  if (parts.length) {
    for (const [name, , node] of parts) node.hidden = name !== parts[0][0];
    box.append(segments("Parts of the answer", parts.map(([name, title]) => [name, title]), parts[0][0], (chosen) => {
      for (const [name, , node] of parts) node.hidden = name !== chosen;
    }), ...parts.map(([, , node]) => node));
  }
  return box;
}

function pages({ why, followed, paginator }, use) {
  const words = h("span", {}, followed ? "Pages are followed: " : "There are more pages: ", why);
  const button = !followed && use && paginator ? h("button", { type: "button", class: "button small", text: "Follow them", onclick: () => use({ paginator }) }) : null;
  return h("p", { class: followed ? "muted" : "notice split" }, words, button);
}

const cell = (value) => (value === null || value === undefined ? "–" : typeof value === "object" ? JSON.stringify(value) : String(value));

function records({ records: found, count }) {
  const rows = (found ?? []).filter((each) => each && typeof each === "object" && !Array.isArray(each));
  if (!rows.length) return h("pre", { class: "body", tabindex: "0", "aria-label": "Records", text: found?.length ? found.map((each) => JSON.stringify(each)).join("\n") : plural(count ?? 0, "record") });
  const names = [...new Set(rows.flatMap(Object.keys))].slice(0, 40);
  return h("div", { class: "table-scroll trial-table", tabindex: "0", role: "region", "aria-label": "Records" }, h("table", { class: "table dense" },
    h("thead", {}, h("tr", {}, ...names.map((name) => h("th", { scope: "col", text: name })))),
    h("tbody", {}, ...rows.map((row) => h("tr", {}, ...names.map((name) => h("td", { class: typeof row[name] === "number" ? "num" : null, text: cell(row[name]) })))))));
}

function fields({ fields: found, note }) {
  return h("div", { class: "stack tight" }, note ? h("p", { class: "muted", text: note }) : null, h("div", { class: "table-scroll trial-table" }, h("table", { class: "table dense" },
    h("thead", {}, h("tr", {}, ...["Field", "Type", "Path", "Sample"].map((text) => h("th", { scope: "col", text })))),
    h("tbody", {}, ...found.map((one) => h("tr", {}, h("td", { text: one.name }), h("td", { text: one.type }), h("td", {}, h("code", { text: one.path })), h("td", { text: one.sample || "–" })))))));
}

function headers(found) {
  const list = h("dl", { class: "facts trial-headers" });
  for (const [name, value] of Object.entries(found)) list.append(h("dt", { text: name }), h("dd", { class: "break", text: value }));
  return list;
}

/** One real request, and what came of it beside the form. */
export async function runTrial({ button, place, fields, address, body }) {
  button.disabled = true;
  const card = place.closest(".card");
  card.hidden = false;
  place.replaceChildren(...["60%", "85%", "40%"].map((width) => h("span", { class: "skeleton", style: `width: ${width}` })));
  try {
    const trial = await act(address, body);
    const others = fields.show((trial.problems ?? []).map(([where, what]) => [where.replace(/^options\./, ""), what]));
    // Into the form as it stands by now.
    const use = (found) => {
      Object.assign(fields.values_, fields.read().options, found);
      fields.draw();
      fields.changed();
      runTrial({ button, place, fields, address, body: { ...body, options: fields.read().options } });
    };
    place.replaceChildren(trialView({ ...trial, problems: others }, { use }));
    if (!others.length && trial.problems?.length) place.prepend(h("p", { class: "muted", text: "Nothing was asked: look at what is marked in the form." }));
  } catch (error) {
    place.replaceChildren(h("div", { class: "problem" }, h("strong", { text: "It could not be tried" }), h("p", { text: error.message })));
  } finally {
    button.disabled = false;
  }
}
