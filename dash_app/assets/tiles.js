// The kinds of tile. A chart kind is one pure function from (tile document, frame, theme, size) to ECharts options; a
// plain kind draws DOM. A new kind is one file under tiles/ and one line here.

import { options as bar } from "./tiles/bar.js";
import { chart } from "./tiles/chart.js";
import { options as line } from "./tiles/line.js";
import { stat } from "./tiles/stat.js";
import { table } from "./tiles/table.js";

const CHARTS = { line, bar };

/**
 * ECharts options for a chart tile.
 * @param {{kind: string, query?: object, options?: object}} tile the tile's document
 * @param {import("./frame.js").Frame} frame
 * @param {import("./theme-values.js").Theme} theme
 * @param {{width: number, height: number, from?: number | null, to?: number | null, zone?: string, order?: string[]}} size
 *   pixels, the visible range in epoch ms, and the names of series already shown, whose colours must stay
 */
export function options(tile, frame, theme, size) {
  const make = CHARTS[tile.kind];
  if (!make) throw new RangeError(`No chart is called ${tile.kind}`);
  return make(tile, frame, theme, size);
}

/**
 * Renderers: `(body, tile, context) → {draw(frame, context), resize?, hover?, dispose}`.
 * @type {Record<string, Function>}
 */
export const RENDERERS = { line: chart(line), bar: chart(bar), stat, table };
