// Elements made and written without markup: text from data is only ever set as text.

/** @returns {HTMLElement} a new element, appended to `parent` where there is one */
export function make(tag, className, parent, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  parent?.append(made);
  return made;
}

/** Set the text if it changed: an untouched node costs no layout and keeps a selection. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
