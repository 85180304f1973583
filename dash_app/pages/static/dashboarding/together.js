// Others at the same dashboard: who they are, what they save meanwhile, and the versions that all of them have saved.

import { h } from "../mapping/dom.js";
import { toast } from "../shell.js";
import { merged } from "./merge.js";
import { ConflictDialog, Presence, Versions } from "./saving.js";

const nameOf = (one) => one.author || "Somebody";

export class Together {
  /** @param {object} editor asks the server, holds the document and what is saved, and says things above the tiles */
  constructor(editor) {
    this.editor = editor;
    /** What somebody else has saved since the version that is edited here, or null. */
    this.newer = null;
    this.presence = new Presence();
    this.versions = new Versions({ address: editor.address, restore: (revision) => this.#restore(revision), open: (revision) => this.#open(revision) });
    this.conflict = new ConflictDialog((choice) => this.#settle(choice));
    this.elements = [this.versions.element, this.conflict.element];
  }

  watch() {
    const { live, uid } = this.editor;
    live.subscribe({ kind: "dashboard", dashboard: uid, editing: true }, (frame) => this.#told(frame));
  }

  #told(frame) {
    if (frame.kind === "error") return;
    const { editor } = this;
    const names = (frame.columns ?? []).map((column) => column.name);
    const at = (name) => frame.data?.[names.indexOf(name)] ?? [];
    const people = at("user").map((user, row) => ({ user, name: at("name")[row], editing: at("editing")[row] }));
    this.presence.show(people.filter((one) => one.user !== editor.first.me));
    editor.banner("gone", frame.revision === null && [h("strong", { text: "This dashboard was deleted." }), " What you have here can still be duplicated."], "problem");
    if (frame.revision > Math.max(editor.saved.revision, this.newer?.revision ?? 0) && !editor.isSaving) this.#readNewest();
  }

  async #readNewest() {
    const { editor } = this;
    const newest = await editor.asking.ask("newest").catch(() => null);
    if (!newest || newest.revision <= editor.saved.revision || editor.isSaving) return;
    if (editor.unsaved) {
      this.tell(newest);
      return;
    }
    // Nothing of one's own is in the way: theirs is what is shown.
    editor.saved = newest;
    editor.change(newest.document, `Version ${newest.revision} by ${nameOf(newest)}`);
    toast(`${nameOf(newest)} saved version ${newest.revision}; it is shown here now.`);
  }

  /** Somebody saved, and there are changes here: it is said, and nothing moves. */
  tell(newer) {
    this.newer = newer;
    this.editor.banner("newer", [h("strong", { text: `${nameOf(newer)} saved version ${newer.revision} meanwhile.` }), " ", h("button", { class: "button small", type: "button", text: "See the difference", onclick: () => this.differ(this.newer) })]);
  }

  differ(newer) {
    this.newer = newer;
    this.conflict.show(this.editor.saved.document, newer, this.editor.document);
  }

  /** What was said of others' versions is over. */
  settled() {
    this.newer = null;
    for (const name of ["newer", "version"]) this.editor.banner(name, null);
  }

  #settle(choice) {
    const { editor } = this;
    const [theirs, base, mine] = [this.newer, editor.saved.document, editor.document];
    editor.saved = theirs;
    this.settled();
    if (choice === "theirs") editor.change(theirs.document, "Take theirs");
    else if (choice === "both") editor.change(merged(base, theirs.document, mine), "Merge both");
    else editor.show();
    const words = {
      theirs: `This is version ${theirs.revision}. Undo brings your own changes back.`,
      both: `Your changes and those of version ${theirs.revision} are together now; look at them and save.`,
    };
    // It passes by: above the tiles stands only what is still to be decided.
    if (choice === "mine") editor.save();
    else toast(words[choice], { undo: () => editor.back(), seconds: 10 });
  }

  // -- versions

  async list() {
    this.versions.waiting();
    try {
      const { versions, current } = await this.editor.asking.ask("versions");
      this.versions.show(versions, current);
    } catch (error) {
      this.versions.failed(error);
    }
  }

  #restore(revision) {
    const { editor } = this;
    const act = async () => {
      try {
        const { saved, conflict } = await editor.asking.ask("restore", { revision, base: editor.saved.revision });
        if (conflict) {
          this.tell(conflict);
          return;
        }
        editor.history.apply(saved.document, { what: `Restore version ${revision}` });
        editor.isSaved(saved, editor.document);
        toast(`Version ${revision} is restored, as version ${saved.revision}.`);
      } catch (error) {
        editor.banner("problem", [h("strong", { text: error.title ?? "Not restored" }), ` ${error.message}`], "problem");
      }
    };
    if (editor.unsaved) editor.leaving.ask(`Restore version ${revision}?`, "What you have changed here and not saved is put aside; undo brings it back.", [["Cancel", null, "quiet"], ["Restore", act, "primary"]]);
    else act();
  }

  async #open(revision) {
    const { editor } = this;
    try {
      const { document } = await editor.asking.ask("version", { revision });
      editor.change({ ...document, uid: editor.uid }, `Open version ${revision}`);
      editor.banner("version", [h("strong", { text: `Version ${revision} as a draft.` }), " Saved, it becomes the newest. Undo goes back."]);
    } catch (error) {
      toast(error.message, { tone: "bad" });
    }
  }
}
