/** The page's end of the worker: starts and replaces workers, tells them which weights to load, and orders runs. */
import { hasSimd, mostThreads } from "./features";
import { processOf } from "./processes";
import type { BenchSetting, Description, Frame, FromWorker, Request, Source, Timing, ToWorker } from "./protocol";

/** One line of weights/index.json, which the build writes. */
export interface Shelf {
  name: string;
  file: string;
  bytes: number;
  /** The kind of its process. */
  process: string;
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

export interface Order {
  request: Request;
  from: number;
  state: Uint8Array | null;
  edits: string[];
  goOn: boolean;
  onFrame(frame: Frame, state: Uint8Array, milliseconds: number): void;
  onFailure(sentence: string): void;
  onEnd(): void;
}

export function fromShelf({ name, file, bytes, version }: Shelf): Weights {
  return new Weights(name, { url: new URL(`weights/${file}?${version}`, document.baseURI).href, bytes, version }, version);
}

export function fromFile(file: File): Weights {
  return new Weights(file.name.replace(/\.safetensors$/, "").replace(/[^\w.-]+/g, "-").slice(0, 80), file);
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
  take: (answer: FromWorker) => T | undefined): Promise<T> {
  return new Promise((resolve, reject) => {
    signal?.addEventListener("abort", () => reject(signal.reason));
    worker.onerror = () => reject(new EngineFailed("The engine did not arrive."));
    worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
      if (data.type === "refused") reject(new RefusedFile(data.sentence));
      if (data.type === "missing") reject(new Error("The weights did not arrive."));
      if (data.type === "absent") reject(new EngineFailed("The engine did not arrive."));
      if (data.type === "trapped") reject(data.outOfMemory ? new OutOfMemory() : new EngineFailed("The engine stopped."));
      const taken = take(data);
      if (taken !== undefined) resolve(taken);
    };
    worker.postMessage(message);
  });
}

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
  private benching = new AbortController();
  private orders = new Map<number, Order>();
  private count = 0;

  /**
   * `onRestart` is told of a worker that trapped and has been replaced by one with the same weights, `onSettled` that
   * `description` names the kernels that stay.
   */
  constructor(private onRestart: (outOfMemory: boolean) => void, private onSettled: () => void) {
    if (!hasSimd()) return;
    this.spare = startWorker();
    this.spare.onerror = () => (this.spare = undefined);
    this.spare.postMessage({ type: "prepare", threads: mostThreads() } satisfies ToWorker);
  }

  /** Loads into a new worker, so that the old model serves on should the file be refused, or `signal` end the loading. */
  async open(weights: Weights, threads: number, progress: (bytes: number) => void, signal?: AbortSignal): Promise<Description> {
    this.stopBench();
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
      worker.onmessage = ({ data }: MessageEvent<FromWorker>) => this.receive(data, threads);
      worker.onerror = () => this.restart(threads, false);
      return description;
    } catch (error) {
      worker.terminate();
      throw error;
    }
  }

  /** Whatever ran before ends first. */
  run(order: Order): void {
    this.stopBench();
    this.endAll();
    const run = ++this.count;
    this.orders.set(run, order);
    const { request, from, state, edits, goOn } = order;
    this.worker?.postMessage({ type: "run", run, request, from, state, edits, goOn } satisfies ToWorker);
  }

  stop(): void {
    this.worker?.postMessage({ type: "stop" } satisfies ToWorker);
    this.endAll();
  }

  /**
   * Times the weights in a worker of its own; resolves to whether it came to its end. What runs is stopped, and whatever
   * runs next stops the bench: beside one another neither would be as fast as it is.
   */
  async bench(threads: number, listener: BenchListener): Promise<boolean> {
    this.stop();
    this.stopBench();
    const { signal } = (this.benching = new AbortController());
    let worker: Worker | undefined;
    try {
      worker = startWorker();
      return await ask(worker, { type: "bench", source: this.weights!.source, threads }, signal, (answer) => {
        if (answer.type === "bench begins") listener.begins(answer.setting, answer.rows);
        if (answer.type === "timed") listener.timed(answer.row);
        return answer.type === "bench ends" || undefined;
      });
    } catch (error) {
      if (signal.aborted) return false;
      throw error;
    } finally {
      worker?.terminate();
    }
  }

  stopBench(): void {
    this.benching.abort();
  }

  private receive(message: FromWorker, threads: number): void {
    if (message.type === "trapped") return void this.restart(threads, message.outOfMemory);
    if (message.type === "settled") {
      this.description = message.description;
      return this.onSettled();
    }
    if (!("run" in message)) return;
    const order = this.orders.get(message.run);
    if (!order) return;
    if (message.type === "frame") order.onFrame(message.frame, message.state, message.milliseconds);
    if (message.type === "failed") order.onFailure(message.sentence);
    if (message.type === "stopped" && this.orders.delete(message.run)) order.onEnd();
  }

  private async restart(threads: number, outOfMemory: boolean): Promise<void> {
    this.retire();
    this.description = undefined;
    if (this.weights && !outOfMemory) await this.open(this.weights, threads, () => {}).catch(() => undefined);
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
    for (const { onEnd } of ended) onEnd();
  }
}
