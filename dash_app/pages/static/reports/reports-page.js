// Reports: made and changed in a window, sent now, turned on and off; the list is asked for anew while the page is open.

import { act, complain } from "../page.js";
import { livePart, sure } from "../part.js";
import { toast } from "../shell.js";
import { showProblems } from "../alerts/acts.js";

const EVERY = 4000;
const facts = JSON.parse(document.querySelector("#report-facts").textContent);
const live = livePart(document.querySelector("[data-part]"));
const box = document.querySelector("#report-dialog");
const form = box?.querySelector("form");
let editing = null; // slug of the report that is changed; null: a new one

setInterval(() => live.refresh(), EVERY);

const pair = (range) => (range ? (range.to === "now" ? range.from : `${range.from}|${range.to}`) : "");

/** An option that a document has and the list of choices has not. */
function choose(select, value, words = value) {
  if (![...select.options].some((each) => each.value === value)) select.append(new Option(words, value));
  select.value = value;
}

function calendar() {
  form.querySelector("[data-cron]").hidden = form.elements.when.value !== "";
}

function open(slug) {
  const document_ = slug ? facts.documents[slug] : {};
  const { elements } = form;
  editing = slug;
  form.reset();
  showProblems(form, { problems: [["", ""]] });
  form.querySelector("[data-wrong]").hidden = true;
  box.querySelector("h2").textContent = slug ? "Change the report" : "New report";
  form.querySelector("[type=submit]").textContent = slug ? "Save" : "Create report";
  elements.timezone.value = document_.timezone ?? (facts.timezone || Intl.DateTimeFormat().resolvedOptions().timeZone);
  if (slug || facts.dashboard) choose(elements.dashboard, document_.dashboard ?? facts.dashboard);
  if (slug) {
    elements.name.value = document_.name;
    choose(elements.range, pair(document_.range));
    elements.cron.value = document_.cron;
    elements.when.value = [...elements.when.options].some((each) => each.value === document_.cron) ? document_.cron : "";
    for (const each of form.querySelectorAll('[name="format"]')) each.checked = document_.format.includes(each.value);
    for (const each of form.querySelectorAll('[name="sinks"]')) each.checked = document_.sinks.includes(each.value);
  }
  calendar();
  box.showModal();
  elements.name.focus();
}

function said() {
  const { elements } = form;
  const all = (name) => [...form.querySelectorAll(`[name="${name}"]:checked`)].map((each) => each.value);
  const [from, to] = elements.range.value.split("|");
  return {
    ...(editing ? facts.documents[editing] : {}),
    name: elements.name.value.trim(), dashboard: elements.dashboard.value, range: from ? { from, to: to ?? "now" } : null,
    cron: elements.when.value || elements.cron.value.trim(), timezone: elements.timezone.value.trim(), format: all("format"), sinks: all("sinks"),
  };
}

form?.addEventListener("change", calendar);
form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    const document_ = said();
    // A report keeps to nobody when its sinks are deleted; nobody means to make one like that.
    if (!document_.sinks.length && form.elements.sinks) return void showProblems(form, { problems: [["sinks", "choose at least one sink that it is sent to"]] });
    if (editing) await act("/reports/list/save", { report: editing, document: document_, revision: facts.revisions[editing] });
    else await act("/reports/list/create", { document: document_ });
    // What the window begins with is the page's.
    location.href = "/reports";
  } catch (error) {
    showProblems(form, error);
  }
});

const ACTS = {
  async send(report, name) {
    await act("/reports/list/send", { report });
    toast(`“${name}” is made and sent now.`);
  },
  async enable(report, name) {
    await act("/reports/list/enable", { report });
    toast(`“${name}” is sent by its calendar again.`);
  },
  async disable(report, name) {
    await act("/reports/list/disable", { report });
    toast(`“${name}” is not sent any more.`, { undo: () => act("/reports/list/enable", { report }).then(() => live.refresh(true), complain) });
  },
  async delete(report, name) {
    await act("/reports/list/delete", { report });
    toast(`“${name}” is deleted.`);
  },
};

document.addEventListener("click", async ({ target }) => {
  const button = target instanceof Element ? target.closest("button") : null;
  if (!button || button.disabled) return;
  const row = button.closest("[data-report]");
  if ("close" in button.dataset) button.closest("dialog").close();
  else if ("new" in button.dataset) open(null);
  else if ("edit" in button.dataset) open(row.dataset.report);
  else if (ACTS[button.dataset.do] && sure(button)) {
    button.disabled = true;
    try {
      await ACTS[button.dataset.do](row.dataset.report, row.dataset.name);
      delete button.dataset.asked;
      live.refresh(true);
    } catch (error) {
      complain(error);
    }
    button.disabled = false;
  }
});

if (form && facts.dashboard) open(null);
