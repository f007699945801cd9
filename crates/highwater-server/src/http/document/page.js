"use strict";
const make = (name, attributes = {}, ...children) => {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children.flat(Infinity));
  return element;
};
const link = (target, ...text) => make("a", { href: "#" + target }, ...text);
const code = (...text) => make("code", {}, ...text);
const between = (things, separator) => things.flatMap((one, at) => (at ? [separator, one] : [one]));
// What stands between backticks is code.
const prose = (text = "") => text.split("`").map((part, at) => (at % 2 ? code(part) : part));
const named = (ref) => ref.split("/").pop();

let schemas = {};
const resolved = (schema) => (schema && schema.$ref ? resolved(schemas[named(schema.$ref)]) : schema);
const isNull = (schema) => schema.type === "null" || schema.const === null;

// A schema as people write a type; what it refers to is linked.
const shape = (schema) => {
  if (schema === true || schema === undefined) return ["anything"];
  if (schema.$ref) return [link("schema-" + named(schema.$ref), named(schema.$ref))];
  if (schema.properties) return ["object"];
  const several = schema.anyOf || schema.oneOf || schema.allOf;
  if (several) return between(several.map((one) => shape(one)), " | ");
  if (schema.const !== undefined) return [code(JSON.stringify(schema.const))];
  if (schema.enum) return between(schema.enum.map((one) => code(JSON.stringify(one))), " | ");
  const type = [].concat(schema.type || "anything").join(" | ");
  if (type.startsWith("array")) return ["list of ", ...shape(schema.items)];
  const form = schema.format || schema.contentEncoding;
  return [type + (form ? ` (${form})` : "")];
};
// What JSON of a schema looks like.
const sample = (schema, depth = 0) => {
  const one = resolved(schema);
  if (one === true || one === undefined || depth > 6) return null;
  if (one.examples) return one.examples[0];
  if (one.const !== undefined) return one.const;
  if (one.enum) return one.enum[0];
  if (one.properties) {
    const chosen = (one.oneOf || []).flatMap((each) => each.required || []).slice(1);
    return Object.fromEntries(Object.entries(one.properties)
      .filter(([name]) => !chosen.includes(name))
      .map(([name, each]) => [name, sample(each, depth + 1)]));
  }
  const several = one.allOf || one.oneOf || one.anyOf;
  if (several) return sample(several.find((each) => !isNull(each)), depth + 1);
  const type = [].concat(one.type || "null")[0];
  if (type === "array") return depth > 5 ? [] : [sample(one.items, depth + 1)];
  if (type === "string") return (one.pattern || "").includes("[0-9]{1,") ? "0" : "…";
  return { integer: one.minimum || 0, number: 0, boolean: false, object: {} }[type] ?? null;
};
const json = (value) => make("pre", { tabindex: 0 }, JSON.stringify(value, null, 2));

const row = (...cells) => make("tr", {}, ...cells.map((cell) => make("td", {}, cell)));
const fields = (schema) => {
  const required = new Set(schema.required || []);
  return make("table", { class: "fields" }, Object.entries(schema.properties).map(([name, one]) =>
    row(code(name), make("span", {}, shape(one), required.has(name) ? make("b", { class: "quiet" }, " required") : ""), prose(one.description))));
};
const described = (schema) => {
  const one = resolved(schema);
  if (one && one.properties) return [fields(one)];
  // Choices that say what each is for.
  const choices = one && (one.oneOf || one.anyOf);
  if (choices && choices.some((each) => each.description))
    return [make("table", { class: "fields" }, choices.map((each) => row(shape(each), prose(each.description))))];
  return [make("p", {}, shape(one))];
};

const meant = { "as set": "as set: if the group's settings say so", below: "below: about a member of a lower role" };
const standings = ["service", "owner", "admin", "member", "outsider", "own", "other's", "user"];
const whoMay = ({ on, to, allowed }) => {
  const who = standings.filter((each) => each in allowed);
  const notes = Object.keys(meant).filter((each) => Object.values(allowed).includes(each)).map((each) => meant[each]);
  return [
    make("p", {}, `On ${on}, to ${to}:`),
    make("table", { class: "who", "aria-label": `Who may ${to}` },
      make("tr", {}, who.map((each) => make("th", {}, each))),
      make("tr", {}, who.map((each) => make("td", {}, allowed[each])))),
    notes.length ? make("p", { class: "quiet note" }, notes.join("; "), ".") : "",
  ];
};

const quoted = (text) => "'" + text.replaceAll("'", "'\\''") + "'";
const curl = (path, method, one) => {
  const address = one.parameters.reduce((left, each) => (each.in === "path" ? left.replace(`{${each.name}}`, encodeURIComponent(each.example || each.name)) : left), path);
  const parts = ["curl"];
  if (!one.security) parts.push('-H "authorization: Bearer $TOKEN"');
  const body = one.requestBody?.content["application/json"];
  if (method !== "get") parts.push("-X " + method.toUpperCase());
  parts.push(quoted(location.origin + address));
  if (body) {
    const value = body.example ?? sample(body.schema), short = JSON.stringify(value);
    parts.push("-H 'content-type: application/json'", "-d " + quoted(short.length < 60 ? short : JSON.stringify(value, null, 2)));
  }
  return make("pre", { tabindex: 0 }, parts.join(" \\\n  ").replace("curl \\\n  ", "curl "));
};

const answer = ([status, { description, content = {} }]) => {
  if (Number(status) >= 400) {
    const codes = description.replace(/^Refused: |\.$/g, "").split(", ");
    return row(status, between(codes.map((each) => link(each, code(each))), ", "));
  }
  const forms = Object.entries(content).map(([type, body]) =>
    make("div", {}, code(type), " ", type === "application/x-protobuf" ? prose(body.schema.description) : shape(body.schema)));
  const schema = content["application/json"]?.schema;
  const like = schema && resolved(schema)?.properties ? make("details", {}, make("summary", {}, "Its shape"), json(sample(schema))) : "";
  return row(status, [status === "304" ? description : "", ...forms, like]);
};

const operation = (path, method, one) => {
  const section = make("section", { id: one.operationId, "data-find": [one.operationId, method, path, one.summary, ...one.tags].join(" ") },
    make("h3", {}, link(one.operationId, one.summary)),
    make("p", {}, make("span", { class: "method " + method }, method.toUpperCase()), " ", code(path)));
  section.append(...(one["x-permissions"] || []).flatMap(whoMay));
  if (one.security) section.append(make("p", { class: "quiet" }, "Takes no token."));
  section.append(curl(path, method, one));
  if (one.parameters.length) section.append(make("h4", {}, "Parameters"), make("table", { class: "fields" }, one.parameters.map((each) =>
    row(code(each.name), `${each.in}, ${[].concat(each.schema.type).join(" | ")}`, prose(each.description)))));
  const body = one.requestBody;
  for (const [type, { schema }] of Object.entries(body?.content || {})) {
    if (type !== "application/json") { section.append(make("p", { class: "quiet" }, "Or ", code(type), ": ", prose(schema.description))); continue; }
    section.append(make("h4", {}, "Body: ", shape(schema), body.required ? "" : ", may be left out"), ...described(schema));
  }
  section.append(make("h4", {}, "Answers"), make("table", { class: "statuses" }, Object.entries(one.responses).map(answer)));
  return section;
};

const main = document.getElementById("main"), index = document.getElementById("index");
// A part of the page, with its part of the index.
const part = (title, about, sections, entries) => {
  main.append(make("div", { class: "part" }, make("h2", {}, title), make("p", {}, prose(about)), ...sections));
  index.append(make("div", { class: "part" }, make("h2", {}, title), ...entries));
};
const methodsInOrder = ["get", "post", "put", "patch", "delete"];
const show = (api) => {
  schemas = api.components.schemas;
  document.getElementById("state").replaceWith(make("p", {}, `Version ${api.info.version}. `, prose(api.info.description), " All of this is ", make("a", { href: "openapi.json" }, "openapi.json"), ", to browse."));
  const all = Object.entries(api.paths).flatMap(([path, methods]) =>
    methodsInOrder.filter((method) => method in methods).map((method) => [path, method, methods[method]]));
  for (const tag of api.tags) {
    const under = all.filter(([, , one]) => one.tags.includes(tag.name));
    part(tag.name, tag.description, under.map((each) => operation(...each)), under.map(([, method, one]) =>
      link(one.operationId, make("span", { class: "method " + method }, method.toUpperCase()), make("span", {}, one.summary))));
  }
  const codes = Object.entries(api["x-codes"]);
  part("codes", "Why something was refused, and the status that says so.", [make("table", { class: "statuses" }, codes.map(([each, status]) =>
    make("tr", { id: each, "data-find": each }, make("td", {}, String(status)), make("td", {}, code(each)))))], codes.map(([each]) => link(each, each)));
  const shapes = Object.entries(schemas);
  part("schemas", "What bodies and answers are made of.", shapes.map(([name, schema]) =>
    make("section", { id: "schema-" + name, "data-find": name }, make("h3", {}, link("schema-" + name, name)), make("p", {}, prose(schema.description)), ...described(schema))),
    shapes.map(([name]) => link("schema-" + name, name)));
  find();
  // What was linked to is there only now.
  if (location.hash) location.replace(location.hash);
};

// Hides all that does not have every word that is looked for.
const box = document.getElementById("find"), contents = document.getElementById("contents");
const find = () => {
  const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const each of main.querySelectorAll("[data-find]")) {
    const text = each.getAttribute("data-find").toLowerCase();
    each.hidden = !words.every((word) => text.includes(word));
    count += !each.hidden;
    index.querySelector(`a[href="#${each.id}"]`).hidden = each.hidden;
  }
  for (const group of document.querySelectorAll(".part")) group.hidden = !group.querySelector("[data-find]:not([hidden]), a[href^='#']:not([hidden])");
  for (const group of main.querySelectorAll(".part")) group.hidden = !group.querySelector("[data-find]:not([hidden])");
  document.getElementById("found").textContent = words.length ? `${count} found` : "";
};
box.addEventListener("input", () => { find(); if (box.value) scrollTo(0, 0); });
addEventListener("keydown", (event) => {
  if (event.key === "/" && document.activeElement !== box) { event.preventDefault(); box.focus(); }
  if (event.key === "Escape" && document.activeElement === box) { box.value = ""; find(); }
});
// What is linked is shown, whatever is looked for.
addEventListener("hashchange", () => {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target && !target.offsetParent) { box.value = ""; find(); target.scrollIntoView(); }
});
const narrow = matchMedia("(max-width: 52rem)");
const fold = () => { contents.open = !narrow.matches; };
narrow.addEventListener("change", fold);
fold();
index.addEventListener("click", (event) => { if (event.target.closest("a")) fold(); });

fetch("openapi.json").then((answer) => answer.json()).then(show).catch((error) => {
  const state = document.getElementById("state") || main.appendChild(make("p"));
  state.textContent = `The document cannot be read: ${error}`;
});
