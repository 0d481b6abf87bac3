// The model that all peers run: `base` with 128 ids and random weights, nothing left at zero.
//   node bench/peers/model.mjs FILE     writes it
import { execFileSync } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { argv } from "node:process";
import { pathToFileURL } from "node:url";

export const config = {
  version: 1, trunk: "modern", vocab_size: 128, seq_len: 256, d_model: 384, n_layer: 6, n_head: 6, d_ff: 1536,
  norm_eps: 1.1920929e-7, causal: false, time_rows: 0,
};

/** A character for every id but the last, which is [MASK]. */
const vocabulary = String.fromCodePoint(...Array.from({ length: config.vocab_size - 1 }, (_, id) => (id < 95 ? 32 + id : 97 + id)));

/** Uniform numbers in [-1, 1) by xorshift. */
function* randomNumbers(state) {
  for (;;) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    yield state / 2 ** 31;
  }
}

/** The bytes of the safetensors file. */
export function randomModel() {
  const { vocab_size, d_model, n_layer, d_ff } = config;
  const shapes = [["token_emb.weight", vocab_size, d_model]];
  for (let layer = 0; layer < n_layer; ++layer) {
    for (const name of ["c_q", "c_k", "c_v", "c_proj"]) shapes.push([`blocks.${layer}.attn.${name}.weight`, d_model, d_model]);
    shapes.push([`blocks.${layer}.mlp.c_fc.weight`, d_ff, d_model], [`blocks.${layer}.mlp.c_proj.weight`, d_model, d_ff]);
  }
  shapes.push(["output_head.weight", vocab_size, d_model]);

  const header = { __metadata__: {
    "folio.config": JSON.stringify(config),
    "folio.process": JSON.stringify({ kind: "masked", mask_id: vocab_size - 1, schedule: "linear" }),
    "folio.vocab": JSON.stringify(vocabulary),
  } };
  let count = 0;
  for (const [name, out, input] of shapes) {
    header[name] = { dtype: "F32", shape: [out, input], data_offsets: [4 * count, 4 * (count + out * input)] };
    count += out * input;
  }
  const values = new Float32Array(count);
  const random = randomNumbers(1623);
  for (const [name, out, input] of shapes) {
    const scale = Math.sqrt(3) * (name.startsWith("token") ? 1 : 1 / Math.sqrt(input));
    const first = header[name].data_offsets[0] / 4;
    for (let i = 0; i < out * input; ++i) values[first + i] = scale * random.next().value;
  }
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, Buffer.from(values.buffer)]);
}

/** Has the programs in the folder `build` write the f32 `file` in int8 as `out`; false where they do not know how. */
export function writeInt8(build, file, out) {
  try {
    execFileSync(join(build, "folio"), ["export", "--weights", file, "--dtype", "int8", "--out", out], { stdio: ["ignore", "ignore", "inherit"] });
    return true;
  } catch (error) {
    if (typeof error.status !== "number") throw error;
    console.error("So the rows of Folio in int8 are left out.");
    return false;
  }
}

/** A row of ids, about half of them [MASK]. */
export function someIds() {
  return Array.from({ length: config.seq_len }, (_, i) => (i * 7919 % 13 < 6 ? config.vocab_size - 1 : i * 31 % (config.vocab_size - 1)));
}

/** The same as a text for `folio infill`. */
export function someText(mark) {
  const characters = [...vocabulary];
  return someIds().map((id) => characters[id] ?? mark).join("");
}

if (import.meta.url === pathToFileURL(argv[1] ?? "").href) await writeFile(argv[2], randomModel());
