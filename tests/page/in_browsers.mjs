// Runs a worker in real browsers, beside the modules of the engine and files of its own, and hears what it reports.
//   FOLIO_WASM                      the folder of the modules    (build/web)
//   FOLIO_CHROMIUM, FOLIO_FIREFOX   the browsers                 (/usr/bin/chromium, /usr/bin/firefox-esr)
// They are started without a driver: under WebDriver BiDi, Firefox 153 now and then hangs where a worker starts a worker.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { build } from "../../web/node_modules/esbuild/lib/main.js";
import { serve } from "../../web/serve.mjs";

export const top = fileURLToPath(new URL("../..", import.meta.url));
const modules = process.env.FOLIO_WASM ?? join(top, "build/web");

export const browsers = {
  Chromium: {
    path: process.env.FOLIO_CHROMIUM ?? "/usr/bin/chromium",
    options: (profile) => ["--headless=new", "--no-sandbox", "--no-first-run", "--disable-background-networking", `--user-data-dir=${profile}`],
  },
  Firefox: {
    path: process.env.FOLIO_FIREFOX ?? "/usr/bin/firefox-esr",
    options: (profile) => ["--headless", "--no-remote", "--profile", profile],
  },
};

/** "Chromium 156". */
export function versionOf(name) {
  return `${name} ${/\d+/.exec(execFileSync(browsers[name].path, ["--version"], { encoding: "utf8" }))}`;
}

/**
 * A worker's script, and paths of files that it fetches by their names; it posts its one report, as JSON, to the address REPORTS.
 * `ask` gives the report of a browser.
 */
export async function host(worker, files) {
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
  for (const file of files) cpSync(join(top, file), join(folder, basename(file)));
  writeFileSync(join(folder, "index.html"), `<!doctype html><script>worker = new Worker("worker.js", { type: "module" })</script>`);
  await build({
    entryPoints: { worker, helper: join(top, "web/src/engine/helper.ts") }, bundle: true,
    format: "esm", target: "es2022", outdir: folder, logLevel: "warning",
    define: { REPORTS: JSON.stringify(`http://localhost:${listener.address().port}/`) },
  });
  const server = await serve(folder);

  async function ask(name) {
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
  function close() {
    server.close();
    listener.close();
    // A browser's last processes may still be writing.
    rmSync(temporary, { recursive: true, maxRetries: 10 });
  }
  return { ask, close };
}
