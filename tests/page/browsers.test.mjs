// Chromium and Firefox compute the golden texts and logits bit for bit, in every module and under every kernel set:
//   node --test tests/page/browsers.test.mjs
//   FOLIO_WASM                      the folder of the modules    (build/web)
//   FOLIO_CHROMIUM, FOLIO_FIREFOX   the browsers                 (/usr/bin/chromium, /usr/bin/firefox-esr)
// They are started without a driver: under WebDriver BiDi, Firefox 153 now and then hangs where a worker starts a worker.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { build } from "../../web/node_modules/esbuild/lib/main.js";
import { serve } from "../../web/serve.mjs";

const top = fileURLToPath(new URL("../..", import.meta.url));
const modules = process.env.FOLIO_WASM ?? join(top, "build/web");
const temporary = mkdtempSync(join(tmpdir(), "folio-"));
const folder = join(temporary, "page");

let hear; // takes the next report
const listener = createServer(async (request, response) => {
  hear(JSON.parse(await text(request)));
  response.end();
});
await new Promise((listening) => listener.listen(0, "127.0.0.1", listening));

mkdirSync(folder);
for (const name of readdirSync(modules)) if (/^folio[a-z-]*\.wasm$/.test(name)) cpSync(join(modules, name), join(folder, name));
for (const name of ["exact.json", "exact-masked.safetensors", "exact-gpt.safetensors", "exact-gaussian.safetensors", "exact-conv.safetensors", "exact-conv-gpt.safetensors"]) cpSync(join(top, "tests/golden", name), join(folder, name));
writeFileSync(join(folder, "index.html"), `<!doctype html><script>worker = new Worker("worker.js", { type: "module" })</script>`);
await build({
  entryPoints: { worker: join(top, "tests/page/golden_worker.mjs"), helper: join(top, "web/src/engine/helper.ts") }, bundle: true,
  format: "esm", target: "es2022", outdir: folder, logLevel: "warning",
  define: { REPORTS: JSON.stringify(`http://localhost:${listener.address().port}/`) },
});
const server = await serve(folder);
after(() => {
  server.close();
  listener.close();
  // A browser's last processes may still be writing.
  rmSync(temporary, { recursive: true, maxRetries: 10 });
});

const browsers = {
  Chromium: {
    path: process.env.FOLIO_CHROMIUM ?? "/usr/bin/chromium",
    options: (profile) => ["--headless=new", "--no-sandbox", "--no-first-run", "--disable-background-networking", `--user-data-dir=${profile}`],
  },
  Firefox: {
    path: process.env.FOLIO_FIREFOX ?? "/usr/bin/firefox-esr",
    options: (profile) => ["--headless", "--no-remote", "--profile", profile],
  },
};
const setsOf = { relaxed: ["wasm_relaxed", "wasm_relaxed_i16", "wasm"], plain: ["wasm"] };

/** What golden_worker.mjs finds in a browser. */
async function askBrowser(name) {
  const { path, options } = browsers[name];
  assert.ok(existsSync(path), `${name} is not at ${path}: install it, or let FOLIO_${name.toUpperCase()} name it.`);
  const profile = join(temporary, name);
  mkdirSync(profile);
  const browser = spawn(path, [...options(profile), server.address], { stdio: "ignore" });
  const gone = new Promise((resolve) => browser.once("close", resolve));
  let timer;
  try {
    return await new Promise((resolve, reject) => {
      hear = resolve;
      browser.once("error", reject);
      gone.then(() => reject(new Error(`${name} ended without an answer.`)));
      timer = setTimeout(() => reject(new Error(`${name} gave no answer in five minutes.`)), 300000);
    });
  } finally {
    clearTimeout(timer);
    browser.kill();
    await gone;
  }
}

for (const name of Object.keys(browsers)) {
  test(name, async (t) => {
    const reports = await askBrowser(name);
    for (const [module, sets] of Object.entries(setsOf)) {
      for (const threads of [1, 2]) {
        await t.test(`the ${module} module on ${threads} threads`, (t) => {
          const { failure, correct, runs, ...report } = reports[`${module} ${threads}`];
          assert.equal(failure, undefined);
          assert.deepEqual(report, { sets, width: threads });
          // A browser may get a relaxed instruction wrong. The engine knows such a set and keeps away from it.
          const wrong = sets.filter((set) => !correct.includes(set));
          if (wrong.length) t.diagnostic(`wrong in this browser, and not chosen: ${wrong.join(", ")}`);
          assert.ok(!wrong.includes("wasm"), "the plain kernels are wrong");
          assert.deepEqual([...new Set(runs.map(({ set }) => set))], ["", ...sets]);
          for (const { set, kernels, written, golden, ...run } of runs) {
            if (wrong.includes(set)) continue;
            assert.ok(!wrong.includes(kernels), `${kernels} was chosen`);
            if (set) assert.equal(kernels, set);
            assert.deepEqual(written, golden, JSON.stringify({ kernels, ...run }));
          }
        });
      }
    }
  });
}
