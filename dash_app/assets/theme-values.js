// The tokens of tokens.css as values, for what is drawn on a canvas and so cannot use CSS variables itself.

/**
 * @typedef {{text: string, text2: string, text3: string, surface: string, line: string, gridLine: string, axis: string,
 *   accent: string, font: string, series: string[], status: Record<string, string>}} Theme
 */

const STATUS = { ok: "ok", green: "ok", warn: "warn", warning: "warn", yellow: "warn", orange: "warn", bad: "bad", critical: "bad", red: "bad", note: "note", purple: "note" };

/** Read the tokens in force at `element`. @returns {Theme} */
export function readTheme(element = document.documentElement) {
  const style = getComputedStyle(element);
  const token = (name) => style.getPropertyValue(`--${name}`).trim();
  return {
    text: token("text"), text2: token("text-2"), text3: token("text-3"), surface: token("surface"), line: token("line"),
    gridLine: token("grid-line"), axis: token("axis"), accent: token("accent"), font: token("font"),
    series: Array.from({ length: 8 }, (_, i) => token(`series-${i + 1}`)),
    status: { ok: token("ok"), warn: token("warn"), bad: token("bad"), note: token("note") },
  };
}

/**
 * The colour a threshold names: a status word (or the plain colour it goes by elsewhere) becomes that status token, any
 * other CSS colour stays, everything else is null.
 */
export function thresholdColor(name, theme) {
  if (typeof name !== "string") return null;
  const status = STATUS[name.toLowerCase()];
  if (status) return theme.status[status];
  return globalThis.CSS?.supports?.("color", name) ? name : null;
}

/** The highest threshold that `value` reaches, or null. A threshold without a value is the base and is always reached. */
export function thresholdFor(value, thresholds = []) {
  if (value == null) return null;
  let reached = null;
  for (const each of thresholds ?? []) {
    const floor = each.value ?? -Infinity;
    if (value >= floor && (!reached || floor >= (reached.value ?? -Infinity))) reached = each;
  }
  return reached;
}

/** Call `changed` whenever the theme in force may have changed; returns a function that stops it. */
export function watchTheme(changed) {
  const observer = new MutationObserver(changed);
  observer.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  const media = matchMedia("(prefers-color-scheme: dark)");
  media.addEventListener("change", changed);
  return () => {
    observer.disconnect();
    media.removeEventListener("change", changed);
  };
}
