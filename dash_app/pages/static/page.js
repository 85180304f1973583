// What every page has beside shell.js: keyboard shortcuts, and the one way in which a page changes something.

import { toast } from "./shell.js";

const token = () => document.querySelector('meta[name="dash-xsrf"]')?.content ?? "";

/**
 * Ask the server to do something.
 * @param {string} address
 * @param {object} [body]
 * @returns {Promise<object>} the answer; rejects with an Error that says what went wrong in words for people
 */
export async function act(address, body = {}) {
  let answer;
  try {
    answer = await fetch(address, { method: "POST", headers: { "Content-Type": "application/json", "X-XSRF-Token": token() }, body: JSON.stringify(body) });
  } catch {
    throw new Error("The server cannot be reached.");
  }
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error([said.detail ?? `The server answered ${answer.status}.`, said.reference ? `(${said.reference} in the log)` : ""].join(" ").trim());
  return said;
}

/** Tell of a failure in passing. */
export const complain = (error) => toast(error.message, { tone: "bad", seconds: 10 });

// On a phone the tabs scroll sideways; the one that is open is in view.
document.querySelector(".tabs [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });

const PLACES = { h: "/", p: "/pipelines", d: "/dashboards", n: "/pipelines/new" };
const KEYS = [["g h", "Home"], ["g p", "Pipelines"], ["g d", "Dashboards"], ["g n", "New pipeline"], ["Esc", "Close what is open"], ["?", "This list"]];
let went = 0;

function showKeys() {
  let box = document.querySelector("dialog.keys");
  if (!box) {
    box = document.createElement("dialog");
    box.className = "keys";
    box.setAttribute("aria-label", "Keyboard shortcuts");
    const head = document.createElement("h2");
    head.textContent = "Keyboard shortcuts";
    const list = document.createElement("dl");
    list.className = "facts";
    for (const [keys, words] of KEYS) {
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
    const form = document.createElement("form");
    form.method = "dialog";
    const close = document.createElement("button");
    close.className = "button";
    close.textContent = "Close";
    form.append(close);
    box.append(head, list, form);
    document.body.append(box);
  }
  if (!box.open) box.showModal();
}

const writes = (event) => event.composedPath().some((each) => each instanceof HTMLElement && (each.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(each.tagName)));

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || writes(event)) return;
  if (event.key === "?") showKeys();
  else if (event.key === "g") went = event.timeStamp;
  else if (went && event.timeStamp - went < 1500 && PLACES[event.key]) location.href = PLACES[event.key];
  if (event.key !== "g") went = 0;
});
document.addEventListener("click", (event) => {
  if (event.target instanceof Element && event.target.closest("[data-keys]")) showKeys();
});
