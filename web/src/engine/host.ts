/** The page's end of the worker: starts and replaces workers, tells them which weights to load, and orders runs. */
import { patience } from "./download";
import { hasSimd, mostThreads } from "../page/features";
import { Heartbeat, longestSilence } from "./heartbeat";
import { processOf } from "../processes";
import type { BenchSetting, Description, Frame, FromWorker, GapChoice, Request, SavedState, ShelfSource, Source, Timing, ToWorker } from "./protocol";

/** One line of weights/index.json, which the build writes. */
export interface Shelf {
  name: string;
  file: string;
  bytes: number;
  /** The kind of its process. */
  process: string;
  /** The last word of its name: small, base. */
  size: string;
  /** Nats a character on the validation text, with the standard error, as its card has them. */
  nats?: [number, number];
  /** Of a Gaussian model with a schedule of its own: -log SNR at evenly spaced times. */
  knots?: number[];
  /** Its model card's file, if it has one. */
  card: string;
  /** The first digits of the file's SHA-256: a new file has a new address, so a cached one is never stale. */
  version: string;
}

/** A model's weights; which version a visitor's own file is turns out when it is read. */
export class Weights {
  constructor(private stem: string, readonly source: Source, public version?: string) {}

  /** As links name it. */
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

export interface Order extends RunListener {
  request: Request;
  from: number;
  /** The step of the state. */
  held: number;
  state: SavedState | null;
  edits: string[];
  goOn: boolean;
  onFrame(frame: Frame, state: SavedState, milliseconds: number): void;
}

/** A text with open gaps, to be filled with each choice of their lengths. */
export interface InfillOrder extends RunListener {
  request: Request;
  text: string;
  mark: string;
  onCandidate(choice: GapChoice, id: Int32Array, nats: number, index: number, count: number): void;
  onRated(kept: number): void;
}

function sourceOf({ file, bytes, version }: Shelf): ShelfSource {
  return { url: new URL(`weights/${file}?${version}`, document.baseURI).href, bytes, version, patience };
}

export function fromShelf(shelf: Shelf): Weights {
  return new Weights(shelf.name, sourceOf(shelf), shelf.version);
}

export function fromFile(file: File): Weights {
  return new Weights(file.name.replace(/\.safetensors$/, "").replace(/[^\w.-]+/g, "-").slice(0, 80), file);
}

/** `whose` weights did not come, or other ones did. */
export function sentenceOfLost(whose: string, damaged: boolean): string {
  return damaged ? `${whose} that arrived are not those that this page names: they were damaged on the way, or are just being replaced.`
    : `${whose} did not arrive.`;
}

export class WeightsMissing extends Error {
  constructor(readonly damaged: boolean) {
    super(sentenceOfLost("The weights", damaged));
  }
}
export class RefusedFile extends Error {}
export class OutOfMemory extends Error {}
/** Of the engine itself, whatever the weights; its message is for the visitor. */
export class EngineFailed extends Error {}

function startWorker(): Worker {
  return new Worker(new URL("worker.js", document.baseURI), { type: "module" });
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
      if (data.type === "refused") reject(new RefusedFile(data.sentence));
      if (data.type === "missing") reject(new WeightsMissing(data.damaged));
      if (data.type === "absent") reject(new EngineFailed("The engine did not arrive."));
      if (data.type === "trapped") reject(data.outOfMemory ? new OutOfMemory() : new EngineFailed("The engine stopped."));
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
  arrived(bytes: number): void;
  /** The request for the model that has come. */
  loaded(description: Description): Request;
  /** In milliseconds, what the pass took; not told of passes before the measured run. */
  frame(frame: Frame, milliseconds: number): void;
}

/** Passes before a measured run: by then kernels are chosen and the module is compiled at its best. */
const warmingPasses = 24;

/** In milliseconds, of a bench on the slowest of devices; nothing is answered within it. */
const longestRow = 300000;

/** Hears of a bench as it goes on. */
export interface BenchListener {
  begins(setting: BenchSetting, rows: number): void;
  timed(row: Timing): void;
}

export class EngineHost {
  description: Description | undefined;
  weights: Weights | undefined;
  private worker: Worker | undefined;
  /** Begun before anyone knows which weights are wanted: it fetches and compiles the engine meanwhile. */
  private spare: Worker | undefined;
  /** Of what goes on in a worker of its own beside the one that samples. */
  private beside = new AbortController();
  /** Models that can proofread. */
  proofreaders: readonly Shelf[] = [];
  /** While something runs. */
  private heartbeat: Heartbeat | undefined;
  private threads = 1;
  private orders = new Map<number, Order | InfillOrder>();
  private count = 0;
  /** True while the proofreader's weights are on their way. */
  private telling = false;

  /**
   * `onRestart` is told of a worker that trapped and has been replaced by one with the same weights, `onSettled` that
   * `description` names the kernels that stay, `onProofreader` how many bytes of a proofreader's weights a run still waits for
   * have come, and of how many; both are 0 when that is over.
   */
  constructor(private onRestart: (outOfMemory: boolean) => void, private onSettled: () => void,
    private onProofreader: (bytes: number, total: number) => void) {
    if (!hasSimd()) return;
    this.spare = startWorker();
    this.spare.onerror = () => (this.spare = undefined);
    this.spare.postMessage({ type: "prepare", threads: mostThreads() } satisfies ToWorker);
  }

  /** Loads into a new worker, so that the old model serves on should the file be refused, or `signal` end the loading. */
  async open(weights: Weights, threads: number, progress: (bytes: number) => void, signal?: AbortSignal): Promise<Description> {
    this.stopBeside();
    const worker = (threads === mostThreads() && this.spare) || startWorker();
    if (worker === this.spare) this.spare = undefined;
    try {
      const { description, version } = await ask(worker, { type: "load", source: weights.source, threads }, signal, (answer) => {
        if (answer.type === "arrived") progress(answer.bytes);
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
  run(order: Order): void {
    const { request, from, held, state, edits, goOn } = order;
    this.begin(order, { type: "run", run: ++this.count, request, from, held, state, proofreader: this.proofreaderOf(request), edits, goOn });
  }

  /** Likewise. */
  infill(order: InfillOrder): void {
    const { request, text, mark } = order;
    this.begin(order, { type: "infill", run: ++this.count, request, text, mark, proofreader: this.proofreaderOf(request) });
  }

  private begin(order: Order | InfillOrder, message: ToWorker): void {
    this.stopBeside();
    this.endAll();
    this.orders.set(this.count, order);
    this.worker?.postMessage(message);
    if (this.worker) this.heartbeat = new Heartbeat(this.worker, longestSilence, () => this.restart(false));
  }

  private proofreaderOf({ proofread }: Request): ShelfSource | null {
    const shelf = this.proofreaders.find(({ name }) => name === proofread);
    return shelf ? sourceOf(shelf) : null;
  }

  stop(): void {
    this.worker?.postMessage({ type: "stop" } satisfies ToWorker);
    this.endAll();
  }

  /** Times the weights; resolves to whether it came to its end. */
  bench(threads: number, listener: BenchListener): Promise<boolean> {
    return this.alone((worker, signal) =>
      ask(worker, { type: "bench", source: this.weights!.source, threads }, signal, (answer) => {
        if (answer.type === "bench begins") listener.begins(answer.setting, answer.rows);
        if (answer.type === "timed") listener.timed(answer.row);
        return answer.type === "bench ends" || undefined;
      }, longestRow));
  }

  /** A whole sample of other weights, on all threads; resolves to whether it came to its end. */
  race({ source }: Weights, listener: RaceListener): Promise<boolean> {
    return this.alone(async (worker, signal) => {
      const description = await ask(worker, { type: "load", source, threads: mostThreads() }, signal, (answer) => {
        if (answer.type === "arrived") listener.arrived(answer.bytes);
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
   * Work in a worker of its own; resolves to whether it came to its end. What runs is stopped, and whatever runs next stops the
   * work: beside one another neither would be as fast as it is.
   */
  private async alone(work: (worker: Worker, signal: AbortSignal) => Promise<boolean>): Promise<boolean> {
    this.stop();
    this.stopBeside();
    const { signal } = (this.beside = new AbortController());
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

  stopBeside(): void {
    this.beside.abort();
  }

  private receive(message: FromWorker): void {
    if (message.type === "trapped") return void this.restart(message.outOfMemory);
    if (message.type === "settled") {
      this.description = message.description;
      return this.onSettled();
    }
    if (!("run" in message)) return;
    const order = this.orders.get(message.run);
    if (!order) return;
    if (message.type === "frame" && "onFrame" in order) order.onFrame(message.frame, message.state, message.milliseconds);
    if (message.type === "candidate" && "onCandidate" in order)
      order.onCandidate(message.choice, message.id, message.nats, message.index, message.count);
    if (message.type === "candidates-rated" && "onRated" in order) order.onRated(message.kept);
    if (message.type === "proofreader-progress") this.tellProofreader(message.bytes, this.proofreaderOf(order.request)?.bytes ?? 0);
    if (message.type === "proofreader-loaded") this.tellProofreader(0, 0);
    if (message.type === "proofreader-missing") order.onProofreaderMissing(message.damaged);
    if (message.type === "failed") order.onFailure(message.sentence);
    if (message.type === "stopped" && this.orders.delete(message.run)) {
      this.heartbeat?.end();
      this.tellProofreader(0, 0);
      order.onEnd();
    }
  }

  private tellProofreader(bytes: number, total: number): void {
    if (total === 0 && !this.telling) return;
    this.telling = total > 0;
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
    const ended = [...this.orders.values()];
    this.orders.clear();
    this.heartbeat?.end();
    this.tellProofreader(0, 0);
    for (const { onEnd } of ended) onEnd();
  }
}
