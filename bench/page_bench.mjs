// Folio's WebAssembly beside onnxruntime-web in a fresh Chromium: a full pass of `base`, all 256 places open, pass by pass in
// turns. Folio's time is that of the first step of a sample, the choice of characters included.
//   node bench/page_bench.mjs [--first] [--rounds N] [--threads N,N] [--products NAME,NAME] [--modules NAME,NAME] [--wasm FOLDER] [--build FOLDER]
//   --first     instead: from the navigation of a browser that has never seen the page to the end of the first pass, over
//               localhost, and the memory of the page's process after it; a browser for each, in turns
//   --rounds    turns of each                        (31; 7 of --first)
//   --threads   thread counts                        (1,2)
//   --products  what the matrices are multiplied in  (f32,int8)
//   --modules   Folio's: with relaxed SIMD, without  (relaxed,plain; --first takes what the browser would)
//   --wasm      the modules                          (build/web)
//   --build     the program that writes int8 files   (build/release)
// FOLIO_CHROMIUM names the browser (/usr/bin/chromium).
import { copyFile, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { serve } from "../web/serve.mjs";
import { config, randomModel, someIds, someText, writeInt8 } from "./peers/model.mjs";
import { toOnnx } from "./peers/onnx.mjs";
import { median, tableHead, tableRows, takeTurns } from "./peers/pairs.mjs";

const top = fileURLToPath(new URL("..", import.meta.url));
const fromWeb = createRequire(join(top, "web/package.json"));
const { build } = fromWeb("esbuild");
const { chromium } = fromWeb("playwright-core");
const { values: options } = parseArgs({ options: {
  first: { type: "boolean", default: false },
  rounds: { type: "string" }, threads: { type: "string", default: "1,2" },
  products: { type: "string", default: "f32,int8" }, modules: { type: "string", default: "relaxed,plain" },
  wasm: { type: "string", default: join(top, "build/web") }, build: { type: "string", default: join(top, "build/release") },
} });
const rounds = Number(options.rounds ?? (options.first ? 7 : 31));
const products = options.products.split(",");
/** A sheet as ids, and the request whose first step looks at it. */
const sampled = { sampler: "confidence", steps: 64 }, mark = "\u00a6";
const mixed = { ids: someIds(), request: { ...sampled, text: someText(mark), mark } };
const full = { ids: mixed.ids.map(() => config.vocab_size - 1), request: { ...sampled, length: mixed.ids.length } };

const folder = await mkdtemp(join(tmpdir(), "folio-bench-"));
const server = await serve(folder);
try {
  for (const name of await readdir(options.wasm)) {
    if (/^folio[a-z-]*\.wasm$/.test(name)) await copyFile(join(options.wasm, name), join(folder, name));
  }
  await build({
    entryPoints: { worker: join(top, "bench/peers/page_worker.mjs"), first: join(top, "bench/peers/first_worker.mjs"),
      helper: join(top, "web/src/engine/helper.ts") },
    bundle: true, splitting: true, minify: true, format: "esm", target: "es2022", outdir: folder, logLevel: "warning",
  });
  const runtime = join(top, "bench/peers/node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded");
  await copyFile(`${runtime}.mjs`, join(folder, "ort.js"));
  await copyFile(`${runtime}.wasm`, join(folder, "ort.wasm"));
  const model = randomModel();
  const file = (name) => join(folder, name);
  await writeFile(file("f32.safetensors"), model);
  for (const kind of new Set(["f32", ...products])) await writeFile(file(`${kind}.onnx`), toOnnx(model, full.ids.length, kind));
  const folioProducts = products.filter((kind) => kind !== "int8" || writeInt8(options.build, file("f32.safetensors"), file("int8.safetensors")));

  console.log(tableHead);
  for (const threads of options.threads.split(",").map(Number)) {
    await (options.first ? compareFirst : compare)({ threads, folioProducts });
  }
} finally {
  server.close();
  await rm(folder, { recursive: true });
}

async function compare({ threads, folioProducts }) {
  // Where all is hidden all places have one answer, so that what tells places apart is checked on a mixed sheet as well.
  const order = { threads, rounds, full, checked: [full, mixed], vocab: config.vocab_size, modules: options.modules.split(","), products, folioProducts };
  const { error, skipped, folio, peers } = await inFreshBrowser("worker.js", order);
  if (error) throw new Error(error);
  for (const sentence of skipped) console.error(`Left out: ${sentence}`);
  const wrong = folio.find(({ threads: running }) => running !== threads);
  if (wrong) throw new Error(`The modules run on ${wrong.threads} threads.`);
  for (const { name, products, errors } of [...folio, ...peers]) {
    if (!errors.every(Number.isFinite)) throw new Error("A probability is no number.");
    const [most, rms] = [Math.max(...errors), Math.sqrt(errors.reduce((sum, value) => sum + value * value, 0) / errors.length)];
    console.error(`${name} ${products}: error of a probability ${rms.toExponential(1)} (root mean square), ${most.toExponential(1)} (largest)`);
    if (!(products === "f32" ? most < 1e-4 : rms < 0.02)) throw new Error("The two do not compute the same function.");
  }
  for (const row of tableRows({ work: "full pass of 1 x 256, Chromium", threads, folio, peers })) console.log(row);
}

async function compareFirst({ threads, folioProducts }) {
  const contender = (who, products) => ({ name: who === "folio" ? "page" : "onnxruntime-web", products, megabytes: [],
    async time() {
      const { error, ms, megabytes } = await inFreshBrowser("first.js", { who, threads, products, ...full });
      if (error) throw new Error(error);
      this.megabytes.push(megabytes);
      return ms;
    } });
  const folio = [], peers = products.map((kind) => contender("peer", kind));
  for (const kind of folioProducts) {
    const { error } = await inFreshBrowser("first.js", { who: "folio", threads, products: kind, ...full });
    if (error) console.error(`Left out: ${kind}: ${error}`);
    else folio.push(contender("folio", kind));
  }
  const all = [...folio, ...peers];
  const times = await takeTurns(all.map((each) => () => each.time()), rounds);
  for (const [i, each] of all.entries()) {
    each.times = times[i];
    console.error(`${each.name} ${each.products}, ${threads} threads: ${median(each.megabytes).toFixed(0)} MB of memory`);
  }
  for (const row of tableRows({ work: "first pass after navigation, Chromium", threads, folio, peers })) console.log(row);
}

/** What the worker `script` answers to `order`; and when, in ms since the navigation, and the memory that the page has then. */
async function inFreshBrowser(script, order) {
  await writeFile(join(folder, "index.html"), `<!doctype html><title>Bench</title><script type="module">
    const worker = new Worker("${script}", { type: "module" });
    worker.postMessage(${JSON.stringify(order)});
    globalThis.answer = new Promise((resolve) => {
      worker.onmessage = ({ data }) => resolve({ ...data, ms: performance.now() });
      worker.onerror = ({ message }) => resolve({ error: message });
    });</script>`);
  const browser = await chromium.launch({ executablePath: process.env.FOLIO_CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
  try {
    const page = await browser.newPage();
    await page.goto(server.address);
    const result = await page.evaluate(() => globalThis.answer);
    return { ...result, megabytes: await memoryOf(browser) };
  } finally {
    await browser.close();
  }
}

/**
 * The megabytes that the largest of the browser's pages has written to, code aside. The browser's own measure
 * (measureUserAgentSpecificMemory) would wait a minute for a helper that sleeps, and misses memory with no view on it.
 */
async function memoryOf(browser) {
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send("SystemInfo.getProcessInfo");
  const sizes = await Promise.all(processInfo.filter(({ type }) => type === "renderer").map(async ({ id }) => {
    const status = await readFile(`/proc/${id}/status`, "utf8");
    return ["RssAnon", "RssShmem"].reduce((sum, name) => sum + Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)[1]), 0);
  }));
  return Math.max(...sizes) * 1024 / 1e6;
}
