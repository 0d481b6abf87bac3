// The worker of `page_bench.mjs --first`: fetches one engine and one model and runs a single pass.
const here = (name) => new URL(name, location.href).href;
const bytesOf = async (name) => (await fetch(here(name))).arrayBuffer();

async function folio({ threads, products, request }) {
  const model = bytesOf(`${products}.safetensors`);
  const { instantiate } = await import("../../web/src/engine/wasm.ts");
  const engine = await instantiate({ base: here("."), threads });
  engine.load(await model);
  engine.start(request);
  engine.step();
  return engine;
}

async function peer({ threads, products, ids }) {
  const model = bytesOf(`${products}.onnx`);
  const ort = await import("./node_modules/onnxruntime-web/dist/ort.wasm.min.mjs");
  ort.env.wasm.numThreads = threads;
  ort.env.wasm.wasmPaths = { mjs: here("ort.js"), wasm: here("ort.wasm") };
  const session = await ort.InferenceSession.create(await model, { executionProviders: ["wasm"] });
  await session.run({ ids: new ort.Tensor("int32", Int32Array.from(ids), [1, ids.length]) });
  return session;
}

self.onmessage = async ({ data: order }) => {
  try {
    // Kept, so that it counts when the memory is measured.
    self.engine = await (order.who === "folio" ? folio : peer)(order);
    self.postMessage({});
  } catch (error) {
    self.postMessage({ error: String(error.message ?? error) });
  }
};
