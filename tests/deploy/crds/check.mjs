// Judges custom resources: a JSON list of objects on standard input, a JSON list of faults on
// standard output. Values are judged by the rules of the resource's own schema, fields by its type:
// the rules let unknown fields pass, and the types know no ranges and patterns.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const PACKAGES = {
  "cert-manager.io": "@kubernetes-models/cert-manager",
  "gateway.networking.k8s.io": "@kubernetes-models/gateway-api",
  "networking.gke.io": "@kubernetes-models/gke",
  "networking.istio.io": "@kubernetes-models/istio",
  "security.istio.io": "@kubernetes-models/istio",
  "monitoring.coreos.com": "@kubernetes-models/prometheus-operator",
};

const place = (it) => `${it.kind}/${it.metadata?.name}`;

function module(it) {
  const [group] = it.apiVersion.split("/");
  return PACKAGES[group] && `${PACKAGES[group]}/${it.apiVersion}/${it.kind}`;
}

async function valueFaults(it) {
  if (!module(it)) return [`${place(it)}: no schema of ${it.apiVersion}`];
  const found = await import(module(it)).catch(() => import(`${module(it)}.js`)).catch(() => null);
  if (!found) return [`${place(it)}: no such kind in ${it.apiVersion}`];
  const Model = found[it.kind] ?? found.default[it.kind];
  try {
    new Model(it).validate();
    return [];
  } catch (error) {
    return [`${place(it)}: ${error.message}`];
  }
}

// One constant for each object; a fault names the line it stands on.
function fieldFaults(objects) {
  const known = objects.filter(module);
  const folder = mkdtempSync(join(import.meta.dirname, "checked-"));
  try {
    const lines = known.map((it, number) => {
      const type = `import("${module(it)}").I${it.kind}`;
      return `export const it${number}: ${type} = ${JSON.stringify(it)};`;
    });
    const file = join(folder, "objects.ts");
    writeFileSync(file, lines.join("\n"));
    const options = ["--noEmit", "--strict", "--skipLibCheck", "--ignoreConfig", "--pretty", "false"];
    execFileSync("node_modules/.bin/tsc", [
      ...options, "--target", "esnext", "--module", "preserve", "--moduleResolution", "bundler", file,
    ], { cwd: import.meta.dirname });
    return [];
  } catch (error) {
    if (!error.stdout) throw error;
    return error.stdout.toString().split("\n").filter((line) => line.includes("error TS"))
      .map((line) => {
        const [, number, text] = /\((\d+),\d+\): error (.*)/.exec(line) ?? [null, 0, line];
        return `${number ? place(known[number - 1]) : "?"}: ${text}`;
      });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const objects = JSON.parse(readFileSync(0, "utf8"));
const values = (await Promise.all(objects.map(valueFaults))).flat();
console.log(JSON.stringify([...values, ...fieldFaults(objects)]));
