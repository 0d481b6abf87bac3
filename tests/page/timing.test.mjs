// What the bench of the page times: node --test tests/page/timing.test.mjs
// FOLIO_WASM names the folder of the modules where they are not in build/web.
import "./browser_in_node.mjs";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { gather, top } from "./modules_in_node.mjs";

const { base } = await gather(["engine/timing", "engine/wasm", "engine/helper"]);
const { bench } = await import(new URL("timing.js", base));
const { instantiate } = await import(new URL("wasm.js", base));

// Every engine of the bench is seen through: how many places were open before each pass, and what was asked for.
let passes = [], requests = [];
const probe = await instantiate({ base, threads: 1 });
const engine = Object.getPrototypeOf(probe);
const { start, step } = engine;
engine.start = function (request) {
  requests.push(request);
  start.call(this, request);
};
engine.step = function () {
  passes.push(this.frame().id.filter((id) => id < 0).length);
  return step.call(this);
};

/** The rows of the bench of a model, each with the passes made for it. */
async function rowsOf(weights) {
  const file = new File([readFileSync(join(top, "tests/golden", weights))], weights);
  const messages = [];
  await bench(base, file, 1, (message) => {
    messages.push({ ...message, passes, requests });
    [passes, requests] = [[], []];
  });
  return messages;
}

test("a model that writes from left to right is timed by its samples, a pass a character", async () => {
  const messages = await rowsOf("exact-gpt.safetensors");
  const { setting, rows: count } = messages.find(({ type }) => type === "bench begins");
  const rows = messages.filter(({ type }) => type === "timed");
  assert.equal(rows.length, count);
  assert.deepEqual(rows.map(({ row }) => row.task), setting.kernels.map(() => "sampling"));
  assert.equal(setting.sampling_steps, setting.length);
  for (const { row, passes } of rows) assert.equal(passes.length, setting.sampling_steps * (row.repetitions + 1));
});

test("forward is a pass of the whole sheet, with all places open", async () => {
  const messages = await rowsOf("exact-masked.safetensors");
  const { setting, rows: count } = messages.find(({ type }) => type === "bench begins");
  const rows = messages.filter(({ type }) => type === "timed");
  assert.equal(rows.length, count);
  assert.equal(messages.at(-1).type, "bench ends");
  for (const { row, passes, requests } of rows) {
    if (row.task === "forward") {
      // The pass that warms up is not timed.
      assert.deepEqual(passes, Array(row.repetitions + 1).fill(setting.length));
      assert.equal(requests.length, passes.length);
    } else {
      assert.equal(passes.length, setting.sampling_steps * (row.repetitions + 1));
    }
  }
});
