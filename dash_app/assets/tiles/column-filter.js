// What people write above a column to filter it: `oslo`, `=oslo`, `!oslo`, `>5`, `<= 3`, `2..8`, `empty`. It becomes a test
// of values here, or a condition of the query language where the server filters.

/**
 * @typedef {{op: "contains" | "=" | "!=" | ">" | ">=" | "<" | "<=" | "between" | "empty" | "filled", value?: any, high?: number}} Condition
 */

const number = (text) => (/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text.replace(",", ".")) ? Number(text.replace(",", ".")) : null);

/**
 * @param {string} text what was written @param {string} type of the column
 * @returns {Condition | null | string} null: no filter; text: why it cannot be read
 */
export function parseFilter(text, type) {
  const wish = text.trim();
  if (!wish) return null;
  if (/^(empty|null|–)$/i.test(wish)) return { op: "empty" };
  if (/^(!empty|filled|not empty)$/i.test(wish)) return { op: "filled" };
  const numeric = type === "number" || type === "integer";
  if (type === "boolean") {
    const said = /^(=|!=|!)?\s*(true|yes|false|no)$/i.exec(wish);
    if (!said) return "true or false";
    return { op: said[1]?.startsWith("!") ? "!=" : "=", value: /true|yes/i.test(said[2]) };
  }
  if (numeric) {
    const span = /^(\S+?)\s*(?:\.\.|–|to)\s*(\S+)$/.exec(wish);
    if (span) {
      const low = number(span[1]), high = number(span[2]);
      return low === null || high === null ? "two numbers, such as 2..8" : { op: "between", value: low, high };
    }
    const said = /^(>=|<=|!=|=|>|<|!)?\s*(\S+)$/.exec(wish);
    const value = said && number(said[2]);
    if (value === null || value === undefined) return "a number, such as >5, <= 3 or 2..8";
    return { op: said[1] === "!" ? "!=" : (said[1] ?? "="), value };
  }
  const said = /^(!=|!|=)\s*(.+)$/.exec(wish);
  return said ? { op: said[1] === "=" ? "=" : "!=", value: said[2] } : { op: "contains", value: wish };
}

/** Whether a value meets a condition. Of no value only "empty" is true. */
export function meets(value, condition) {
  const { op, value: wanted, high } = condition;
  if (op === "empty") return value == null;
  if (value == null) return false;
  if (op === "filled") return true;
  const text = typeof value === "object" ? JSON.stringify(value) : String(value);
  switch (op) {
    case "contains": return text.toLowerCase().includes(String(wanted).toLowerCase());
    case "=": return typeof wanted === "string" ? text === wanted : value === wanted;
    case "!=": return typeof wanted === "string" ? text !== wanted : value !== wanted;
    case ">": return value > wanted;
    case ">=": return value >= wanted;
    case "<": return value < wanted;
    case "<=": return value <= wanted;
    default: return value >= wanted && value <= high;
  }
}

const quoted = (text) => `'${text.replaceAll("'", "''")}'`;
const literal = (value) => (typeof value === "string" ? quoted(value) : String(value));
/** A field's name as the query language reads it: plain where it is a name, else in double quotes. */
const named = (field) => (/^[A-Za-z_][A-Za-z0-9_]*$/.test(field) ? field : `"${field.replaceAll('"', '""')}"`);

/** The condition in the query language (docs/query.md). */
export function toWhere(field, { op, value, high }) {
  const name = named(field);
  switch (op) {
    case "empty": return `${name} is null`;
    case "filled": return `${name} is not null`;
    // `%` and `_` are jokers of like, which somebody who types a piece of text does not mean.
    case "contains": return `${name} ilike ${quoted(`%${value.replace(/[\\%_]/g, "\\$&")}%`)}`;
    case "between": return `${name} >= ${literal(value)} and ${name} <= ${literal(high)}`;
    default: return `${name} ${op} ${literal(value)}`;
  }
}
