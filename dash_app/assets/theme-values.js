// The tokens of tokens.css as values, for what is drawn on a canvas and so cannot use CSS variables itself.

/**
 * @typedef {{text: string, text2: string, text3: string, surface: string, sunken: string, line: string, lineStrong: string,
 *   gridLine: string, axis: string, accent: string, font: string, series: string[], status: Record<string, string>,
 *   fill: Record<string, string>}} Theme `status` is for words and lines, `fill` for areas
 */

const STATUS = { ok: "ok", green: "ok", warn: "warn", warning: "warn", yellow: "warn", bad: "bad", critical: "bad", red: "bad", note: "note", purple: "note", violet: "note", idle: "idle", grey: "idle", gray: "idle" };

/** Read the tokens in force at `element`. @returns {Theme} */
export function readTheme(element = document.documentElement) {
  const style = getComputedStyle(element);
  const token = (name) => style.getPropertyValue(`--${name}`).trim();
  return {
    text: token("text"), text2: token("text-2"), text3: token("text-3"), surface: token("surface"), sunken: token("sunken"), line: token("line"), lineStrong: token("line-strong"),
    gridLine: token("grid-line"), axis: token("axis"), accent: token("accent"), font: token("font"),
    series: Array.from({ length: 8 }, (_, i) => token(`series-${i + 1}`)),
    status: { ok: token("ok"), warn: token("warn"), bad: token("bad"), note: token("note"), idle: token("idle") },
    fill: Object.fromEntries(["ok", "warn", "bad", "note", "idle"].map((name) => [name, token(`fill-${name}`)])),
  };
}

/**
 * The colour that a document names: a status word (or the plain colour it goes by) becomes that status token, `blue`,
 * `orange`, `accent` and `series-3` are tokens too, any other CSS colour stays, everything else is null. `area`: what is coloured is no text, and may be brighter.
 */
export function thresholdColor(name, theme, area = false) {
  if (typeof name !== "string") return null;
  const status = STATUS[name.toLowerCase()];
  if (status) return (area && theme.fill?.[status]) || theme.status[status];
  if (name === "accent" || name === "blue") return theme.accent;
  if (name === "orange") return theme.series[1];
  const series = /^series-([1-8])$/.exec(name);
  if (series) return theme.series[Number(series[1]) - 1];
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
