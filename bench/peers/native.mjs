// Folio beside onnxruntime-node: a forward pass of 1 x 256 in f32, in turns of a third of a second.
//   node bench/peers/native.mjs [--rounds N] [--threads N,N] [--build FOLDER] [--files FOLDER]
//   --rounds   turns of each           (21)
//   --threads  thread counts           (1,2)
//   --build    folio and the benches   (build/release)
//   --files    where the models go     (build/peers)
import { execFileSync } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import ort from "onnxruntime-node";
import { randomModel, someIds } from "./model.mjs";
import { toOnnx } from "./onnx.mjs";
import { tableHead, tableRow, takeTurns } from "./pairs.mjs";

const top = fileURLToPath(new URL("../..", import.meta.url));
const { values: options } = parseArgs({ options: {
  rounds: { type: "string", default: "21" }, threads: { type: "string", default: "1,2" },
  build: { type: "string", default: join(top, "build/release") }, files: { type: "string", default: join(top, "build/peers") },
} });
const [weights, idsFile, logitsFile] = ["model.safetensors", "ids.json", "logits.npy"].map((name) => join(options.files, name));
const turn = 0.3;  // seconds

const ids = someIds();
const model = randomModel(), graph = toOnnx(model, ids.length);
await mkdir(options.files, { recursive: true });
await writeFile(weights, model);
await writeFile(idsFile, JSON.stringify([ids]));
const input = { ids: new ort.Tensor("int32", Int32Array.from(ids), [1, ids.length]) };

/** The largest difference from what `folio logits` says; both must compute the same function to be compared. */
async function check(session) {
  execFileSync(join(options.build, "folio"), ["logits", "--weights", weights, "--ids", idsFile, "--out", logitsFile]);
  const file = await readFile(logitsFile);
  const ours = new Float32Array(new Uint8Array(file.subarray(10 + file.readUInt16LE(8))).buffer);
  const { logits } = await session.run(input);
  if (ours.length !== logits.data.length) throw new Error("The logits have different shapes.");
  const difference = ours.reduce((most, value, i) => Math.max(most, Math.abs(value - logits.data[i])), 0);
  console.error(`largest difference of a logit: ${difference.toExponential(1)}`);
  if (!(difference < 1e-3)) throw new Error("The two do not compute the same function.");
}

const bench = (...given) => execFileSync(join(options.build, "bench/denoiser_bench"), given, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });

console.log(tableHead);
for (const threads of options.threads.split(",").map(Number)) {
  const session = await ort.InferenceSession.create(graph, { intraOpNumThreads: threads, interOpNumThreads: 1 });
  await check(session);
  const [name] = bench("--benchmark_list_tests", `--benchmark_filter=^forward/base/[^/]*/f32/${threads}/`).split("\n");
  if (!name) throw new Error(`denoiser_bench knows no pass on ${threads} threads here.`);
  const folio = async () =>
    JSON.parse(bench("--benchmark_format=json", `--benchmark_min_time=${turn}`, `--benchmark_filter=^${name}$`)).benchmarks[0].real_time;
  const peer = async () => {
    await session.run(input);
    const begin = performance.now();
    let count = 0;
    for (; performance.now() - begin < 1000 * turn; ++count) await session.run(input);
    return (performance.now() - begin) / count;
  };
  const [ours, theirs] = await takeTurns([folio, peer], Number(options.rounds));
  console.log(tableRow({ work: "forward 1 x 256, f32", threads, folio: { name: name.split("/")[2], times: ours },
    peer: { name: `onnxruntime-node ${ort.env.versions.node}`, times: theirs } }));
  await session.release();
}
