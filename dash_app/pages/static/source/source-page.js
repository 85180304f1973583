// A pipeline's tab "Source": its form, its scripts, its secrets and its test. How it stands is asked for anew while the page
// is open; what somebody writes stays.

import { writeTimes } from "../ago.js";
import { h } from "../mapping/dom.js";
import { act, complain } from "../page.js";
import { sure } from "../part.js";
import { toast } from "../shell.js";
import { KindForm } from "./kind-form.js";
import { codeBlock, scriptTabs } from "./scripts.js";
import { runTrial } from "./trial.js";

const STANDING_EVERY = 5000;
const WAIT = 500;

const root = document.querySelector("[data-source]");
const facts = JSON.parse(root.querySelector("[data-source-facts]").textContent);
const scripts = JSON.parse(root.querySelector("[data-source-scripts]").textContent);
const find = (selector) => root.querySelector(selector);
const address = (action) => `${facts.actions}/${action}`;

/** Leaves for the same tab anew: another count of secrets, another revision. */
const again = () => location.reload();

if (scripts.length) find("[data-scripts]").append(scriptTabs(scripts));

// Options -------------------------------------------------------------------------------------------------------------

const form = find("[data-settings]");
const save = find("[data-save]");
const trying = find("[data-try]");
let timer = 0;
let before = "";
const fields = new KindForm(find("[data-kind-form]"), facts, changed);
before = JSON.stringify(fields.read().options);
if (!facts.writes) for (const each of form.querySelectorAll("input, select, textarea, button")) each.disabled = true;

function changed() {
  if (save) save.disabled = JSON.stringify(fields.read().options) === before;
  clearTimeout(timer);
  timer = setTimeout(check, WAIT);
}

async function check() {
  if (!facts.writes) return;
  const { options, problems } = fields.read();
  try {
    const answer = await act(address("check"), { options });
    // What is stored stands in for what is left out.
    const stored = (place) => facts.kept.some((name) => place === name || facts.schema.properties[name]["x-part-of"] === place.split(".")[0]);
    fields.show([...problems, ...answer.problems.filter(([place]) => !stored(place))]);
  } catch {
    // What the server has to say is said when it is saved.
  }
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (!save) return;
  const { options, problems } = fields.read();
  if (problems.length) {
    fields.show(problems);
    fields.focusWrong();
    return;
  }
  save.disabled = true;
  const wrong = find("[data-wrong]");
  wrong.hidden = true;
  try {
    await act(address("save"), { options, revision: facts.revision });
    before = JSON.stringify(options);
    sessionStorage.setItem("dash-said", "The source is saved.");
    again();
  } catch (error) {
    save.disabled = false;
    const own = (error.problems ?? []).map(([place, what]) => [place.replace(/^source\.options\./, ""), what]);
    const others = fields.show(own);
    if (!fields.focusWrong() || others.length || !own.length) {
      wrong.replaceChildren(h("strong", { text: "Not saved" }), ...(own.length ? others.map(([place, what]) => `${place} ${what}`) : [error.message]).map((text) => h("p", { text })));
      wrong.hidden = false;
    }
  }
});

trying?.addEventListener("click", () => {
  const { options, problems } = fields.read();
  if (problems.length) {
    fields.show(problems);
    fields.focusWrong();
    return;
  }
  runTrial({ button: trying, place: find("[data-trial]"), fields, address: address("try"), body: { options } }).then(changed);
});

addEventListener("beforeunload", (event) => {
  if (save && !save.disabled) event.preventDefault();
});

const said = sessionStorage.getItem("dash-said");
if (said) {
  sessionStorage.removeItem("dash-said");
  toast(said);
}

// Secrets -------------------------------------------------------------------------------------------------------------

const rotate = find("[data-rotate]");
find("[data-new-secret]")?.addEventListener("click", () => {
  rotate.hidden = false;
  find("[data-secret-acts]").hidden = true;
  rotate.querySelector("input").focus();
});
rotate?.querySelector("[data-cancel]").addEventListener("click", () => {
  rotate.hidden = true;
  find("[data-secret-acts]").hidden = false;
  find("[data-new-secret]").focus();
});
rotate?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const input = rotate.elements.secret;
  const wrong = rotate.querySelector(".wrong");
  wrong.hidden = true;
  try {
    const made = await act(address("rotate"), { secret: input.value.trim(), keep_old: rotate.elements.keep_old?.checked ?? false });
    rotate.remove();
    const box = find("[data-secret]");
    box.hidden = false;
    const done = h("button", { class: "button", type: "button", text: made.brought ? "Go on" : "I have kept it", onclick: again });
    if (made.brought) box.replaceChildren(h("p", { text: "The secret is in. It is not shown here." }), done);
    else box.replaceChildren(h("div", { class: "secret-once" }, h("strong", { text: "The new secret, shown this once." }), codeBlock(made.secret, "new-secret"), h("div", { class: "field" }, h("span", { class: "label", text: "Send a sample with it" }), scriptTabs(made.scripts)), done));
    done.scrollIntoView({ block: "nearest" });
  } catch (error) {
    wrong.textContent = (error.problems?.length ? error.problems.map(([, what]) => what).join("; ") : error.message).replace(/^/, "It ").replace("It It", "It");
    wrong.hidden = false;
    input.setAttribute("aria-invalid", "true");
    input.focus();
  }
});
find("[data-retire]")?.addEventListener("click", async ({ currentTarget }) => {
  if (!sure(currentTarget)) return;
  try {
    await act(address("retire"));
    sessionStorage.setItem("dash-said", "The older secret is retired.");
    again();
  } catch (error) {
    complain(error);
  }
});

// Test ----------------------------------------------------------------------------------------------------------------

find("[data-send]")?.addEventListener("click", async ({ currentTarget }) => {
  currentTarget.disabled = true;
  const place = find("[data-answer]");
  try {
    const made = await act(address("test"), { body: find("#test-body").value });
    const text = Object.entries(made.headers).map(([name, value]) => `${name}: ${value}`).join("\n");
    place.replaceChildren(h("div", { class: "stack tight" },
      h("p", { class: "trial-line" }, h("span", { class: `badge ${made.ok ? "ok" : "failing"}`, text: `${made.status} ${made.reason}` }), h("span", { class: "muted num", text: `${Math.round(made.seconds * 1000)} ms` }), made.payload ? h("a", { href: made.payload, text: "See the payload" }) : null),
      ...(made.warnings ?? []).map((warning) => h("p", { class: "warn-text", text: warning })),
      h("pre", { class: "body", tabindex: "0", "aria-label": "Answer", text: JSON.stringify(made.answer, null, 2) }),
      h("details", { class: "more" }, h("summary", { text: "What was sent" }), h("pre", { class: "body", tabindex: "0", "aria-label": "Request", text: `${text}\n\n${made.body}` }))));
  } catch (error) {
    place.replaceChildren(h("div", { class: "problem" }, h("strong", { text: "It could not be sent" }), h("p", { text: error.message })));
  }
  place.hidden = false;
  currentTarget.disabled = false;
});

// How it stands -------------------------------------------------------------------------------------------------------

async function stand() {
  const standing = find("[data-standing]");
  const selection = getSelection();
  if (!standing || document.hidden || (selection && !selection.isCollapsed && standing.contains(selection.anchorNode))) return;
  try {
    const where = new URL(location.href);
    where.searchParams.set("part", "1");
    const answer = await fetch(where);
    if (!answer.ok || answer.redirected) return;
    const next = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("[data-standing]");
    if (!next || next.innerHTML === standing.innerHTML) return;
    const open = standing.querySelector("details[open]");
    standing.replaceWith(next);
    if (open && next.querySelector("details")) next.querySelector("details").open = true;
    writeTimes(next);
  } catch {
    // The connection is away; the live channel says so.
  }
}
if (find("[data-standing]")) setInterval(stand, STANDING_EVERY);
root.addEventListener("click", async ({ target }) => {
  const button = target.closest("[data-do]");
  if (!button) return;
  button.disabled = true;
  try {
    await act(address(button.dataset.do));
    if (button.dataset.do === "resume") again();
    else await stand();
  } catch (error) {
    complain(error);
  }
  button.disabled = false;
});
