// In a browser's worker, beside the modules and the golden files: in every module, on one thread and on two, every golden
// request under the engine's own choice of kernels and under each set. in_browsers.mjs bundles this, and hears of it at REPORTS.
import { instantiate } from "../../web/src/engine/wasm";
import { sample, variantOf } from "./golden_requests.mjs";

const { variants } = await (await fetch("exact.json")).json();
const weights = {};
for (const { weights: name } of variants) weights[name] ??= new Uint8Array(await (await fetch(`${name}.safetensors`)).arrayBuffer());

async function runAll(threads) {
  const engine = await instantiate({ base: new URL(".", self.location.href).href, threads });
  const runs = [];
  function runUnder(set) {
    if (set) engine.use(set);
    for (const variant of variants) {
      engine.load(variantOf(weights[variant.weights], variant));
      for (const { text, logits, ...request } of variant.requests) {
        const written = sample(engine, request, (name) => weights[name]);
        const { kernels, config } = engine.describe();
        runs.push({ set, kernels, weights: variant.weights, n_head: config.n_head, seq_len: config.seq_len, request, written, golden: { text, logits } });
      }
    }
  }
  runUnder("");
  const { sets, threads: width } = engine.describe();
  const correct = engine.timeKernels().filter((kernel) => kernel.correct).map(({ name }) => name);
  sets.forEach(runUnder);
  engine.end();
  return { sets, width, correct, runs };
}

const reports = {};
for (const module of ["relaxed", "plain"]) {
  if (module === "plain") WebAssembly.validate = () => false; // so a browser without relaxed SIMD says
  for (const threads of [1, 2]) {
    reports[`${module} ${threads}`] = await runAll(threads).catch((error) => ({ failure: String(error) }));
  }
}
await fetch(REPORTS, { method: "POST", mode: "no-cors", body: JSON.stringify(reports) });
