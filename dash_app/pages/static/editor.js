// A mapping's text in a form of Panel's: what is typed goes to the server a quarter of a second after the last key.

import { adoptStyles } from "./styles.js";
import { RULES, textArea } from "./text-area.js";

const PAUSE = 250;

export function render({ model, box }) {
  adoptStyles(box);
  const style = document.createElement("style");
  style.textContent = RULES;
  let timer = 0;
  let sent = model.value;
  const editor = textArea({
    label: model.label,
    placeholder: model.placeholder,
    onInput() {
      clearTimeout(timer);
      timer = setTimeout(send, PAUSE);
    },
  });
  const mark = () => editor.mark(model.problems);
  function send() {
    clearTimeout(timer);
    timer = 0;
    if (editor.area.value === sent) return;
    sent = editor.area.value;
    model.value = sent;
  }
  editor.area.addEventListener("blur", send);
  model.on("value", () => {
    if (model.value === sent) return;
    sent = model.value;
    editor.set(sent);
    mark();
  });
  model.on("problems", mark);
  box.append(style, editor.frame);
  editor.set(model.value);
  mark();
}
