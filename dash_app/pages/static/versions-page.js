// A dashboard's versions: choosing two shows what differs, and any can be made the newest again.

import { act, complain } from "./page.js";
import { toast } from "./shell.js";

const root = document.querySelector("[data-versions]");
const form = document.querySelector("[data-compared]");
const place = document.querySelector("[data-changes]");
const { uid, newest } = root.dataset;
const address = `/dashboards/${encodeURIComponent(uid)}/versions`;
let asking = null;

async function compare() {
  const chosen = new FormData(form);
  const said = new URLSearchParams({ from: chosen.get("from"), to: chosen.get("to") });
  const wanted = `${address}?${said}`;
  history.replaceState(null, "", wanted);
  asking?.abort();
  asking = new AbortController();
  place.classList.add("is-stale");
  try {
    const answer = await fetch(`${wanted}&part=changes`, { signal: asking.signal });
    if (answer.redirected || !answer.ok) return void (location.href = wanted);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    place.replaceChildren(...page.body.children);
  } catch (error) {
    if (error.name === "AbortError") return;
    complain(new Error("The server cannot be reached."));
  }
  place.classList.remove("is-stale");
}

async function restore(revision, base) {
  const made = await act(`${address}/restore`, { revision, base });
  return made.revision;
}

form.addEventListener("change", compare);

// What the address says is what is chosen, also after going back to this page.
for (const name of ["from", "to"]) {
  const chosen = [...form.querySelectorAll(`[name="${name}"]`)].find((one) => one.defaultChecked);
  if (chosen) chosen.checked = true;
}

form.addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-restore]");
  if (!button) return;
  button.disabled = true;
  try {
    const made = await restore(Number(button.dataset.restore), Number(newest));
    sessionStorage.setItem("dash-restored", JSON.stringify({ uid, revision: Number(button.dataset.restore), made, before: Number(newest) }));
    location.href = address;
  } catch (error) {
    button.disabled = false;
    complain(error);
  }
});

// Told after the page is there anew.
const told = sessionStorage.getItem("dash-restored");
if (told) {
  sessionStorage.removeItem("dash-restored");
  const { uid: whose, revision, made, before } = JSON.parse(told);
  if (whose === uid && made === Number(newest)) {
    toast(`Version ${revision} is the newest again, as ${made}.`, {
      seconds: 12,
      undo: () => restore(before, made).then(() => location.reload()).catch(complain),
    });
  }
}
