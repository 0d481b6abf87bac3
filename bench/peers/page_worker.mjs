// The worker of page_bench.mjs: Folio's modules and onnxruntime-web in turns, pass by pass, on one model.
import { instantiate } from "../../web/src/wasm.ts";
import * as ort from "./node_modules/onnxruntime-web/dist/ort.wasm.min.mjs";
import { takeTurns } from "./pairs.mjs";

const bytesOf = async (name) => (await fetch(name)).arrayBuffer();

/** Milliseconds of `body`, after a pause in which the other's helpers fall asleep. */
async function time(body) {
  await new Promise((resolve) => setTimeout(resolve, 5));
  const begin = performance.now();
  await body();
  return performance.now() - begin;
}

/** An engine on `threads` threads that is about to take the first step of `request`. */
async function folio({ relaxed, threads, request }) {
  const { validate } = WebAssembly;
  // The loader asks whether relaxed SIMD is there, and nothing else.
  if (!relaxed) WebAssembly.validate = () => false;
  const engine = await instantiate({ base: new URL(".", location.href).href, threads }).finally(() => (WebAssembly.validate = validate));
  engine.load(await bytesOf("model.safetensors"));
  engine.start(request);
  return engine;
}

/** The largest difference in the probability of an open place's likeliest character, [MASK] left out, as softmax has it. */
function difference(frame, ids, logits, vocab) {
  let most = 0;
  for (const [place, id] of ids.entries()) {
    if (id !== vocab - 1) continue;
    const row = logits.subarray(place * vocab, (place + 1) * vocab - 1);
    const sum = row.reduce((total, logit) => total + Math.exp(logit), 0);
    const [character, probability] = [frame.topId[4 * place], frame.topProbability[4 * place]];
    most = Math.max(most, Math.abs(probability - Math.exp(row[character]) / sum));
  }
  return most;
}

self.onmessage = async ({ data: { threads, rounds, ids, vocab, request } }) => {
  try {
    ort.env.wasm.numThreads = threads;
    ort.env.wasm.wasmPaths = { mjs: new URL("ort.js", location.href).href, wasm: new URL("ort.wasm", location.href).href };
    const session = await ort.InferenceSession.create(await bytesOf("model.onnx"), { executionProviders: ["wasm"] });
    const input = { ids: new ort.Tensor("int32", Int32Array.from(ids), [1, ids.length]) };
    const engines = await Promise.all([true, false].map((relaxed) => folio({ relaxed, threads, request })));

    const { logits } = await session.run(input);
    const differences = engines.map((engine) => {
      engine.step();
      return difference(engine.frame(), ids, logits.data, vocab);
    });
    const step = (engine) => () => time(() => {
      if (!engine.step()) engine.start(request);
    });
    const contenders = [...engines.map(step), () => time(() => session.run(input))];
    await takeTurns(contenders, 5);  // V8 changes compilers on the way
    const times = await takeTurns(contenders, rounds);
    const names = engines.map((engine) => engine.describe().kernels);
    self.postMessage({ names, differences, times, peer: `onnxruntime-web ${ort.env.versions.web}`, threads: engines[0].describe().threads });
  } catch (error) {
    self.postMessage({ error: String(error.stack ?? error) });
  }
};
