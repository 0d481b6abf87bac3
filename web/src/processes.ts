/** How a model comes to its text, as far as the page does or says something else for it. Its texts by kind are in index.html. */
import type { Request } from "./protocol";

export type Preset = "quick" | "careful" | "think";

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
  /** Options a preset sets, and the speed at which it is shown. */
  presets: Record<Preset, { options: Partial<Request>; speed?: string }>;
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
  without: [],
  presets: {
    quick: { options: { sampler: "threshold", tau: 0.8, steps: 32 } },
    careful: { options: { sampler: "confidence", steps: 256, temperature: 0.7 } },
    think: { options: { sampler: "entropy", steps: 64 }, speed: "6" },
  },
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
    quick: { options: { sampler: "ddim", steps: 32 } },
    careful: { options: { sampler: "ddpm", steps: 256 } },
    think: { options: { sampler: "ddpm", steps: 64 }, speed: "6" },
  },
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
  without: ["steps", "tau", "gamma", "eta", "from-text"],
  presets: {
    quick: { options: {}, speed: "0" },
    careful: { options: { temperature: 0.7 } },
    think: { options: {}, speed: "12" },
  },
  begins: "empty places",
  bars: "a letter at each step",
};

/** In the order in which they are offered. */
export const processes: readonly Process[] = [masked, gaussian, leftToRight];

/** Undefined where the page has no such process. */
export function processOf(kind: string): Process | undefined {
  return processes.find((process) => process.kind === kind);
}
