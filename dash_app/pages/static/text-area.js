// A text editor for mapping documents: a textarea (so that everything a keyboard, a phone or a screen reader does with
// text works) beside its line numbers.

export const RULES = `
.text-editor { display: grid; grid-template-columns: auto minmax(0, 1fr); height: 100%; min-height: 320px; max-height: 70vh; border: 1px solid var(--line-strong); border-radius: var(--radius); background: var(--surface); overflow: hidden; }
.text-editor:focus-within { outline: 2px solid var(--accent); outline-offset: -1px; }
.text-editor > .lines { margin: 0; padding: 10px 8px 10px 12px; border-right: 1px solid var(--line); background: var(--sunken); color: var(--text-3); font: 400 12px/18px var(--mono); text-align: right; user-select: none; overflow: hidden; font-variant-numeric: tabular-nums; }
.text-editor > .lines > span { display: block; }
.text-editor > .lines > .wrong { color: var(--bad); font-weight: 700; }
.text-editor > textarea { display: block; width: 100%; padding: 10px 12px; border: 0; outline: 0; resize: none; background: none; color: var(--text); font: 400 12px/18px var(--mono); tab-size: 2; white-space: pre; overflow: auto; }
.text-editor > textarea::placeholder { color: var(--text-3); }
`;

/**
 * @param {{label: string, placeholder?: string, onInput: () => void}} options
 * @returns {{frame: HTMLElement, area: HTMLTextAreaElement, set: (text: string) => void, mark: (problems: [number, string][]) => void, go: (line: number) => void}}
 */
export function textArea({ label, placeholder = "", onInput }) {
  const frame = document.createElement("div");
  frame.className = "text-editor";
  const lines = document.createElement("div");
  lines.className = "lines";
  lines.setAttribute("aria-hidden", "true");
  const area = document.createElement("textarea");
  area.spellcheck = false;
  area.autocapitalize = "off";
  area.setAttribute("autocomplete", "off");
  area.setAttribute("aria-label", label || "Text");
  area.placeholder = placeholder;
  frame.append(lines, area);

  let wrong = new Map();
  function number() {
    const count = area.value.split("\n").length;
    while (lines.childElementCount < count) {
      const line = document.createElement("span");
      line.textContent = String(lines.childElementCount + 1);
      lines.append(line);
    }
    while (lines.childElementCount > count) lines.lastElementChild.remove();
    lines.style.paddingBottom = `${10 + Math.max(0, area.offsetHeight - area.clientHeight)}px`;
    lines.scrollTop = area.scrollTop;
  }
  function mark(problems) {
    wrong = new Map(problems);
    [...lines.children].forEach((line, at) => {
      line.className = wrong.has(at + 1) ? "wrong" : "";
      line.title = wrong.get(at + 1) ?? "";
    });
    area.setAttribute("aria-invalid", String(problems.length > 0));
  }
  area.addEventListener("input", () => {
    number();
    onInput();
  });
  area.addEventListener("scroll", () => (lines.scrollTop = area.scrollTop));
  area.addEventListener("keydown", (event) => {
    // Tab indents; Escape first gives Tab back to the keyboard's way through the page.
    if (event.key === "Escape") area.dataset.leaving = "true";
    else if (event.key !== "Tab") delete area.dataset.leaving;
    else if (!area.dataset.leaving && !event.shiftKey && !area.readOnly) {
      event.preventDefault();
      area.setRangeText("  ", area.selectionStart, area.selectionEnd, "end");
      area.dispatchEvent(new Event("input"));
    }
  });
  return {
    frame,
    area,
    mark,
    /** Show another text; the caret stays as near to its place as it can. */
    set(text) {
      if (area.value !== text) {
        const { selectionStart, scrollTop } = area;
        area.value = text;
        if (area.matches(":focus")) area.setSelectionRange(selectionStart, selectionStart);
        area.scrollTop = scrollTop;
      }
      number();
    },
    go(line) {
      const start = area.value.split("\n").slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
      const end = area.value.indexOf("\n", start);
      area.focus();
      area.setSelectionRange(start, end < 0 ? area.value.length : end);
      area.scrollTop = Math.max(0, (line - 4) * 18);
    },
  };
}
