// What heatmap and state timeline share: rows of rectangles over a time axis, named at the left.

import { timeAxis } from "./axes.js";

/** A category axis for rows, first row on top. */
export function rowAxis(names, theme, size, { most = 0.32 } = {}) {
  return {
    type: "category", data: names, inverse: true, axisTick: { show: false }, axisLine: { show: false }, splitLine: { show: false },
    axisLabel: { color: theme.text2, fontSize: 11, fontFamily: theme.font, width: Math.min(160, size.width * most), overflow: "truncate", hideOverlap: true },
    axisPointer: { show: false },
  };
}

/** The time axis under rows; the pointer's line is the crosshair's, not the library's. */
export function cellTimeAxis(theme, size) {
  const [time, words] = timeAxis(theme, size);
  return [{ ...time, axisPointer: { show: false } }, words];
}

/**
 * Draws `[start, end, row, …]` as a rectangle in its row.
 * @param {{color: (api: object, index: number) => string, gap?: number, inset?: number, words?: (index: number) => {text: string, ink: string} | null, font?: string}} look
 */
export const renderCell = ({ color, gap = 1, inset = 0.06, words, font }) => (params, api) => {
  const [left, middle] = api.coord([api.value(0), api.value(2)]);
  const [right] = api.coord([api.value(1), api.value(2)]);
  const area = params.coordSys;
  const x = Math.max(left, area.x);
  const width = Math.min(right, area.x + area.width) - x - (right - left > 3 ? gap : 0);
  if (!(width > 0)) return undefined;
  const whole = Math.abs(api.size([0, 1])[1]);
  const height = Math.max(1, whole * (1 - 2 * inset) - gap);
  const shape = { x, y: middle - height / 2, width, height, r: Math.min(2, width / 4, height / 4) };
  const rect = { type: "rect", shape, style: { fill: color(api, params.dataIndex) } };
  const said = words?.(params.dataIndex);
  if (!said?.text || height < 14 || width < Math.min(48, said.text.length * 6.5 + 10)) return rect;
  return {
    type: "group",
    children: [rect, { type: "text", silent: true, style: { text: said.text, x: x + 6, y: middle, verticalAlign: "middle", fill: said.ink, font: `11px ${font}`, width: width - 10, overflow: "truncate", ellipsis: "…" } }],
  };
};
