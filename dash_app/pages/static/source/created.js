// What stands at the end of making a pipeline: the secret, shown this once, scripts to paste, and the first record as soon
// as it comes.

import { formatFullTime, formatNumber } from "../format.js";
import { liveClient } from "../live.js";
import { h } from "../mapping/dom.js";
import { codeBlock, scriptTabs } from "./scripts.js";

const shown = (column, value) =>
  value === null ? "–" : column.type === "timestamp" ? formatFullTime(value) : typeof value === "number" ? formatNumber(value, { unit: column.unit }) : typeof value === "object" ? JSON.stringify(value) : String(value);

/**
 * @param {HTMLElement} box
 * @param {{name: string, slug: string, address: string, url: string | null, secret: string | null, signed: boolean, brought: boolean, scripts: {name: string, title: string, text: string}[], direction: string}} made
 */
export function showCreated(box, made) {
  const { name, address, slug, url, secret, signed, brought, scripts, direction } = made;
  const body = h("div", { class: "card-body stack" });
  if (url) {
    body.append(h("div", { class: "field" }, h("span", { class: "label", text: "Address" }), codeBlock(url, "url")));
    if (secret && signed && !brought) {
      if (made.secret_from) body.append(h("p", { class: "notice" }, `This sender makes the secret. ${made.secret_from} Once the address is registered there, put it in under `, h("a", { href: `${address}?tab=source`, text: "Source" }), "."));
      const words = made.secret_from ? "Until then this one counts, for trying it out; it is shown this once." : "The secret is shown this once. Keep it where the sender finds it; a new one can be made at any time.";
      body.append(h("div", { class: "secret-once" }, h("strong", { text: words }), codeBlock(secret, "secret")));
    }
    if (!signed) body.append(h("p", { class: "warn-text", text: "Anybody who knows the address can send: nothing is signed." }));
    body.append(h("div", { class: "field" }, h("span", { class: "label", text: signed ? "Send a signed sample" : "Send a sample" }), scriptTabs(scripts)));
  } else {
    const words = { polled: "The first run begins now; what it brings appears beside this.", streamed: "It is being connected; what comes appears beside this.", fed: "What the other pipeline maps from now on appears beside this.", brought: "Bring the first file; what is in it appears beside this." };
    body.append(h("p", { text: words[direction] ?? words.polled }));
    if (direction === "brought") body.append(h("div", {}, h("a", { class: "button primary", href: `${address}/uploads`, text: "Upload files" })));
  }
  const title = h("h2", { text: url ? "Waiting for the first payload…" : direction === "polled" ? "Waiting for the first run…" : "Waiting for the first record…" });
  const place = h("div", { class: "card-body stack", role: "status" }, ...["70%", "45%"].map((width) => h("span", { class: "skeleton", style: `width: ${width}` })));
  const first = h("section", { class: "card" }, h("div", { class: "card-head" }, title), place);
  const open = h("a", { class: "button", href: address, text: "Open the pipeline" });
  const actions = h("div", { class: "form-actions" }, open);
  box.replaceChildren(h("div", { class: "two" },
    h("section", { class: "card" }, h("div", { class: "card-head" }, h("h2", { text: `${name} is ready` })), body),
    h("div", { class: "stack" }, first, actions)));

  const client = liveClient("/live");
  const watching = client.subscribe({ kind: "records", query: { pipeline: slug, limit: 1 } }, (message) => {
    if (message.kind === "error" || !message.data?.[0]?.length) return;
    watching.close();
    title.textContent = "The first record is here";
    const list = h("dl", { class: "facts" });
    message.columns.forEach((column, at) => {
      if (column.name === "_index" || column.name === "_payload") return;
      list.append(h("dt", { text: { _time: "Time", _received: "Received" }[column.name] ?? column.name }), h("dd", { class: "num", text: shown(column, message.data[at][0]) }));
    });
    place.replaceChildren(list);
    first.dataset.arrived = "true";
    open.textContent = "See it in the pipeline";
    open.href = `${address}?tab=records`;
    open.before(h("a", { class: "button primary", href: `/dashboards/new?pipeline=${slug}`, text: "Make a dashboard of it" }));
  });
  // A payload that gives rejects alone brings no record: the counts tell of it. So does a run that fails.
  const counts = client.subscribe({ kind: "pipelines" }, (message) => {
    if (message.kind === "error" || first.dataset.arrived) return;
    const column = (wanted) => message.data[message.columns.findIndex((each) => each.name === wanted)] ?? [];
    const at = column("slug").indexOf(slug);
    if (at < 0) return;
    if (column("rejects")[at]) {
      counts.close();
      title.textContent = "Something came, and was refused";
      place.replaceChildren(h("p", {}, "The payload is kept, and the reason stands under ", h("a", { href: `${address}?tab=rejects`, text: "Rejects" }), "."));
    } else if (column("health")[at] === "failing") {
      title.textContent = "The first run failed";
      place.replaceChildren(h("p", {}, "Why stands under ", h("a", { href: `${address}?tab=source`, text: "Source" }), "; it is tried again by itself."));
    }
  });
}
