// Chromium and Firefox compute the golden texts and logits bit for bit, and the published texts, in every module and under every
// kernel set: node --test tests/page/browsers.test.mjs
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { browsers, host, top } from "./in_browsers.mjs";

const models = ["masked", "gpt", "gaussian", "conv", "conv-gpt"].map((name) => `tests/golden/exact-${name}.safetensors`);
const golden = await host(join(top, "tests/page/golden_worker.mjs"), ["tests/golden/exact.json", ...models]);
const published = JSON.parse(readFileSync(join(top, "weights/verify.json"), "utf8"));
const verifying = await host(join(top, "tests/page/verify_worker.mjs"), Object.keys(published.weights).map((name) => `weights/${name}.safetensors`));
after(() => {
  golden.close();
  verifying.close();
});

const setsOf = { relaxed: ["wasm_relaxed", "wasm_relaxed_i16", "wasm"], plain: ["wasm"] };

for (const name of Object.keys(browsers)) {
  test(name, async (t) => {
    const reports = await golden.ask(name);
    for (const [module, sets] of Object.entries(setsOf)) {
      for (const threads of [1, 2]) {
        await t.test(`the ${module} module on ${threads} threads`, (t) => {
          const { failure, correct, runs, ...report } = reports[`${module} ${threads}`];
          assert.equal(failure, undefined);
          assert.deepEqual(report, { sets, width: threads });
          // A browser may get a relaxed instruction wrong. The engine knows such a set and keeps away from it.
          const wrong = sets.filter((set) => !correct.includes(set));
          if (wrong.length) t.diagnostic(`wrong in this browser, and not chosen: ${wrong.join(", ")}`);
          assert.ok(!wrong.includes("wasm"), "the plain kernels are wrong");
          assert.deepEqual([...new Set(runs.map(({ set }) => set))], ["", ...sets]);
          for (const { set, kernels, written, golden, ...run } of runs) {
            if (wrong.includes(set)) continue;
            assert.ok(!wrong.includes(kernels), `${kernels} was chosen`);
            if (set) assert.equal(kernels, set);
            assert.deepEqual(written, golden, JSON.stringify({ kernels, ...run }));
          }
        });
      }
    }
  });
}

for (const name of Object.keys(browsers)) {
  test(`${name}: the published texts`, async (t) => {
    const reports = await verifying.ask(name);
    for (const [module, sets] of Object.entries(setsOf)) {
      await t.test(`the ${module} module`, () => {
        const { failure, texts } = reports[module];
        assert.equal(failure, undefined);
        const expected = [2, 1].flatMap((threads) => sets.flatMap((kernels) => published.samples.map(({ name, hash }) => ({ kernels, threads, name, hash }))));
        assert.deepEqual(texts, expected);
      });
    }
  });
}
