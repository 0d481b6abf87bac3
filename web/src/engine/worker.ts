/** The model's side: loads one weights file, runs one sampler at a time, and posts a message for every step. */
import { home } from "./assets";
import { bench } from "./timing";
import { verify } from "./verify";
import { instantiate } from "./wasm";
import { read, WeightsMissing } from "./weights";
import type { Engine, FromWorker, RatedChoice, HostedWeights, Source, ToWorker } from "./protocol";

type Run = Extract<ToWorker, { type: "run" }>;
type Infill = Extract<ToWorker, { type: "infill" }>;

let engine: Engine | undefined;
/** True once the page knows which kernels the engine has chosen. */
let kernelsSettled = false;
let current = 0;
/** Ends the waiting of a run whose turn is over. */
let wake = () => {};

function setCurrent(run: number): void {
  current = run;
  wake();
}

function post(message: FromWorker, transfer: Transferable[] = []): void {
  self.postMessage(message, { transfer });
}

/**
 * A trap leaves the instance in no known state; a refusal by the engine is an ordinary Error with its sentence. C++ that
 * finds no memory aborts, which asks the host for proc_exit; memory that cannot be allocated here is a RangeError.
 */
function report(error: unknown, refusal: (sentence: string) => FromWorker): void {
  if (error instanceof WeightsMissing) return post({ type: "weights-missing", damaged: error.damaged });
  const sentence = error instanceof Error ? error.message : String(error);
  const crashed = error instanceof WebAssembly.RuntimeError || error instanceof RangeError;
  post(crashed ? { type: "engine-crashed", outOfMemory: error instanceof RangeError || /proc_exit/.test(sentence) } : refusal(sentence));
}

/** Lets waiting messages in, `stop` above all. A channel, since browsers slow timers down. */
const channel = new MessageChannel();
function yieldToMessages(): Promise<void> {
  return new Promise((resolve) => {
    channel.port1.onmessage = () => resolve();
    channel.port2.postMessage(null);
  });
}

/** The worker's one engine, which is fetched from the first message on. */
let preparing: ReturnType<typeof instantiate> | undefined;
function prepare(threads: number): ReturnType<typeof instantiate> {
  preparing ??= instantiate({ base: home(), threads });
  // Whoever awaits the engine gets its failure; there may be no one yet.
  preparing.catch(() => undefined);
  return preparing;
}

/** The engine and the weights come side by side. */
async function load(source: Source, threads: number): Promise<void> {
  const reading = read(source, (bytes) => post({ type: "weights-progress", bytes }));
  reading.catch(() => undefined);
  const fresh = await prepare(threads).catch((error) => report(error, () => ({ type: "engine-missing" })));
  if (!fresh) return;
  fresh.tryKernels();
  const arrival = await reading.catch((error) => report(error, () => ({ type: "weights-missing", damaged: false })));
  if (!arrival) return;
  try {
    fresh.load(arrival.file);
    engine = fresh;
    const description = fresh.describe();
    kernelsSettled = description.settled;
    post({ type: "loaded", description, version: arrival.version });
  } catch (error) {
    report(error, (sentence) => ({ type: "weights-refused", sentence }));
  }
}

/** A step of the sampler, after which the page may learn of the kernels. True while another is left. */
function pass(model: Engine): boolean {
  const left = model.step();
  if (kernelsSettled) return left;
  const description = model.describe();
  kernelsSettled = description.settled;
  if (kernelsSettled) post({ type: "kernels-settled", description });
  return left;
}

/** The version of the proofreader that the engine has, and the weights of one that is on its way. */
let proofreading = "";
let arriving: { version: string; bytes: number; file: Promise<ArrayBuffer> } | undefined;

/** Weights that no run waits for any more still come, for the next run that needs them. */
function fetchProofreader(source: HostedWeights): Promise<ArrayBuffer> {
  if (arriving?.version !== source.version) {
    const file = read(source, (bytes) => {
      fresh.bytes = bytes;
      if (arriving === fresh) post({ type: "proofreader-progress", run: current, bytes });
    }).then((arrival) => arrival.file);
    const fresh = (arriving = { version: source.version, bytes: 0, file });
    file.catch(() => arriving === fresh && (arriving = undefined));
  }
  post({ type: "proofreader-progress", run: current, bytes: arriving.bytes });
  return arriving.file;
}

/** True once the engine has the proofreader; false where the run cannot go on. */
async function provideProofreader(model: Engine, source: HostedWeights, run: number): Promise<boolean> {
  if (proofreading === source.version) return true;
  const overtaken = new Promise<undefined>((resolve) => (wake = () => resolve(undefined)));
  let file: ArrayBuffer | undefined;
  try {
    file = await Promise.race([fetchProofreader(source), overtaken]);
  } catch (error) {
    const damaged = error instanceof WeightsMissing && error.damaged;
    if (error instanceof WeightsMissing) post({ type: "proofreader-missing", run, damaged });
    else report(error, () => ({ type: "proofreader-missing", run, damaged }));
  }
  if (!file || current !== run) return false;
  arriving = undefined;
  proofreading = "";
  model.loadProofreader(file);
  proofreading = source.version;
  post({ type: "proofreader-loaded", run });
  return true;
}

async function sample(model: Engine, { run, request, from, held, state, edits, goOn }: Run): Promise<void> {
  const show = (milliseconds: number): boolean => {
    const frame = model.frame();
    const saved = model.save();
    const arrays = [frame.id, frame.flags, frame.probability, frame.entropy, frame.topId, frame.topProbability, saved];
    post({ type: "frame", run, frame, state: saved, milliseconds }, [...new Set(arrays.map((array) => array.buffer))]);
    return frame.done;
  };
  model.start(request);
  if (state) model.restore(state instanceof Uint8Array ? state : model.recordedState(state));
  for (let step = state ? held : 0; step < from; ++step) {
    await yieldToMessages();
    if (current !== run) return;
    pass(model);
  }
  for (const edit of edits) model.edit(edit);
  for (let done = show(0) || !goOn; !done; ) {
    await yieldToMessages();
    if (current !== run) return;
    const before = performance.now();
    pass(model);
    done = show(performance.now() - before) || goOn === "once";
  }
}

async function infill(model: Engine, { run, request, text, mark }: Infill): Promise<void> {
  const choices = model.expandGaps(text, mark);
  const rated: RatedChoice[] = [];
  for (const [index, choice] of choices.entries()) {
    model.start({ ...request, text: choice.text, mark });
    for (let left = true; left; left = pass(model)) {
      await yieldToMessages();
      if (current !== run) return;
    }
    const nats = model.score();
    rated.push({ lengths: choice.lengths, nats_per_char: nats });
    post({ type: "candidate", run, index, count: choices.length, choice, id: model.frame().id, nats });
  }
  post({ type: "candidates-rated", run, kept: model.bestChoice(rated) });
}

/** A run of either kind; whatever comes of it, its end is told. */
async function perform(model: Engine, task: Run | Infill): Promise<void> {
  const { run, proofreader } = task;
  try {
    if (proofreader && !(await provideProofreader(model, proofreader, run))) return;
    await (task.type === "run" ? sample(model, task) : infill(model, task));
  } catch (error) {
    report(error, (sentence) => ({ type: "failed", run, sentence }));
  } finally {
    post({ type: "stopped", run });
  }
}

// A superseded run notices when it next yields to messages; its successor must not touch the engine before that.
let last: Promise<void> = Promise.resolve();
self.onmessage = ({ data }: MessageEvent<ToWorker>) => {
  if (data.type === "ping") post({ type: "pong" });
  if (data.type === "prepare") void prepare(data.threads);
  if (data.type === "load") last = load(data.source, data.threads);
  if (data.type === "stop") setCurrent(0);
  const refuse = (error: unknown) => report(error, (sentence) => ({ type: "weights-refused", sentence }));
  if (data.type === "bench") bench(home(), data.source, data.threads, post).catch(refuse);
  if (data.type === "verify") verify(home(), data.samples, data.sources, data.threads, post).catch(refuse);
  if (data.type === "run" || data.type === "infill") {
    setCurrent(data.run);
    last = last.then(() => (engine && current === data.run ? perform(engine, data) : undefined));
  }
};
