// The list of dashboards: found while one types, starred at once, and changed from a row's menu with a way back.

import { tickTimes } from "./ago.js";
import { act, complain } from "./page.js";
import { toast } from "./shell.js";

const WAIT = 120;
const list = document.querySelector("[data-list]");
const finder = document.querySelector("[data-finder]");
let asking = null;
let stopTicking = () => {};

// Finding ---------------------------------------------------------------------------------------------------------

/** What the form says, as the address of the page: what is not asked for is left out. */
function address() {
  const said = new URLSearchParams([...new FormData(finder)].filter(([name, value]) => value !== "" && !(name === "sort" && value === "title")));
  return said.size ? `/dashboards?${said}` : "/dashboards";
}

/** Ask for the list anew; where another question comes meanwhile, that one's answer is shown. */
async function find() {
  const wanted = address();
  history.replaceState(null, "", wanted);
  await show(wanted);
}

async function show(wanted) {
  asking?.abort();
  asking = new AbortController();
  const { signal } = asking;
  list.classList.add("is-stale");
  try {
    const answer = await fetch(`${wanted}${wanted.includes("?") ? "&" : "?"}part=list`, { signal });
    if (answer.redirected || !answer.ok) return void (location.href = wanted);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const opened = list.querySelector("[data-deleted]")?.open;
    list.replaceChildren(...page.body.children);
    if (opened) list.querySelector("[data-deleted]")?.setAttribute("open", "");
    list.classList.remove("is-stale");
    ready();
  } catch (error) {
    if (error.name === "AbortError") return;
    list.classList.remove("is-stale");
    complain(new Error("The server cannot be reached."));
  }
}

function ready() {
  stopTicking();
  stopTicking = tickTimes(list);
  const closed = folded();
  for (const folder of list.querySelectorAll("details[data-folder]")) folder.open = searching() || !closed.has(folder.dataset.folder);
}

if (finder) {
  let timer = 0;
  finder.addEventListener("submit", (event) => {
    event.preventDefault();
    find();
  });
  finder.addEventListener("input", (event) => {
    const { name } = event.target;
    if (name === "tag") for (const other of finder.querySelectorAll('[name="tag"]')) if (other !== event.target) other.checked = false;
    clearTimeout(timer);
    timer = setTimeout(find, name === "search" ? WAIT : 0);
  });
  finder.querySelector('[type="search"]').addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "Enter") {
      const first = list.querySelector(".board-title");
      if (!first) return;
      event.preventDefault();
      if (event.key === "ArrowDown") first.focus();
      else if (!list.classList.contains("is-stale")) first.click();
    }
  });
}

// Arrows go from title to title.
list?.addEventListener("keydown", (event) => {
  if (!event.target.matches?.(".board-title") || !["ArrowDown", "ArrowUp"].includes(event.key)) return;
  const all = [...list.querySelectorAll(".board-title")].filter((one) => one.checkVisibility());
  const next = all[all.indexOf(event.target) + (event.key === "ArrowDown" ? 1 : -1)] ?? (event.key === "ArrowUp" ? finder?.querySelector('[type="search"]') : null);
  if (!next) return;
  event.preventDefault();
  next.focus();
});

// Folders that are folded stay so ---------------------------------------------------------------------------------

const FOLDED = "dash-folders-folded";
const searching = () => new URLSearchParams(location.search).size > 0 && address() !== "/dashboards";

function folded() {
  try {
    return new Set(JSON.parse(localStorage.getItem(FOLDED) ?? "[]"));
  } catch {
    return new Set();
  }
}

list?.addEventListener("click", (event) => {
  // A row's menu has a summary as well.
  const folder = event.target.closest("summary")?.parentElement;
  if (!folder?.matches("details[data-folder]")) return;
  const closed = folded();
  if (folder.open) closed.add(folder.dataset.folder);
  else closed.delete(folder.dataset.folder);
  try {
    localStorage.setItem(FOLDED, JSON.stringify([...closed]));
  } catch {
    // Storage can be forbidden; the folder is then folded for as long as the page is open.
  }
});

// What is done from a row -----------------------------------------------------------------------------------------

const rowOf = (element) => element.closest("[data-uid]");
const reload = () => show(address());

async function star(button) {
  const on = button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", String(on));
  try {
    await act(`/dashboards/list/${on ? "star" : "unstar"}`, { uid: rowOf(button).dataset.uid });
    if (finder?.elements.starred.checked) await reload();
  } catch (error) {
    button.setAttribute("aria-pressed", String(!on));
    complain(error);
  }
}

async function remove({ uid, title }) {
  await act("/dashboards/list/delete", { uid });
  await reload();
  toast(`“${title}” is deleted.`, { seconds: 12, undo: () => undelete(uid).catch(complain) });
}

async function undelete(uid) {
  const { title } = await act("/dashboards/list/undelete", { uid });
  await reload();
  toast(`“${title}” is back.`);
}

async function copy({ uid }) {
  const made = await act("/dashboards/list/copy", { uid });
  await reload();
  list.querySelector(`[data-uid="${CSS.escape(made.uid)}"] .board-title`)?.focus();
  toast(`“${made.title}” is made.`, { undo: () => act("/dashboards/list/delete", { uid: made.uid }).then(reload).catch(complain) });
}

/** Ask for a folder; null where nothing is to be done. */
function askFolder(before) {
  const box = document.querySelector("[data-move]");
  const input = box.querySelector("input");
  input.value = before;
  box.returnValue = "";
  box.showModal();
  input.select();
  return new Promise((resolve) => box.addEventListener("close", () => resolve(box.returnValue === "move" ? input.value.trim() : null), { once: true }));
}

async function move({ uid, title, folder }) {
  const wanted = await askFolder(folder);
  if (wanted === null || wanted === folder) return;
  const { folder: now, before } = await act("/dashboards/list/move", { uid, folder: wanted });
  await reload();
  toast(now ? `“${title}” is in ${now}.` : `“${title}” is in no folder.`, { undo: () => act("/dashboards/list/move", { uid, folder: before }).then(reload).catch(complain) });
}

const ACTS = { copy, move, delete: remove, undelete: ({ uid }) => undelete(uid) };

list?.addEventListener("click", (event) => {
  const target = event.target instanceof Element ? event.target : null;
  const starred = target?.closest("[data-star]");
  if (starred) return void star(starred);
  const tag = target?.closest("a[data-tag]");
  const choice = tag && finder?.querySelector(`[name="tag"][value="${CSS.escape(tag.dataset.tag)}"]`);
  if (choice && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
    event.preventDefault();
    for (const other of finder.querySelectorAll('[name="tag"]')) other.checked = other === choice;
    return void find();
  }
  const button = target?.closest("[data-act]");
  if (!button) return;
  const row = rowOf(button);
  const { uid, title, folder } = row.dataset;
  const menu = button.closest(".row-menu");
  if (menu) menu.open = false;
  ACTS[button.dataset.act]({ uid, title, folder: folder ?? "" }).catch(complain);
});

if (list) ready();
