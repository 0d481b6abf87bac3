// Folio beside onnxruntime-node: a forward pass of 1 x 256 in f32 and in int8, in turns of a third of a second.
//   node bench/peers/native.mjs [--rounds N] [--threads N,N] [--products NAME,NAME] [--kernels NAME] [--build FOLDER] [--files FOLDER]
//   --rounds    turns of each                       (21)
//   --threads   thread counts                       (1,2)
//   --products  what the matrices are multiplied in (f32,int8)
//   --kernels   Folio's set                         (the best that has the products)
//   --build     folio                               (build/release)
//   --files     where the models go                 (build/peers)
import { execFileSync } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import ort from "onnxruntime-node";
import { resultsOf } from "./folio_bench.mjs";
import { randomModel, someIds, writeInt8 } from "./model.mjs";
import { toOnnx } from "./onnx.mjs";
import { tableHead, tableRows, takeTurns } from "./pairs.mjs";

const top = fileURLToPath(new URL("../..", import.meta.url));
const { values: options } = parseArgs({ options: {
  rounds: { type: "string", default: "21" }, threads: { type: "string", default: "1,2" },
  products: { type: "string", default: "f32,int8" }, kernels: { type: "string", default: "" },
  build: { type: "string", default: join(top, "build/release") }, files: { type: "string", default: join(top, "build/peers") },
} });
const kinds = options.products.split(",");
const [idsFile, logitsFile] = ["ids.json", "logits.npy"].map((name) => join(options.files, name));
const turn = 0.3;  // seconds

const ids = someIds();
const model = randomModel();
const weights = { f32: join(options.files, "model.safetensors"), int8: join(options.files, "model-int8.safetensors") };
await mkdir(options.files, { recursive: true });
await writeFile(weights.f32, model);
await writeFile(idsFile, JSON.stringify([ids]));
const input = { ids: new ort.Tensor("int32", Int32Array.from(ids), [1, ids.length]) };
const ours = kinds.filter((products) => products !== "int8" || writeInt8(options.build, weights.f32, weights.int8));

const createSession = (products, threads) =>
  ort.InferenceSession.create(toOnnx(model, ids.length, products), { intraOpNumThreads: threads, interOpNumThreads: 1 });
const peerLogits = async (session) => (await session.run(input))[session.outputNames[0]].data;

async function folioLogits(products) {
  execFileSync(join(options.build, "folio"), ["logits", "--weights", weights[products], "--ids", idsFile, "--out", logitsFile]);
  const file = await readFile(logitsFile);
  return new Float32Array(new Uint8Array(file.subarray(10 + file.readUInt16LE(8))).buffer);
}

/** What is left of `values` once `exact` is taken away, as a root of the mean square and at most. */
function error(values, exact) {
  if (values.length !== exact.length) throw new Error("The logits have different shapes.");
  const differences = values.map((value, i) => Math.abs(value - exact[i]));
  return { rms: Math.sqrt(differences.reduce((sum, value) => sum + value * value, 0) / values.length),
    most: differences.reduce((most, value) => Math.max(most, value), 0) };
}

/** All must compute the same function to be compared: that of the peer's f32 graph. */
async function check() {
  const session = await createSession("f32", 1);
  const exact = await peerLogits(session);
  await session.release();
  if (ours.includes("f32")) {
    const { most } = error(await folioLogits("f32"), exact);
    console.error(`largest difference of a logit in f32: ${most.toExponential(1)}`);
    if (!(most < 1e-3)) throw new Error("The two do not compute the same function.");
  }
  if (!kinds.includes("int8")) return;
  const rounded = await createSession("int8", 1);
  const theirs = error(await peerLogits(rounded), exact).rms;
  await rounded.release();
  const spread = error(exact, exact.map(() => 0)).rms;
  console.error(`root mean square of the logits: ${spread.toFixed(2)}; of what int8 adds: onnxruntime ${theirs.toFixed(4)}`);
  if (!ours.includes("int8")) return;
  const { rms } = error(await folioLogits("int8"), exact);
  console.error(`of what int8 adds: Folio ${rms.toFixed(4)}`);
  if (!(rms < 0.1 * spread)) throw new Error("The two do not compute the same function.");
}

/** The rows of passes in these products on so many threads, the best set first, or of one set alone. */
function passes(products, threads, seconds, kernels) {
  const rows = resultsOf(join(options.build, "folio"), ["bench", "--weights", weights[products], "--task", "forward", "--device", "cpu",
    "--threads", threads, "--seconds", seconds, "--json"], { FOLIO_KERNELS: kernels });
  return rows.filter((row) => row.products === products && row.threads === threads);
}

/** Passes of the best set, or the one asked for, as a contender; none where there is none. */
function folio(products, threads) {
  const [row] = passes(products, threads, 0, options.kernels);
  if (!row) {
    console.error(`folio bench has no pass in ${products} on ${threads} threads here.`);
    return [];
  }
  return [{ name: row.kernels, products, time: () => passes(products, threads, turn, row.kernels)[0].median_ms }];
}

async function peer(products, threads) {
  const session = await createSession(products, threads);
  const time = async () => {
    await session.run(input);
    const begin = performance.now();
    let count = 0;
    for (; performance.now() - begin < 1000 * turn; ++count) await session.run(input);
    return (performance.now() - begin) / count;
  };
  return { name: `onnxruntime-node ${ort.env.versions.node}`, products, time, release: () => session.release() };
}

await check();
console.log(tableHead);
for (const threads of options.threads.split(",").map(Number)) {
  const folios = ours.flatMap((products) => folio(products, threads));
  const peers = await Promise.all(kinds.map((products) => peer(products, threads)));
  const contenders = [...folios, ...peers];
  const times = await takeTurns(contenders.map(({ time }) => time), Number(options.rounds));
  for (const [i, contender] of contenders.entries()) contender.times = times[i];
  for (const row of tableRows({ work: "forward 1 x 256", threads, folio: folios, peers })) console.log(row);
  for (const { release } of peers) await release();
}
