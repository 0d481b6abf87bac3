/** The page's end of the worker: fetches and keeps weights, starts and replaces workers, and orders runs. */
import type { BenchSetting, Description, Frame, FromWorker, Request, Timing, ToWorker } from "./protocol";

/** One line of weights/index.json, which the build writes. */
export interface Shelf {
  name: string;
  file: string;
  bytes: number;
  /** Its model card's file, if it has one. */
  card: string;
  /** The first digits of the file's SHA-256: a new file has a new address, so a cached one is never stale. */
  version: string;
}

export interface Weights {
  /** As links name it; a visitor's own file has its checksum there once it is read. */
  name: string;
  read(progress: (bytes: number) => void, signal?: AbortSignal): Promise<ArrayBuffer>;
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

const cacheName = "folio-weights";

/** Cache Storage exists in secure contexts only, and may be refused; the page then downloads each time. */
async function openCache(): Promise<Cache | undefined> {
  try {
    return await caches.open(cacheName);
  } catch {
    return undefined;
  }
}

async function keep(cache: Cache, url: URL, bytes: ArrayBuffer): Promise<void> {
  try {
    for (const old of await cache.keys())
      if (new URL(old.url).pathname === url.pathname) await cache.delete(old);
    await cache.put(url, new Response(bytes));
  } catch {
    // No room left, say: the weights work all the same.
  }
}

/** The first digits of the SHA-256, which only secure contexts can tell. */
async function digest(bytes: ArrayBuffer): Promise<string | undefined> {
  const found = crypto.subtle && new Uint8Array(await crypto.subtle.digest("SHA-256", bytes), 0, 8);
  return found && Array.from(found, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function fromShelf(shelf: Shelf): Weights {
  return {
    name: shelf.name,
    async read(progress, signal) {
      const url = new URL(`weights/${shelf.file}?${shelf.version}`, document.baseURI);
      const cache = await openCache();
      const cached = await cache?.match(url);
      const response = cached ?? (await fetch(url, { signal: signal ?? null }));
      if (!response.ok || !response.body) throw new Error(`status ${response.status}`);
      const bytes = new Uint8Array(shelf.bytes);
      let filled = 0;
      for (const reader = response.body.getReader(); ; ) {
        const { done, value } = await reader.read();
        signal?.throwIfAborted();
        if (done || filled + value.length > bytes.length) {
          if (done && filled === bytes.length) break;
          await cache?.delete(url);
          throw new Error(done ? "cut short" : "longer than announced");
        }
        bytes.set(value, filled);
        progress((filled += value.length));
      }
      // What is kept under this address is kept for good, so it must be what the address says.
      if (cache && !cached && [undefined, shelf.version].includes(await digest(bytes.buffer)))
        await keep(cache, url, bytes.buffer);
      return bytes.buffer;
    },
  };
}

export function fromFile(file: File): Weights {
  const stem = file.name.replace(/\.safetensors$/, "").replace(/[^\w.-]+/g, "-").slice(0, 80);
  return {
    name: stem,
    async read() {
      const bytes = await file.arrayBuffer();
      const hex = await digest(bytes);
      this.name = hex ? `${stem}@${hex}` : stem;
      return bytes;
    },
  };
}

export class RefusedFile extends Error {}
export class OutOfMemory extends Error {}
/** Of the engine itself, whatever the weights; its message is for the visitor. */
export class EngineFailed extends Error {}

function startWorker(): Worker {
  return new Worker(new URL("worker.js", document.baseURI), { type: "module" });
}

/** Sends a worker its first message and resolves with the first answer of which `take` makes something. */
function ask<T>(worker: Worker, message: ToWorker & { file: ArrayBuffer }, signal: AbortSignal | undefined,
  take: (answer: FromWorker) => T | undefined): Promise<T> {
  return new Promise((resolve, reject) => {
    signal?.addEventListener("abort", () => reject(signal.reason));
    worker.onerror = () => reject(new EngineFailed("The engine did not arrive."));
    worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
      if (data.type === "refused") reject(new RefusedFile(data.sentence));
      if (data.type === "absent") reject(new EngineFailed("The engine did not arrive."));
      if (data.type === "trapped") reject(data.outOfMemory ? new OutOfMemory() : new EngineFailed("The engine stopped."));
      const taken = take(data);
      if (taken !== undefined) resolve(taken);
    };
    worker.postMessage(message, [message.file]);
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
  private benching = new AbortController();
  private orders = new Map<number, Order>();
  private count = 0;

  /** `onRestart` is told of a worker that trapped and has been replaced by one with the same weights. */
  constructor(private onRestart: (outOfMemory: boolean) => void) {}

  /** Loads into a new worker, so that the old model serves on should the file be refused, or `signal` end the loading. */
  async open(weights: Weights, threads: number, progress: (bytes: number) => void, signal?: AbortSignal): Promise<Description> {
    this.stopBench();
    const file = await weights.read(progress, signal);
    signal?.throwIfAborted();
    const worker = startWorker();
    try {
      const description = await ask(worker, { type: "load", file, threads }, signal,
        (answer) => (answer.type === "loaded" ? answer.description : undefined));
      signal?.throwIfAborted();
      this.retire();
      this.worker = worker;
      this.weights = weights;
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
      const file = await this.weights!.read(() => {}, signal);
      signal.throwIfAborted();
      worker = startWorker();
      return await ask(worker, { type: "bench", file, threads }, signal, (answer) => {
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
