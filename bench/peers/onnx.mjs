// The `modern` trunk of a safetensors file as an ONNX graph for a pass of 1 x `length`, out of the most fused operators
// that onnxruntime's CPU backend has: skip + RMSNorm, rotation, attention, products of quantised matrices.

// Protocol buffers: a field is its number and wire type, then a varint, four bytes, or a length and bytes.
function varint(value) {
  const bytes = [];
  let rest = BigInt(value);
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128);
  bytes.push(Number(rest));
  return Buffer.from(bytes);
}
const integer = (field, value) => Buffer.concat([varint(field << 3), varint(value)]);
function float(field, value) {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return Buffer.concat([varint((field << 3) | 5), bytes]);
}
function bytes(field, value) {
  const content = Buffer.from(value);
  return Buffer.concat([varint((field << 3) | 2), varint(content.length), content]);
}
const message = (field, ...parts) => bytes(field, Buffer.concat(parts));

// onnx.proto's numbers.
const types = { float: 1, int8: 3, int32: 6, int64: 7 };

function attribute([name, value]) {
  if (Array.isArray(value)) return message(5, bytes(1, name), ...value.map((item) => integer(8, item)), integer(20, 7));
  if (Number.isInteger(value)) return message(5, bytes(1, name), integer(3, value < 0 ? BigInt.asUintN(64, BigInt(value)) : value), integer(20, 2));
  return message(5, bytes(1, name), float(2, value), integer(20, 1));
}

function value(field, name, type, shape) {
  const dimensions = shape.map((size) => message(1, integer(1, size)));
  return message(field, bytes(1, name), message(2, message(1, integer(1, types[type]), message(2, ...dimensions))));
}

/** A graph in the making: operators by name, each giving the name of its first output. */
class Graph {
  parts = [];
  count = 0;

  constant(type, shape, data) {
    const name = `c${this.count++}`;
    const raw = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    this.parts.push(message(5, ...shape.map((size) => integer(1, size)), integer(2, types[type]), bytes(8, name), bytes(9, raw)));
    return name;
  }

  /** `outputs`: their number, or a list in which "" is one that nobody wants. */
  node(operator, inputs, { domain = "", outputs = 1, ...attributes } = {}) {
    const id = this.count++;
    const wanted = Array.isArray(outputs) ? outputs : Array.from({ length: outputs }, (_, i) => `${i}`);
    const names = wanted.map((output) => (output === "" ? "" : `n${id}.${output}`));
    this.parts.push(message(1, ...inputs.map((name) => bytes(1, name)), ...names.map((name) => bytes(2, name)), bytes(3, `n${id}`),
      bytes(4, operator), ...Object.entries(attributes).map(attribute), bytes(7, domain)));
    return names.length === 1 ? names[0] : names;
  }
}

/**
 * The bytes of the ONNX file: ids int32 [1, length] -> logits [1, length, vocab_size], its only output. With `products` "int8" the matrices
 * of the layers are rounded to eight bits, a scale for each output, and their inputs as they come, a scale for all.
 */
export function toOnnx(file, length, products = "f32") {
  const headerLength = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString("utf8", 8, 8 + headerLength));
  const config = JSON.parse(header.__metadata__["folio.config"]);
  const { d_model: d, n_head: heads, n_layer, vocab_size, norm_eps: epsilon } = config;
  const width = d / heads, half = width / 2;
  const graph = new Graph();
  const microsoft = { domain: "com.microsoft" };

  function tensor(name) {
    const { shape, data_offsets: [begin, end] } = header[name];
    const data = new Float32Array(new Uint8Array(file.subarray(8 + headerLength + begin, 8 + headerLength + end)).buffer);
    return { shape, data };
  }
  /** [in, out], as MatMul has it, of a row for each output. */
  function matrix(type, rows) {
    const [inputs, outputs] = [rows[0].length, rows.length];
    const data = new (type === "int8" ? Int8Array : Float32Array)(inputs * outputs);
    for (const [o, row] of rows.entries()) for (let i = 0; i < inputs; ++i) data[i * outputs + o] = row[i];
    return graph.constant(type, [inputs, outputs], data);
  }
  /** The product with the named layers, side by side. */
  function linear(x, ...names) {
    const rows = names.map(tensor).flatMap(({ shape: [outputs, inputs], data }) =>
      Array.from({ length: outputs }, (_, o) => data.subarray(o * inputs, (o + 1) * inputs)));
    if (products === "f32") return graph.node("MatMul", [x, matrix("float", rows)]);
    const scales = Float32Array.from(rows, (row) => row.reduce((most, weight) => Math.max(most, Math.abs(weight)), 0) / 127);
    const rounded = rows.map((row, o) => row.map((weight) => Math.round(weight / scales[o])));
    return graph.node("DynamicQuantizeMatMul", [x, matrix("int8", rounded), graph.constant("float", [rows.length], scales)], microsoft);
  }
  const rotation = (f) => graph.constant("float", [length, half], Float32Array.from({ length: length * half },
    (_, i) => f(Math.floor(i / half) * 10000 ** (-(i % half) / half))));

  const gain = graph.constant("float", [d], new Float32Array(d).fill(1));
  const headGain = graph.constant("float", [width], new Float32Array(width).fill(1));
  // Its rotation runs the other way round.
  const [cos, sin] = [rotation(Math.cos), rotation((angle) => -Math.sin(angle))];
  const positions = graph.constant("int64", [1, length], BigInt64Array.from({ length }, (_, i) => BigInt(i)));
  const byHead = graph.constant("int64", [4], BigInt64Array.of(1n, BigInt(length), BigInt(heads), BigInt(width)));
  const flat = graph.constant("int64", [3], BigInt64Array.of(1n, BigInt(length), BigInt(d)));
  const thirds = graph.constant("int64", [3], BigInt64Array.of(BigInt(d), BigInt(d), BigInt(d)));

  const norm = (x, scale = gain) => graph.node("SimplifiedLayerNormalization", [x, scale], { axis: -1, epsilon });
  const addAndNorm = (x, skip) => graph.node("SkipSimplifiedLayerNormalization", [x, skip, gain],
    { ...microsoft, epsilon, outputs: ["normed", "", "", "sum"] });
  function rotateAndNorm(x) {
    const rotated = graph.node("RotaryEmbedding", [x, positions, cos, sin], { ...microsoft, interleaved: 0 });
    return graph.node("Reshape", [norm(graph.node("Reshape", [rotated, byHead]), headGain), flat]);
  }

  const { shape, data } = tensor("token_emb.weight");
  let stream = norm(graph.node("Gather", [graph.constant("float", shape, data), "ids"], { axis: 0 }));
  let normed = norm(stream);
  for (let layer = 0; layer < n_layer; ++layer) {
    const [attn, mlp] = [`blocks.${layer}.attn`, `blocks.${layer}.mlp`];
    const qkv = linear(normed, `${attn}.c_q.weight`, `${attn}.c_k.weight`, `${attn}.c_v.weight`);
    const [q, k, v] = graph.node("Split", [qkv, thirds], { axis: -1, outputs: 3 });
    const attended = graph.node("MultiHeadAttention", [rotateAndNorm(q), rotateAndNorm(k), v], { ...microsoft, num_heads: heads });
    [normed, , , stream] = addAndNorm(linear(attended, `${attn}.c_proj.weight`), stream);
    const hidden = graph.node("Relu", [linear(normed, `${mlp}.c_fc.weight`)]);
    [normed, , , stream] = addAndNorm(linear(graph.node("Mul", [hidden, hidden]), `${mlp}.c_proj.weight`), stream);
  }
  const logits = linear(normed, "output_head.weight");

  return Buffer.concat([integer(1, 8), bytes(2, "folio"),
    message(7, ...graph.parts, bytes(2, "folio"), value(11, "ids", "int32", [1, length]), value(12, logits, "float", [1, length, vocab_size])),
    message(8, integer(2, 17)), message(8, bytes(1, "com.microsoft"), integer(2, 1))]);
}
