// What a rule's condition is, in words, and what of it a chart can draw. Pure; form.js makes inputs of it and alert-chart.js
// lines.

export const CONDITIONS = [
  ["threshold", "Threshold", "the value is beyond a limit"],
  ["change", "Change", "the value differs from what it was some time ago"],
  ["missing", "No data", "nothing came within the window"],
  ["quantile", "Unusual for it", "the value is beyond a share of its own values"],
  ["anomaly", "Anomaly", "the value differs from the same hour of past weeks"],
];
export const OPERATORS = [[">", "is above"], [">=", "is at or above"], ["<", "is below"], ["<=", "is at or below"], ["outside", "is outside of"], ["inside", "is inside of"]];
export const WATCHES = {
  stale: ["No payload comes", "Seconds since the last payload"],
  failing: ["Polls fail", "Polls that failed in a row"],
  rejects: ["Records are rejected", "Percent of the window’s records"],
  drift: ["Fields drift", "Fields that are new, changed or gone"],
  lag: ["Mapping lags behind", "Seconds that the oldest payload has waited"],
};
export const NO_DATA = [["no_data", "is shown and told as “no data”"], ["ok", "is OK"], ["firing", "fires"], ["keep", "stays as it was"]];
export const PAIRS = ["outside", "inside"];

/** A first condition of a type, with what of another one it can keep. */
export function firstCondition(type, before = {}) {
  const op = before.op ?? ">";
  const value = before.value ?? null;
  switch (type) {
    case "threshold":
      return { type, op, value };
    case "change":
      return { type, by: "percent", over: "1h", op, value: before.type === "change" ? value : PAIRS.includes(op) ? [-20, 20] : 20 };
    case "quantile":
      return { type, op: op.startsWith("<") ? "<" : ">", quantile: 0.99, over: "7d" };
    case "anomaly":
      return { type, weeks: 4, deviations: 3 };
    default:
      return { type: "missing" };
  }
}

/** The limits of a condition that can be drawn across a chart of its values. */
export function limitsOf(condition) {
  if (condition?.type !== "threshold") return [];
  const list = (value) => (Array.isArray(value) ? value : [value]).filter((each) => typeof each === "number");
  return [...list(condition.value).map((value) => ({ value, color: "bad" })), ...list(condition.recover ?? []).map((value) => ({ value, color: "ok" }))];
}

/** 3 h 12 min, 2 d 4 h, 45 s: the same words as the server's. */
export function lasted(milliseconds) {
  let seconds = Math.round(milliseconds / 1000);
  const parts = [];
  for (const [size, unit] of [[86_400, "d"], [3600, "h"], [60, "min"], [1, "s"]]) {
    if (seconds >= size) {
      parts.push(`${Math.floor(seconds / size)} ${unit}`);
      seconds %= size;
    } else if (parts.length) break;
  }
  return parts.slice(0, 2).join(" ") || "0 s";
}

/** A slug from a name: what the server would make of it. */
export const slugOf = (name) => name.normalize("NFKD").replaceAll(/[\u0300-\u036f]/g, "").toLowerCase().replaceAll(/[^a-z0-9]+/g, "_").replaceAll(/^[_0-9]+|_+$/g, "").slice(0, 41).replace(/_+$/, "");
