// Texts to copy: an address, a secret, scripts in several languages.

import { h } from "../mapping/dom.js";

/** A block of text with a button that copies it. */
export function codeBlock(text, key, label = key) {
  const pre = h("pre", { text, tabindex: "0", "aria-label": label, "data-code": key });
  const button = h("button", { class: "button small copy", type: "button", text: "Copy", onclick: async () => {
    try {
      await navigator.clipboard.writeText(pre.textContent);
      button.textContent = "Copied";
    } catch {
      // The clipboard needs https or localhost: the text is selected, so that the keyboard can copy it.
      getSelection().selectAllChildren(pre);
      button.textContent = "Selected: press Ctrl+C";
    }
    setTimeout(() => (button.textContent = "Copy"), 1800);
  } });
  return h("div", { class: "code-block" }, pre, button);
}

/**
 * Scripts, one at a time.
 * @param {{name: string, title: string, text: string}[]} scripts
 */
export function scriptTabs(scripts) {
  const blocks = scripts.map(({ name, title, text }) => Object.assign(codeBlock(text, name === "curl" ? "script" : name, title), { hidden: name !== scripts[0].name }));
  const bar = segments("Language", scripts.map(({ name, title }) => [name, title]), scripts[0].name, (chosen) => {
    scripts.forEach(({ name }, at) => (blocks[at].hidden = name !== chosen));
  });
  return h("div", { class: "script-tabs" }, bar, ...blocks);
}

/** A few choices side by side, of which one is on. */
export function segments(label, choices, first, chosen) {
  const bar = h("div", { class: "segments", role: "group", "aria-label": label });
  for (const [name, title] of choices) {
    bar.append(h("button", { type: "button", "aria-pressed": String(name === first), text: title, onclick: (event) => {
      for (const each of bar.children) each.setAttribute("aria-pressed", String(each === event.currentTarget));
      chosen(name);
    } }));
  }
  return bar;
}
