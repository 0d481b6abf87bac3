// The worker of page_bench.mjs: Folio's modules and onnxruntime-web in turns, pass by pass, on one model.
import { instantiate } from "../../web/src/engine/wasm.ts";
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

/** An engine on `threads` threads with its model; none where it cannot read the model. */
async function folio({ module, products, threads }) {
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
  return { products, engine };
}

async function peer(products) {
  const session = await ort.InferenceSession.create(await bytesOf(`${products}.onnx`), { executionProviders: ["wasm"] });
  const run = async (input) => (await session.run(input))[session.outputNames[0]].data;
  return { name: `onnxruntime-web ${ort.env.versions.web}`, products, run };
}

const inputOf = ({ ids }) => ({ ids: new ort.Tensor("int32", Int32Array.from(ids), [1, ids.length]) });

/** The probability of a place's `character`, [MASK] left out, as softmax has it. */
function probability(logits, vocab, place, character) {
  const row = logits.subarray(place * vocab, (place + 1) * vocab - 1);
  return Math.exp(row[character]) / row.reduce((total, logit) => total + Math.exp(logit), 0);
}

self.onmessage = async ({ data: { threads, rounds, full, checked, vocab, modules, products, folioProducts } }) => {
  try {
    ort.env.wasm.numThreads = threads;
    ort.env.wasm.wasmPaths = { mjs: new URL("ort.js", location.href).href, wasm: new URL("ort.wasm", location.href).href };
    const peers = [], started = [];
    for (const kind of products) peers.push({ ...(await peer(kind)), errors: [] });
    for (const kind of folioProducts) for (const module of modules) started.push({ ...(await folio({ module, products: kind, threads })), errors: [] });
    const engines = started.filter(({ engine }) => engine);

    // What each says of the likeliest character of each open place, beside the peer's f32 graph.
    const { run } = await peer("f32");
    for (const sheet of checked) {
      const { ids, request } = sheet;
      const exact = await run(inputOf(sheet));
      const open = [...ids.keys()].filter((place) => ids[place] === vocab - 1);
      const errors = (likeliest, probabilityOf) =>
        open.map((place) => Math.abs(probabilityOf(place) - probability(exact, vocab, place, likeliest(place))));
      for (const each of engines) {
        each.engine.start(request);
        each.engine.step();
        const { topId, topProbability } = each.engine.frame();
        each.errors.push(...errors((place) => topId[4 * place], (place) => topProbability[4 * place]));
      }
      for (const each of peers) {
        const logits = await each.run(inputOf(sheet));
        const likeliest = (place) => {
          const row = logits.subarray(place * vocab, (place + 1) * vocab - 1);
          return row.indexOf(row.reduce((most, logit) => Math.max(most, logit), -Infinity));
        };
        each.errors.push(...errors(likeliest, (place) => probability(logits, vocab, place, likeliest(place))));
      }
    }

    // A first step sees all places open; starting the sample is no part of the pass.
    const firstStep = (engine) => async () => {
      engine.start(full.request);
      if (engine.frame().id.some((id) => id >= 0)) throw new Error("A place is not open.");
      return time(() => engine.step());
    };
    const input = inputOf(full);
    const contenders = [...engines.map(({ engine }) => firstStep(engine)), ...peers.map(({ run }) => () => time(() => run(input)))];
    // V8 changes compilers on the way, and Folio finds out which of its sets is the fastest.
    const described = () => engines.map(({ engine }) => engine.describe());
    for (let turn = 0; turn < 5 || described().some(({ settled }) => !settled); ++turn) await takeTurns(contenders, 1);
    for (const [i, { kernels, threads: width }] of described().entries()) Object.assign(engines[i], { name: kernels, threads: width });
    const times = await takeTurns(contenders, rounds);
    if (described().some(({ kernels }, i) => kernels !== engines[i].name)) throw new Error("The kernels changed while they were timed.");
    const results = [...engines, ...peers].map(({ name, products, errors, threads }, i) => ({ name, products, errors, threads, times: times[i] }));
    self.postMessage({ folio: results.slice(0, engines.length), peers: results.slice(engines.length),
      skipped: started.flatMap(({ skipped }) => skipped ?? []) });
  } catch (error) {
    self.postMessage({ error: String(error.stack ?? error) });
  }
};
