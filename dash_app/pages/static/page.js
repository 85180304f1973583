// What every page has beside shell.js: keyboard shortcuts with their help sheet, and the one way in which a page changes
// something.

import { toast } from "./shell.js";

const token = () => document.querySelector('meta[name="dash-xsrf"]')?.content ?? "";

/**
 * Ask the server to do something.
 * @param {string} address
 * @param {object} [body]
 * @returns {Promise<object>} the answer; rejects with an Error that says what went wrong in words for people, and has
 *   `problems` ([place, what]) and the answer's `status`
 */
export async function act(address, body = {}) {
  let answer;
  try {
    answer = await fetch(address, { method: "POST", headers: { "Content-Type": "application/json", "X-XSRF-Token": token() }, body: JSON.stringify(body) });
  } catch {
    throw new Error("The server cannot be reached.");
  }
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) {
    const error = new Error([said.detail ?? `The server answered ${answer.status}.`, said.reference ? `(${said.reference} in the log)` : ""].join(" ").trim());
    throw Object.assign(error, { problems: said.problems ?? [], status: answer.status });
  }
  return said;
}

/** Tell of a failure in passing. */
export const complain = (error) => toast(error.message, { tone: "bad", seconds: 10 });

// On a phone the tabs scroll sideways; the one that is open is in view.
document.querySelector(".tabs [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });

// Keys ---------------------------------------------------------------------------------------------------------------

const PLACES = { h: "/", p: "/pipelines", d: "/dashboards", s: "/sinks", a: "/alerts", n: "/pipelines/new" };
const EVERYWHERE = [["g h", "Home"], ["g p", "Pipelines"], ["g d", "Dashboards"], ["g s", "Sinks"], ["g a", "Alerts"], ["g n", "New pipeline"], ["/", "Search"], ["Esc", "Close what is open"], ["?", "This list"]];
/** @type {{title: string, keys: {key: string, text: string, act?: (event: KeyboardEvent) => void}[]}[]} */
const own = [];
let went = 0;

/**
 * Keys of this page: they work anywhere but where somebody writes, and stand in the help sheet before those of all pages.
 * @param {string} title what they are about
 * @param {{key: string, text: string, act?: (event: KeyboardEvent) => void}[]} keys `key` as the browser calls it; without
 *   `act` it is told of and handled elsewhere
 */
export function shortcuts(title, keys) {
  own.push({ title, keys });
}

function keyList(parent, title, rows) {
  const section = document.createElement("section");
  const head = document.createElement("h3");
  head.textContent = title;
  const list = document.createElement("dl");
  list.className = "facts";
  for (const [keys, words] of rows) {
    const term = document.createElement("dt");
    for (const key of keys.split(" ")) {
      const one = document.createElement("kbd");
      one.textContent = key;
      term.append(one, " ");
    }
    const meaning = document.createElement("dd");
    meaning.textContent = words;
    list.append(term, meaning);
  }
  section.append(head, list);
  parent.append(section);
}

function showKeys() {
  document.querySelector("dialog.keys")?.remove();
  const box = document.createElement("dialog");
  box.className = own.length ? "keys is-wide" : "keys";
  box.setAttribute("aria-label", "Keyboard shortcuts");
  const head = document.createElement("h2");
  head.textContent = "Keyboard shortcuts";
  const lists = document.createElement("div");
  lists.className = "key-lists";
  for (const { title, keys } of own) keyList(lists, title, keys.map(({ key, text }) => [key, text]));
  keyList(lists, "On every page", EVERYWHERE);
  const form = document.createElement("form");
  form.method = "dialog";
  const close = document.createElement("button");
  close.className = "button";
  close.textContent = "Close";
  form.append(close);
  box.append(head, lists, form);
  box.addEventListener("close", () => box.remove());
  document.body.append(box);
  box.showModal();
}

const writes = (event) => event.composedPath().some((each) => each instanceof HTMLElement && (each.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(each.tagName)));
const searchField = () => document.querySelector('main input[type="search"]');

function search() {
  const field = searchField();
  if (field) field.focus();
  else location.href = "/dashboards#search";
}
if (location.hash === "#search") searchField()?.focus();

addEventListener("keydown", (event) => {
  // AltGr makes characters on many keyboards; it is no Ctrl+Alt.
  const combined = event.metaKey || ((event.ctrlKey || event.altKey) && !event.getModifierState("AltGraph"));
  if (combined || event.defaultPrevented || writes(event) || document.querySelector("dialog[open]")) return;
  const follows = went && event.timeStamp - went < 1500;
  went = 0;
  if (follows && PLACES[event.key]) location.href = PLACES[event.key];
  else if (event.key === "g") went = event.timeStamp;
  else {
    const found = own.flatMap(({ keys }) => keys).find(({ key, act: does }) => does && key === event.key);
    const does = found?.act ?? { "?": showKeys, "/": search }[event.key];
    if (!does) return;
    event.preventDefault();
    does(event);
  }
});
document.addEventListener("click", (event) => {
  if (event.target instanceof Element && event.target.closest("[data-keys]")) showKeys();
});
