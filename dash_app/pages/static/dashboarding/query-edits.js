// A query document as a form edits it, and the first one of a new tile. Pure: each edit answers another document, with its
// keys in the order in which people write them and without those that say nothing.

const ORDER = ["pipeline", "select", "by", "every", "where", "order", "limit", "mapping"];
const NUMBERS = ["number", "integer"];

/** The fields that every record has beside its own. */
export const SYSTEM_FIELDS = [
  { name: "_time", type: "timestamp", unit: "", role: "dimension" },
  { name: "_received", type: "timestamp", unit: "", role: "dimension" },
];

export const AGGREGATES = [
  ["count", "Count"], ["avg", "Average"], ["sum", "Sum"], ["min", "Minimum"], ["max", "Maximum"], ["last", "Last"], ["first", "First"],
  ["median", "Median"], ["p90", "90th percentile"], ["p95", "95th percentile"], ["p99", "99th percentile"], ["count_distinct", "Distinct values"], ["stddev", "Standard deviation"],
];
const ANY_TYPE = ["count", "last", "first", "count_distinct"];
const ORDERED = ["min", "max"];

/** The aggregates that a field of this type can be taken of; of no field: those that need none. */
export function aggregatesFor(type) {
  if (!type) return AGGREGATES.filter(([name]) => name === "count");
  if (NUMBERS.includes(type)) return AGGREGATES;
  return AGGREGATES.filter(([name]) => ANY_TYPE.includes(name) || (ORDERED.includes(name) && (type === "text" || type === "timestamp")));
}

const empty = (value) => value === undefined || value === null || value === "" || (Array.isArray(value) && !value.length);

/** A query with its keys in order and without empty ones. */
export function tidy(query) {
  const keys = [...ORDER, ...Object.keys(query).filter((key) => !ORDER.includes(key))];
  return Object.fromEntries(keys.filter((key) => !empty(query[key])).map((key) => [key, query[key]]));
}

/** The queries of a tile as people write them, whatever order they were kept in. */
export const written = (tile) => (Array.isArray(tile.queries) ? tile.queries.map(({ name, ...query }) => ({ ...(name ? { name } : {}), ...tidy(query) })) : tile.query ? tidy(tile.query) : null);

/** Whether a query asks for records rather than for aggregates. */
export const asksRecords = (query) => !(query.select ?? []).some((one) => one.agg) && empty(query.every) && empty(query.by);

/** What a column of the answer is called. */
export const columnOf = (measure) => measure.as || (measure.field && measure.agg ? `${measure.field}_${measure.agg}` : (measure.field ?? measure.agg ?? ""));

/** The columns of the answer, in their order. */
export function columnsOf(query, fields = []) {
  if (asksRecords(query)) return ["_time", ...(query.select?.map(columnOf) ?? fields.map((field) => field.name)).filter((name) => name !== "_time")];
  const measures = query.select?.length ? query.select : [{ agg: "count" }];
  return [...(empty(query.every) ? [] : ["time"]), ...(query.by ?? []), ...measures.map(columnOf)];
}

/** One key set or, with nothing, taken away. Whatever was ordered by a column that is gone is ordered no more. */
export function set(query, key, value) {
  const next = tidy({ ...query, [key]: value });
  if (typeof next.order === "string" && !asksRecords(next) && !next.order.startsWith("$") && !columnsOf(next).includes(next.order.replace(/^-/, ""))) delete next.order;
  return next;
}

const clean = ({ field, agg, as }) => ({ ...(field ? { field } : {}), ...(agg ? { agg } : {}), ...(as ? { as } : {}) });

const namedAfter = ({ field, as }) => new RegExp(`^${field ? field.replace(/[^\w]/g, "\\$&") : "records"}(_\\d+)?$`).test(as);

/** A name for a measure of a field (none: left to the aggregate) that no other measure has. */
function freeName(others, field) {
  if (!field) return undefined;
  const taken = new Set(others.map(columnOf));
  let name = field;
  for (let n = 2; taken.has(name); n += 1) name = `${field}_${n}`;
  return name;
}

/** One measure changed: `change` holds what becomes of its field, agg and as. An aggregate that the field's type does not
 * take becomes one that it does, and an order by the column follows its name. */
export function setMeasure(query, index, change, typeOf = () => undefined) {
  const measures = query.select?.length ? query.select : [{ agg: "count" }];
  const before = measures[index];
  const next = { ...before, ...change };
  if ("field" in change && !String(next.field ?? "").startsWith("$")) {
    const able = aggregatesFor(next.field ? typeOf(next.field) : "");
    if (next.agg && !able.some(([name]) => name === next.agg)) next.agg = next.field && NUMBERS.includes(typeOf(next.field)) ? "avg" : "count";
    // Named after the field that it was, or after the records that it counted: the name would tell a lie.
    if (before.as && namedAfter(before) && !("as" in change)) next.as = freeName(measures.filter((_one, at) => at !== index), next.field);
  }
  const select = measures.map((one, at) => (at === index ? clean(next) : one));
  const [from, to] = [columnOf(before), columnOf(clean(next))];
  const order = query.order === from ? to : query.order === `-${from}` ? `-${to}` : query.order;
  return set({ ...query, order }, "select", select);
}

export function addMeasure(query, measure) {
  const measures = query.select?.length ? query.select : asksRecords(query) ? [] : [{ agg: "count" }];
  const taken = new Set(columnsOf(query));
  let made = clean(measure);
  for (let n = 2; taken.has(columnOf(made)); n += 1) made = { ...clean(measure), as: `${columnOf(measure)}_${n}` };
  return set(query, "select", [...measures, made]);
}

export const removeMeasure = (query, index) => set(query, "select", (query.select ?? []).filter((_one, at) => at !== index));

/** Aggregates become records of the same fields and the other way round. */
export function setMode(query, mode) {
  const fields = [...new Set((query.select ?? []).map((one) => one.field).filter(Boolean))];
  const { by: _by, every: _every, order: _order, limit: _limit, ...rest } = query;
  if (mode === "records") return tidy({ ...rest, select: fields.map((field) => ({ field })), limit: 100 });
  return tidy({ ...rest, select: [{ agg: "count", as: "records" }] });
}

/** Another pipeline: what it has no field for is left out. */
export function setPipeline(query, pipeline, fields) {
  const known = new Set([...fields, ...SYSTEM_FIELDS].map((field) => field.name));
  const has = (name) => !name || name.startsWith("$") || known.has(name);
  const records = asksRecords(query);
  const select = (query.select ?? []).filter((one) => has(one.field));
  const by = (query.by ?? []).filter(has);
  const next = tidy({ ...query, pipeline, select: select.length || records ? select : [{ agg: "count" }], by });
  // A condition names fields of the other one; a version is a version of the other one.
  delete next.where;
  delete next.mapping;
  return set(next, "pipeline", pipeline);
}

// --- The first query of a tile ---------------------------------------------------------------------------------------

const FEW = /(^|_)(kind|type|class|status|state|level|severity|category|site|region|zone|event|mode|weather|method|country)s?($|_)/i;
const MANY = /(^|_)(id|uuid|guid|key|url|uri|path|message|text|description|title|place|email|address|hash|token|note|version|ip|agent|body)($|_)/i;
const NOT_MEASURED = /(^|_)(id|sequence|seq|index|number|no|lat|latitude|lon|lng|longitude|year|month|day|version|code)($|_)/i;
const SIZES = { stat: [3, 3], gauge: [3, 4], table: [12, 8], heatmap: [12, 7], pie: [4, 7], state: [12, 6], map: [6, 9], text: [4, 4], bar: [6, 7], line: [6, 7] };

/** What stands out among a pipeline's fields. */
export function outstanding(fields) {
  const numbers = fields.filter((field) => NUMBERS.includes(field.type));
  const measured = numbers.filter((field) => field.role !== "dimension" && !NOT_MEASURED.test(field.name));
  const texts = fields.filter((field) => field.type === "text" || field.type === "boolean");
  const groups = texts.filter((field) => !MANY.test(field.name)).sort((a, b) => Number(!FEW.test(a.name)) - Number(!FEW.test(b.name)));
  const named = (pattern) => numbers.find((field) => pattern.test(field.name));
  return { metric: measured[0] ?? numbers[0], group: groups[0], state: texts.find((field) => /(^|_)(state|status|mode|level)($|_)/i.test(field.name)) ?? texts[0], lat: named(/^(lat|latitude)$/i), lon: named(/^(lon|lng|longitude)$/i) };
}

const title = (name) => (name.charAt(0).toUpperCase() + name.slice(1)).replaceAll("_", " ");

/**
 * A tile of a kind over a pipeline's own fields, without id and place: something true to begin with.
 * @returns {{kind: string, title: string, query?: object, options: object, lacks?: string}} `lacks`: what the pipeline has not, in words
 */
export function startingTile(kind, pipeline, fields) {
  const { metric, group, state, lat, lon } = outstanding(fields);
  const count = { agg: "count", as: "records" };
  const of = (field, agg) => ({ field: field.name, agg, as: field.name });
  const value = (agg) => (metric ? of(metric, agg) : count);
  const unit = metric?.unit ? { unit: metric.unit } : {};
  const by = group ? { by: [group.name] } : {};
  const make = (name, query, options = {}, lacks = "") => ({ kind, title: name, query: tidy({ pipeline, ...query }), options, ...(lacks ? { lacks } : {}) });
  const measured = metric ? title(metric.name) : "Records";
  switch (kind) {
    case "line":
      return make(group ? `${measured} by ${group.name.replaceAll("_", " ")}` : measured, { select: [value("avg")], ...by, every: "auto" }, unit);
    case "bar":
      return group ? make(`Records by ${group.name.replaceAll("_", " ")}`, { select: [count], ...by }) : make("Records over time", { select: [count], every: "auto" });
    case "stat":
      return make(measured, { select: [value("last")], every: "auto" }, unit);
    case "gauge":
      return make(measured, { select: [value("last")] }, unit, metric ? "" : "a number");
    case "table":
      return make("Last records", { select: fields.filter((field) => field.type !== "json").slice(0, 8).map((field) => ({ field: field.name })), limit: 100 });
    case "heatmap":
      return make(group ? `${measured} by ${group.name.replaceAll("_", " ")}` : "Records by hour and weekday", group ? { select: [value("avg")], ...by, every: "auto" } : { select: [count], every: "1h" }, group ? unit : { layout: "hours" });
    case "pie":
      return make(group ? `Share of records by ${group.name.replaceAll("_", " ")}` : "Records", { select: [count], ...by }, {}, group ? "" : "a field to group by");
    case "state": {
      const parted = group && group.name !== state?.name ? { by: [group.name] } : {};
      return make(state ? `${title(state.name)} over time` : "State over time", { select: [state ? of(state, "last") : count], ...parted, every: "auto" }, {}, state ? "" : "a text or boolean field");
    }
    case "map": {
      const names = lat && lon ? { lat: lat.name, lon: lon.name } : {};
      const label = fields.find((field) => field.type === "text" && /(name|place|title|label)/i.test(field.name));
      const select = [lat, lon, metric, label].filter((field, at, all) => field && all.indexOf(field) === at).map((field) => ({ field: field.name }));
      return make("Places", { select, limit: 500 }, { ...names, ...(metric && metric !== lat && metric !== lon ? { value: metric.name } : {}), ...(label ? { label: label.name } : {}) }, lat && lon ? "" : "latitude and longitude");
    }
    case "text":
      return { kind, title: "", options: { markdown: "## Notes\n\nWhat this dashboard shows, and whom to ask." } };
    default:
      return make(measured, { select: [value("avg")], ...by, every: "auto" }, unit);
  }
}

/** The width and height that a new tile of a kind gets. */
export const sizeOf = (kind) => SIZES[kind] ?? [6, 7];

/** Units of what a query measures, by column; what is counted has none. */
function unitsOf(query, fields) {
  const unit = new Map(fields.map((field) => [field.name, field.unit || ""]));
  return new Map((query.select ?? []).map((one) => [columnOf(one), one.agg?.startsWith("count") ? "" : (unit.get(one.field) ?? "")]));
}

/** Options whose names are columns of the answer. */
const COLUMN_OPTIONS = ["value", "label", "lat", "lon"];

/**
 * A tile one of whose measures has become another: what its options and its title say of the column goes along, and a
 * unit that was right for the field of before does not stay with a field of another unit.
 * @param {object} tile with the query of after @param {object} before the query of before @param {object} after
 * @param {number} index of the measure @param {{name: string, unit: string}[]} fields of the pipeline
 */
export function followMeasure(tile, before, after, index, fields) {
  const [was, is] = [before.select?.[index], after.select?.[index]];
  if (!was || !is) return tile;
  const [from, to] = [columnOf(was), columnOf(is)];
  const [units, now] = [unitsOf(before, fields), unitsOf(after, fields)];
  const other = units.get(from) !== now.get(to);
  const options = { ...withoutUnit(tile.options ?? {}, units, now) };
  const bare = ({ unit, ...rest }) => (other ? rest : { ...rest, unit });
  if (options.series?.[from]) options.series = renamed(options.series, from, to, bare);
  if (Array.isArray(options.columns)) options.columns = options.columns.map((one) => (one.field === from ? kept({ ...bare(one), field: to, title: was.field === is.field ? one.title : undefined }) : one));
  for (const name of COLUMN_OPTIONS) if (options[name] === from) options[name] = to;
  const next = tile.options ? { ...tile, options: kept(options) } : tile;
  // A title that the gallery made of the field's name.
  const words = was.field && is.field && title(was.field);
  const rest = words && tile.title?.startsWith(words) ? tile.title.slice(words.length) : null;
  return rest === "" || /^ (by|over) /.test(rest ?? "") ? { ...next, title: `${title(is.field)}${rest}` } : next;
}

/** Options without a unit that was said of other values. */
function withoutUnit(options, before, after) {
  const units = [...before.values()];
  if ([...after.values()].every((unit) => units.includes(unit))) return options;
  const { unit: _unit, ...rest } = options;
  return rest;
}

/** A tile whose query asks another pipeline: its unit was that of the fields of before. */
export function followPipeline(tile, before, after, fields, others) {
  return tile.options ? { ...tile, options: withoutUnit(tile.options, unitsOf(before, fields), unitsOf(after, others)) } : tile;
}

const kept = (value) => Object.fromEntries(Object.entries(value).filter(([, part]) => part !== undefined));
const renamed = (series, from, to, change) => Object.fromEntries(Object.entries(series).map(([name, one]) => (name === from ? [to, kept(change(one))] : [name, one])));

/** A tile that becomes another kind keeps what it asks, where the other kind can show it. */
export function withKind(tile, kind, { queries = "one", options = [] } = {}) {
  const kept = Object.fromEntries(Object.entries(tile.options ?? {}).filter(([name]) => options.includes(name)));
  const { query, queries: many, ...rest } = tile;
  const first = query ?? many?.[0];
  const next = { ...rest, kind, options: kept };
  if (queries === "none" || !first) return next;
  if (queries === "many" && many?.length) return { ...next, queries: many };
  const { name: _name, ...plain } = first;
  return { ...next, query: plain };
}
