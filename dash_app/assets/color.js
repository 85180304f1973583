// Colours between colours. Steps are even to the eye (OKLab), and come from tokens alone.

const known = new Map();
let paint = null;

/** A CSS colour as [red, green, blue], 0 to 255. */
export function rgb(color) {
  let found = known.get(color);
  if (!found) {
    if (/^#[0-9a-f]{6}$/i.test(color)) found = [1, 3, 5].map((at) => Number.parseInt(color.slice(at, at + 2), 16));
    else {
      paint ??= document.createElement("canvas").getContext("2d", { willReadFrequently: true });
      paint.fillStyle = "#000000";
      paint.fillStyle = color;
      paint.fillRect(0, 0, 1, 1);
      found = [...paint.getImageData(0, 0, 1, 1).data.slice(0, 3)];
    }
    known.set(color, found);
  }
  return found;
}

const linear = (value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
const gamma = (value) => (value <= 0.0031308 ? 12.92 * value : 1.055 * value ** (1 / 2.4) - 0.055);

function lab(color) {
  const [r, g, b] = rgb(color).map((value) => linear(value / 255));
  const l = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
  const m = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
  const s = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
  return [0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s, 1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s, 0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s];
}

function fromLab([L, a, b]) {
  const l = (L + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (L - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (L - 0.0894841775 * a - 1.291485548 * b) ** 3;
  const parts = [4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s, -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s, -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s];
  return `#${parts.map((value) => Math.round(255 * Math.min(1, Math.max(0, gamma(Math.max(0, value))))).toString(16).padStart(2, "0")).join("")}`;
}

/** The colour `share` (0 to 1) of the way from one to another, as #rrggbb. */
export function mixed(from, to, share) {
  const a = lab(from), b = lab(to);
  return fromLab(a.map((value, i) => value + (b[i] - value) * share));
}

/** How light a colour is to the eye, 0 (black) to 1 (white), as WCAG counts it. */
export function luminance(color) {
  const [r, g, b] = rgb(color).map((value) => linear(value / 255));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/** Which of two colours is easier to read on a ground. */
export function readable(ground, one, other) {
  const contrast = (color) => {
    const [low, high] = [luminance(color), luminance(ground)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  return contrast(one) >= contrast(other) ? one : other;
}

const STRONG = { blue: (theme) => theme.series[0], green: (theme) => theme.status.ok, orange: (theme) => theme.series[1], violet: (theme) => theme.status.note, grey: (theme) => theme.text };

/**
 * The colours of a heatmap, from little to much. Little is near the surface, in both themes, so that what stands out is much.
 * @param {string} scheme blue, green, orange, violet, grey or diverging @param {import("./theme-values.js").Theme} theme
 */
export function schemeColors(scheme, theme, steps = 9) {
  const range = [...Array(steps).keys()].map((i) => i / (steps - 1));
  if (scheme === "diverging") {
    return range.map((at) => (at < 0.5 ? mixed(theme.series[0], theme.sunken, at * 2) : mixed(theme.sunken, theme.series[1], at * 2 - 1)));
  }
  const strong = (STRONG[scheme] ?? STRONG.blue)(theme);
  const weak = mixed(theme.surface, strong, 0.08);
  return range.map((at) => mixed(weak, strong, at));
}

/** The colour of a value on such a scale. */
export function colorAt(colors, share) {
  const at = Math.min(1, Math.max(0, share)) * (colors.length - 1);
  const low = Math.floor(at);
  return low >= colors.length - 1 ? colors[colors.length - 1] : mixed(colors[low], colors[low + 1], at - low);
}
