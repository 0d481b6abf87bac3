/** The messages between the page and the worker, and the types in them. Nothing here runs. */

/** The sampler at one step. Arrays have one entry for each position, `top*` four. */
export interface Frame {
  step: number;
  /** Number of steps known so far: an edit after the end adds some. */
  steps: number;
  length: number;
  done: boolean;
  windowFirst: number;
  windowLength: number;
  /** Number of the planned edits that have been applied. */
  editsApplied: number;
  /** Passes that an early stop has left out. */
  passesSaved: number;
  /** -1 where the position is open. */
  id: Int32Array;
  flags: Uint8Array;
  /** Probability of the letter when it was fixed; 0 where the position is open. */
  probability: Float32Array;
  /** Entropy in nats of the last pass that saw the position open; 0 with no probabilities below where none has. */
  entropy: Float32Array;
  /** The four most likely ids of that pass, the most likely first, at temperature 1. */
  topId: Int32Array;
  topProbability: Float32Array;
  /** -log p in nats of each character by the proofreader, NaN where there is none; of proofreading steps only. */
  proofreadNll: Float32Array | undefined;
}

/** Bits of `flags`, as core/sampling/sampler.h names them: the position holds a letter; */
export const REVEALED = 1;
/** that was given and stays; */
export const CONDITIONED = 2;
/** that was revealed in this very step; */
export const NEW = 4;
/** or it was noised or opened again, and is not revealed yet. */
export const REOPENED = 8;

/** Options of `folio sample` by their names there; `edit` as its --edit has it, `STEP:noise:FROM-TO[:PERCENT]` and so on. */
export interface Request {
  prompt: string;
  length: number;
  /** Decimal, since it has 64 bits. */
  seed: string;
  sampler: string;
  steps: number;
  temperature: number;
  "temperature-fall": number;
  "top-k": number;
  "top-p": number;
  tau: number;
  gamma: number;
  eta: number;
  churn: number;
  "stop-stable": number;
  /** The name of an autoregressive model's weights: what it finds least likely in the finished text is sampled again. */
  proofread?: string;
  rounds: number;
  "proofread-share": number;
  /** Fixed text with gaps; where it is there, prompt and length are not looked at. */
  text?: string;
  mark?: string;
  /** A text that goes into noise first; where it is there, prompt and length are not looked at. */
  "from-text"?: string;
  edit?: string[];
}

export interface Description {
  config: { vocab_size: number; seq_len: number; causal: boolean; d_model: number; n_layer: number; n_head: number };
  process: { kind: string };
  /** The i-th code point is the character of id i; U+FFFD where an id has none. */
  vocab: string;
  parameters: number;
  /** The set in use; not `settled`: the set that is tried next, of those in `choice`, which are all right here. */
  kernels: string;
  settled: boolean;
  choice: string[];
  /** All of this module, the plain one last. */
  sets: string[];
  /** Type of the matrix products' inputs; f32 where it is missing. */
  products?: string;
  threads: number;
  samplers: string[];
  defaults: Request;
}

/** A text with open gaps for which lengths have been chosen. */
export interface GapChoice {
  lengths: number[];
  /** With a mark for each position that is left to fill; a brace is written twice. */
  text: string;
}

/** A filled choice: the lower its nats per character, the likelier the text. */
export interface RatedChoice {
  lengths: number[];
  nats_per_char: number;
}

/** A step of a recording, by position where it has arrays: of it the engine can make a state. */
export interface RecordedStep {
  step: number;
  steps: number;
  /** -1 where the position is open. */
  id: Int32Array;
  /** The step that fixed it. */
  revealedAt: Int32Array;
  probability: Float32Array;
  /** REVEALED and CONDITIONED alone. */
  flags: Uint8Array;
}

/** State that a sampler goes on from: the bytes that it saved, which it alone reads, or a recorded step. */
export type SavedState = Uint8Array | RecordedStep;

/** The model in the worker, as wasm.ts gives it. Each throws an Error whose message is one sentence. */
export interface Engine {
  load(file: ArrayBuffer): void;
  /** A second model, which reads what the first has written. It stays until another is loaded. */
  loadProofreader(file: ArrayBuffer): void;
  describe(): Description;
  start(request: Request): void;
  /** One network pass. True while another is left. */
  step(): boolean;
  frame(): Frame;
  /** `noise:135-156:60`, `keep:4-9`, `open:4-9` or `put:89:h`, at the step on which the sampler stands. */
  edit(edit: string): void;
  save(): Uint8Array;
  restore(state: Uint8Array): void;
  /** The state of a recorded step of the request that was started. */
  recordedState(step: RecordedStep): Uint8Array;
  /** All choices of lengths for the open gaps of a text. */
  expandGaps(text: string, mark: string): GapChoice[];
  /** Nats per character of the finished sample. */
  score(): number;
  /** The index of the choice to keep. */
  bestChoice(choices: readonly RatedChoice[]): number;
}

/** A row of a bench report's results, by the keys of `folio bench --json`. */
export interface Timing {
  task: string;
  kernels?: string;
  products?: string;
  threads: number;
  repetitions: number;
  median_ms: number;
  lower_quartile_ms: number;
  upper_quartile_ms: number;
  chars_per_s: number;
}

/** The setting of a bench, which the worker sends before the first row. */
export interface BenchSetting {
  kernels: string[];
  parameters: number;
  length: number;
  sampling_steps: number;
  self_check: { passed: boolean; against: string; kernels: { kernels: string; passed: boolean }[] };
}

/** A text of the fixed set by which targets are compared: of which model, and as which request. */
export interface SampleToVerify {
  name: string;
  /** Names of weights: those of the model and, in the request, of the proofreader. */
  weights: string;
  request: Partial<Request>;
}

/** The hash of one of these texts, as one kernel set on so many threads has written it. */
export interface VerifiedText {
  kernels: string;
  threads: number;
  name: string;
  hash: string;
}

/** Weights that are hosted with the page. */
export interface HostedWeights {
  url: string;
  bytes: number;
  version: string;
  /** Milliseconds without a byte after which they count as missing. */
  stallTimeout: number;
}

/** Weights hosted with the page, or a file of the visitor's. */
export type Source = HostedWeights | File;

/** How far a run goes after its edits: no further, for one pass, or to the end. */
export type GoOn = false | "once" | true;

export type ToWorker =
  /** Fetches and compiles the engine, before weights are named. */
  | { type: "prepare"; threads: number }
  | { type: "load"; source: Source; threads: number }
  | {
      type: "run";
      run: number;
      request: Request;
      /** The step to begin at; passes that are not shown lead to it from this state of step `held`, or from the start. */
      from: number;
      held: number;
      state: SavedState | null;
      /** Weights of the proofreader that the request names; they are read once. */
      proofreader: HostedWeights | null;
      /** Applied at step `from`, without its number. */
      edits: string[];
      goOn: GoOn;
    }
  /** Fills a text with open gaps, each choice of lengths as a sample of its own; of the request all else counts. */
  | { type: "infill"; run: number; request: Request; text: string; mark: string; proofreader: HostedWeights | null }
  | { type: "stop" }
  /** Answered by a pong. */
  | { type: "ping" }
  /** Times the model, in a worker of its own. */
  | { type: "bench"; source: Source; threads: number }
  /** Samples texts of hosted models under every kernel set, likewise. */
  | { type: "verify"; samples: SampleToVerify[]; sources: Record<string, Source>; threads: number };

export type FromWorker =
  | { type: "pong" }
  /** Bytes of the weights so far, now and then. */
  | { type: "weights-progress"; bytes: number }
  | { type: "loaded"; description: Description; version: string | undefined }
  /** The first passes have shown which kernels are the fastest here. */
  | { type: "kernels-settled"; description: Description }
  | { type: "weights-refused"; sentence: string }
  /** The weights could not be fetched or read; `damaged`: other bytes have come than those that are named. */
  | { type: "weights-missing"; damaged: boolean }
  /** The module could not be fetched or compiled. */
  | { type: "engine-missing" }
  | { type: "frame"; run: number; frame: Frame; state: SavedState; milliseconds: number }
  /** Progress of the proofreader's weights that a run waits for. */
  | { type: "proofreader-progress"; run: number; bytes: number }
  | { type: "proofreader-loaded"; run: number }
  /** The proofreader's weights could not be fetched: the run cannot begin. */
  | { type: "proofreader-missing"; run: number; damaged: boolean }
  /** Choice `index` of `count` has been filled with these characters. */
  | { type: "candidate"; run: number; index: number; count: number; choice: GapChoice; id: Int32Array; nats: number }
  /** All choices have been filled; this one is kept. */
  | { type: "candidates-rated"; run: number; kept: number }
  | { type: "failed"; run: number; sentence: string }
  /** Nothing more comes from this run, whether it ended, failed or was superseded. */
  | { type: "stopped"; run: number }
  | { type: "bench begins"; setting: BenchSetting; rows: number }
  | { type: "timed"; row: Timing }
  | { type: "bench ends" }
  /** A text of `count`, over all kernel sets and numbers of threads. */
  | { type: "verified"; text: VerifiedText; count: number }
  | { type: "verify ends" }
  /** The instance cannot be trusted any more; the page ends this worker and starts another. */
  | { type: "engine-crashed"; outOfMemory: boolean };
