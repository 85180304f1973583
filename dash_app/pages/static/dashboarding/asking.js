// Questions to the session on the server, each with a number that its answer carries.

const PATIENCE = 20000;

/** What the server says is wrong: `title`, `detail`, `problems` as [place, what], `reference` in its log. */
export class Refusal extends Error {
  constructor({ title, detail, problems = [], reference = "" }) {
    super([detail || title, reference ? `(${reference} in the log)` : ""].filter(Boolean).join(" "));
    Object.assign(this, { title, detail, problems, reference });
  }
}

export class Asking {
  /** @param {object} model of the Panel component @param {(lost: boolean) => void} [onLost] */
  constructor(model, onLost = () => {}) {
    this.model = model;
    this.onLost = onLost;
    this.seq = 0;
    this.waiting = new Map();
    model.on("msg:custom", (event) => this.#hear(typeof event === "string" ? event : event.data));
  }

  /**
   * @param {string} type
   * @param {object} [more]
   * @returns {Promise<any>} rejects with a Refusal
   */
  ask(type, more = {}) {
    this.seq += 1;
    const { seq } = this;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.onLost(true), PATIENCE);
      this.waiting.set(seq, { resolve, reject, timer });
      this.model.send_msg({ type, seq, ...more });
    });
  }

  #hear(data) {
    const message = typeof data === "string" ? JSON.parse(data) : data;
    const one = this.waiting.get(message.seq);
    this.onLost(false);
    if (!one) return;
    this.waiting.delete(message.seq);
    clearTimeout(one.timer);
    if (message.type === "answer") one.resolve(message.value);
    else one.reject(new Refusal(message));
  }
}

/** The fields of pipelines, each asked for once. */
export class Fields {
  constructor(asking) {
    this.asking = asking;
    this.found = new Map();
    this.asked = new Map();
  }

  /** @returns {object[] | null} null: not asked for, or on the way */
  known(pipeline) {
    return pipeline ? (this.found.get(pipeline) ?? null) : [];
  }

  of(pipeline) {
    if (!pipeline) return Promise.resolve([]);
    if (!this.asked.has(pipeline)) {
      this.asked.set(pipeline, this.asking.ask("fields", { pipeline }).then(
        (fields) => {
          this.found.set(pipeline, fields);
          return fields;
        },
        (error) => {
          // One that is not there has none; what went wrong on the way may be asked for again.
          if (error.title === "Not found") this.found.set(pipeline, []);
          else this.asked.delete(pipeline);
          throw error;
        },
      ));
    }
    return this.asked.get(pipeline);
  }
}
