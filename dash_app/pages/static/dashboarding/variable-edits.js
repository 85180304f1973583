// A dashboard's variables as a form edits them. Pure.

/** A variable's name after the field whose values it offers. */
const nameAfter = (field) => field?.toLowerCase().replace(/[^a-z0-9_]/g, "_").replace(/^[^a-z]+/, "") || "choice";

/** A name like this one that none of the others has. */
function freeAmong(wanted, others) {
  const taken = new Set(others.map((one) => one.name));
  let name = wanted;
  for (let n = 2; taken.has(name); n += 1) name = `${wanted}_${n}`;
  return name;
}

/** A new variable over a field of a pipeline, or over none. */
export function startingVariable(variables, pipeline, field) {
  const name = freeAmong(nameAfter(field), variables);
  if (!pipeline) return { name, type: "custom", options: ["one", "two"] };
  return { name, type: "query", query: { pipeline, field: field ?? "" }, multi: true, includeAll: true, current: "$__all" };
}

/** Whether anything in a document asks for a variable's value. */
export const isUsed = (document, name) => new RegExp(`\\$(${name}\\b|\\{${name}\\b)`).test(JSON.stringify(document));

/**
 * A document one of whose variables offers the values of another field. A name that was made of the field's goes along
 * as long as nothing uses it, and what was chosen of the other field's values is chosen no more.
 */
export function withField(document, at, query) {
  const list = document.templating?.list ?? [];
  const before = list[at];
  const others = list.filter((_one, index) => index !== at);
  const own = nameAfter(before.query?.field);
  const made = before.name.replace(/_\d+$/, "") === own || before.name === own;
  const name = made && !isUsed({ ...document, templating: { list: others } }, before.name) ? freeAmong(nameAfter(query.field), others) : before.name;
  const { current: _current, ...rest } = before;
  const next = { ...rest, name, query, ...(before.includeAll ? { current: "$__all" } : {}) };
  return { ...document, templating: { ...document.templating, list: list.map((one, index) => (index === at ? next : one)) } };
}
