// What every page needs besides its content: theme toggle, drawer on phones, copy buttons, toasts and times that tick.
// Everything hangs on data attributes, so that a page of plain HTML gets it by including this module.
//
//   [data-theme-toggle]        a button; its text becomes the theme in force
//   [data-drawer-toggle]       a button that opens and closes the rail; [data-drawer-close] closes it
//   [data-copy="#selector"]    a button that copies the text (or value) of that element
//   <time data-ago="1767225600000">  "3 min ago", kept current

import { tickTimes } from "./ago.js";

const THEMES = ["system", "light", "dark"];
const LABELS = { system: "Theme: system", light: "Theme: light", dark: "Theme: dark" };

/** The theme chosen by hand: "system", "light" or "dark". */
export function chosenTheme() {
  return document.documentElement.getAttribute("data-theme") ?? "system";
}

/** Choose a theme for this page and, where storage is allowed, for the next ones. */
export function chooseTheme(theme) {
  if (!THEMES.includes(theme)) throw new RangeError(`No such theme: ${theme}`);
  if (theme === "system") document.documentElement.removeAttribute("data-theme");
  else document.documentElement.setAttribute("data-theme", theme);
  try {
    if (theme === "system") localStorage.removeItem("dash-theme");
    else localStorage.setItem("dash-theme", theme);
  } catch {
    // Storage can be forbidden; the choice then lasts as long as the page.
  }
  labelToggles();
}

function labelToggles() {
  for (const toggle of document.querySelectorAll("[data-theme-toggle]")) {
    (toggle.querySelector("[data-label]") ?? toggle).textContent = LABELS[chosenTheme()];
  }
}

/**
 * Say something in passing, with an optional way back.
 * @param {string} message
 * @param {{undo?: () => void, tone?: "plain" | "bad", seconds?: number}} [options]
 */
export function toast(message, { undo, tone = "plain", seconds = 6 } = {}) {
  let stack = document.querySelector(".toasts");
  if (!stack) {
    stack = document.createElement("div");
    stack.className = "toasts";
    stack.setAttribute("role", "status");
    document.body.append(stack);
  }
  const note = document.createElement("div");
  note.className = tone === "bad" ? "toast bad" : "toast";
  const text = document.createElement("span");
  text.textContent = message;
  const act = document.createElement("button");
  act.type = "button";
  act.textContent = undo ? "Undo" : "Dismiss";
  const timer = setTimeout(() => note.remove(), seconds * 1000);
  act.addEventListener("click", () => {
    clearTimeout(timer);
    note.remove();
    undo?.();
  });
  note.append(text, act);
  stack.append(note);
}

async function copy(button) {
  const source = document.querySelector(button.dataset.copy);
  if (!source) return;
  const text = "value" in source ? source.value : source.textContent;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // The clipboard needs https or localhost: select the text instead, so that the keyboard can copy it.
    getSelection().selectAllChildren(source);
    toast("Selected. Press Ctrl+C to copy.");
    return;
  }
  const before = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = before), 1500);
}

function drawer(open) {
  document.documentElement.classList.toggle("drawer-is-open", open);
  for (const toggle of document.querySelectorAll("[data-drawer-toggle]")) toggle.setAttribute("aria-expanded", String(open));
}

document.addEventListener("click", (event) => {
  const target = event.target instanceof Element ? event.target : null;
  if (!target) return;
  if (target.closest("[data-theme-toggle]")) chooseTheme(THEMES[(THEMES.indexOf(chosenTheme()) + 1) % THEMES.length]);
  else if (target.closest("[data-drawer-toggle]")) drawer(!document.documentElement.classList.contains("drawer-is-open"));
  else if (target.closest("[data-drawer-close], .rail a")) drawer(false);
  const copier = target.closest("[data-copy]");
  if (copier) copy(copier);
  for (const menu of document.querySelectorAll("details.rail-menu[open]")) if (!menu.contains(target)) menu.open = false;
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  drawer(false);
  for (const menu of document.querySelectorAll("details.rail-menu[open]")) menu.open = false;
});

labelToggles();
tickTimes(document);
