// What was done to a document: every step forth and back. Documents are never changed in place, so that a step is no more
// than another reference; what is kept for a reload is as many steps as fit.

const MOST = 200;
const JOINED_WITHIN = 1200;
/** Characters of the kept steps together: a tab's storage holds some five million. */
const KEPT = 1_500_000;

export class History {
  /** @param {object} document */
  constructor(document) {
    this.present = document;
    /** @type {{document: object, what: string}[]} */
    this.past = [];
    this.future = [];
    this.joined = { key: "", at: 0 };
  }

  /**
   * Another state of the document.
   * @param {object} next
   * @param {{what?: string, join?: string, at?: number}} [of] `what`: in words, for the undo button; steps with the same
   *   `join` that follow each other closely, such as the letters of a word, are one
   */
  apply(next, { what = "Change", join = "", at = Date.now() } = {}) {
    if (next === this.present) return;
    const more = join && join === this.joined.key && at - this.joined.at < JOINED_WITHIN && this.past.length > 0;
    if (!more) this.past.push({ document: this.present, what });
    if (this.past.length > MOST) this.past.shift();
    this.present = next;
    this.future = [];
    this.joined = { key: join, at };
  }

  undo() {
    const step = this.past.pop();
    if (!step) return null;
    this.future.push({ document: this.present, what: step.what });
    this.present = step.document;
    this.joined = { key: "", at: 0 };
    return step.what;
  }

  redo() {
    const step = this.future.pop();
    if (!step) return null;
    this.past.push({ document: this.present, what: step.what });
    this.present = step.document;
    this.joined = { key: "", at: 0 };
    return step.what;
  }

  /** All of it as JSON text, the oldest steps left out where there is no room. */
  pack() {
    let room = KEPT - JSON.stringify(this.present).length;
    const fitting = (steps) => {
      const kept = [];
      for (const one of [...steps].reverse()) {
        room -= JSON.stringify(one).length;
        if (room < 0) break;
        kept.unshift(one);
      }
      return kept;
    };
    return JSON.stringify({ present: this.present, past: fitting(this.past), future: fitting(this.future) });
  }

  /** What `pack` made, or null where it was something else. */
  static unpack(text) {
    try {
      const { present, past, future } = JSON.parse(text);
      const steps = [...past, ...future];
      if (!present || typeof present !== "object" || !steps.every((one) => one.document && typeof one.what === "string")) return null;
      return Object.assign(new History(present), { past, future });
    } catch {
      return null;
    }
  }
}
