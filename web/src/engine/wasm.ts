/** Loads the module that suits this browser and wraps its exports (web/wasm/api.cpp) into an `Engine`. */
import { fetchFile, startScript } from "./assets";
import { stallTimeout, Stalled } from "./download";
import { hasRelaxedSimd } from "./relaxed_simd";
import type { Description, Engine, Frame, GapChoice, RatedChoice, RecordedStep, Request } from "./protocol";

/** Memory limits in pages of 64 KiB, as web/CMakeLists.txt links the modules. */
const initialPages = 256;
const maximumPages = 8192;
const helperStack = 1 << 18;

export interface HelperSetup {
  module: WebAssembly.Module;
  memory: WebAssembly.Memory;
  stackTop: number;
  index: number;
}

interface Exports {
  _initialize(): void;
  folio_allocate(size: number): number;
  folio_release(pointer: number): void;
  folio_threads(width: number): void;
  folio_try_kernels(): void;
  folio_use(name: number): number;
  folio_load(file: number, size: number): number;
  folio_load_proofreader(file: number, size: number): number;
  folio_error(): number;
  folio_describe(): number;
  folio_start(json: number): number;
  folio_step(): number;
  folio_frame(): number;
  folio_frame_size(): number;
  folio_logits(count: number): number;
  folio_edit(edit: number): number;
  folio_save(size: number): number;
  folio_restore(state: number, size: number): number;
  folio_recorded_state(frame: number, size: number, stateSize: number): number;
  folio_expand_gaps(json: number): number;
  folio_score(): number;
  folio_best_choice(json: number): number;
  folio_time_kernels(): number;
}

export interface KernelTime {
  name: string;
  /** True where it gave what the plain kernel gives. */
  correct: boolean;
  ms: number;
}

/** The module's few questions to its host: the clock. Anything else means that it gave up. */
export function importsOf(module: WebAssembly.Module, memory: WebAssembly.Memory): WebAssembly.Imports {
  const imports: Record<string, Record<string, WebAssembly.ImportValue>> = { env: { memory } };
  for (const { module: space, name, kind } of WebAssembly.Module.imports(module)) {
    if (kind !== "function") continue;
    (imports[space] ??= {})[name] = () => {
      throw new WebAssembly.RuntimeError(`The engine stopped (${name}).`);
    };
  }
  imports.env!.emscripten_notify_memory_growth = () => {};
  (imports.wasi_snapshot_preview1 ??= {}).clock_time_get = (_clock: number, _precision: bigint, pointer: number) => {
    new DataView(memory.buffer).setBigUint64(pointer, BigInt(Math.round(performance.now() * 1e6)), true);
    return 0;
  };
  return imports;
}

async function compile(address: string): Promise<WebAssembly.Module> {
  const response = await fetchFile(address);
  if (!response.ok) throw new Error(`The engine could not be fetched: ${address} answered ${response.status}.`);
  // Some static hosts do not know the media type, and streaming insists on it.
  if (response.headers.get("content-type") === "application/wasm") return WebAssembly.compileStreaming(response);
  return WebAssembly.compile(await response.arrayBuffer());
}

/** Starts one helper; settles when it is about to enter its loop. */
function startHelper(address: string, order: HelperSetup, helpers: Worker[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const helper = startScript(address);
    helpers.push(helper);
    const fail = () => reject(new Error("A helper thread could not be started."));
    setTimeout(fail, stallTimeout);
    helper.onmessage = ({ data }) => (data === "ready" ? resolve() : fail());
    helper.onerror = fail;
    helper.postMessage(order);
  });
}

class WasmEngine implements Engine {
  constructor(
    private readonly exports: Exports,
    private readonly memory: WebAssembly.Memory,
    private readonly helpers: Worker[],
  ) {}

  /** Work of `load` that can be done before there is a file. */
  tryKernels(): void {
    this.exports.folio_try_kernels();
  }

  /** The kernel set of the models loaded from now on. */
  use(name: string): void {
    this.withText(name, (pointer) => this.exports.folio_use(pointer) === 0);
  }

  load(file: ArrayBuffer): void {
    this.check(this.exports.folio_load(this.copyIn(new Uint8Array(file)), file.byteLength) === 0);
  }

  loadProofreader(file: ArrayBuffer): void {
    this.check(this.exports.folio_load_proofreader(this.copyIn(new Uint8Array(file)), file.byteLength) === 0);
  }

  describe(): Description {
    return JSON.parse(this.text(this.exports.folio_describe()));
  }

  start(request: Partial<Request>): void {
    this.withText(JSON.stringify(request), (json) => this.exports.folio_start(json) === 0);
  }

  step(): boolean {
    const result = this.exports.folio_step();
    this.check(result >= 0);
    return result > 0;
  }

  frame(): Frame {
    const buffer = this.copyOut(this.exports.folio_frame(), this.exports.folio_frame_size()).buffer as ArrayBuffer;
    const head = new Int32Array(buffer, 0, 9) as unknown as number[];
    const [step, steps, length, done, windowFirst, windowLength, editsApplied, passesSaved, scored] = head;
    let offset = 36;
    function take<Values>(kind: { new (buffer: ArrayBuffer, offset: number, length: number): Values; BYTES_PER_ELEMENT: number }, perPosition = 1): Values {
      const values = new kind(buffer, offset, length! * perPosition);
      offset += (length! * perPosition * kind.BYTES_PER_ELEMENT + 3) & ~3;
      return values;
    }
    return {
      step: step!, steps: steps!, length: length!, done: done !== 0, windowFirst: windowFirst!, windowLength: windowLength!,
      editsApplied: editsApplied!, passesSaved: passesSaved!,
      id: take(Int32Array), flags: take(Uint8Array), probability: take(Float32Array), entropy: take(Float32Array),
      topId: take(Int32Array, 4), topProbability: take(Float32Array, 4),
      proofreadNll: scored ? take(Float32Array) : undefined,
    };
  }

  /** Logits of the last pass, for all positions of its window. */
  logits(): Float32Array {
    const count = this.copyIn(new Uint8Array(4));
    const pointer = this.exports.folio_logits(count);
    const bytes = this.copyOut(pointer, 4 * new DataView(this.memory.buffer).getUint32(count, true));
    this.exports.folio_release(count);
    return new Float32Array(bytes.buffer);
  }

  edit(edit: string): void {
    this.withText(edit, (text) => this.exports.folio_edit(text) === 0);
  }

  save(): Uint8Array {
    return this.takeState((size) => this.exports.folio_save(size));
  }

  recordedState({ step, steps, id, revealedAt, probability, flags }: RecordedStep): Uint8Array {
    const parts = [Int32Array.of(step, steps, id.length), id, revealedAt, probability, flags];
    const bytes = parts.flatMap((part) => [...new Uint8Array(part.buffer, part.byteOffset, part.byteLength)]);
    const pointer = this.copyIn(Uint8Array.from(bytes));
    try {
      return this.takeState((size) => this.exports.folio_recorded_state(pointer, bytes.length, size));
    } finally {
      this.exports.folio_release(pointer);
    }
  }

  restore(state: Uint8Array): void {
    const pointer = this.copyIn(state);
    try {
      this.check(this.exports.folio_restore(pointer, state.length) === 0);
    } finally {
      this.exports.folio_release(pointer);
    }
  }

  expandGaps(text: string, mark: string): GapChoice[] {
    let choices = 0;
    this.withText(JSON.stringify({ text, mark }), (json) => (choices = this.exports.folio_expand_gaps(json)) !== 0);
    return JSON.parse(this.text(choices)).choices;
  }

  score(): number {
    return this.exports.folio_score();
  }

  bestChoice(choices: readonly RatedChoice[]): number {
    let index = -1;
    this.withText(JSON.stringify({ choices }), (json) => (index = this.exports.folio_best_choice(json)) >= 0);
    return index;
  }

  timeKernels(): KernelTime[] {
    return JSON.parse(this.text(this.exports.folio_time_kernels())).kernels;
  }

  /** Ends the helpers; the engine must not be used afterwards. */
  end(): void {
    for (const helper of this.helpers) helper.terminate();
  }

  private check(ok: boolean): void {
    if (!ok) throw new Error(this.text(this.exports.folio_error()));
  }

  // Memory may have grown in any call, so its buffer is asked for anew each time.
  private copyIn(bytes: Uint8Array): number {
    const pointer = this.exports.folio_allocate(bytes.length);
    if (pointer === 0) throw new RangeError("There is not enough memory for that.");
    new Uint8Array(this.memory.buffer).set(bytes, pointer);
    return pointer;
  }

  private copyOut(pointer: number, size: number): Uint8Array {
    return new Uint8Array(this.memory.buffer, pointer, size).slice();
  }

  /** A state that an export gives out, its size where it was told to write it. */
  private takeState(give: (size: number) => number): Uint8Array {
    const size = this.copyIn(new Uint8Array(4));
    try {
      const state = give(size);
      this.check(state !== 0);
      return this.copyOut(state, new DataView(this.memory.buffer).getUint32(size, true));
    } finally {
      this.exports.folio_release(size);
    }
  }

  private text(pointer: number): string {
    const end = new Uint8Array(this.memory.buffer).indexOf(0, pointer);
    return new TextDecoder().decode(this.copyOut(pointer, end - pointer));
  }

  private withText(text: string, call: (pointer: number) => boolean): void {
    const pointer = this.copyIn(new TextEncoder().encode(`${text}\0`));
    try {
      this.check(call(pointer));
    } finally {
      this.exports.folio_release(pointer);
    }
  }
}

/**
 * The engine out of the modules whose addresses begin with `base` (helper.js beside them), on `threads` threads where memory can be
 * shared, else on one. In a worker only: the caller of a threaded engine sleeps while it waits.
 */
export async function instantiate({ base, threads, relaxed = hasRelaxedSimd() }: {
  base: string;
  threads: number;
  relaxed?: boolean;
}): Promise<WasmEngine> {
  const shared = threads > 1 && typeof SharedArrayBuffer !== "undefined";
  let module: WebAssembly.Module;
  try {
    module = await compile(`${base}folio${shared ? "-threads" : ""}${relaxed ? "-relaxed" : ""}.wasm`);
  } catch (error) {
    if (error instanceof Stalled || !(relaxed || shared)) throw error;
    // A slower module may be there all the same.
    return instantiate(relaxed ? { base, threads, relaxed: false } : { base, threads: 1 });
  }
  const memory = new WebAssembly.Memory({ initial: initialPages, maximum: maximumPages, shared });
  const instance = await WebAssembly.instantiate(module, importsOf(module, memory));
  const exports = instance.exports as unknown as Exports;
  exports._initialize();

  const helpers: Worker[] = [];
  const engine = new WasmEngine(exports, memory, helpers);
  if (shared) {
    try {
      await Promise.all(Array.from({ length: threads - 1 }, (_, i) => {
        const stackTop = exports.folio_allocate(helperStack) + helperStack;
        return startHelper(`${base}helper.js`, { module, memory, stackTop, index: i + 1 }, helpers);
      }));
    } catch {
      engine.end();
      return instantiate({ base, threads: 1 });
    }
  }
  exports.folio_threads(shared ? threads : 1);
  return engine;
}
