/** The page's end of the worker: starts and replaces workers, tells them which weights to load, and orders runs. */
import { home, startScript } from "./assets";
import { stallTimeout } from "./download";
import { hasSimd } from "../page/features";
import { Heartbeat, longestSilence } from "./heartbeat";
import { mostThreads } from "../page/isolation";
import { processOf } from "../processes";
import type {
  BenchSetting, Description, Frame, FromWorker, GapChoice, GoOn, Request, SampleToVerify, SavedState, HostedWeights, Source, Timing, ToWorker,
  VerifiedText,
} from "./protocol";

/** One line of weights/index.json, which the build writes. */
export interface WeightsEntry {
  name: string;
  file: string;
  bytes: number;
  /** The kind of its process. */
  process: string;
  /** The last word of its name: small, base. */
  size: string;
  /** Nats a character on the validation text, with the standard error, as its card has them. */
  nats?: [number, number];
  /** -log SNR at evenly spaced times, of a Gaussian model with a schedule of its own. */
  knots?: number[];
  /** Its model card's file, if it has one. */
  card: string;
  /** The first digits of the file's SHA-256: a new file has a new address, so a cached one is never stale. */
  version: string;
}

/** A model's weights; which version a visitor's own file is turns out when it is read. */
export class Weights {
  constructor(private stem: string, readonly source: Source, public version?: string) {}

  /** Its name in links. */
  get name(): string {
    return this.source instanceof File && this.version ? `${this.stem}@${this.version}` : this.stem;
  }
}

/** Hears of a run as it goes on. */
interface RunListener {
  /** The proofreader's weights did not arrive, or other ones did. */
  onProofreaderMissing(damaged: boolean): void;
  onFailure(sentence: string): void;
  onEnd(): void;
}

export interface RunRequest extends RunListener {
  request: Request;
  from: number;
  /** The step of the state. */
  held: number;
  state: SavedState | null;
  edits: string[];
  goOn: GoOn;
  onFrame(frame: Frame, state: SavedState, milliseconds: number): void;
}

/** A text with open gaps, to be filled with each choice of their lengths. */
export interface InfillRequest extends RunListener {
  request: Request;
  text: string;
  mark: string;
  onCandidate(choice: GapChoice, id: Int32Array, nats: number, index: number, count: number): void;
  onRated(kept: number): void;
}

function sourceOf({ file, bytes, version }: WeightsEntry): HostedWeights {
  return { url: `${home()}weights/${file}?${version}`, bytes, version, stallTimeout };
}

export function fromEntry(entry: WeightsEntry): Weights {
  return new Weights(entry.name, sourceOf(entry), entry.version);
}

export function fromFile(file: File): Weights {
  return new Weights(file.name.replace(/\.safetensors$/, "").replace(/[^\w.-]+/g, "-").slice(0, 80), file);
}

/** `whose` weights did not come, or other ones did. */
export function missingSentence(whose: string, damaged: boolean): string {
  return damaged ? `${whose} that arrived are not those that this page names: they were damaged on the way, or are just being replaced.`
    : `${whose} did not arrive.`;
}

export class WeightsMissing extends Error {
  constructor(readonly damaged: boolean) {
    super(missingSentence("The weights", damaged));
  }
}
export class RefusedFile extends Error {}
export class OutOfMemory extends Error {}
/** A failure of the engine itself, whatever the weights; its message is for the visitor. */
export class EngineFailed extends Error {}

function startWorker(): Worker {
  return startScript(`${home()}worker.js`);
}

/** Sends a worker a message and resolves with the first answer of which `take` makes something. */
function ask<T>(worker: Worker, message: ToWorker, signal: AbortSignal | undefined,
  take: (answer: FromWorker) => T | undefined, silence = longestSilence): Promise<T> {
  let heartbeat: Heartbeat;
  return new Promise<T>((resolve, reject) => {
    heartbeat = new Heartbeat(worker, silence, () =>
      reject(new EngineFailed(heartbeat.heard ? "The engine stopped." : "The engine did not arrive.")));
    signal?.addEventListener("abort", () => reject(signal.reason));
    worker.onerror = () => reject(new EngineFailed("The engine did not arrive."));
    worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
      if (data.type === "weights-refused") reject(new RefusedFile(data.sentence));
      if (data.type === "weights-missing") reject(new WeightsMissing(data.damaged));
      if (data.type === "engine-missing") reject(new EngineFailed("The engine did not arrive."));
      if (data.type === "engine-crashed") reject(data.outOfMemory ? new OutOfMemory() : new EngineFailed("The engine stopped."));
      try {
        const taken = take(data);
        if (taken !== undefined) resolve(taken);
      } catch (error) {
        reject(error);
      }
    };
    worker.postMessage(message);
  }).finally(() => heartbeat.end());
}

/** Hears of a race as it goes on. */
export interface RaceListener {
  weightsProgress(bytes: number): void;
  /** The request for the model that has come. */
  loaded(description: Description): Request;
  /** `milliseconds`: the time of the pass. Passes before the measured run are not reported. */
  frame(frame: Frame, milliseconds: number): void;
}

/** Passes before a measured run: by then kernels are chosen and the module is compiled at its best. */
const warmingPasses = 24;

/** Milliseconds that a row of the bench takes on the slowest devices; no answer comes within it. */
const longestRow = 300000;

/** Hears of each text of a verification, and how many there will be. */
type VerifyListener = (text: VerifiedText, count: number) => void;

/** Hears of a bench as it goes on. */
export interface BenchListener {
  begins(setting: BenchSetting, rows: number): void;
  timed(row: Timing): void;
}

export class EngineHost {
  description: Description | undefined;
  weights: Weights | undefined;
  private worker: Worker | undefined;
  /** A worker that fetches and compiles the engine before the weights to load are known. */
  private prewarmed: Worker | undefined;
  /** Ends the bench or race that runs in a worker of its own. */
  private sideTask = new AbortController();
  /** Weights of models that can proofread. */
  proofreaders: readonly WeightsEntry[] = [];
  /** Set while something runs. */
  private heartbeat: Heartbeat | undefined;
  private threads = 1;
  private jobs = new Map<number, RunRequest | InfillRequest>();
  private count = 0;
  /** True while the proofreader's weights are on their way. */
  private proofreaderIsComing = false;

  /**
   * `onRestart` is told of a worker that crashed and has been replaced by one with the same weights, `onSettled` that
   * `description` names the kernels that stay, `onProofreader` how many bytes of a proofreader's weights a run still waits for
   * have come, and of how many; both are 0 when that is over.
   */
  constructor(private onRestart: (outOfMemory: boolean) => void, private onSettled: () => void,
    private onProofreader: (bytes: number, total: number) => void) {
    if (!hasSimd()) return;
    this.prewarmed = startWorker();
    this.prewarmed.onerror = () => (this.prewarmed = undefined);
    this.prewarmed.postMessage({ type: "prepare", threads: mostThreads() } satisfies ToWorker);
  }

  /** Loads into a new worker, so that the old model serves on should the file be refused, or `signal` end the loading. */
  async open(weights: Weights, threads: number, progress: (bytes: number) => void, signal?: AbortSignal): Promise<Description> {
    this.stopSideTask();
    const worker = (threads === mostThreads() && this.prewarmed) || startWorker();
    if (worker === this.prewarmed) this.prewarmed = undefined;
    try {
      const { description, version } = await ask(worker, { type: "load", source: weights.source, threads }, signal, (answer) => {
        if (answer.type === "weights-progress") progress(answer.bytes);
        return answer.type === "loaded" ? answer : undefined;
      });
      signal?.throwIfAborted();
      if (!processOf(description.process.kind)) throw new RefusedFile(`its process, ${description.process.kind}, is none that this page can show.`);
      this.retire();
      this.worker = worker;
      this.weights = weights;
      this.weights.version = version;
      this.description = description;
      this.threads = threads;
      worker.onmessage = ({ data }: MessageEvent<FromWorker>) => this.receive(data);
      worker.onerror = () => this.restart(false);
      return description;
    } catch (error) {
      worker.terminate();
      throw error;
    }
  }

  /** Whatever ran before ends first. */
  run(job: RunRequest): void {
    const { request, from, held, state, edits, goOn } = job;
    this.begin(job, { type: "run", run: ++this.count, request, from, held, state, proofreader: this.proofreaderOf(request), edits, goOn });
  }

  /** Likewise. */
  infill(job: InfillRequest): void {
    const { request, text, mark } = job;
    this.begin(job, { type: "infill", run: ++this.count, request, text, mark, proofreader: this.proofreaderOf(request) });
  }

  private begin(job: RunRequest | InfillRequest, message: ToWorker): void {
    this.stopSideTask();
    this.endAll();
    this.jobs.set(this.count, job);
    this.worker?.postMessage(message);
    if (this.worker) this.heartbeat = new Heartbeat(this.worker, longestSilence, () => this.restart(false));
  }

  private proofreaderOf({ proofread }: Request): HostedWeights | null {
    const entry = this.proofreaders.find(({ name }) => name === proofread);
    return entry ? sourceOf(entry) : null;
  }

  stop(): void {
    this.worker?.postMessage({ type: "stop" } satisfies ToWorker);
    this.endAll();
  }

  /** Times the weights; resolves to whether it came to its end. */
  bench(threads: number, listener: BenchListener): Promise<boolean> {
    return this.exclusively((worker, signal) =>
      ask(worker, { type: "bench", source: this.weights!.source, threads }, signal, (answer) => {
        if (answer.type === "bench begins") listener.begins(answer.setting, answer.rows);
        if (answer.type === "timed") listener.timed(answer.row);
        return answer.type === "bench ends" || undefined;
      }, longestRow));
  }

  /** Samples texts of these weights under every kernel set; resolves to whether it came to its end. */
  verify(samples: SampleToVerify[], entries: readonly WeightsEntry[], listener: VerifyListener): Promise<boolean> {
    const sources = Object.fromEntries(entries.map((entry) => [entry.name, sourceOf(entry)]));
    return this.exclusively((worker, signal) =>
      ask(worker, { type: "verify", samples, sources, threads: mostThreads() }, signal, (answer) => {
        if (answer.type === "verified") listener(answer.text, answer.count);
        return answer.type === "verify ends" || undefined;
      }, longestRow));
  }

  /** A whole sample of other weights, on all threads; resolves to whether it came to its end. */
  race({ source }: Weights, listener: RaceListener): Promise<boolean> {
    return this.exclusively(async (worker, signal) => {
      const description = await ask(worker, { type: "load", source, threads: mostThreads() }, signal, (answer) => {
        if (answer.type === "weights-progress") listener.weightsProgress(answer.bytes);
        return answer.type === "loaded" ? answer.description : undefined;
      });
      const request = listener.loaded(description);
      const run = (count: number, take: (frame: Frame, milliseconds: number) => boolean) =>
        ask(worker, { type: "run", run: count, request, from: 0, held: 0, state: null, proofreader: null, edits: [], goOn: true }, signal, (answer) => {
          if (!("run" in answer) || answer.run !== count) return undefined;
          if (answer.type === "failed") throw new EngineFailed(answer.sentence);
          return answer.type === "stopped" || (answer.type === "frame" && take(answer.frame, answer.milliseconds)) || undefined;
        });
      await run(1, ({ step }) => step === warmingPasses);
      return run(2, (frame, milliseconds) => (listener.frame(frame, milliseconds), false));
    });
  }

  /**
   * Runs work in a worker of its own; resolves to whether it came to its end. What runs is stopped, and whatever runs next stops the
   * work: at the same time both would be slower than they are.
   */
  private async exclusively(work: (worker: Worker, signal: AbortSignal) => Promise<boolean>): Promise<boolean> {
    this.stop();
    this.stopSideTask();
    const { signal } = (this.sideTask = new AbortController());
    let worker: Worker | undefined;
    try {
      worker = startWorker();
      return await work(worker, signal);
    } catch (error) {
      if (signal.aborted) return false;
      throw error;
    } finally {
      worker?.terminate();
    }
  }

  stopSideTask(): void {
    this.sideTask.abort();
  }

  private receive(message: FromWorker): void {
    if (message.type === "engine-crashed") return void this.restart(message.outOfMemory);
    if (message.type === "kernels-settled") {
      this.description = message.description;
      return this.onSettled();
    }
    if (!("run" in message)) return;
    const job = this.jobs.get(message.run);
    if (!job) return;
    if (message.type === "frame" && "onFrame" in job) job.onFrame(message.frame, message.state, message.milliseconds);
    if (message.type === "candidate" && "onCandidate" in job)
      job.onCandidate(message.choice, message.id, message.nats, message.index, message.count);
    if (message.type === "candidates-rated" && "onRated" in job) job.onRated(message.kept);
    if (message.type === "proofreader-progress") this.reportProofreader(message.bytes, this.proofreaderOf(job.request)?.bytes ?? 0);
    if (message.type === "proofreader-loaded") this.reportProofreader(0, 0);
    if (message.type === "proofreader-missing") job.onProofreaderMissing(message.damaged);
    if (message.type === "failed") job.onFailure(message.sentence);
    if (message.type === "stopped" && this.jobs.delete(message.run)) {
      this.heartbeat?.end();
      this.reportProofreader(0, 0);
      job.onEnd();
    }
  }

  private reportProofreader(bytes: number, total: number): void {
    if (total === 0 && !this.proofreaderIsComing) return;
    this.proofreaderIsComing = total > 0;
    this.onProofreader(bytes, total);
  }

  private async restart(outOfMemory: boolean): Promise<void> {
    this.retire();
    this.description = undefined;
    if (this.weights && !outOfMemory) await this.open(this.weights, this.threads, () => {}).catch(() => undefined);
    this.onRestart(outOfMemory);
  }

  private retire(): void {
    this.worker?.terminate();
    this.worker = undefined;
    this.endAll();
  }

  private endAll(): void {
    const ended = [...this.jobs.values()];
    this.jobs.clear();
    this.heartbeat?.end();
    this.reportProofreader(0, 0);
    for (const { onEnd } of ended) onEnd();
  }
}
