// A tile as text in the clipboard, so that it can be put into another dashboard, another browser, or a file.

const MARK = "tile";
let held = null;

/** @param {object} tile */
export const tileText = (tile) => {
  const { id: _id, ...rest } = tile;
  return JSON.stringify({ dash: MARK, tile: rest }, null, 2);
};

/** The tile in a text, or null: what `tileText` made, or a tile's bare document. */
export function tileIn(text) {
  try {
    const value = JSON.parse(text);
    const tile = value?.dash === MARK ? value.tile : value;
    return tile && typeof tile === "object" && !Array.isArray(tile) && typeof tile.kind === "string" ? tile : null;
  } catch {
    return null;
  }
}

/** Keep a tile for pasting; answers whether other programs get it too. */
export async function keep(tile) {
  held = tileText(tile);
  try {
    sessionStorage.setItem("dash-tile", held);
  } catch {
    // Storage can be forbidden; within this page it is kept all the same.
  }
  try {
    await navigator.clipboard.writeText(held);
    return true;
  } catch {
    return false;
  }
}

/** The tile that was copied last, in this tab. */
export function kept() {
  let text = held;
  try {
    text ??= sessionStorage.getItem("dash-tile");
  } catch {
    // As above.
  }
  return text ? tileIn(text) : null;
}
