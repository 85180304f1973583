// Annotations on the page: which sources are shown, the list of what there is in this range, and the form in which one is
// written by hand.

import { dropdown } from "../dashboard/dropdown.js";
import { make } from "../elements.js";
import { formatTime, fromWall, toWall } from "../format.js";
import { act, complain } from "../page.js";
import { toast } from "../shell.js";

const MOST_LISTED = 50;

const toInput = (at, zone) => (at == null ? "" : new Date(toWall(at, zone)).toISOString().slice(0, 19));
const fromInput = (text, zone) => (text ? new Date(fromWall(Date.parse(`${text}Z`), zone)).toISOString() : null);

/**
 * @param {import("../dashboard.js").DashboardView} view
 * @param {{uid: string, writes: boolean}} options
 * @returns {{element: HTMLElement, annotate: (from: number, to: number | null, tile?: {tile: object}) => void}}
 */
export function annotations(view, { uid, writes }) {
  const held = view.annotations;
  const ask = (action, body) => act(`/dashboards/${encodeURIComponent(uid)}/actions/${action}`, body);
  const menu = dropdown({ className: "notes-menu", label: "Annotations", opened: fill });

  // What changes while the list is open is shown in it.
  view.addEventListener("annotations", () => menu.element.open && !menu.panel.contains(document.activeElement?.closest(".annotation-list")) && fill());

  function fill() {
    const { panel } = menu;
    panel.replaceChildren();
    if (held.sources.length) {
      const group = make("div", "annotation-sources", panel);
      group.setAttribute("role", "group");
      group.setAttribute("aria-label", "Sources");
      for (const { name } of held.sources) {
        const box = make("label", "check", group);
        const input = make("input", "", box);
        input.type = "checkbox";
        input.checked = held.isOn(name);
        make("span", "", box, name);
        input.addEventListener("change", () => held.switch(name, input.checked));
      }
    }
    if (writes) {
      const add = make("button", "", panel, "Annotate now…");
      add.type = "button";
      add.addEventListener("click", () => {
        menu.open(false);
        write({ time: Date.now(), time_end: null, text: "", tags: [], tile: null });
      });
    }
    for (const { source, detail } of held.problems) make("div", "menu-note wrong", panel, [source, detail].filter(Boolean).join(": "));
    const rows = [...held.rows].sort((a, b) => b.time - a.time);
    if (!rows.length) {
      make("div", "menu-note", panel, writes ? "Nothing is noted in this range. A click on a chart offers “Annotate here”." : "Nothing is noted in this range.");
      return;
    }
    const list = make("ul", "annotation-list", panel);
    for (const row of rows.slice(0, MOST_LISTED)) list.append(line(row));
    if (rows.length > MOST_LISTED) make("div", "menu-note", panel, `and ${rows.length - MOST_LISTED} earlier ones`);
  }

  function line(row) {
    const item = make("li");
    const words = make("div", "annotation-words", item);
    make("span", "annotation-text", words, row.text);
    const end = row.time_end == null ? "" : ` – ${formatTime(row.time_end, { zone: view.zone, seconds: false })}`;
    make("span", "annotation-when num", words, [`${formatTime(row.time, { zone: view.zone, seconds: false })}${end}`, row.author, ...(row.tags ?? [])].filter(Boolean).join(" · "));
    const byHand = held.sources.find(({ name }) => name === row.source)?.source === "manual";
    if (!writes || !byHand) return item;
    const button = (text, does) => {
      const made = make("button", "button quiet small", item, text);
      made.type = "button";
      made.setAttribute("aria-label", `${text}: ${row.text}`);
      made.addEventListener("click", () => {
        menu.open(false);
        does();
      });
    };
    button("Edit", () => write(row));
    button("Delete", () => remove(row));
    return item;
  }

  async function remove(row) {
    try {
      const gone = await ask("unannotate", { id: row.id });
      toast("Annotation deleted", { undo: () => ask("annotate", { time: gone.time, time_end: gone.time_end, text: gone.text, tags: gone.tags, tile: gone.tile }).catch(complain) });
    } catch (error) {
      complain(error);
    }
  }

  /** The form: of a new annotation, or of `row`, which has an id. */
  function write(row) {
    const box = make("dialog", "keys annotation-form", document.body);
    box.setAttribute("aria-label", row.id ? "Change annotation" : "New annotation");
    make("h2", "", box, row.id ? "Change annotation" : "Annotate");
    const form = make("form", "form", box);
    const field = (text, made, help) => {
      const label = make("label", "field", form);
      make("span", "label", label, text);
      label.append(made);
      if (help) make("span", "help", label, help);
      return made;
    };
    const time = (value) => {
      const made = make("input");
      made.type = "datetime-local";
      made.step = "1";
      made.value = toInput(value, view.zone);
      return made;
    };
    const text = field("What happened", make("textarea"));
    text.value = row.text ?? "";
    text.required = true;
    text.maxLength = 2000;
    const times = make("div", "annotation-times", form);
    const from = field("From", time(row.time));
    from.required = true;
    const to = field("To", time(row.time_end), "Empty: a moment");
    times.append(from.parentNode, to.parentNode);
    const tags = field("Tags", make("input"), "Words with commas between them");
    tags.type = "text";
    tags.value = (row.tags ?? []).join(", ");
    const where = field("Shown in", make("select"));
    make("option", "", where, "All charts of the dashboard").value = "";
    for (const each of view.definition.tiles ?? []) {
      if (each.kind !== "text") make("option", "", where, view.tile(each.id)?.name || each.title || `Tile ${each.id}`).value = String(each.id);
    }
    where.value = row.tile ?? "";
    const wrong = make("div", "wrong", form);
    wrong.setAttribute("role", "alert");
    const actions = make("div", "form-actions", form);
    const save = make("button", "button primary", actions, "Save");
    save.type = "submit";
    const cancel = make("button", "button", actions, "Cancel");
    cancel.type = "button";
    cancel.addEventListener("click", () => box.close());
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      save.disabled = true;
      const said = {
        time: fromInput(from.value, view.zone), time_end: fromInput(to.value, view.zone), text: text.value,
        tags: tags.value.split(",").map((each) => each.trim()).filter(Boolean), tile: where.value,
      };
      try {
        await (row.id ? ask("reannotate", { id: row.id, ...said }) : ask("annotate", said));
        box.close();
      } catch (error) {
        wrong.textContent = error.message;
        save.disabled = false;
      }
    });
    box.addEventListener("close", () => box.remove());
    box.showModal();
    text.focus();
  }

  return {
    menu,
    annotate: writes ? (from, to, tile) => write({ time: from, time_end: to, text: "", tags: [], tile: tile ? String(tile.tile.id) : null }) : undefined,
  };
}
