// Values put into texts and addresses: `${site}`, `${__value}`, `${__field:name}`. What has no value stays as it is
// written, so that a slip can be seen.

const PLACE = /\$\{([^{}\s]{1,120})\}/g;

/** How a variable reads: several values with commas, all of them as a word. */
export function shownValue(value) {
  if (value === "$__all") return "All";
  if (Array.isArray(value)) return value.map(shownValue).join(", ");
  return value == null ? "" : typeof value === "object" ? JSON.stringify(value) : String(value);
}

const lookUp = (values, name) => (Object.hasOwn(values, name) ? values[name] : undefined);

/** @param {string | undefined} text @param {Record<string, any>} [values] by name */
export function interpolate(text, values = {}) {
  if (!text || !text.includes("${")) return text ?? "";
  return text.replace(PLACE, (whole, name) => {
    const value = lookUp(values, name);
    return value === undefined ? whole : shownValue(value);
  });
}

const SAFE = new Set(["http:", "https:", "mailto:"]);

/**
 * An address with its values in, each encoded as a part of an address; null where it leads nowhere safe. In a query
 * `var-site=${site}` with several values becomes one such pair for each, as a dashboard's own address has them.
 */
export function address(template, values = {}) {
  if (typeof template !== "string" || !template.trim()) return null;
  const repeated = template.replace(/([?&])([^=&?#]+)=\$\{([^{}\s]{1,120})\}/g, (whole, sign, key, name) => {
    const value = lookUp(values, name);
    if (!Array.isArray(value)) return whole;
    return value.length ? sign + value.map((each) => `${key}=${encodeURIComponent(shownValue(each))}`).join("&") : sign;
  });
  const filled = repeated.replace(PLACE, (whole, name) => {
    const value = lookUp(values, name);
    if (value === undefined) return encodeURIComponent(whole);
    return encodeURIComponent(value === "$__all" ? value : shownValue(value));
  });
  try {
    return SAFE.has(new URL(filled, document.baseURI).protocol) ? filled : null;
  } catch {
    return null;
  }
}

/** Links of a document as `{text, href}`; those that lead nowhere safe are left out. */
export function linksOf(list, values = {}) {
  return (Array.isArray(list) ? list : []).flatMap(({ title, url } = {}) => {
    const href = address(url, values);
    return href ? [{ text: interpolate(title, values) || href, href }] : [];
  });
}
