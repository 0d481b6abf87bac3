// What Node and the browsers do alike with tests/golden/exact*: the same texts and logits are wanted of every engine.

/** The golden weights with another shape of the same tensors; its numbers have as many digits. */
export function variantOf(weights, { n_head, seq_len }) {
  const bytes = Uint8Array.from(weights);
  const header = bytes.subarray(8, 8 + Number(new DataView(bytes.buffer).getBigUint64(0, true)));
  const text = new TextDecoder().decode(header)
    .replace(/(n_head\\":)2/, `$1${n_head}`).replace(/(seq_len\\":)128/, `$1${seq_len}`);
  header.set(new TextEncoder().encode(text));
  return bytes.buffer;
}

export const textOf = ({ id }, vocab) => {
  const characters = [...vocab];
  return Array.from(id, (place) => characters[place] ?? "\ufffd").join("");
};

/** The text of a request, and the FNV-1a hash (64 bits) of the logits of all its passes; `weightsOf` gives a golden file by its name. */
export function sample(engine, request, weightsOf) {
  let high = 0xcbf29ce4, low = 0x84222325;
  const add = (bytes) => {
    // The prime is 2^40 + 0x1b3. In halves every sum is exact; BigInt would take minutes.
    for (const byte of bytes) {
      low = (low ^ byte) >>> 0;
      const product = low * 0x1b3;
      high = (high * 0x1b3 + Math.floor(product / 2 ** 32) + low * 2 ** 8) >>> 0;
      low = product >>> 0;
    }
  };
  if (request.proofread) engine.loadProofreader(Uint8Array.from(weightsOf(request.proofread)).buffer);
  engine.start(request);
  let left = true;
  while (left) {
    left = engine.step();
    add(new Uint8Array(engine.logits().buffer));
  }
  const logits = [high, low].map((half) => half.toString(16).padStart(8, "0")).join("");
  return { text: textOf(engine.frame(), engine.describe().vocab), logits };
}
