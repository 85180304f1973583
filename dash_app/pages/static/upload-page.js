// The page of a pipeline's uploads: files are dropped or chosen, sent one after the other, and watched until they are
// records.

import { tickTimes, writeTimes } from "./ago.js";
import { make, write } from "./elements.js";
import { formatNumber } from "./format.js";
import { toast } from "./shell.js";
import { Refused, ask, isSame, remember, send } from "./upload.js";

const WATCH = 1000;
const WORDS = { receiving: "Receiving", checking: "Checking", cutting: "Taking in", done: "Done", failed: "Failed", cancelled: "Cancelled" };
const TONES = { receiving: "waiting", checking: "note", cutting: "note", done: "ok", failed: "failing", cancelled: "paused" };
const ACTIVE = new Set(["receiving", "checking", "cutting"]);

const page = document.getElementById("uploads");
const list = page.querySelector("[data-list]");
const older = page.querySelector("[data-more]");
const may = page.dataset.may === "true";
const address = `/api/v1/pipelines/${encodeURIComponent(page.dataset.pipeline)}/uploads`;

/** @type {Map<string, object>} uploads by id, newest first */
const uploads = new Map();
/** @type {Map<string, object>} elements by id */
const rows = new Map();
/** @type {Map<string, {file: File, stop: AbortController, waits: string}>} what this page is sending or is about to */
const sending = new Map();
const queue = [];
let busy = false;
let next = null;
let timer = 0;

const bytes = (value) => formatNumber(value, { unit: "bytes" });
const counted = (value, one, many) => `${formatNumber(value)} ${value === 1 ? one : many}`;

// Rows ----------------------------------------------------------------------------------------------------------------

function rowOf(id) {
  let row = rows.get(id);
  if (row) return row;
  const element = document.createElement("li");
  element.className = "upload-row";
  element.dataset.upload = id;
  const name = make("div", "upload-name", element);
  row = { element, title: make("strong", "", name), badge: make("span", "badge", name), buttons: make("div", "upload-buttons", element) };
  row.progress = make("progress", "upload-progress", element);
  row.progress.max = 1;
  row.error = make("p", "upload-error", element);
  row.facts = make("div", "upload-facts", element);
  row.size = make("span", "num", row.facts);
  row.records = make("span", "num", row.facts);
  row.when = make("time", "", row.facts);
  row.author = make("span", "", row.facts);
  row.keys = "";
  rows.set(id, row);
  return row;
}

function button(row, text, act, className = "button small quiet") {
  const made = make("button", className, row.buttons, text);
  made.type = "button";
  made.addEventListener("click", act);
}

function show(upload) {
  const row = rowOf(upload.id);
  const mine = sending.get(upload.id);
  const stalled = upload.state === "receiving" && !mine;
  write(row.title, upload.name);
  row.title.title = upload.name;
  row.badge.className = `badge ${mine?.waits ? "rejects" : TONES[upload.state]}`;
  write(row.badge, mine?.waits ? "Waiting" : stalled ? "Not finished" : WORDS[upload.state]);
  row.element.classList.toggle("is-waiting", Boolean(mine?.waits) || stalled);
  row.progress.hidden = !ACTIVE.has(upload.state);
  row.progress.value = upload.progress;
  row.progress.setAttribute("aria-label", `${WORDS[upload.state]}: ${upload.name}`);
  const error = mine?.waits || upload.error;
  row.error.hidden = !error;
  row.error.className = mine?.waits ? "upload-facts" : "upload-error";
  write(row.error, error);
  const share = ACTIVE.has(upload.state) ? `, ${Math.floor(upload.progress * 100)} %` : "";
  write(row.size, `${bytes(upload.size)}${share}`);
  row.records.hidden = !upload.records;
  write(row.records, `${counted(upload.records, "record", "records")} in ${counted(upload.payloads, "payload", "payloads")}`);
  row.when.dataset.ago = String(Date.parse(upload.ended_at ?? upload.created_at));
  row.when.dateTime = upload.ended_at ?? upload.created_at;
  write(row.author, upload.author);
  const keys = `${may} ${upload.state} ${stalled}`;
  if (keys !== row.keys) {
    row.keys = keys;
    row.buttons.replaceChildren();
    if (may && stalled) button(row, "Go on", () => chooseAgain(upload.id), "button small");
    if (may && ACTIVE.has(upload.state)) button(row, "Cancel", () => cancel(upload.id), "button small quiet danger");
  }
}

function showAll() {
  const sorted = [...uploads.values()].sort((a, b) => (a.id < b.id ? 1 : -1));
  list.setAttribute("aria-busy", "false");
  for (const upload of sorted) show(upload);
  const elements = sorted.map((upload) => rows.get(upload.id).element);
  if (elements.length !== list.children.length || elements.some((element, n) => list.children[n] !== element)) list.replaceChildren(...elements);
  page.querySelector("[data-empty]").hidden = sorted.length > 0;
  list.hidden = sorted.length === 0;
  older.hidden = next === null;
  writeTimes(list);
}

function keep(upload) {
  const before = uploads.get(upload.id);
  uploads.set(upload.id, upload);
  if (before && before.state !== upload.state && !ACTIVE.has(upload.state)) {
    page.querySelector("[data-said]").textContent = `${upload.name}: ${WORDS[upload.state]}. ${upload.error}`;
    remember(upload.id, null);
  }
}

// Watching ------------------------------------------------------------------------------------------------------------

async function read() {
  const found = await ask(address);
  for (const upload of found.items) if (!sending.has(upload.id) || upload.state !== "receiving") keep(upload);
  if (uploads.size <= found.items.length) next = found.next;
  showAll();
}

async function watch() {
  clearTimeout(timer);
  try {
    await read();
  } catch (error) {
    if (error instanceof Refused) {
      list.setAttribute("aria-busy", "false");
      toast(error.message, { tone: "bad" });
      return;
    }
  }
  // What others send or workers work on moves without this page; what stands still is looked at now and then.
  const moving = [...uploads.values()].some((upload) => ACTIVE.has(upload.state));
  timer = setTimeout(watch, moving ? WATCH : 15 * WATCH);
}

older.querySelector("button").addEventListener("click", async (event) => {
  event.target.disabled = true;
  try {
    const found = await ask(`${address}?cursor=${encodeURIComponent(next)}`);
    for (const upload of found.items) keep(upload);
    next = found.next;
    showAll();
  } catch (error) {
    toast(error.message, { tone: "bad" });
  }
  event.target.disabled = false;
});

// Sending -------------------------------------------------------------------------------------------------------------

async function add(files) {
  for (const file of files) {
    const begun = [...uploads.values()].find((upload) => upload.state === "receiving" && !sending.has(upload.id) && isSame(upload.id, file));
    try {
      const upload = begun ?? (await ask(address, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ name: file.name, size: file.size, content_type: file.type || null }),
      }));
      remember(upload.id, file);
      keep(upload);
      sending.set(upload.id, { file, stop: new AbortController(), waits: "" });
      queue.push(upload.id);
    } catch (error) {
      toast(`${file.name}: ${error instanceof TypeError ? "the server cannot be reached" : error.message}`, { tone: "bad", seconds: 12 });
    }
  }
  showAll();
  work();
}

async function work() {
  if (busy) return;
  busy = true;
  while (queue.length) {
    const id = queue.shift();
    const mine = sending.get(id);
    if (!mine) continue;
    try {
      await send(`${address}/${id}`, mine.file, {
        signal: mine.stop.signal,
        told: (upload) => {
          mine.waits = "";
          keep(upload);
          showAll();
        },
        waits: (why) => {
          mine.waits = why;
          showAll();
        },
      });
    } catch (error) {
      if (!mine.stop.signal.aborted) toast(`${mine.file.name}: ${error.message}`, { tone: "bad", seconds: 12 });
    }
    sending.delete(id);
    await watch();
  }
  busy = false;
}

async function cancel(id) {
  sending.get(id)?.stop.abort();
  sending.delete(id);
  try {
    await ask(`${address}/${id}`, { method: "DELETE" });
  } catch (error) {
    toast(error.message, { tone: "bad" });
  }
  remember(id, null);
  await watch();
}

/** An upload that this page is not sending (any more) goes on with the same file, which has to be chosen again. */
function chooseAgain(id) {
  const upload = uploads.get(id);
  const choose = document.createElement("input");
  choose.type = "file";
  choose.addEventListener("change", () => {
    const file = choose.files[0];
    if (!file) return;
    if (file.name !== upload.name || file.size !== upload.size) {
      toast(`That is another file: ${upload.name} has ${bytes(upload.size)}.`, { tone: "bad" });
      return;
    }
    sending.set(id, { file, stop: new AbortController(), waits: "" });
    remember(id, file);
    queue.push(id);
    showAll();
    work();
  });
  choose.click();
}

if (may) {
  const drop = page.querySelector("[data-drop]");
  const choose = page.querySelector("[data-choose]");
  choose.addEventListener("change", () => {
    add([...choose.files]);
    choose.value = "";
  });
  let over = 0;
  const mark = (change) => {
    over = Math.max(0, over + change);
    drop.classList.toggle("is-over", over > 0);
  };
  const holdsFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  // All of the window takes files: beside the box a browser would open them instead.
  addEventListener("dragenter", (event) => holdsFiles(event) && mark(1));
  addEventListener("dragleave", (event) => holdsFiles(event) && mark(-1));
  addEventListener("dragover", (event) => holdsFiles(event) && event.preventDefault());
  addEventListener("drop", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    mark(-over);
    add([...event.dataTransfer.files]);
  });
  addEventListener("beforeunload", (event) => {
    if (sending.size) event.preventDefault();
  });
}

tickTimes(page);
watch();
