// Who else has this dashboard open, and what somebody saved meanwhile: both come over the live channel.

import { make } from "../elements.js";
import { FrameStore } from "../frame.js";
import { rowsOf } from "../dashboard/annotations.js";

const MOST_FACES = 4;

/** "Kari Nordmann" → "KN", "vera@example.org" → "V" */
export function initials(name) {
  const words = String(name).split("@")[0].split(/[\s._-]+/).filter(Boolean);
  return ((words[0]?.[0] ?? "?") + (words.length > 1 ? words.at(-1)[0] : "")).toUpperCase();
}

/**
 * @param {HTMLElement} element where their initials stand
 * @param {{live: import("../live.js").LiveClient, uid: string, me: string, revision: number, saved: (by: string) => void, gone: () => void}} options
 *   `saved`: there is a revision newer than ours; `gone`: the dashboard was deleted
 * @returns {() => void} ends it
 */
export function people(element, { live, uid, me, revision, saved, gone }) {
  const store = new FrameStore();
  let known = revision;
  const subscription = live.subscribe({ kind: "dashboard", dashboard: uid }, (frame) => {
    if (frame.kind === "error") return; // it says nothing about the tiles, which go on
    store.apply(frame);
    show(rowsOf(store.frame()).filter((row) => row.user !== me), frame.present ?? 0);
    if (frame.revision === null) gone();
    else if (frame.revision > known) {
      known = frame.revision;
      saved(frame.updated_by ?? "");
    }
  });

  function show(others, present) {
    element.replaceChildren();
    element.setAttribute("role", "group");
    element.setAttribute("aria-label", others.length ? `Also here: ${others.map(({ name, editing }) => `${name}${editing ? " (editing)" : ""}`).join(", ")}` : "Nobody else is here");
    for (const { name, editing } of others.slice(0, MOST_FACES)) {
      const face = make("span", editing ? "face is-editing" : "face", element, initials(name));
      face.title = editing ? `${name} is editing` : `${name} is looking at this too`;
    }
    // Not all of a crowd are told by name.
    const more = Math.max(others.length, present - 1) - MOST_FACES;
    if (more > 0) make("span", "face more", element, `+${more}`).title = others.slice(MOST_FACES).map(({ name }) => name).join(", ");
  }

  return () => subscription.close();
}
