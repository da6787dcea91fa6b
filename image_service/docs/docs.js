"use strict";

// Shows /openapi.json and sends one request at a time. The key stays in this page.
const by = (id) => document.getElementById(id);
const operations = [];

function element(tag, text, className) {
  const made = document.createElement(tag);
  made.textContent = text ?? "";
  if (className) made.className = className;
  return made;
}

function resolved(contract, value) {
  return value.$ref ? value.$ref.slice(2).split("/").reduce((at, key) => at[key], contract) : value;
}

function showRoute(contract, { method, path, operation }) {
  const details = element("details");
  const summary = element("summary");
  summary.append(element("code", method, "method"), element("code", path), ` ${operation.summary}`);
  const list = element("ul");
  for (const [status, answer] of Object.entries(operation.responses)) {
    list.append(element("li", `${status}: ${resolved(contract, answer).description}`));
  }
  details.append(summary, list);
  by("routes").append(details);
}

function showContract(contract) {
  by("about").textContent = contract.info.description;
  for (const [path, item] of Object.entries(contract.paths)) {
    for (const method of ["get", "head", "post", "delete"]) {
      if (!item[method]) continue;
      const entry = { method: method.toUpperCase(), path, operation: item[method] };
      showRoute(contract, entry);
      if (path.startsWith("/docs")) continue;
      by("operation").append(new Option(`${entry.method} ${path}`, String(operations.push(entry) - 1)));
    }
  }
  adapt();
}

const chosen = () => operations[Number(by("operation").value)];

function adapt() {
  by("form").hidden = chosen().method !== "POST";
  by("job").parentElement.hidden = !chosen().path.includes("{job_id}");
}

function request({ method, path }) {
  const headers = by("key").value ? { "X-API-Key": by("key").value } : {};
  if (method !== "POST") return [path.replace("{job_id}", encodeURIComponent(by("job").value)), { method, headers }];
  const body = new FormData();
  for (const name of ["scale", "format"]) if (by(name).value) body.append(name, by(name).value);
  if (by("file").files[0]) body.append("file", by("file").files[0]);
  if (Number(by("wait").value) > 0) headers.Prefer = `wait=${by("wait").value}`;
  return [path, { method, headers, body }];
}

async function showAnswer(answer) {
  const head = [...answer.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
  const type = answer.headers.get("content-type") ?? "";
  let body = "";
  if (type.startsWith("image/")) {
    URL.revokeObjectURL(by("picture").src);
    by("picture").src = URL.createObjectURL(await answer.blob());
    by("picture").hidden = false;
  } else {
    body = await answer.text();
    if (type.startsWith("application/json") && body) {
      const parsed = JSON.parse(body);
      body = JSON.stringify(parsed, null, 2);
      if (parsed.job_id) by("job").value = parsed.job_id;
    }
  }
  by("answer").textContent = `${answer.status} ${answer.statusText}\n${head}\n\n${body}`;
}

async function send(event) {
  event.preventDefault();
  by("picture").hidden = true;
  by("answer").textContent = "…";
  try {
    await showAnswer(await fetch(...request(chosen())));
  } catch (error) {
    by("answer").textContent = `The request failed: ${error.message}`;
  }
}

by("operation").addEventListener("change", adapt);
by("try").addEventListener("submit", send);
fetch("/openapi.json").then((answer) => answer.json()).then(showContract);
