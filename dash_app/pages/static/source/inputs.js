// Inputs of one value: text, numbers, choices, lists of lines, secrets. Each says by `read()` what it holds; undefined is
// "as it was", and an Error says why it cannot be read.

import { h } from "../mapping/dom.js";

const UPPER = { url: "URL", id: "id", tls: "TLS", qos: "QoS", json: "JSON", ca: "CA", sql: "SQL", http: "HTTP", api: "API", oauth2: "OAuth2", mqtt: "MQTT" };

/** `interval_seconds` → "Interval (seconds)", `ca_certificate` → "CA certificate" */
export function labelOf(name, schema) {
  const words = name.replaceAll("_", " ");
  if (schema.title && schema.title.toLowerCase() !== words) return schema.title;
  const unit = words.match(/^(.+) (seconds|bytes|hours|days)$/);
  const said = (unit ? unit[1] : words).split(" ").map((word) => UPPER[word] ?? word).join(" ");
  return said[0].toUpperCase() + said.slice(1) + (unit ? ` (${unit[2]})` : "");
}

export const titleOf = (name) => name.split("_").map((word) => UPPER[word] ?? word).join(" ").replace(/^./, (first) => first.toUpperCase());

export const same = (one, other) => JSON.stringify(one ?? null) === JSON.stringify(other ?? null);

const shown = (value) => (value === null || value === undefined ? "" : typeof value === "string" ? value : JSON.stringify(value));

function listened(node, form, kind = "input") {
  node.addEventListener(kind, () => form.changed());
  return node;
}

export function textInput({ id, schema, value, example, form }) {
  const hint = typeof example === "string" && !schema.default ? example : "";
  const node = listened(h("input", { id, autocomplete: "off", spellcheck: "false", placeholder: hint, "data-1p-ignore": true }), form);
  node.value = shown(value);
  // A value of any kind (no type in the schema): what reads as a number is one.
  const any = schema.type === undefined;
  return {
    node,
    marked: () => [node],
    read() {
      const text = node.value.trim();
      if (any) return text === "" ? schema.default : /^-?\d+(\.\d+)?$/.test(text) && String(Number(text)) === text ? Number(text) : text;
      return text;
    },
  };
}

export function areaInput({ id, schema, value, example, form, kept }, format) {
  const code = format !== "text";
  const json = format === "json";
  const placeholder = schema.writeOnly && kept ? "Kept as it is; what you write replaces it" : format === "pem" ? "-----BEGIN …-----" : typeof example === "string" ? example : json ? "{\n  \n}" : "";
  const node = listened(h("textarea", { id, rows: json || format === "sql" ? 4 : 3, class: code ? "code" : null, spellcheck: "false", autocomplete: "off", placeholder }), form);
  if (schema.writeOnly) node.classList.add("masked");
  node.value = json ? (value ? JSON.stringify(value, null, 2) : "") : shown(value);
  return {
    node,
    marked: () => [node],
    read() {
      const text = node.value.trim();
      if (!text && schema.writeOnly) return undefined;
      if (!json) return text;
      if (!text) return schema.default ?? null;
      let said;
      try {
        said = JSON.parse(text);
      } catch (error) {
        throw new Error(`This is not JSON: ${error.message}`);
      }
      if (schema.type === "object" && (said === null || typeof said !== "object" || Array.isArray(said))) throw new Error("An object is needed: {…}");
      return said;
    },
  };
}

const HINTS = [["bytes", 1024, ["B", "KiB", "MiB", "GiB"]]];

/** 10485760 → "10 MiB", 7200 → "2 h" */
function readable(name, value) {
  if (!Number.isFinite(value)) return "";
  if (name.endsWith("bytes")) {
    const [[, step, units]] = HINTS;
    let at = 0;
    while (value >= step && at < units.length - 1) {
      value /= step;
      at += 1;
    }
    return at ? `${Number(value.toFixed(1))} ${units[at]}` : "";
  }
  if (!name.endsWith("seconds") || value < 120) return "";
  const [divided, unit] = value >= 172_800 ? [86_400, "days"] : value >= 7200 ? [3600, "h"] : [60, "min"];
  return `${Number((value / divided).toFixed(1))} ${unit}`;
}

export function numberInput({ id, name, schema, value, form }) {
  const node = h("input", { id, class: "num", inputmode: schema.type === "integer" ? "numeric" : "decimal", autocomplete: "off" });
  const hint = h("span", { class: "input-hint num", "aria-hidden": "true" });
  node.value = shown(value);
  const whole = schema.type === "integer";
  const say = () => (hint.textContent = readable(name, Number(node.value.trim() || Number.NaN)));
  say();
  node.addEventListener("input", () => {
    say();
    form.changed();
  });
  return {
    node: h("div", { class: "with-hint" }, node, hint),
    marked: () => [node],
    read() {
      const text = node.value.trim().replace(",", ".");
      if (!text) return schema.default ?? null;
      const number = Number(text);
      if (!Number.isFinite(number) || (whole && !Number.isInteger(number))) throw new Error(`'${text.slice(0, 40)}' is not a ${whole ? "whole " : ""}number`);
      return number;
    },
  };
}

export function choiceInput({ id, schema, value, form }) {
  const node = listened(h("select", { id }), form, "change");
  for (const one of schema.enum) node.append(h("option", { value: JSON.stringify(one), text: schema["x-titles"]?.[one] ?? String(one) }));
  node.value = JSON.stringify(value ?? schema.default ?? schema.enum[0]);
  return { node, marked: () => [node], read: () => JSON.parse(node.value) };
}

export function switchInput({ id, value, form }) {
  const node = listened(h("input", { id, type: "checkbox" }), form, "change");
  node.checked = Boolean(value);
  return { node, inline: true, read: () => node.checked };
}

/** A list: one entry a line. A line that begins with { or [ is JSON, where the list may hold such. */
export function linesInput({ id, schema, value, example, form, kept }) {
  const hint = schema.writeOnly && kept ? "Kept as they are; what you write replaces them" : Array.isArray(example) ? example.map(shown).join("\n") : "One a line";
  const listed = value ?? [];
  const node = listened(h("textarea", { id, class: "code", rows: Math.min(8, Math.max(2, listed.length)), spellcheck: "false", autocomplete: "off", placeholder: hint }), form);
  node.classList.toggle("masked", Boolean(schema.writeOnly));
  node.value = listed.map(shown).join("\n");
  return {
    node,
    marked: () => [node],
    read() {
      const lines = node.value.split("\n").map((line) => line.trim()).filter(Boolean);
      if (!lines.length && schema.writeOnly) return undefined;
      return lines.map((line, at) => {
        if (!/^[{[]/.test(line) || schema.items?.type === "string") return line;
        try {
          return JSON.parse(line);
        } catch (error) {
          throw new Error(`Line ${at + 1} is not JSON: ${error.message}`);
        }
      });
    },
  };
}

/** A secret: it can be written, kept or taken away. `value` is what somebody has just written; what is stored never comes here. */
export function secretInput({ id, schema, value, kept, form }) {
  const node = listened(h("input", { id, type: "password", autocomplete: "new-password", spellcheck: "false", placeholder: kept ? "Kept as it is; what you write replaces it" : "" }), form);
  node.value = shown(value);
  let gone = false;
  const eye = h("button", { type: "button", class: "button small", text: "Show", "aria-label": "Show what is written", onclick: () => {
    node.type = node.type === "password" ? "text" : "password";
    eye.textContent = node.type === "password" ? "Show" : "Hide";
  } });
  const remove = kept && h("button", { type: "button", class: "button small", text: "Remove", onclick: () => {
    gone = !gone;
    node.disabled = gone;
    node.placeholder = gone ? "Is taken away when you save" : "Kept as it is; what you write replaces it";
    remove.textContent = gone ? "Keep" : "Remove";
    form.changed();
  } });
  return {
    node: h("div", { class: "with-buttons" }, node, eye, remove || null),
    marked: () => [node],
    read: () => (gone ? (schema.default ?? "") : node.value || undefined),
  };
}
