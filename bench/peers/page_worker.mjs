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

/** An engine on `threads` threads that is about to take the first step of `request`; none where it cannot read the model. */
async function folio({ module, products, threads, request }) {
  const { validate } = WebAssembly;
  // The loader asks whether relaxed SIMD is there, and nothing else.
  if (module === "plain") WebAssembly.validate = () => false;
  const engine = await instantiate({ base: new URL(".", location.href).href, threads }).finally(() => (WebAssembly.validate = validate));
  try {
    engine.load(await bytesOf(`${products}.safetensors`));
  } catch (error) {
    engine.end();
    return { skipped: `${products}, ${module} module: ${error.message}` };
  }
  engine.start(request);
  return { products, engine };
}

async function peer(products, ids) {
  const session = await ort.InferenceSession.create(await bytesOf(`${products}.onnx`), { executionProviders: ["wasm"] });
  const input = { ids: new ort.Tensor("int32", Int32Array.from(ids), [1, ids.length]) };
  const run = async () => (await session.run(input))[session.outputNames[0]].data;
  return { name: `onnxruntime-web ${ort.env.versions.web}`, products, run };
}

/** The probability of a place's `character`, [MASK] left out, as softmax has it. */
function probability(logits, vocab, place, character) {
  const row = logits.subarray(place * vocab, (place + 1) * vocab - 1);
  return Math.exp(row[character]) / row.reduce((total, logit) => total + Math.exp(logit), 0);
}

self.onmessage = async ({ data: { threads, rounds, ids, vocab, request, modules, products, folioProducts } }) => {
  try {
    ort.env.wasm.numThreads = threads;
    ort.env.wasm.wasmPaths = { mjs: new URL("ort.js", location.href).href, wasm: new URL("ort.wasm", location.href).href };
    const peers = [], started = [];
    for (const kind of products) peers.push(await peer(kind, ids));
    for (const kind of folioProducts) for (const module of modules) started.push(await folio({ module, products: kind, threads, request }));
    const engines = started.filter(({ engine }) => engine);

    // What each says of the likeliest character of each open place, beside the peer's f32 graph.
    const exact = await (await peer("f32", ids)).run();
    const open = [...ids.keys()].filter((place) => ids[place] === vocab - 1);
    const errors = (likeliest, probabilityOf) =>
      open.map((place) => Math.abs(probabilityOf(place) - probability(exact, vocab, place, likeliest(place))));
    for (const each of engines) {
      each.engine.step();
      const { topId, topProbability } = each.engine.frame();
      each.errors = errors((place) => topId[4 * place], (place) => topProbability[4 * place]);
      const description = each.engine.describe();
      [each.name, each.threads] = [description.kernels, description.threads];
    }
    for (const each of peers) {
      const logits = await each.run();
      const likeliest = (place) => {
        const row = logits.subarray(place * vocab, (place + 1) * vocab - 1);
        return row.indexOf(row.reduce((most, logit) => Math.max(most, logit), -Infinity));
      };
      each.errors = errors(likeliest, (place) => probability(logits, vocab, place, likeliest(place)));
    }

    const step = (engine) => () => time(() => {
      if (!engine.step()) engine.start(request);
    });
    const contenders = [...engines.map(({ engine }) => step(engine)), ...peers.map(({ run }) => () => time(run))];
    await takeTurns(contenders, 5);  // V8 changes compilers on the way
    const times = await takeTurns(contenders, rounds);
    const results = [...engines, ...peers].map(({ name, products, errors, threads }, i) => ({ name, products, errors, threads, times: times[i] }));
    self.postMessage({ folio: results.slice(0, engines.length), peers: results.slice(engines.length),
      skipped: started.flatMap(({ skipped }) => skipped ?? []) });
  } catch (error) {
    self.postMessage({ error: String(error.stack ?? error) });
  }
};
