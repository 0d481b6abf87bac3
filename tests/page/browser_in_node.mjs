// What the loader of the page (web/src/engine/wasm.ts) needs of a browser, in Node: fetch of files and module workers.
// Import it for its effect; on a worker's side it is the frame in which the worker's script runs.
import { readFile } from "node:fs/promises";
import { parentPort, Worker as NodeWorker, workerData } from "node:worker_threads";

globalThis.fetch = async (url) =>
  new Response(await readFile(url), { headers: { "content-type": String(url).endsWith(".wasm") ? "application/wasm" : "" } });

globalThis.Worker = class {
  #worker;
  constructor(url) {
    this.#worker = new NodeWorker(new URL(import.meta.url), { workerData: { script: url.href } });
    this.#worker.on("message", (data) => this.onmessage?.({ data }));
    this.#worker.on("error", (error) => this.onerror?.(error));
  }
  postMessage(message) {
    this.#worker.postMessage(message);
  }
  terminate() {
    void this.#worker.terminate();
  }
};

if (workerData?.script) {
  globalThis.self = globalThis;
  globalThis.postMessage = (message) => parentPort.postMessage(message);
  const script = import(workerData.script);
  parentPort.on("message", async (data) => {
    await script;
    globalThis.onmessage({ data });
  });
}
