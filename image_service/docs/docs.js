"use strict";

// Shows /openapi.json, and sends requests to this service alone. The key stays in this page.
const by = (id) => document.getElementById(id);
const pause = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));
const operations = [];
const LIMITS = "/api/v1/images/limits";
const UPSCALE = "/api/v1/images/upscale";

function element(tag, text, className) {
  const made = document.createElement(tag);
  made.textContent = text ?? "";
  if (className) made.className = className;
  return made;
}

/** The contract's prose: what stands in backquotes is code. */
function prose(tag, text) {
  const made = element(tag);
  text.split("`").forEach((part, number) => made.append(number % 2 ? element("code", part) : part));
  return made;
}

function send(path, options = {}) {
  const key = by("key").value.trim();
  return fetch(path, { ...options, headers: key ? { "X-API-Key": key } : {} });
}

// --- Errors -----------------------------------------------------------------------------------

class Refused extends Error {
  constructor(status, error, retryAfter) {
    super(error.message);
    this.status = status;
    this.error = error;
    this.retryAfter = retryAfter;
  }
}

async function good(answer) {
  if (answer.ok) return answer;
  const body = await answer.json().catch(() => null);
  const error = body?.error ?? { code: String(answer.status), message: answer.statusText };
  throw new Refused(answer.status, error, answer.headers.get("retry-after"));
}

function showProblem(place, problem) {
  place.replaceChildren();
  if (!problem) return;
  const error = problem.error ?? { code: "No answer", message: problem.message };
  const line = element("p");
  line.append(element("strong", error.code), `: ${error.message}`);
  const list = element("ul");
  for (const { field, message } of error.details?.errors ?? []) list.append(element("li", `${field}: ${message}`));
  if (problem.retryAfter) list.append(element("li", `Try again in ${problem.retryAfter} seconds.`));
  if (error.request_id) list.append(element("li", `Request ${error.request_id}`));
  place.append(line, list);
}

// --- Enlarging --------------------------------------------------------------------------------

let current = null;

function uploaded() {
  const body = new FormData();
  for (const name of ["scale", "format", "quality", "metadata"]) if (by(name).value) body.append(name, by(name).value);
  body.append("file", by("file").files[0]);
  return body;
}

function showState(text, progress) {
  by("state").textContent = text;
  by("progress").hidden = progress === undefined;
  by("progress").value = progress ?? 0;
}

async function followed(job) {
  while (job.status === "queued" || job.status === "running") {
    showState(`Job ${job.job_id}: ${job.status}, ${job.progress} %`, job.progress);
    await pause(0.5);
    try {
      job = await (await good(await send(job.links.self))).json();
    } catch (problem) {
      if (problem.status !== 429 && problem.status !== 503) throw problem;
      await pause(Number(problem.retryAfter ?? 1));
    }
  }
  return job;
}

async function showResult(job) {
  const image = await (await good(await send(job.links.result))).blob();
  if (by("picture").src) URL.revokeObjectURL(by("picture").src);
  by("picture").src = URL.createObjectURL(image);
  await by("picture").decode();
  by("size").textContent = `${by("picture").naturalWidth} × ${by("picture").naturalHeight} pixels, ${image.size} bytes.`;
  by("save").href = by("picture").src;
  by("save").download = `large.${image.type.replace("image/", "")}`;
  by("result").hidden = false;
}

async function enlarge(event) {
  event.preventDefault();
  showProblem(by("problem"), null);
  by("result").hidden = true;
  by("send").disabled = true;
  showState("Sending …");
  try {
    current = await (await good(await send(UPSCALE, { method: "POST", body: uploaded() }))).json();
    by("job").value = current.job_id;
    by("cancel").hidden = false;
    const job = await followed(current);
    if (job.status === "succeeded") await showResult(job);
    if (job.error) showProblem(by("problem"), { error: job.error });
    showState(`Job ${job.job_id}: ${job.status}`);
  } catch (problem) {
    showState("");
    showProblem(by("problem"), problem);
  } finally {
    by("send").disabled = false;
    by("cancel").hidden = true;
  }
}

async function cancel() {
  try {
    await good(await send(current.links.self, { method: "DELETE" }));
  } catch (problem) {
    showProblem(by("problem"), problem);
  }
}

// --- Limits -----------------------------------------------------------------------------------

async function showLimits(event) {
  event.preventDefault();
  showProblem(by("limits-problem"), null);
  by("limits").hidden = true;
  try {
    const told = await (await good(await send(LIMITS))).json();
    by("tier").textContent = `Tier ${told.tier}; the largest file has ${told.max_file_bytes.toLocaleString("en")} bytes.`;
    by("limit-rows").replaceChildren();
    for (const { name, limit, window_seconds, remaining, reset_seconds } of told.limits) {
      const row = element("tr");
      for (const cell of [name, limit, window_seconds, remaining, reset_seconds]) row.append(element("td", cell));
      by("limit-rows").append(row);
    }
    by("limits").hidden = false;
  } catch (problem) {
    showProblem(by("limits-problem"), problem);
  }
}

// --- Any other request ------------------------------------------------------------------------

const chosen = () => operations[Number(by("operation").value)];

function adapt() {
  by("job-field").hidden = !chosen().path.includes("{job_id}");
}

async function attempt(event) {
  event.preventDefault();
  const { method, path } = chosen();
  by("answer").hidden = false;
  by("answer").textContent = "…";
  try {
    const answer = await send(path.replace("{job_id}", encodeURIComponent(by("job").value)), { method });
    const head = [...answer.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
    by("answer").textContent = `${answer.status} ${answer.statusText}\n${head}\n\n${await shown(answer)}`;
  } catch (problem) {
    by("answer").textContent = `No answer: ${problem.message}`;
  }
}

async function shown(answer) {
  const type = answer.headers.get("content-type") ?? "";
  if (type.startsWith("image/")) return `(${(await answer.blob()).size} bytes of an image)`;
  const body = await answer.text();
  return body && type.startsWith("application/json") ? JSON.stringify(JSON.parse(body), null, 2) : body;
}

// --- The contract -----------------------------------------------------------------------------

function resolved(contract, value) {
  return value.$ref ? value.$ref.slice(2).split("/").reduce((at, key) => at[key], contract) : value;
}

function showRoute(contract, item, { method, path, operation }) {
  const details = element("details");
  const summary = element("summary");
  summary.append(element("code", method, "method"), element("code", path), ` ${operation.summary}`);
  details.append(summary);
  if (operation.description) details.append(prose("p", operation.description));
  const parameters = [...(item.parameters ?? []), ...(operation.parameters ?? [])].map((it) => resolved(contract, it));
  details.append(list("What to send", parameters.map((it) => [it.name, it.description])));
  const fields = operation.requestBody ? contract.components.schemas.UpscaleForm.properties : {};
  if (operation.requestBody) details.append(list("Fields of the form", Object.entries(fields).map(([name, it]) => [name, it.description])));
  const answers = Object.entries(operation.responses).map(([status, it]) => [status, resolved(contract, it).description]);
  details.append(list("Answers", answers));
  by("routes").append(details);
}

function list(title, entries) {
  const whole = element("div");
  const items = element("ul");
  for (const [name, text] of entries) {
    const item = element("li");
    item.append(element("code", name), " ", prose("span", text));
    items.append(item);
  }
  whole.append(element("h3", title), items);
  return whole;
}

function showContract(contract) {
  by("about").replaceChildren(prose("span", contract.info.description));
  for (const [path, item] of Object.entries(contract.paths)) {
    for (const method of ["get", "head", "post", "delete"]) {
      if (!item[method]) continue;
      const entry = { method: method.toUpperCase(), path, operation: item[method] };
      showRoute(contract, item, entry);
      if (method === "post" || path.startsWith("/docs")) continue;
      by("operation").append(new Option(`${entry.method} ${path}`, String(operations.push(entry) - 1)));
    }
  }
  adapt();
}

by("upscale").addEventListener("submit", enlarge);
by("cancel").addEventListener("click", cancel);
by("ask-limits").addEventListener("submit", showLimits);
by("operation").addEventListener("change", adapt);
by("try").addEventListener("submit", attempt);
fetch("/openapi.json").then(good).then((answer) => answer.json()).then(showContract).catch((problem) => {
  by("about").textContent = `The contract could not be read: ${problem.message}`;
});
