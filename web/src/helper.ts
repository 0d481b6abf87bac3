/** A thread of the engine: its own instance of the module on the shared memory, with a stack of its own. */
import { importsOf, type HelperOrder } from "./wasm";

self.onmessage = async ({ data }: MessageEvent<HelperOrder>) => {
  const { module, memory, stackTop, index } = data;
  const { exports } = await WebAssembly.instantiate(module, importsOf(module, memory));
  (exports.__stack_pointer as WebAssembly.Global).value = stackTop;
  self.postMessage("ready");
  (exports.folio_help as (index: number) => never)(index);
};
