// Two people changed the same dashboard: what each of them did, part by part, and both together. A part is a tile, the
// place of a tile, a variable, a source of annotations, or one of the dashboard's own settings. Pure.

import { boxesOf, placed, settle } from "./layout.js";

const OWN = ["title", "description", "folder", "tags", "time", "refresh", "timezone", "links"];
const WORDS = { title: "Title", description: "Description", folder: "Folder", tags: "Tags", time: "Time", refresh: "Refresh", timezone: "Time zone", links: "Links" };

/** Whether two JSON values are the same, whatever the order of their keys. */
export function same(a, b) {
  if (a === b) return true;
  if (!a || !b || typeof a !== "object" || typeof b !== "object" || Array.isArray(a) !== Array.isArray(b)) return false;
  if (Array.isArray(a)) return a.length === b.length && a.every((one, at) => same(one, b[at]));
  const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...keys].every((key) => same(a[key], b[key]));
}

/** A dashboard as its parts: name of the part → its value. */
export function parts(document) {
  const found = new Map();
  for (const key of OWN) if (document[key] !== undefined) found.set(key, document[key]);
  for (const one of document.templating?.list ?? []) found.set(`variable ${one.name}`, one);
  for (const one of document.annotations?.list ?? []) found.set(`annotations ${one.name}`, one);
  for (const { gridPos, ...tile } of document.tiles ?? []) {
    found.set(`tile ${tile.id}`, tile);
    if (gridPos) found.set(`place ${tile.id}`, gridPos);
  }
  return found;
}

function changed(before, after) {
  const names = new Set();
  for (const name of new Set([...before.keys(), ...after.keys()])) if (!same(before.get(name), after.get(name))) names.add(name);
  return names;
}

/** What became of one part, as [kind, words]; null where it is as it was. */
function change(name, before, after) {
  if (same(before, after)) return null;
  if (before === undefined) return ["added", ""];
  if (after === undefined) return ["removed", ""];
  if (name.startsWith("place ")) return ["moved", after.w === before.w && after.h === before.h ? "" : `now ${after.w} × ${after.h}`];
  if (!name.includes(" ")) return ["changed", typeof after === "string" ? after : Array.isArray(after) ? `${after.length} of them` : Object.values(after).join(" – ")];
  const keys = [...new Set([...Object.keys(before), ...Object.keys(after)])].filter((key) => !same(before[key], after[key]));
  return ["changed", keys.map((key) => (key === "title" ? `title: ${after.title ?? "none"}` : key)).join(", ")];
}

/** A part's name as people know it. */
function titleOf(name, ...documents) {
  const [kind, ...rest] = name.split(" ");
  const id = rest.join(" ");
  if (kind in WORDS && !id) return WORDS[kind];
  if (kind === "variable") return `Variable ${id}`;
  if (kind === "annotations") return `Annotations ${id}`;
  const tile = documents.flatMap((one) => one.tiles ?? []).find((one) => String(one.id) === id);
  return `${tile?.title || `Tile ${id}`}${kind === "place" ? " (place)" : ""}`;
}

/**
 * What two people did since `base`, part by part.
 * @returns {{name: string, title: string, theirs: [string, string] | null, mine: [string, string] | null, clash: boolean}[]}
 */
export function differences(base, theirs, mine) {
  const [before, other, own] = [parts(base), parts(theirs), parts(mine)];
  const names = new Set([...changed(before, other), ...changed(before, own)]);
  // A tile that came or went brings its place along.
  const whole = (name) => name.startsWith("place ") && [other, own].some((after) => before.has(`tile ${name.slice(6)}`) !== after.has(`tile ${name.slice(6)}`));
  return [...names].filter((name) => !whole(name)).map((name) => {
    const [from, one, two] = [before.get(name), other.get(name), own.get(name)];
    const pair = [change(name, from, one), change(name, from, two)];
    return { name, title: titleOf(name, mine, theirs, base), theirs: pair[0], mine: pair[1], clash: Boolean(pair[0] && pair[1]) && !same(one, two) };
  });
}

/** One part of a three-way merge; where both changed it, mine. */
const pick = (before, other, own) => (same(own, before) ? other : own);

/** A list of named things: theirs in their order, mine that are new behind them. */
function mergedList(before, other, own, nameOf) {
  const by = (list) => new Map(list.map((one) => [nameOf(one), one]));
  const [from, one, two] = [by(before), by(other), by(own)];
  return [...new Set([...one.keys(), ...two.keys()])].map((name) => pick(from.get(name), one.get(name), two.get(name))).filter((value) => value !== undefined);
}

/** Both together: what only one of them changed is as that one made it, what both changed as mine. */
export function merged(base, theirs, mine) {
  const made = { ...theirs, uid: theirs.uid };
  for (const key of OWN) {
    const value = pick(base[key], theirs[key], mine[key]);
    if (value === undefined) delete made[key];
    else made[key] = value;
  }
  const lists = (document, key) => document[key]?.list ?? [];
  for (const key of ["templating", "annotations"]) {
    const list = mergedList(lists(base, key), lists(theirs, key), lists(mine, key), (one) => one.name);
    if (list.length) made[key] = { list };
    else delete made[key];
  }
  const [before, other] = [base.tiles ?? [], theirs.tiles ?? []];
  const old = new Set(before.map((tile) => tile.id));
  const used = new Set([...before, ...other, ...(mine.tiles ?? [])].map((tile) => tile.id));
  // Both made a tile and it got the same number: those are two tiles.
  const own = (mine.tiles ?? []).map((tile) => {
    const twin = old.has(tile.id) ? null : other.find((one) => one.id === tile.id);
    if (!twin || same(twin, tile)) return tile;
    const id = freeId([...used].map((each) => ({ id: each })));
    used.add(id);
    return { ...tile, id };
  });
  const bare = (tiles) => tiles.map(({ gridPos: _place, ...tile }) => tile);
  const places = (tiles) => new Map(tiles.map((tile) => [tile.id, tile.gridPos]));
  const [from, one, two] = [places(before), places(other), places(own)];
  const tiles = mergedList(bare(before), bare(other), bare(own), (tile) => tile.id).map((tile) => ({ ...tile, gridPos: pick(from.get(tile.id), one.get(tile.id), two.get(tile.id)) ?? one.get(tile.id) ?? two.get(tile.id) ?? from.get(tile.id) }));
  made.tiles = placed(tiles, settle(boxesOf(tiles)));
  return made;
}

/** A number that no tile has. */
export const freeId = (tiles) => tiles.reduce((most, { id }) => (Number.isSafeInteger(Number(id)) ? Math.max(most, Number(id)) : most), 0) + 1;
