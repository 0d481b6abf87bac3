/** A thread of the engine: its own instance of the module on the shared memory, with a stack of its own. */
import { importsOf, type HelperSetup } from "./wasm";

self.onmessage = async ({ data }: MessageEvent<HelperSetup>) => {
  const { module, memory, stackTop, index } = data;
  const instance = await WebAssembly.instantiate(module, importsOf(module, memory)).catch(() => undefined);
  if (!instance) return self.postMessage("failed");
  (instance.exports.__stack_pointer as WebAssembly.Global).value = stackTop;
  self.postMessage("ready");
  (instance.exports.folio_help as (index: number) => never)(index);
};
