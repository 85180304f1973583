// One query of a tile: its subscription and the rows that came. Most tiles have one; a line chart may have several, and
// what is compared with an earlier time has each of them twice.

import { FrameStore } from "./frame.js";

export class TilePart {
  /**
   * @param {{query: object, shift: string | null, limit?: number | null}} wanted `query`: without a name; `shift`: how far
   *   back its range is moved, as the live channel takes it
   */
  constructor({ query, name = "", shift = null, limit = null }) {
    Object.assign(this, { query, name, shift, subscription: null, problem: null, waiting: true });
    this.store = new FrameStore({ limit });
    this.moved = 0; // ms to add to times when drawing
  }

  receive(message) {
    if (message.kind === "error") {
      this.problem = { title: message.title || "This tile could not be read", detail: message.detail };
      this.waiting = false;
      return;
    }
    this.problem = null;
    this.waiting = false;
    if (typeof message.shift === "number") this.moved = message.shift;
    this.store.apply(message);
  }

  close() {
    this.subscription?.close();
    this.subscription = null;
  }
}

/**
 * The parts that a tile's document asks for.
 * @param {object} tile @param {string | null} shift compare with this much earlier @param {number | null} limit rows kept
 */
export function partsOf(tile, shift, limit) {
  const queries = tile.queries?.length ? tile.queries : [tile.query ?? {}];
  const now = queries.map(({ name, ...query }) => new TilePart({ query, name, limit }));
  return shift ? [...now, ...queries.map(({ name, ...query }) => new TilePart({ query, name, shift, limit }))] : now;
}
