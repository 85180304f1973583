// One WebSocket a tab. It carries every subscription of the page, comes back by itself after the connection is lost (with
// growing, jittered pauses, so that a restarted server is not met by all viewers at once), subscribes again to whatever is
// still wanted, and asks for a fresh snapshot when a topic's numbers show that an update went missing.

const PING_EVERY = 25_000;
const SILENCE = 60_000;
const FIRST_PAUSE = 400;
const LONGEST_PAUSE = 30_000;
const REFRESH_PAUSE = 2_000;

/**
 * @typedef {(message: any) => void} Receiver called with each frame: kind "snapshot", "update" or "error"
 * @typedef {{update: (request: object) => void, refresh: () => void, close: () => void}} Subscription
 */

/**
 * Events: "state", whose `detail` is "connecting", "connected", "reconnecting" or "closed".
 */
export class LiveClient extends EventTarget {
  /** @param {string} url ws(s):// or http(s):// address of the live channel, absolute or relative to the page */
  constructor(url) {
    super();
    const address = new URL(url, document.baseURI);
    address.protocol = address.protocol.replace(/^http/, "ws");
    this.url = address.href;
    this.state = "connecting";
    this.wanted = new Map();
    this.topics = new Map();
    this.attempts = 0;
    this.counter = 0;
    this.answersPings = false;
    this.onVisible = () => {
      if (!document.hidden) this.hurry();
    };
    this.onOnline = () => this.hurry();
    document.addEventListener("visibilitychange", this.onVisible);
    addEventListener("online", this.onOnline);
    this.open();
  }

  /**
   * Ask for a topic's frames until `close()`.
   * @param {object} request what goes to the server beside `op` and `id`: query, kind, range, timezone, points
   * @param {Receiver} receive
   * @returns {Subscription}
   */
  subscribe(request, receive) {
    const entry = { id: "", request, receive, topic: null, refreshed: 0, timer: 0 };
    this.rename(entry);
    this.send({ op: "subscribe", id: entry.id, ...request });
    return {
      update: (next) => {
        entry.request = next;
        this.again(entry);
      },
      refresh: () => this.again(entry),
      close: () => this.drop(entry),
    };
  }

  /** End everything. The client is of no use afterwards. */
  close() {
    document.removeEventListener("visibilitychange", this.onVisible);
    removeEventListener("online", this.onOnline);
    clearTimeout(this.retry);
    clearInterval(this.pinger);
    for (const entry of this.wanted.values()) clearTimeout(entry.timer);
    this.wanted.clear();
    this.become("closed");
    this.socket?.close();
  }

  // A new id for every request: an answer to the old one can then not be taken for an answer to the new one.
  rename(entry) {
    this.wanted.delete(entry.id);
    this.counter += 1;
    entry.id = `t${this.counter}`;
    this.wanted.set(entry.id, entry);
  }

  again(entry) {
    if (!this.wanted.has(entry.id)) return;
    clearTimeout(entry.timer);
    entry.timer = 0;
    this.send({ op: "unsubscribe", id: entry.id });
    this.leave(entry);
    this.rename(entry);
    this.send({ op: "subscribe", id: entry.id, ...entry.request });
  }

  drop(entry) {
    if (!this.wanted.delete(entry.id)) return;
    clearTimeout(entry.timer);
    this.leave(entry);
    this.send({ op: "unsubscribe", id: entry.id });
  }

  leave(entry) {
    const topic = this.topics.get(entry.topic);
    topic?.entries.delete(entry);
    if (topic && !topic.entries.size) this.topics.delete(entry.topic);
    entry.topic = null;
  }

  open() {
    clearTimeout(this.retry);
    this.retry = 0;
    const socket = new WebSocket(this.url);
    this.socket = socket;
    socket.onopen = () => {
      if (socket !== this.socket) return;
      this.attempts = 0;
      this.heard = Date.now();
      this.topics.clear();
      for (const entry of this.wanted.values()) {
        entry.topic = null;
        this.send({ op: "subscribe", id: entry.id, ...entry.request });
      }
      clearInterval(this.pinger);
      this.pinger = setInterval(() => this.check(), PING_EVERY);
      this.become("connected");
    };
    socket.onmessage = (event) => {
      if (socket !== this.socket) return;
      this.heard = Date.now();
      this.route(event.data);
    };
    socket.onclose = () => {
      if (socket === this.socket && this.state !== "closed") this.lost();
    };
  }

  lost() {
    clearInterval(this.pinger);
    this.become("reconnecting");
    const pause = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** this.attempts);
    this.attempts += 1;
    this.retry = setTimeout(() => this.open(), pause * (0.5 + Math.random() / 2));
  }

  /** Back in front of someone, or online again: try now instead of at the end of the pause. */
  hurry() {
    if (this.retry) {
      this.attempts = 0;
      this.open();
    } else if (this.state === "connected") this.check();
  }

  check() {
    // A socket can die without a word (a laptop asleep, a phone between networks). Only a server that has answered a
    // ping before may be judged by its silence.
    if (this.answersPings && Date.now() - this.heard > SILENCE) {
      const dead = this.socket;
      this.socket = null;
      dead.close();
      this.lost();
      this.hurry();
    } else this.send({ op: "ping" });
  }

  send(message) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  become(state) {
    if (state === this.state) return;
    this.state = state;
    this.dispatchEvent(new CustomEvent("state", { detail: state }));
  }

  route(text) {
    const message = JSON.parse(text);
    if (message.op === "pong") {
      this.answersPings = true;
      return;
    }
    if (message.op === "subscribed") {
      const entry = this.wanted.get(message.id);
      if (!entry) return;
      entry.topic = message.topic;
      if (!this.topics.has(message.topic)) this.topics.set(message.topic, { seq: null, entries: new Set() });
      this.topics.get(message.topic).entries.add(entry);
      return;
    }
    if (message.op === "error") {
      const entry = this.wanted.get(message.id);
      if (entry) this.deliver(entry, { kind: "error", title: message.title, detail: message.detail, refused: true });
      return;
    }
    const topic = this.topics.get(message.topic);
    if (!topic) return;
    if (message.kind === "update") {
      if (topic.seq !== null && message.seq <= topic.seq) return; // told already
      const missed = topic.seq !== null && message.seq > topic.seq + 1;
      topic.seq = message.seq;
      if (missed) for (const entry of topic.entries) this.refreshSoon(entry);
    } else topic.seq = message.seq ?? (message.kind === "snapshot" ? null : topic.seq);
    for (const entry of topic.entries) this.deliver(entry, message);
  }

  refreshSoon(entry) {
    if (entry.timer) return;
    const wait = Math.max(0, entry.refreshed + REFRESH_PAUSE - Date.now());
    entry.timer = setTimeout(() => {
      entry.timer = 0;
      entry.refreshed = Date.now();
      this.again(entry);
    }, wait);
  }

  deliver(entry, message) {
    try {
      entry.receive(message);
    } catch (error) {
      // One tile that cannot draw must not silence the others; the console keeps the trace.
      console.error("A live frame could not be applied", error);
    }
  }
}

const clients = new Map();

/** The tab's client for this address, made at first use. Everything on the page shares it. */
export function liveClient(url) {
  const key = new URL(url, document.baseURI).href;
  let client = clients.get(key);
  if (!client || client.state === "closed") {
    client = new LiveClient(url);
    clients.set(key, client);
  }
  return client;
}

/**
 * Show the connection's state in words in `element`, discreetly: nothing while all is well, "Reconnecting…" once it has
 * been away for more than a second. Returns a function that stops it.
 */
export function showConnection(client, element) {
  let timer = 0;
  element.classList.add("connection");
  element.setAttribute("role", "status");
  const write = () => {
    clearTimeout(timer);
    element.dataset.state = client.state;
    if (client.state === "connected" || client.state === "closed") element.textContent = "";
    else timer = setTimeout(() => (element.textContent = "Reconnecting…"), 1000);
  };
  client.addEventListener("state", write);
  write();
  return () => {
    clearTimeout(timer);
    client.removeEventListener("state", write);
  };
}
