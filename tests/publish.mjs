// Samples the fixed set of texts on every target that this machine has, and writes the hashes into weights/verify.json and their
// table into README.md: after weights were trained anew, or the arithmetic was changed on purpose.
//   node tests/publish.mjs
// It wants what tests/run has built: build/release, build/arm and build/web; a target without its build is left out. One that differs
// from the portable kernels is an error.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { cpus } from "node:os";
import { join } from "node:path";
import { browsers, host, top, versionOf } from "./page/in_browsers.mjs";

const path = join(top, "weights/verify.json");
const by = `tests/publish.mjs on ${cpus()[0].model.replace(/\((R|TM)\)/g, "").replace(/ (\d+-Core )?Processor.*| CPU.*/, "")}`;
const date = new Date().toISOString().slice(0, 10);

/** What folio verify reports; texts that are not those published yet are no failure here. */
function verify(kernels, threads) {
  const { stdout, stderr } = spawnSync(join(top, "build/release/folio"), ["verify", "--json", "--weights-dir", join(top, "weights"), "--threads", threads],
    { encoding: "utf8", env: { ...process.env, FOLIO_KERNELS: kernels } });
  if (!stdout) throw new Error(stderr);
  return JSON.parse(stdout);
}

function shortHash(bytes) {
  return createHash("sha256").update(bytes).digest("hex").slice(0, 16);
}

/** Replaces the one group of a pattern in a text. */
function put(text, pattern, value) {
  if (!pattern.test(text)) throw new Error(`${pattern} is not found.`);
  return text.replace(pattern, (whole, before, old, after) => before + value + after);
}

const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

/** Writes the hashes of samples and weights, and the rows of what was measured. */
function writeSet(report, measured) {
  let json = readFileSync(path, "utf8");
  for (const { name, hash } of report.samples) json = put(json, new RegExp(`("name": "${escaped(name)}"[^]*?"hash": ")([^"]*)(")`), hash);
  for (const name of Object.keys(JSON.parse(json).weights))
    json = put(json, new RegExp(`("${name}": ")([^"]*)(")`), shortHash(readFileSync(join(top, `weights/${name}.safetensors`))));
  json = put(json, /(\],\n {2}"weights"[^\n]*\n {2}"hash": ")([^"]*)(")/, report.hash);
  const rows = measured.map((row) => `\n    ${JSON.stringify(row)}`).join(",");
  json = put(json, /("measured": \[)([^]*?)(\n? *\]\n\}\n$)/, rows);
  writeFileSync(path, json.replace(/("measured": \[[^]*?)\n? *\]\n\}\n$/, "$1\n  ]\n}\n"));
}

function writeTable(measured) {
  const readme = join(top, "README.md");
  const rows = measured.map(({ target, kernels, threads, hash, by, date }) =>
    `| ${target}: ${kernels.map((name) => `\`${name}\``).join(", ")}; ${threads.join(" and ")} threads | \`${hash}\` | ${by}, ${date} |\n`);
  writeFileSync(readme, put(readFileSync(readme, "utf8"), /(\| target \| hash of all texts \| measured by \|\n\|---\|---\|---\|\n)((?:\|.*\n)*)()/, rows.join("")));
}

execFileSync("cmake", ["--build", "--preset", "release", "--target", "folio"], { cwd: top, stdio: "inherit" });
const first = verify("portable", "1");
const measured = [];
function record(target, kernels, threads) {
  measured.push({ target, kernels, threads, hash: first.hash, by, date });
  console.log(`${target}: ${kernels.join(", ")}; ${threads.join(" and ")} threads: ${first.hash}`);
}

for (const kernels of first.kernels)
  for (const threads of ["1", "2"])
    if (verify(kernels, threads).hash !== first.hash) throw new Error(`${kernels} on ${threads} threads differs from portable.`);
record("x86-64", first.kernels, [1, 2]);

const published = JSON.parse(readFileSync(path, "utf8"));
if (existsSync(join(top, "build/web"))) {
  const worker = await host(join(top, "tests/page/verify_worker.mjs"), Object.keys(published.weights).map((name) => `weights/${name}.safetensors`));
  for (const name of Object.keys(browsers).filter((name) => existsSync(browsers[name].path))) {
    const reports = Object.values(await worker.ask(name));
    for (const { failure, texts } of reports) {
      if (failure) throw new Error(`${name}: ${failure}`);
      const differing = texts.filter(({ name, hash }) => hash !== first.samples.find((sample) => sample.name === name).hash);
      if (differing.length) throw new Error(`${name} differs: ${JSON.stringify(differing)}`);
    }
    const distinct = (values) => [...new Set(values)].sort();
    const runs = reports.flatMap(({ texts }) => texts);
    record(`WebAssembly in ${versionOf(name)}`, distinct(runs.map(({ kernels }) => kernels)), distinct(runs.map(({ threads }) => threads)));
  }
  worker.close();
}

// What others have measured stays where it still holds.
measured.push(...published.measured.filter((row) => row.hash === first.hash && row.by !== by));
writeSet(first, measured);
const arm = join(top, "build/arm/tests/published_test");
if (existsSync(arm)) {
  execFileSync("qemu-aarch64-static", [arm], { stdio: "inherit" }); // fails where a text has not the hash that was just written
  record("ARM64, emulated by qemu", ["portable"], [2]);
  writeSet(first, measured);
}
writeTable(measured);
console.log("Written. Build again: program and page have the set inside them.");
