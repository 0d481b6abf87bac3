/** The model's side: loads one weights file, runs one sampler at a time, and posts a message for every step. */
import { bench } from "./timing";
import { instantiate } from "./wasm";
import { read } from "./weights";
import type { Engine, FromWorker, Source, ToWorker } from "./protocol";

type Run = Extract<ToWorker, { type: "run" }>;

let engine: Engine | undefined;
/** Whether the page knows which kernels the engine has come to. */
let settled = false;
let current = 0;

function post(message: FromWorker, transfer: Transferable[] = []): void {
  self.postMessage(message, { transfer });
}

/**
 * A trap leaves the instance in no known state; a refusal by the engine is an ordinary Error with its sentence. C++ that
 * finds no memory aborts, which asks the host for proc_exit; memory that cannot be allocated here is a RangeError.
 */
function report(error: unknown, refusal: (sentence: string) => FromWorker): void {
  const sentence = error instanceof Error ? error.message : String(error);
  const trapped = error instanceof WebAssembly.RuntimeError || error instanceof RangeError;
  post(trapped ? { type: "trapped", outOfMemory: error instanceof RangeError || /proc_exit/.test(sentence) } : refusal(sentence));
}

/** Lets waiting messages in, `stop` above all. A channel, since browsers slow timers down. */
const channel = new MessageChannel();
function breathe(): Promise<void> {
  return new Promise((resolve) => {
    channel.port1.onmessage = () => resolve();
    channel.port2.postMessage(null);
  });
}

const base = new URL(".", self.location.href).href;

/** A worker has one engine; it is on its way from the first message on. */
let preparing: ReturnType<typeof instantiate> | undefined;
function prepare(threads: number): ReturnType<typeof instantiate> {
  preparing ??= instantiate({ base, threads });
  // Who needs the engine hears of its failure; nobody might, yet.
  preparing.catch(() => undefined);
  return preparing;
}

/** The engine and the weights come side by side. */
async function load(source: Source, threads: number): Promise<void> {
  const reading = read(source, (bytes) => post({ type: "arrived", bytes }));
  reading.catch(() => undefined);
  const fresh = await prepare(threads).catch((error) => report(error, () => ({ type: "absent" })));
  if (!fresh) return;
  fresh.tryKernels();
  const arrival = await reading.catch((error) => report(error, () => ({ type: "missing" })));
  if (!arrival) return;
  try {
    fresh.load(arrival.file);
    engine = fresh;
    const description = fresh.describe();
    settled = description.settled;
    post({ type: "loaded", description, version: arrival.version });
  } catch (error) {
    report(error, (sentence) => ({ type: "refused", sentence }));
  }
}

function pass(model: Engine): void {
  model.step();
  if (settled) return;
  const description = model.describe();
  settled = description.settled;
  if (settled) post({ type: "settled", description });
}

async function run(model: Engine, { run, request, from, held, state, edits, goOn }: Run): Promise<void> {
  const show = (milliseconds: number): boolean => {
    const frame = model.frame();
    const saved = model.save();
    const arrays = [frame.id, frame.flags, frame.probability, frame.entropy, frame.topId, frame.topProbability, saved];
    post({ type: "frame", run, frame, state: saved, milliseconds }, [...new Set(arrays.map((array) => array.buffer))]);
    return frame.done;
  };
  try {
    model.start(request);
    if (state) model.restore(state);
    for (let step = state ? held : 0; step < from; ++step) {
      await breathe();
      if (current !== run) return;
      pass(model);
    }
    for (const edit of edits) model.edit(edit);
    for (let done = show(0) || !goOn; !done; ) {
      await breathe();
      if (current !== run) return;
      const before = performance.now();
      pass(model);
      done = show(performance.now() - before);
    }
  } catch (error) {
    report(error, (sentence) => ({ type: "failed", run, sentence }));
  } finally {
    post({ type: "stopped", run });
  }
}

// A run that is overtaken notices at its next breath; its successor must not touch the engine before that.
let last: Promise<void> = Promise.resolve();
self.onmessage = ({ data }: MessageEvent<ToWorker>) => {
  if (data.type === "prepare") void prepare(data.threads);
  if (data.type === "load") last = load(data.source, data.threads);
  if (data.type === "stop") current = 0;
  if (data.type === "bench")
    bench(base, data.source, data.threads, post).catch((error) => report(error, (sentence) => ({ type: "refused", sentence })));
  if (data.type === "run") {
    current = data.run;
    last = last.then(() => (engine && current === data.run ? run(engine, data) : undefined));
  }
};
