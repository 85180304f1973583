// Draws the OpenAPI document as a page. Everything that comes from the document goes in as text, never as markup.

const $ = (id) => document.getElementById(id);

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

// The little markup that descriptions use: paragraphs, **bold** and `code`.
function text(source) {
  const box = make("div", { class: "text" });
  for (const paragraph of source.split(/\n\s*\n/)) {
    const parts = paragraph.replaceAll("\n", " ").split(/(\*\*[^*]+\*\*|`[^`]+`)/);
    box.append(
      make(
        "p",
        {},
        ...parts.map((part) => {
          if (part.startsWith("**")) return make("strong", {}, part.slice(2, -2));
          if (part.startsWith("`")) return make("code", {}, part.slice(1, -1));
          return part;
        }),
      ),
    );
  }
  return box;
}

let whole;

function resolved(schema) {
  if (!schema.$ref) return schema;
  return schema.$ref.split("/").slice(1).reduce((at, key) => at[key], whole);
}

function kindOf(schema) {
  if (schema.$ref) return schema.$ref.split("/").at(-1);
  if (schema.anyOf) return schema.anyOf.map(kindOf).join(" or ");
  if (schema.enum) return schema.enum.join(" | ");
  const kinds = [schema.type ?? "any"].flat();
  return kinds.map((kind) => (kind === "array" ? `array of ${schema.items ? kindOf(schema.items) : "any"}` : (schema.format ?? kind))).join(" or ");
}

function limits(schema) {
  const said = [];
  if (schema.minimum !== undefined || schema.maximum !== undefined) said.push(`${schema.minimum ?? "…"} to ${schema.maximum ?? "…"}`);
  if (schema.maxLength !== undefined) said.push(`at most ${schema.maxLength} characters`);
  if (schema.default !== undefined) said.push(`default ${JSON.stringify(schema.default)}`);
  if (schema.examples?.length) said.push(`such as ${JSON.stringify(schema.examples[0])}`);
  return said.join(", ");
}

function row(name, needed, schema, description) {
  const about = [description ?? schema.description, limits(schema)].filter(Boolean).join(" · ");
  return make(
    "div",
    {},
    make("span", {}, make("span", { class: "name" }, name), needed ? make("span", { class: "needed" }, " needed") : null),
    make("span", { class: "kind" }, kindOf(schema)),
    about ? text(about) : make("span"),
  );
}

function properties(schema, depth = 0) {
  schema = resolved(schema);
  if (schema.anyOf) schema = resolved(schema.anyOf[0]);
  if (schema.items && !schema.properties) return properties(schema.items, depth);
  if (!schema.properties) return null;
  const rows = make("div", { class: "rows" });
  for (const [name, inner] of Object.entries(schema.properties)) {
    rows.append(row(name, schema.required?.includes(name), inner));
    const below = depth < 2 ? properties(inner, depth + 1) : null;
    if (below) rows.append(make("div", { class: "inner" }, below));
  }
  return rows;
}

function example(schema) {
  schema = resolved(schema);
  if (schema.examples?.length) return schema.examples[0];
  if (schema.default !== undefined) return schema.default;
  if (schema.enum) return schema.enum[0];
  const kind = [schema.type].flat()[0];
  if (kind === "object") {
    const made = {};
    for (const name of schema.required ?? []) if (schema.properties?.[name]) made[name] = example(schema.properties[name]);
    return made;
  }
  return { array: [], string: "…", integer: 1, number: 1, boolean: true }[kind] ?? "…";
}

function curl(method, path, operation) {
  const lines = [`curl -sS ${method === "GET" ? "" : `-X ${method} `}"${location.origin}${whole.servers[0].url}${path}"`, '  -H "Authorization: Bearer $TOKEN"'];
  const body = operation.requestBody?.content["application/json"]?.schema;
  if (body) lines.push('  -H "Content-Type: application/json"', `  -d '${JSON.stringify(example(body))}'`);
  return lines.join(" \\\n");
}

function code(content) {
  const button = make("button", { class: "button small copy", type: "button" }, "Copy");
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(content);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  });
  return make("div", { class: "code-block" }, make("pre", {}, content), button);
}

function section(title, content) {
  return content ? make("div", {}, make("h3", {}, title), content) : null;
}

function responses(operation) {
  const rows = make("div", { class: "rows" });
  for (const [status, given] of Object.entries(operation.responses)) {
    const one = resolved(given);
    rows.append(make("div", {}, make("span", { class: "name" }, status), make("span", { class: "kind" }, Object.keys(one.content ?? {}).join(", ")), text(one.description)));
  }
  return rows;
}

function card(method, path, operation) {
  const body = operation.requestBody?.content["application/json"]?.schema;
  const good = Object.values(operation.responses).find((one) => one.content?.["application/json"]?.schema && !one.$ref);
  const parameters = operation.parameters?.length ? make("div", { class: "rows" }, ...operation.parameters.map((one) => row(one.name, one.required, one.schema, one.description))) : null;
  const answer = good ? properties(good.content["application/json"].schema) : null;
  const details = make("details", {}, make("summary", {}, "Answer"), answer, responses(operation));
  return make(
    "section",
    { class: "card operation", id: operation.operationId },
    make("div", { class: "card-head" }, make("span", { class: "method" }, method), make("code", {}, path), make("span", { class: "grow" }), make("span", { class: "muted" }, operation.summary)),
    make("div", { class: "card-body" }, operation.description ? text(operation.description) : null, section("Parameters", parameters), section("Body", body ? properties(body) : null), code(curl(method, path, operation)), details),
  );
}

function draw() {
  const all = Object.entries(whole.paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })));
  $("version").textContent = `${whole.info.title} ${whole.info.version}, ${whole.servers[0].url}`;
  const operations = $("operations");
  operations.replaceChildren(make("div", { class: "card" }, make("div", { class: "card-body" }, text(whole.info.description))));
  for (const { name } of whole.tags) {
    const mine = all.filter((one) => one.operation.tags.includes(name));
    $("contents").append(
      make(
        "div",
        { class: "group" },
        make("h2", {}, name),
        ...mine.map((one) => make("a", { class: "item", href: `#${one.operation.operationId}`, title: one.operation.summary }, make("span", { class: "method" }, one.method), make("span", {}, one.path))),
      ),
    );
    operations.append(make("h2", {}, name), ...mine.map((one) => card(one.method, one.path, one.operation)));
  }
  operations.removeAttribute("aria-busy");
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

$("filter").addEventListener("input", (event) => {
  const wanted = event.target.value.toLowerCase();
  for (const item of document.querySelectorAll(".api-rail .item")) item.hidden = !`${item.textContent} ${item.title}`.toLowerCase().includes(wanted);
  for (const group of document.querySelectorAll(".api-rail .group")) group.hidden = !group.querySelector(".item:not([hidden])");
});

try {
  const answer = await fetch("/api/openapi.json");
  if (!answer.ok) throw new Error(`openapi.json answered ${answer.status}`);
  whole = await answer.json();
  draw();
} catch (error) {
  $("operations").replaceChildren(make("div", { class: "problem" }, make("strong", {}, "The document could not be read"), make("p", {}, String(error.message ?? error))));
}
