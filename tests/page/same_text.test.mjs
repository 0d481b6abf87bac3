// The engine of the page writes what the program writes: the same requests to both, on one thread and on two.
// FOLIO_PROGRAM and FOLIO_WASM name the program and the folder of the modules where they are not in build/.
import "./browser_in_node.mjs";
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { sample, textOf, variantOf } from "./golden_requests.mjs";
import { gather, top } from "./modules_in_node.mjs";

const program = process.env.FOLIO_PROGRAM ?? join(top, "build/release/folio");
const { folder, base } = await gather(["engine/wasm", "engine/helper", "processes", "page/lanes", "page/trace"]);
const { instantiate } = await import(new URL("wasm.js", base));
const { Lane, summarize, Vocabulary } = await import(new URL("lanes.js", base));
const { masked, processOf } = await import(new URL("processes.js", base));
const { traceOf } = await import(new URL("trace.js", base));

/** A small model with weights by chance, sure enough of itself that its places differ. */
function modelByChance() {
  const vocabulary = "\n !$&',-.3:;?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  const [vocab, d, hidden, layers] = [vocabulary.length + 1, 128, 512, 2];
  const tensors = [["token_emb.weight", vocab, d, 1]];
  for (let layer = 0; layer < layers; ++layer) {
    for (const name of ["c_q", "c_k", "c_v", "c_proj"]) tensors.push([`blocks.${layer}.attn.${name}.weight`, d, d, 0.15]);
    tensors.push([`blocks.${layer}.mlp.c_fc.weight`, hidden, d, 0.15], [`blocks.${layer}.mlp.c_proj.weight`, d, hidden, 0.08]);
  }
  tensors.push(["output_head.weight", vocab, d, 0.4]);
  const config = {
    version: 1, trunk: "modern", vocab_size: vocab, seq_len: 64, d_model: d, n_layer: layers, n_head: 2, d_ff: hidden,
    norm_eps: 1.1920929e-7, causal: false, time_rows: 0,
  };
  const header = { __metadata__: {
    "folio.config": JSON.stringify(config),
    "folio.process": JSON.stringify({ kind: "masked", mask_id: vocab - 1, schedule: "linear" }),
    "folio.vocab": JSON.stringify(vocabulary),
  } };
  const values = [];
  let state = 1;
  for (const [name, rows, columns, scale] of tensors) {
    const begin = 4 * values.length;
    for (let i = 0; i < rows * columns; ++i) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      values.push(scale * (state / 2 ** 31 - 1));
    }
    header[name] = { dtype: "F32", shape: [rows, columns], data_offsets: [begin, 4 * values.length] };
  }
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, Buffer.from(Float32Array.from(values).buffer)]);
}

const weights = join(folder, "weights.safetensors");
writeFileSync(weights, modelByChance());
const file = readFileSync(weights);
const file_bytes = () => file.buffer.slice(file.byteOffset, file.byteOffset + file.length);

async function engineOn(threads) {
  const engine = await instantiate({ base, threads });
  after(() => engine.end());
  engine.load(file_bytes());
  return engine;
}
const engines = new Map([[1, await engineOn(1)], [2, await engineOn(2)]]);
const { vocab } = engines.get(1).describe();

function finish(engine) {
  while (engine.step());
  return textOf(engine.frame(), vocab);
}

function native(request) {
  const { text, ...options } = request;
  const given = text === undefined ? ["sample"] : ["infill", "--text", text];
  for (const [name, value] of Object.entries(options)) for (const item of [value].flat()) given.push(`--${name}`, String(item));
  return execFileSync(program, [...given, "--weights", weights, "--threads", "1"], { encoding: "utf8" }).slice(0, -1);
}

// The exact path leaves nothing to rounding.
const golden = JSON.parse(readFileSync(join(top, "tests/golden/exact.json"), "utf8"));
const goldenWeights = (name) => readFileSync(join(top, `tests/golden/${name}.safetensors`));

for (const threads of engines.keys()) {
  for (const { weights, n_head, seq_len, requests } of golden.variants) {
    test(`${threads} threads, ${weights}, ${n_head} heads, ${seq_len} places: the texts and logits of every target`, async () => {
      const engine = await instantiate({ base, threads });
      try {
        engine.load(variantOf(goldenWeights(weights), { n_head, seq_len }));
        for (const { text, logits, ...request } of requests) {
          assert.deepEqual(sample(engine, request, goldenWeights), { text, logits }, JSON.stringify(request));
        }
      } finally {
        engine.end();
      }
    });
  }
}

const proofread = { sampler: "spread", temperature: 0.9, proofread: "exact-gpt", rounds: 2, "proofread-share": 0.2 };
const traced = { "exact-masked": { sampler: "threshold", tau: 0.1 }, "exact-gpt": {}, "exact-gaussian": { "stop-stable": 1 } };
for (const [name, options] of Object.entries(traced)) {
  test(`${name}: a trace is the program's, number for number`, async () => {
    const engine = await instantiate({ base, threads: 1 });
    try {
      const file = variantOf(goldenWeights(name), golden.variants.find(({ weights }) => weights === name));
      const [weights, trace] = ["exact.safetensors", "trace.jsonl"].map((name) => join(folder, name));
      writeFileSync(weights, Buffer.from(file));
      engine.load(file);
      const vocabulary = new Vocabulary(engine.describe().vocab);
      for (const request of [
        { prompt: "Ill", length: 40, steps: 10, seed: "3" },
        { prompt: "", length: 30, steps: 12, seed: "4", edit: ["2:noise:0-9", "5:put:3:Q", "9:open:1-4"], ...options },
        ...(name === "exact-masked" ? [{ prompt: "", length: 30, steps: 6, seed: "5", edit: ["8:put:3:Q"], ...proofread }] : []),
      ]) {
        const values = { ...request, ...(request.proofread ? { proofread: join(top, `tests/golden/${request.proofread}.safetensors`) } : {}) };
        const given = Object.entries(values).flatMap(([name, value]) => [value].flat().map((item) => `--${name}=${item}`));
        if (request.proofread) engine.loadProofreader(Uint8Array.from(goldenWeights(request.proofread)).buffer);
        execFileSync(program, ["sample", "--weights", weights, "--trace", trace, ...given]);
        const lane = new Lane("A", request, vocabulary, masked, true);
        engine.start(request);
        lane.add(engine.frame());
        while (!lane.finished) {
          engine.step();
          lane.add(engine.frame());
        }
        const lines = (text) => text.trim().split("\n").map((line) => JSON.parse(line));
        const [ours, theirs] = [lines(traceOf(lane)), lines(readFileSync(trace, "utf8"))];
        assert.deepEqual(ours, theirs);
        if (request.proofread) assert.equal(ours.filter((line) => line.proofread_nll).length, 2);
        assert.deepEqual(Object.keys(ours[0]), Object.keys(theirs[0]));
      }
    } finally {
      engine.end();
    }
  });
}

test("doubt is that of the open places, and from left to right, where nobody has looked at those, of the letter just written", async () => {
  const engine = await instantiate({ base, threads: 1 });
  try {
    for (const name of ["exact-masked", "exact-gpt"]) {
      engine.load(variantOf(goldenWeights(name), golden.variants.find(({ weights }) => weights === name)));
      const { vocab, process } = engine.describe();
      const lane = new Lane("A", { prompt: "Ill", length: 20, steps: 17, seed: "3" }, new Vocabulary(vocab), processOf(process.kind), true);
      engine.start(lane.request);
      lane.add(engine.frame());
      for (let step = 1; step <= 10; ++step) {
        engine.step();
        lane.add(engine.frame());
      }
      const { id, flags, entropy } = lane.frames[10];
      const asked = [...id.keys()].filter((place) => (name === "exact-gpt" ? flags[place] & 4 : id[place] < 0));
      assert.equal(asked.length, name === "exact-gpt" ? 1 : 7);
      const mean = asked.reduce((sum, place) => sum + entropy[place], 0) / asked.length;
      const { doubt, changed } = summarize(lane, 10);
      assert.ok(mean > 0 && Math.abs(doubt - mean / Math.log([...vocab].length)) < 1e-6);
      assert.deepEqual([lane.countStanding(10), changed, summarize(lane, 0).doubt], [13, 1, 1]);
    }
  } finally {
    engine.end();
  }
});

test("a trace rounds as printf does, ties to even too", () => {
  const numbers = [0, 1, 0.4453125, 0.4453135, 0.5546875, 4.1743875, 9.999995, 9.9999955, 2 ** -20, 2 ** -40, 3 * 2 ** -25, 1e-30, 1 / 3];
  for (let part = 1; part < 2 ** 12; part += 2) numbers.push(part / 2 ** 12, part / 2 ** 7);
  const entropy = Float32Array.from(numbers);
  const { length } = entropy;
  const places = (perPlace = 1) => new Float32Array(perPlace * length);
  const lane = new Lane("A", { prompt: "" }, new Vocabulary("a"), masked, true);
  lane.add({ step: 0, steps: 1, length, done: false, windowFirst: 0, windowLength: length, editsApplied: 0, passesSaved: 0, proofreadNll: undefined, id: new Int32Array(length).fill(-1),
    flags: new Uint8Array(length), probability: places(), entropy, topId: new Int32Array(4 * length), topProbability: places(4) });
  const printed = execFileSync("/usr/bin/printf", ["%.6g\n", ...Array.from(entropy, (value) => value.toPrecision(100))], { encoding: "utf8" });
  assert.deepEqual(JSON.parse(traceOf(lane)).entropy, printed.trim().split("\n").map(Number));
  assert.equal(JSON.parse(traceOf(lane)).entropy[2], 0.445312);
});

/** The share of places at which two texts agree. */
function agreement(a, b) {
  assert.equal(a.length, b.length);
  return [...a].filter((character, place) => character === b[place]).length / a.length;
}

const requests = [
  ...["spread", "ancestral", "confidence", "margin", "threshold", "entropy", "remask"]
    .map((sampler) => ({ prompt: "ROMEO:", length: 64, sampler, steps: 16, seed: "1623" })),
  { prompt: "ROMEO:", length: 40, seed: "18446744073709551615", temperature: 0 },
  { prompt: "The ", length: 150, steps: 12, seed: "7", temperature: 1.3, "top-k": 12, "top-p": 0.9 },
  // By chance: where all is hidden, all places have the same logits, and rounding alone would rank them by confidence.
  { prompt: "", length: 150, sampler: "ancestral", steps: 12, seed: "7" },
  { text: "To be, or ____ to be:___at is the ________", seed: "3", temperature: 0.5 },
  { prompt: "JULIET:", length: 64, steps: 8, seed: "5", edit: ["3:noise:10-40:60", "8:open:20-25", "9:put:30:Q", "4:keep:7-12"] },
];

for (const threads of engines.keys()) {
  for (const request of requests) {
    test(`${threads} threads: ${JSON.stringify(request)}`, () => {
      const engine = engines.get(threads);
      engine.start(request);
      const share = agreement(finish(engine), native(request));
      // f32: the same but for rounding, which may tip a draw here and there, and what follows from it.
      assert.ok(share >= 0.9, `only ${(100 * share).toFixed(1)} % of the characters are the same`);
    });
  }
}

test("the number of threads changes nothing", () => {
  for (const request of requests) {
    const [one, two] = [1, 2].map((threads) => {
      engines.get(threads).start(request);
      return finish(engines.get(threads));
    });
    assert.equal(two, one);
  }
});

test("a saved state goes on as the sample did, and an edit forks it", () => {
  const engine = engines.get(2);
  engine.start(requests[1]);
  for (let step = 0; step < 5; ++step) engine.step();
  const state = engine.save(), frame = engine.frame();
  const text = finish(engine);
  engine.restore(state);
  assert.deepEqual(engine.frame().id, frame.id);
  assert.equal(finish(engine), text);
  engine.restore(state);
  engine.edit("put:63:Q");
  assert.equal(finish(engine)[63], "Q");
  assert.throws(() => engine.restore(state.slice(1)), /saved state/);
});

test("a proofread sample is taken up in the middle of a round", async () => {
  const engine = await instantiate({ base, threads: 1 });
  try {
    engine.load(variantOf(goldenWeights("exact-masked"), golden.variants[0]));
    const request = { prompt: "ROMEO:", length: 60, steps: 10, seed: "8", ...proofread };
    assert.throws(() => engine.start(request), /no proofreader/);
    assert.throws(() => engine.loadProofreader(new ArrayBuffer(10)), /^Error: [A-Z].*\.$/);
    engine.loadProofreader(Uint8Array.from(goldenWeights("exact-masked")).buffer);
    assert.throws(() => engine.start(request), /autoregressive/);
    engine.loadProofreader(Uint8Array.from(goldenWeights("exact-gpt")).buffer);
    engine.start(request);
    const states = [];
    let scored = 0;
    do {
      states.push(engine.save());
      scored += engine.frame().proofreadNll ? 1 : 0;
    } while (engine.step());
    const text = textOf(engine.frame(), engine.describe().vocab);
    assert.equal(scored, 2);
    for (const state of states) {
      engine.restore(state);
      while (engine.step());
      assert.equal(textOf(engine.frame(), engine.describe().vocab), text);
    }
  } finally {
    engine.end();
  }
});

test("open gaps are filled as the program fills them", async () => {
  const engine = await instantiate({ base, threads: 1 });
  try {
    engine.load(variantOf(goldenWeights("exact-masked"), golden.variants[0]));
    engine.loadProofreader(Uint8Array.from(goldenWeights("exact-gpt")).buffer);
    const [masked, gpt] = ["exact-masked", "exact-gpt"].map((name) => join(top, `tests/golden/${name}.safetensors`));
    for (const more of [{}, { proofread: "exact-gpt" }]) {
      const text = "The {2-4} of _{1-2}ee";
      const choices = engine.expandGaps(text, "_").map(({ lengths, text }) => {
        engine.start({ text, steps: 4, seed: "6", ...more });
        while (engine.step());
        return { lengths, text: textOf(engine.frame(), engine.describe().vocab), nats_per_char: engine.score() };
      });
      const options = more.proofread ? ["--proofread", gpt] : [];
      const told = JSON.parse(execFileSync(program, ["infill", "--weights", masked, "--text", text, "--steps", "4", "--seed", "6", "--json", ...options], { encoding: "utf8" }));
      assert.deepEqual(told.candidates, choices);
      assert.equal(told.text, choices[engine.bestChoice(choices)].text);
    }
    assert.throws(() => engine.expandGaps("{3-1}", "_"), /ends before it begins/);
    assert.throws(() => engine.bestChoice([]), /no choices/);
  } finally {
    engine.end();
  }
});

test("a frame says what is known of every place", () => {
  const engine = engines.get(1);
  engine.start({ prompt: "ROMEO:", length: 64, sampler: "confidence", steps: 16 });
  engine.step();
  const frame = engine.frame();
  assert.deepEqual([frame.step, frame.steps, frame.length, frame.done, frame.windowFirst, frame.windowLength], [1, 16, 64, false, 0, 64]);
  for (let place = 0; place < frame.length; ++place) {
    const top = frame.topProbability.subarray(4 * place, 4 * place + 4);
    if (place < 6) assert.deepEqual([frame.flags[place], frame.probability[place], frame.topId[4 * place]], [3, 1, -1]);
    else assert.ok(frame.entropy[place] > 0 && top.every((value, i) => value > 0 && (i === 0 || value <= top[i - 1])));
    assert.equal(frame.id[place] >= 0, (frame.flags[place] & 1) === 1);
  }
});

test("what cannot be is refused in a sentence, and the sample before goes on", () => {
  const engine = engines.get(1);
  engine.start({ prompt: "ROMEO:", length: 32, steps: 4 });
  for (const [request, sentence] of [
    [{ prompt: "~" }, /vocabulary/], [{ steps: 0 }, /steps/], [{ temperature: -1 }, /temperature/], [{ seed: "-1" }, /seed/],
    [{ sampler: "best" }, /sampler/], [{ prompt: "ROMEO", length: 3 }, /length/], [{ edit: ["1:noise:3-900"] }, /beyond/],
    [{ text: "a__", mark: "__" }, /mark/], [{ text: "a{1-2}" }, /open gap/], [{ "temperature-fall": 2 }, /temperature-fall/],
    [{ rounds: -1 }, /rounds/], [{ proofread: "gpt" }, /no proofreader/],
  ]) assert.throws(() => engine.start(request), (error) => sentence.test(error.message) && /^[A-Z].*\.$/.test(error.message));
  assert.throws(() => engine.edit("noise:3"), /cannot be read/);
  assert.equal(finish(engine).length, 32);
});

test("a damaged file is refused in a sentence", async () => {
  const engine = await instantiate({ base, threads: 1 });
  assert.throws(() => engine.load(new ArrayBuffer(10)), /^Error: [A-Z].*\.$/);
  assert.throws(() => engine.start({}), /no model/);
  engine.load(file_bytes());
  engine.start({ length: 8 });
  assert.equal(finish(engine).length, 8);
});

test("a description says which kernels run, once the first passes have shown which are the fastest", async () => {
  const engine = await instantiate({ base, threads: 1 });
  try {
    const exact = variantOf(goldenWeights("exact-masked"), golden.variants[0]);
    engine.load(exact);
    const { choice, sets, settled } = engine.describe();
    assert.ok(choice.length > 0 && choice.every((name) => sets.includes(name)));
    assert.equal(settled, choice.length === 1);
    engine.start({ length: 32, steps: 32 });
    for (let pass = 0; pass < 5 * choice.length; ++pass) engine.step();
    const later = engine.describe();
    assert.ok(later.settled && choice.includes(later.kernels));
    engine.step();
    assert.equal(engine.describe().kernels, later.kernels);
    for (const set of sets) {
      engine.use(set);
      engine.load(exact);
      const { kernels, settled, choice } = engine.describe();
      assert.deepEqual({ kernels, settled, choice }, { kernels: set, settled: true, choice: [set] });
    }
  } finally {
    engine.end();
  }
});

test("every kernel set of the module agrees with the plain one", () => {
  const times = engines.get(1).timeKernels();
  assert.ok(times.length > 0);
  for (const { name, correct, ms } of times) assert.ok(correct && ms > 0, name);
});
