// A pipeline's replays on its page: progress as it is told over the live channel, what is done with them, and payloads
// that are mapped again. The part's HTML is the server's; this file fills in numbers and asks for it anew when what there
// is has changed.

import { formatNumber } from "./format.js";
import { liveClient } from "./live.js";
import { act, complain } from "./page.js";
import { toast } from "./shell.js";

const root = document.querySelector("#pipeline");
const part = root.querySelector("[data-part]");
const { address, id, tab } = root.dataset;
const actions = `${address}/replays`;
const refresh = () => part.dispatchEvent(new CustomEvent("part:refresh"));

// Words: the same as the server's (pages/words.py) -----------------------------------------------------------------

const NONE = "–";
const count = (value) => (value === null ? NONE : formatNumber(Math.round(value), { decimals: 0 }));
const plural = (value, one) => `${count(value)} ${one}${value === 1 ? "" : "s"}`;
const percent = (value) => (value === null ? NONE : `${Math.floor(value * 100)} %`);

function seconds(value) {
  if (value === null) return NONE;
  if (value < 10) return value % 1 >= 0.05 ? `${value.toFixed(1)} s` : `${value.toFixed(0)} s`;
  for (const [limit, divisor, unit] of [[90, 1, "s"], [5400, 60, "min"], [129_600, 3600, "h"]]) if (value < limit) return `${Math.round(value / divisor)} ${unit}`;
  return `${Math.round(value / 86_400)} d`;
}

const FIELDS = { share: percent, rate: count, eta: seconds, seconds, files_done: count, files_total: count, payloads: count, payloads_total: count, records: count, rejects: count };

// Progress ---------------------------------------------------------------------------------------------------------

let last = new Map(); // rows by id, as they were told last

/** What the part is asked for anew for: the newest replay, what is read, what one can go back to. As Standing.shape. */
const shapeOf = ([newest], { generation, active, back }) => JSON.stringify([newest?.id ?? null, newest?.state ?? null, newest?.throttle ?? null, generation, active, back]);
// Between the page and the first message on the channel things go on: the page says what it shows.
let shape = JSON.stringify(JSON.parse(part.querySelector("[data-shape]")?.dataset.shape ?? "null"));

function rowsOf(message) {
  const names = message.columns.map((column) => column.name);
  return (message.data[0] ?? []).map((_, r) => Object.fromEntries(names.map((name, c) => [name, message.data[c][r]])));
}

function write() {
  for (const box of part.querySelectorAll("[data-replay]")) {
    const row = last.get(box.dataset.replay);
    if (!row) continue;
    for (const [name, say] of Object.entries(FIELDS)) {
      const place = box.querySelector(`[data-field="${name}"]`);
      const text = say(row[name] ?? null);
      if (place && place.textContent !== text) place.textContent = text;
    }
    const bar = box.querySelector(".progress-bar");
    if (bar && row.share !== null) {
      bar.setAttribute("aria-valuenow", String(Math.floor(row.share * 100)));
      bar.firstElementChild.style.width = `${(row.share * 100).toFixed(1)}%`;
    }
  }
}

if (tab === "replays" || tab === "overview") {
  liveClient("/live").subscribe({ kind: "replays", query: { pipeline: id } }, (message) => {
    if (message.kind === "error") return;
    const rows = rowsOf(message);
    last = new Map(rows.map((row) => [row.id, row]));
    write();
    const next = shapeOf(rows, message);
    if (next !== shape) refresh();
    shape = next;
  });
  part.addEventListener("part:loaded", write);
}

// What is done -----------------------------------------------------------------------------------------------------

/** The first press asks, the second within five seconds does it. */
function sure(button) {
  if (!button.dataset.sure || button.dataset.asked) return true;
  const before = button.textContent;
  button.dataset.asked = "yes";
  button.textContent = button.dataset.sure;
  setTimeout(() => {
    delete button.dataset.asked;
    button.textContent = before;
  }, 5000);
  return false;
}

const WORDS = { pause: "paused", resume: "queued", cancel: "cancelled" };

async function perform(button) {
  const action = button.dataset.do;
  if (!sure(button)) return;
  const box = button.closest("[data-replay]");
  const badge = box?.querySelector("[data-state-badge]");
  const before = badge?.textContent;
  button.disabled = true;
  if (badge) badge.textContent = WORDS[action];
  try {
    const answer = await act(`${actions}/${action}`, box ? { replay: box.dataset.replay } : {});
    if (action === "rollback") toast(`Version ${answer.version} is read now.`, { undo: () => act(`${actions}/rollback`).then(refresh, complain), seconds: 10 });
    if (action === "discard") toast("The version before is not kept any more.");
    refresh();
  } catch (error) {
    button.disabled = false;
    if (badge) badge.textContent = before;
    complain(error);
  }
}

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!(form instanceof HTMLFormElement)) return;
  if (form.matches("[data-throttle]")) {
    event.preventDefault();
    const field = form.elements.throttle;
    field.blur();
    try {
      await act(`${actions}/throttle`, { replay: form.closest("[data-replay]").dataset.replay, throttle: field.value.trim() });
      toast(field.value.trim() ? `At most ${count(Number(field.value))} records a second from now on.` : "As fast as it goes from now on.");
    } catch (error) {
      complain(error);
    }
  }
  if (form.matches("[data-replay-form]")) {
    event.preventDefault();
    await start(form);
  }
});

// Starting one -----------------------------------------------------------------------------------------------------

function asked(form) {
  const ranged = form.elements.reach.value === "range";
  const moment = (name) => (ranged && form.elements[name].value ? `${form.elements[name].value}:00Z` : null);
  return { version: form.elements.version.value, from: moment("from"), to: moment("to"), throttle: form.elements.throttle.value.trim(), note: form.elements.note.value.trim() };
}

function say(parent, tag, text) {
  const made = document.createElement(tag);
  made.textContent = text;
  parent.append(made);
  return made;
}

let planning = 0;

/** What a replay as it stands in the form would do, in words. */
async function plan(form) {
  const box = form.querySelector("[data-plan]");
  const wanted = asked(form);
  planning += 1;
  const number = planning;
  let found;
  try {
    found = await act(`${actions}/plan`, wanted);
  } catch (error) {
    if (number !== planning) return;
    box.replaceChildren();
    say(box, "p", error.message);
    return;
  }
  if (number !== planning) return;
  const throttle = Number(wanted.throttle);
  const longest = throttle ? found.payloads / throttle : null;
  const time = Math.max(found.seconds ?? 0, longest ?? 0);
  box.replaceChildren();
  const head = say(box, "p", "");
  say(head, "strong", `About ${plural(found.payloads, "payload")}`);
  head.append(` from ${plural(found.files, "file")} (${found.size}) and the inbox are mapped under v${wanted.version}${time ? `, in about ${seconds(time)}` : ""}.`);
  const list = say(box, "ul", "");
  if (wanted.from || wanted.to) say(list, "li", "What came of payloads outside of this range is carried over as it is.");
  if (found.expired) say(list, "li", `Payloads received before ${found.expired} are gone; what came of them is carried over.`);
  say(list, "li", "What is read stays as it is meanwhile, and new payloads go to both.");
  say(list, "li", "At the end dashboards switch by themselves, in one moment; for a day one can go back.");
  say(list, "li", "Sinks and alerts stay silent about what is mapped again.");
}

async function start(form) {
  const wrong = form.querySelector("[data-wrong]");
  const button = form.querySelector("[type=submit]");
  wrong.hidden = true;
  button.disabled = true;
  try {
    await act(`${actions}/start`, asked(form));
    form.closest("dialog").close();
    refresh();
  } catch (error) {
    wrong.textContent = error.message;
    wrong.hidden = false;
  }
  button.disabled = false;
}

let soon = 0;
document.addEventListener("input", (event) => {
  const form = event.target instanceof Element ? event.target.closest("[data-replay-form]") : null;
  if (!form) return;
  form.querySelector("[data-moments]").hidden = form.elements.reach.value !== "range";
  clearTimeout(soon);
  soon = setTimeout(() => plan(form), 250);
});

function open(button) {
  const dialog = part.querySelector(button.dataset.open);
  const form = dialog.querySelector("[data-replay-form]");
  if (form && button.dataset.version) form.elements.version.value = button.dataset.version;
  dialog.showModal();
  if (form) plan(form);
}

// Mapping again ----------------------------------------------------------------------------------------------------

const chosen = () => [...new Set([...part.querySelectorAll("[data-choose]:checked")].map((box) => box.value))];

function writeChosen() {
  const button = part.querySelector("[data-again-chosen]");
  if (!button) return;
  const many = chosen().length;
  button.disabled = !many;
  button.textContent = many ? `Map again (${many})` : "Map again";
  button.classList.toggle("primary", many > 0);
  const all = part.querySelector("[data-choose-all]");
  const boxes = part.querySelectorAll("[data-choose]");
  const ticked = part.querySelectorAll("[data-choose]:checked").length;
  all.checked = boxes.length > 0 && ticked === boxes.length;
  all.indeterminate = ticked > 0 && ticked < boxes.length;
}

document.addEventListener("change", ({ target }) => {
  if (!(target instanceof HTMLInputElement)) return;
  if (target.matches("[data-choose-all]")) for (const box of part.querySelectorAll("[data-choose]")) box.checked = target.checked;
  if (target.matches("[data-choose-all], [data-choose]")) writeChosen();
});

async function again(button, wanted) {
  button.disabled = true;
  try {
    const { payloads, gone } = await act(`${actions}/again`, wanted);
    for (const box of part.querySelectorAll("[data-choose]:checked")) box.checked = false;
    writeChosen();
    toast(`${plural(payloads, "payload")} will be mapped again under the mapping of today.${gone ? ` ${plural(gone, "payload")} of this group ${gone === 1 ? "is" : "are"} not kept any more.` : ""}`);
    refresh();
  } catch (error) {
    button.disabled = false;
    complain(error);
  }
}

document.addEventListener("click", ({ target }) => {
  if (!(target instanceof Element)) return;
  const button = target.closest("button");
  if (!button || button.disabled) {
    if (target instanceof HTMLDialogElement) target.close();
    return;
  }
  if (button.dataset.do) perform(button);
  else if (button.dataset.open) open(button);
  else if ("close" in button.dataset) button.closest("dialog").close();
  else if (button.dataset.again) again(button, { payloads: [button.dataset.again] });
  else if ("againChosen" in button.dataset) again(button, { payloads: chosen() });
  else if ("againGroup" in button.dataset) again(button, { field: button.dataset.field, reason: button.dataset.reason });
});
