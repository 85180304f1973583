// Styles for wherever a tile is mounted. A page links the three sheets itself (so that nothing flashes); what it left out is
// added here. A shadow root of a Panel component does not see the page's rules and gets its own links, once; the tokens stay
// in the document, whence they reach in by themselves.

const address = (name) => new URL(name, import.meta.url).href;

function link(place, name) {
  const href = address(name);
  const present = [...place.querySelectorAll('link[rel="stylesheet"]')].find((each) => each.href.split("?")[0] === href);
  if (present?.sheet) return null;
  const made = present ?? document.createElement("link");
  const loaded = new Promise((resolve) => {
    made.addEventListener("load", resolve, { once: true });
    made.addEventListener("error", resolve, { once: true });
  });
  if (!present) {
    made.rel = "stylesheet";
    made.href = href;
    place.prepend(made);
  }
  return loaded;
}

/**
 * Make tokens and the rules for tiles apply around `element`, which must be in the page already.
 * @param {string[]} [more] names of further sheets
 * @returns {Promise<boolean>} whether something had yet to load; resolves when it is there
 */
export async function adoptStyles(element, more = []) {
  const root = element.getRootNode();
  const waits = [link(document.head, "tokens.css")];
  if (root instanceof ShadowRoot) waits.push(link(root, "tiles.css"), link(root, "app.css"));
  else waits.push(link(document.head, "tiles.css"));
  waits.push(...more.map((name) => link(root instanceof ShadowRoot ? root : document.head, name)));
  const loads = waits.filter(Boolean);
  await Promise.all(loads);
  return loads.length > 0;
}
