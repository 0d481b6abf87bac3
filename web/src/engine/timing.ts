/** The bench, in the worker: passes and samples of one model under every kernel set, on one thread and on all. */
import type { FromWorker, Source, Timing } from "./protocol";
import { instantiate } from "./wasm";
import { read } from "./weights";

/** Milliseconds of all rows together, where the device is quick enough for three repetitions of each. */
const budget = 15000;
const mostRepetitions = 200;
/** Length and steps as native/commands/bench.cpp has them. */
const longest = 256;
const samplingSteps = 16;

/** Milliseconds of each repetition, shortest first: as many as fit into `share`, and three even where that takes thrice as long. */
function time(share: number, body: () => void): number[] {
  const times: number[] = [];
  let sum = 0;
  const once = () => {
    const before = performance.now();
    body();
    times.push(performance.now() - before);
    sum += times[times.length - 1];
  };
  once(); // warms caches and threads, so it counts only where there is no time for another
  if (sum < share) {
    times.length = sum = 0;
    do once();
    while (times.length < mostRepetitions && sum < (times.length < 3 ? 3 : 1) * share);
  }
  return times.sort((a, b) => a - b);
}

function quantile(sorted: readonly number[], share: number): number {
  const index = share * (sorted.length - 1);
  const below = Math.floor(index);
  return sorted[below] + (index - below) * (sorted[Math.min(below + 1, sorted.length - 1)] - sorted[below]);
}

export async function bench(base: string, source: Source, most: number, tell: (message: FromWorker) => void): Promise<void> {
  const { file } = await read(source, () => {});
  const widths = most > 1 ? [most, 1] : [1];
  for (const threads of widths) {
    const engine = await instantiate({ base, threads });
    try {
      engine.load(file);
      const { sets, config, parameters, products = "f32", threads: width } = engine.describe();
      const length = Math.min(longest, config.seq_len);
      // A causal model reads one open position a step, so none of its passes is one of the whole sheet.
      const { causal } = config;
      const rows = (causal ? 1 : 2) * sets.length * widths.length;
      if (threads === most) {
        const checks = engine.timeKernels().map(({ name, correct }) => ({ kernels: name, passed: correct }));
        const self_check = { passed: checks.every(({ passed }) => passed), against: sets[sets.length - 1], kernels: checks };
        const setting = { kernels: sets, parameters, length, sampling_steps: causal ? length : samplingSteps, self_check };
        tell({ type: "bench begins", setting, rows });
      }
      const share = budget / rows;
      for (const kernels of sets) {
        engine.use(kernels);
        engine.load(file);
        const record = (task: string, body: () => void) => {
          const times = time(share, body);
          // Clocks of some browsers are too coarse to see a small model's pass.
          const [lower, median, upper] = [0.25, 0.5, 0.75].map((part) => Math.max(quantile(times, part), 1e-3));
          const row: Timing = {
            task, kernels, products, threads: width, repetitions: times.length, median_ms: median, lower_quartile_ms: lower,
            upper_quartile_ms: upper, chars_per_s: (length / median) * 1000,
          };
          tell({ type: "timed", row });
        };
        const request = { prompt: "", seed: "1", length };
        // The first step of a sample with nothing given: all positions are open, so the pass computes every row. To start it takes
        // less than a hundredth of that.
        if (!causal)
          record("forward", () => {
            engine.start({ ...request, steps: length });
            engine.step();
          });
        record("sampling", () => {
          engine.start({ ...request, steps: samplingSteps });
          while (engine.step());
        });
      }
      // Helpers could not be started, so this was the one thread already.
      if (width === 1) break;
    } finally {
      engine.end();
    }
  }
  tell({ type: "bench ends" });
}
