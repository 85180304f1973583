// A click on a bar or a slice shows everything else with that value only. The tile that was clicked on keeps its other
// bars, paler: one must see what else there is to choose.

/** How much is left of what was not chosen. */
export const PALE = 0.25;

/** Whether a tile shows a filter by paling the rest instead of being filtered: it is divided by that very field, and not in time. */
export const picks = (tile, { field, op }) => op === "=" && !tile.query?.every && (tile.query?.by ?? []).includes(field);

/**
 * Whether what belongs to these fields is among the chosen, or nothing is chosen.
 * @param {Record<string, any>} by @param {{field: string, op: string, value: any}[]} filters
 */
export function isPicked(by, filters = []) {
  return Object.entries(by).every(([field, value]) => {
    const chosen = filters.filter((each) => each.op === "=" && each.field === field);
    return !chosen.length || chosen.some((each) => String(each.value) === String(value));
  });
}
