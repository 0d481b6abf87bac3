// Folio's WebAssembly beside onnxruntime-web in a fresh Chromium: a pass of 1 x 256 of `base` in f32, pass by pass in turns.
// Folio's time is that of a whole step of its sampler, the choice of characters included.
//   node bench/page_bench.mjs [--rounds N] [--threads N,N] [--wasm FOLDER]
//   --rounds   turns of each          (31)
//   --threads  thread counts          (1,2)
//   --wasm     the modules            (build/web)
// FOLIO_CHROMIUM names the browser (/usr/bin/chromium).
import { copyFile, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { serve } from "../web/serve.mjs";
import { config, randomModel, someIds, someText } from "./peers/model.mjs";
import { toOnnx } from "./peers/onnx.mjs";
import { tableHead, tableRow } from "./peers/pairs.mjs";

const top = fileURLToPath(new URL("..", import.meta.url));
const fromWeb = createRequire(join(top, "web/package.json"));
const { build } = fromWeb("esbuild");
const { chromium } = fromWeb("playwright-core");
const { values: options } = parseArgs({ options: {
  rounds: { type: "string", default: "31" }, threads: { type: "string", default: "1,2" },
  wasm: { type: "string", default: join(top, "build/web") },
} });

const folder = await mkdtemp(join(tmpdir(), "folio-bench-"));
const server = await serve(folder);
try {
  for (const name of await readdir(options.wasm)) {
    if (/^folio[a-z-]*\.wasm$/.test(name)) await copyFile(join(options.wasm, name), join(folder, name));
  }
  await build({
    entryPoints: { worker: join(top, "bench/peers/page_worker.mjs"), helper: join(top, "web/src/helper.ts") },
    bundle: true, format: "esm", target: "es2022", outdir: folder, logLevel: "warning",
  });
  const runtime = join(top, "bench/peers/node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded");
  await copyFile(`${runtime}.mjs`, join(folder, "ort.js"));
  await copyFile(`${runtime}.wasm`, join(folder, "ort.wasm"));
  const model = randomModel(), ids = someIds(), mark = "\u00a6";
  await writeFile(join(folder, "model.safetensors"), model);
  await writeFile(join(folder, "model.onnx"), toOnnx(model, ids.length));
  await writeFile(join(folder, "index.html"), "<!doctype html><title>Bench</title>");

  console.log(tableHead);
  for (const threads of options.threads.split(",").map(Number)) {
    const order = {
      threads, rounds: Number(options.rounds), ids, vocab: config.vocab_size,
      request: { text: someText(mark), mark, sampler: "confidence", steps: 64 },
    };
    const { error, names, differences, times, peer, threads: running } = await inFreshBrowser(order);
    if (error) throw new Error(error);
    if (running !== threads) throw new Error(`The modules run on ${running} threads.`);
    console.error(`largest difference of a probability: ${differences.map((value) => value.toExponential(1)).join(", ")}`);
    if (!differences.every((value) => value < 1e-4)) throw new Error("The two do not compute the same function.");
    for (const [i, name] of names.entries()) {
      console.log(tableRow({ work: "pass of 1 x 256, f32, Chromium", threads, folio: { name, times: times[i] },
        peer: { name: peer, times: times[names.length] } }));
    }
  }
} finally {
  server.close();
  await rm(folder, { recursive: true });
}

async function inFreshBrowser(order) {
  const browser = await chromium.launch({ executablePath: process.env.FOLIO_CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
  try {
    const page = await browser.newPage();
    await page.goto(server.address);
    return await page.evaluate((order) => new Promise((resolve) => {
      const worker = new Worker("worker.js", { type: "module" });
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = ({ message }) => resolve({ error: message });
      worker.postMessage(order);
    }), order);
  } finally {
    await browser.close();
  }
}
