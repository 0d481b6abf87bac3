/** How a model comes to its text, as far as the page does or says something else for it. Its texts by kind are in index.html. */
import type { Request } from "./engine/protocol";

export type Preset = "quick" | "careful" | "think";

/** Settings of a preset; all else is the engine's default, and nothing is proofread. */
export interface Settings {
  options: Partial<Request>;
  proofread?: boolean;
  /** At which it is shown. */
  speed?: string;
}

export interface Process {
  /** As weights files name it. */
  kind: string;
  /** Among processes, and of a model. */
  name: string;
  does: string;
  /** A pass looks at the first open place alone and fixes it, seeing what stands before. */
  inOrder: boolean;
  /**
   * Every pass changes all places, and only the last decides: until then a place shows its likeliest letters over one another, and a
   * letter stands from the step after which the likeliest has not changed.
   */
  together: boolean;
  /** What a place is that has its letter, and one that has not. */
  fixed: string;
  open: string;
  /** Whether what it pays for a character is only bounded, not known. */
  bounded: boolean;
  /** Options that mean nothing to its samplers. */
  without: readonly (keyof Request)[];
  presets: Record<Preset, Settings>;
  /** The sampler of a link of v=1 that names none. */
  firstSampler: string;
  /** What the timeline begins with, and what its bars count. */
  begins: string;
  bars: string;
}

export const masked: Process = {
  kind: "masked",
  name: "Masked",
  does: "takes away noise that hides letters",
  inOrder: false,
  together: false,
  fixed: "fixed",
  open: "open",
  bounded: true,
  without: ["churn", "stop-stable"],
  presets: {
    quick: { options: { sampler: "spread", steps: 16, temperature: 1.2, "temperature-fall": 0.7 } },
    careful: { options: { sampler: "spread", steps: 128 }, proofread: true },
    think: { options: { sampler: "spread", steps: 64 }, speed: "6" },
  },
  firstSampler: "confidence",
  begins: "noise",
  bars: "letters fixed at each step",
};

const gaussian: Process = {
  kind: "gaussian",
  name: "Gaussian",
  does: "takes away noise that blurs letters",
  inOrder: false,
  together: true,
  fixed: "settled",
  open: "unsettled",
  bounded: true,
  without: ["tau", "gamma", "eta"],
  presets: {
    quick: { options: { sampler: "ddpm", steps: 32, temperature: 0.3 } },
    careful: { options: { sampler: "churn", steps: 256 } },
    think: { options: { sampler: "churn", steps: 64 }, speed: "6" },
  },
  firstSampler: "ddpm",
  begins: "noise",
  bars: "letters changed at each step",
};

const leftToRight: Process = {
  kind: "ar",
  name: "Left to right",
  does: "writes from left to right",
  inOrder: true,
  together: false,
  fixed: "fixed",
  open: "open",
  bounded: false,
  without: ["steps", "temperature-fall", "tau", "gamma", "eta", "churn", "stop-stable", "proofread", "rounds", "proofread-share", "from-text"],
  presets: {
    quick: { options: {}, speed: "0" },
    careful: { options: { temperature: 0.7 } },
    think: { options: {}, speed: "12" },
  },
  firstSampler: "left-to-right",
  begins: "empty places",
  bars: "a letter at each step",
};

/** In the order in which they are offered. */
export const processes: readonly Process[] = [masked, gaussian, leftToRight];

/** Undefined where the page has no such process. */
export function processOf(kind: string): Process | undefined {
  return processes.find((process) => process.kind === kind);
}

/** Samplers by name: what each does, and as what it took a place whose letter it has fixed. */
export const samplers: Readonly<Record<string, { does: string; reason: string }>> = {
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
  ddpm: { does: "a pass sharpens all letters, then adds fresh noise", reason: "" },
  ddim: { does: "a pass sharpens all letters, and adds no noise of its own", reason: "" },
  churn: { does: "as ddim, with the noise raised by the share churn before each pass", reason: "" },
  "left-to-right": { does: "a pass writes one letter, after those before it", reason: "" },
};
