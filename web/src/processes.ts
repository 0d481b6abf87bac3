/**
 * The processes by which models come to their texts: all that the page does or says otherwise for one of them stands in its record, and
 * in its prose, which the build sets into the page.
 */
import type { Request } from "./engine/protocol";

export type Preset = "quick" | "careful" | "think";

/** Settings of a preset; all else is the engine's default, and nothing is proofread. */
export interface Settings {
  options: Partial<Request>;
  proofread?: boolean;
  /** The speed at which it is shown. */
  speed?: string;
}

export interface Process {
  /** Its name in weights files. */
  kind: string;
  /** Its name among processes, and the words that say of a model what it does. */
  name: string;
  does: string;
  /** The first words of its weights files' names, in the order in which they are offered. */
  families: readonly string[];
  /** A pass reads the first open position alone and fixes it, seeing what stands before. */
  inOrder: boolean;
  /**
   * Every pass changes all positions, and only the last decides: until then a letter stands from the step after which the most likely
   * has not changed.
   */
  changesAll: boolean;
  /** The look of an open position: its most likely letter by size, its likely ones over one another, or nothing. */
  openLook: "guess" | "blur" | "empty";
  /** Words for a position that has its letter, and for one that has not. */
  fixed: string;
  open: string;
  /** The words of a biography for a letter of the prompt. */
  ofPrompt: string;
  /** True where only a bound of its nats per character is known. */
  bounded: boolean;
  /** True where its models can proofread what others write. */
  proofreads: boolean;
  /** The sentence that refuses a prompt with open gaps; missing where they can be filled. */
  refusesGaps?: string;
  /** Options that mean nothing to its samplers. */
  without: readonly (keyof Request)[];
  /** Options that its command lines always name, since their defaults are tuned. */
  alwaysNamed: readonly (keyof Request)[];
  /** Passes that a sample takes. */
  passes(request: Request): number;
  presets: Record<Preset, Settings>;
  /** Its samplers: what each does, and why it chose the position of a letter that it has fixed. */
  samplers: Readonly<Record<string, { does: string; reason: string }>>;
  /** The sampler of a link of v=1 that names none. */
  firstSampler: string;
  /** Words under the timeline: what it begins with, and what its bars count. */
  begins: string;
  bars: string;
}

export const masked: Process = {
  kind: "masked",
  name: "Masked",
  does: "takes away noise that hides letters",
  families: ["masked"],
  inOrder: false,
  changesAll: false,
  openLook: "guess",
  fixed: "fixed",
  open: "open",
  ofPrompt: "part of the prompt, never noised",
  bounded: true,
  proofreads: false,
  without: ["churn", "stop-stable"],
  alwaysNamed: ["sampler", "steps", "temperature"],
  passes: ({ steps }) => steps,
  presets: {
    quick: { options: { sampler: "spread", steps: 16, temperature: 1.2, "temperature-fall": 0.7 } },
    careful: { options: { sampler: "spread", steps: 128 }, proofread: true },
    think: { options: { sampler: "spread", steps: 64 }, speed: "6" },
  },
  samplers: {
    spread: {
      does: "a pass fixes the most confident letter of each stretch of open ones, so those fixed together are far apart",
      reason: "the most confident of its stretch of open ones",
    },
    ancestral: { does: "a pass fixes letters by chance, wherever they stand", reason: "chance had it" },
    confidence: { does: "a pass fixes the most confident letters, which are often neighbours", reason: "one of the most confident" },
    margin: { does: "a pass fixes the letters that lead the second likeliest by most", reason: "one where the likeliest letter led by most" },
    threshold: { does: "a pass fixes every letter with a confidence of at least tau", reason: "confident by at least tau" },
    entropy: { does: "a pass fixes as many letters as an entropy of gamma allows", reason: "one within the entropy that gamma allows" },
    remask: { does: "as ancestral, and a pass may hide a letter again, with a probability of at most eta", reason: "chance had it" },
  },
  firstSampler: "confidence",
  begins: "noise",
  bars: "letters fixed at each step",
};

const gaussian: Process = {
  kind: "gaussian",
  name: "Gaussian",
  does: "takes away noise that blurs letters",
  families: ["gaussian", "gaussian-article"],
  inOrder: false,
  changesAll: true,
  openLook: "blur",
  fixed: "settled",
  open: "unsettled",
  ofPrompt: "part of the prompt, never noised",
  bounded: true,
  proofreads: false,
  without: ["tau", "gamma", "eta"],
  alwaysNamed: ["sampler", "steps", "temperature"],
  passes: ({ steps }) => steps,
  presets: {
    quick: { options: { sampler: "ddpm", steps: 32, temperature: 0.3 } },
    careful: { options: { sampler: "churn", steps: 256 } },
    think: { options: { sampler: "churn", steps: 64 }, speed: "6" },
  },
  samplers: {
    ddpm: { does: "a pass sharpens all letters, then adds fresh noise", reason: "" },
    ddim: { does: "a pass sharpens all letters, and adds no noise of its own", reason: "" },
    churn: { does: "as ddim, with the noise raised by the share churn before each pass", reason: "" },
  },
  firstSampler: "ddpm",
  begins: "noise",
  bars: "letters changed at each step",
};

const leftToRight: Process = {
  kind: "ar",
  name: "Left to right",
  does: "writes from left to right",
  families: ["gpt"],
  inOrder: true,
  changesAll: false,
  openLook: "empty",
  fixed: "fixed",
  open: "open",
  ofPrompt: "part of the prompt",
  bounded: false,
  proofreads: true,
  refusesGaps: "Open gaps need a masked or a Gaussian model; one that writes from left to right has none to fill.",
  without: ["steps", "temperature-fall", "tau", "gamma", "eta", "churn", "stop-stable", "proofread", "rounds", "proofread-share", "from-text"],
  alwaysNamed: ["temperature"],
  passes: ({ length, prompt }) => length - [...prompt].length,
  presets: {
    quick: { options: {}, speed: "0" },
    careful: { options: { temperature: 0.7 } },
    think: { options: {}, speed: "12" },
  },
  samplers: { "left-to-right": { does: "a pass writes one letter, after those before it", reason: "" } },
  firstSampler: "left-to-right",
  begins: "empty places",
  bars: "a letter at each step",
};

/** All processes, in the order in which they are offered; the first is the one of a visit's start. */
export const processes: readonly Process[] = [masked, gaussian, leftToRight];

/** Undefined where the page has no such process. */
export function processOf(kind: string): Process | undefined {
  return processes.find((process) => process.kind === kind);
}

/** What the page says of the process that made the sheet, in HTML. Only the build reads it. */
export interface Prose {
  /** The first paragraph of the page. */
  lede: string;
  /** The running head's words. */
  heading: string;
  /** What the story, which tells of masked diffusion, says before it begins. */
  beforeStory?: string;
}

export const proseOf: Readonly<Record<string, Prose>> = {
  masked: {
    lede: "Two hundred and fifty-six characters of noise. A network guesses all of them at once, draws a letter here and there, where it is surest, and looks again. It runs here, in this page.",
    heading: "Masked diffusion",
  },
  gaussian: {
    lede: "Two hundred and fifty-six blurs. Every place begins as noise, a little of each letter at once; a network says what each might be, and all sharpen together. It runs here, in this page.",
    heading: "Gaussian diffusion",
    beforeStory: 'The sheet now shows Gaussian diffusion, where nothing is hidden and nothing fixed before the end. The first three sections tell of masked diffusion, and their steps and guesses are to be seen there when <button disabled data-turn="masked">a masked model is loaded again</button>.',
  },
  ar: {
    lede: "A network that writes from left to right, the old way: a character a pass, never taking one back. This is no diffusion, but what it is measured against. It runs here, in this page.",
    heading: "Left to right",
    beforeStory: "The sheet now shows a model that writes from left to right, a character a pass. What follows tells of masked diffusion: its steps and guesses are not to be seen there until a masked model is loaded again.",
  },
};
