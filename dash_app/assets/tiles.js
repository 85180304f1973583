// The kinds of tile. A chart kind is one pure function from (tile document, frame, theme, size) to ECharts options; a
// plain kind draws DOM. A new kind is one file under tiles/ and one line here; its Python half is in domain/tiles.

import * as bar from "./tiles/bar.js";
import { chart } from "./tiles/chart.js";
import * as gauge from "./tiles/gauge.js";
import * as heatmap from "./tiles/heatmap.js";
import * as line from "./tiles/line.js";
import * as map from "./tiles/map.js";
import { picks as picksBy } from "./tiles/picked.js";
import * as pie from "./tiles/pie.js";
import * as stat from "./tiles/stat.js";
import * as state from "./tiles/state.js";
import * as table from "./tiles/table.js";
import * as text from "./tiles/text.js";

const KINDS = { line, bar, stat, gauge, table, heatmap, pie, state, map, text };

/**
 * ECharts options for a chart tile.
 * @param {{kind: string, query?: object, options?: object}} tile the tile's document
 * @param {import("./frame.js").Frame} frame
 * @param {import("./theme-values.js").Theme} theme
 * @param {{width: number, height: number, from?: number | null, to?: number | null, zone?: string, order?: string[],
 *   hidden?: Set<string>, frames?: {name: string, frame: import("./frame.js").Frame, shift: number, earlier: boolean}[]}} size
 *   pixels, the visible range in epoch ms, the names of series already shown, whose colours must stay, and all the frames
 *   where there are more than the one
 */
export function options(tile, frame, theme, size) {
  const make = KINDS[tile.kind]?.options;
  if (!make) throw new RangeError(`No chart is called ${tile.kind}`);
  return make(tile, frame, theme, size);
}

/**
 * Renderers: `(body, tile, context) → {draw(frame, context), resize?, hover?, restart?, dispose}`.
 * @type {Record<string, Function>}
 */
export const RENDERERS = Object.fromEntries(Object.entries(KINDS).map(([name, kind]) => [name, kind.renderer ?? chart(kind.options, kind.setup)]));

/** Kinds that are drawn without asking for anything. */
export const WITHOUT_QUERY = new Set(Object.keys(KINDS).filter((name) => KINDS[name].withoutQuery));

/** What a tile is compared with: a page's choice, or its own; null for kinds that have nothing to show of it. */
export function comparesWith(tile, wanted) {
  return KINDS[tile.kind]?.compares?.(tile, wanted) ?? null;
}

/** Whether a kind shows what a filter chooses by paling the rest, and so is not filtered by it. */
export const picks = (tile, filter) => Boolean(KINDS[tile.kind]?.pales) && picksBy(tile, filter);

/** Why a kind cannot draw these columns, as {title, detail}; null where it can. */
export function misfit(tile, frame) {
  const kind = KINDS[tile.kind];
  const lacks = kind?.lacks?.(frame, tile);
  if (!lacks) return null;
  const came = frame.columns.filter(({ name }) => !name.startsWith("_")).map(({ name, type }) => `${name} (${type})`).join(", ");
  return { title: `${lacks} is missing here`, detail: `This kind needs ${kind.needs.replaceAll("`", "")}. The query gave ${came || "no columns"}.` };
}
