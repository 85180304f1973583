// Where tiles stand: 12 columns, rows without end, nothing on top of anything else, nothing in the air. Pure: a layout is
// a list of boxes {id, x, y, w, h}, and every change answers another one. What is moved goes where it is wanted; the
// others make room below it, and everything falls up into the gaps.

export const COLUMNS = 12;
const MOST_ROWS = 60;
const LAST_ROW = 2000;

/** @typedef {{id: string | number, x: number, y: number, w: number, h: number}} Box */

const whole = (value, fallback) => (Number.isFinite(value) ? Math.trunc(value) : fallback);
const within = (value, least, most) => Math.min(most, Math.max(least, value));

/** A box that fits the grid, whatever it was. */
export function fitting(box) {
  const w = within(whole(box.w, COLUMNS), 1, COLUMNS);
  return { ...box, w, h: within(whole(box.h, 6), 1, MOST_ROWS), x: within(whole(box.x, 0), 0, COLUMNS - w), y: within(whole(box.y, 0), 0, LAST_ROW) };
}

const beside = (a, b) => a.x < b.x + b.w && b.x < a.x + a.w;

/** Whether two boxes share a cell. */
export const overlap = (a, b) => beside(a, b) && a.y < b.y + b.h && b.y < a.y + a.h;

/** From top to bottom, then from left to right: as one reads. */
export const byPlace = (a, b) => a.y - b.y || a.x - b.x;

/** Each box as high as those before it in the list allow. */
function stack(ordered) {
  const placed = [];
  for (const box of ordered) {
    const y = placed.reduce((below, other) => (beside(box, other) ? Math.max(below, other.y + other.h) : below), 0);
    placed.push({ ...box, y });
  }
  return placed;
}

/** A layout in order: nothing overlaps, and there are no empty rows above anything. */
export const settle = (boxes) => stack(boxes.map(fitting).sort(byPlace));

/**
 * The layout after one box was put somewhere else or made another size.
 * @param {Box[]} boxes
 * @param {string | number} id
 * @param {Partial<Box>} wanted what changes of its x, y, w and h
 */
export function place(boxes, id, wanted) {
  const before = boxes.find((box) => box.id === id);
  if (!before) return settle(boxes);
  const moved = fitting({ ...before, ...wanted });
  const others = boxes.filter((box) => box.id !== id).map(fitting).sort(byPlace);
  // Of two of one size that lie half on each other, each takes the other's place.
  const twin = others.find((box) => box.w === moved.w && box.h === moved.h && 2 * Math.abs(box.x - moved.x) <= box.w && 2 * Math.abs(box.y - moved.y) <= box.h);
  if (twin && before.w === moved.w && before.h === moved.h && (twin.x !== before.x || twin.y !== before.y)) {
    return settle([...others.map((box) => (box === twin ? { ...box, x: before.x, y: before.y } : box)), { ...moved, x: twin.x, y: twin.y }]);
  }
  const middle = (box) => box.y + box.h / 2;
  // Moving down it passes what its lower edge has half covered, moving up what its upper edge has.
  const down = moved.y > before.y && moved.h === before.h;
  let at = others.length;
  if (down) {
    at = others.findLastIndex((box) => beside(box, moved) && middle(box) <= moved.y + moved.h) + 1;
    // What stood beside or below it and is not passed yet stays behind it.
    at ||= others.filter((box) => byPlace(box, before) < 0).length;
  } else {
    const first = others.findIndex((box) => beside(box, moved) && middle(box) > moved.y);
    if (first >= 0) at = first;
  }
  return stack([...others.slice(0, at), moved, ...others.slice(at)]);
}

/** One step with the keyboard: to the next column, or past the next tile above or below. */
export function step(boxes, id, dx, dy) {
  const before = boxes.find((box) => box.id === id);
  if (!before) return boxes;
  if (dx) return place(boxes, id, { x: before.x + dx });
  const same = (layout) => boxes.every((box) => layout.find((other) => other.id === box.id).y === box.y);
  const end = Math.max(...boxes.map((box) => box.y + box.h));
  for (let y = before.y + dy; y >= 0 && y <= end; y += dy) {
    const layout = place(boxes, id, { y });
    if (!same(layout)) return layout;
  }
  return boxes;
}

/** The first place where a box of this size fits without moving anything. */
export function room(boxes, w, h) {
  const taken = boxes.map(fitting);
  for (let y = 0; ; y += 1) {
    for (let x = 0; x + w <= COLUMNS; x += 1) {
      const wanted = { x, y, w, h };
      if (!taken.some((box) => overlap(box, wanted))) return wanted;
    }
  }
}

// --- Of a document ---------------------------------------------------------------------------------------------------

/** The boxes of a document's tiles. */
export const boxesOf = (tiles) => tiles.map((tile) => fitting({ id: tile.id, ...tile.gridPos }));

/** The tiles with the places of a layout; a tile that has not moved stays the same object. */
export function placed(tiles, boxes) {
  const places = new Map(boxes.map((box) => [box.id, box]));
  return tiles.map((tile) => {
    const box = places.get(tile.id);
    if (!box) return tile;
    const { x, y, w, h } = box;
    const at = tile.gridPos ?? {};
    return at.x === x && at.y === y && at.w === w && at.h === h ? tile : { ...tile, gridPos: { x, y, w, h } };
  });
}
