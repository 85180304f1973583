// The page of a new alert.

import { act, complain } from "../page.js";
import { AlertForm } from "./form.js";

const facts = JSON.parse(document.querySelector("#alert-facts").textContent);
const root = document.querySelector("[data-form]");
const save = document.querySelector("[data-save]");

if (root) {
  const form = new AlertForm(root, facts, {
    actions: "/alerts/new/actions",
    changed: () => {
      save.disabled = false;
    },
  });
  save.disabled = false;
  save.addEventListener("click", async () => {
    save.disabled = true;
    try {
      const { address } = await act("/alerts/new/actions/create", { document: form.whole });
      location.href = address;
    } catch (error) {
      save.disabled = false;
      form.mark(error.problems);
      form.form.querySelector('[aria-invalid="true"]')?.focus();
      if (!error.problems.length) complain(error);
    }
  });
}
