// Sends a file in chunks that can be resumed. What has arrived is never sent again: after every break the server is asked
// where to go on. Nothing here touches the page.

const CHUNK = 4 << 20;
const LONGEST_PAUSE = 30_000;
const MEMORY = "dash-uploads";

/** A refusal that trying again does not mend. */
export class Refused extends Error {}

const token = () => document.querySelector('meta[name="dash-xsrf"]')?.content ?? "";

/**
 * Asks the API.
 * @param {string} address
 * @param {RequestInit} [request]
 * @returns {Promise<object>} the answer; rejects with Refused, or with another Error where trying again can help
 */
export async function ask(address, request = {}) {
  const headers = { ...request.headers };
  if (request.method && request.method !== "GET") headers["X-XSRF-Token"] = token();
  const answer = await fetch(address, { ...request, headers });
  if (answer.status === 204) return {};
  const said = await answer.json().catch(() => ({}));
  if (answer.ok) return said;
  const detail = said.errors?.length ? said.errors.map((one) => one.message).join("; ") : said.detail ?? `The server answered ${answer.status}.`;
  const passes = answer.status >= 500 || answer.status === 429 || answer.status === 408;
  throw Object.assign(passes ? new Error(detail) : new Refused(detail), { status: answer.status, offset: said.offset });
}

// Which file an upload was begun with: one that is chosen again later is known by its name, size and time of change.
const markOf = (file) => `${file.name}\n${file.size}\n${file.lastModified}`;

function remembered() {
  try {
    return JSON.parse(localStorage.getItem(MEMORY) ?? "{}");
  } catch {
    return {};
  }
}

/** Keeps which file an upload is of (null: forgets it). */
export function remember(id, file) {
  const all = remembered();
  if (file) all[id] = markOf(file);
  else delete all[id];
  try {
    localStorage.setItem(MEMORY, JSON.stringify(Object.fromEntries(Object.entries(all).slice(-50))));
  } catch {
    // Without a place to keep it, an upload can still be resumed while the page is open.
  }
}

/** Whether this file is the one that an upload was begun with in this browser. */
export const isSame = (id, file) => remembered()[id] === markOf(file);

/** Waits, and shorter where the connection comes back. */
const pause = (milliseconds, signal) =>
  new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      removeEventListener("online", done);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    addEventListener("online", done);
    signal.addEventListener("abort", done);
  });

/**
 * Sends what is missing of a file, for as long as it takes.
 * @param {string} address of the upload
 * @param {File} file
 * @param {object} options
 * @param {AbortSignal} options.signal ends it
 * @param {(upload: object) => void} options.told hears of each chunk that has arrived
 * @param {(why: string) => void} options.waits hears that the connection is lost, before each pause
 * @returns {Promise<object>} the upload, once all of it is there; rejects with Refused
 */
export async function send(address, file, { signal, told, waits }) {
  let upload = null;
  let failures = 0;
  for (;;) {
    try {
      upload ??= await ask(address, { signal });
      if (upload.state !== "receiving") return upload;
      const chunk = file.slice(upload.offset, upload.offset + CHUNK);
      const headers = { "Content-Type": "application/offset+octet-stream", "Upload-Offset": String(upload.offset) };
      upload = await ask(address, { method: "PATCH", body: chunk, headers, signal });
      failures = 0;
      told(upload);
    } catch (error) {
      if (signal.aborted) throw error;
      if (error.name === "NotReadableError" || error.name === "NotFoundError") throw new Refused("The file was changed or moved; choose it again.");
      if (error instanceof Refused && error.status !== 409) throw error;
      upload = null;
      if (error.status === 409 && failures++ < 3) continue;
      failures += 1;
      waits(navigator.onLine === false ? "The connection is lost; it goes on by itself." : error.status ? error.message : "The server cannot be reached; it goes on by itself.");
      await pause(Math.min(LONGEST_PAUSE, 500 * 2 ** Math.min(failures, 6)), signal);
      if (signal.aborted) throw error;
    }
  }
}
