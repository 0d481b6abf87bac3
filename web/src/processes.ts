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
  does: "takes away noise",
  inOrder: false,
  without: [],
  presets: {
    quick: { options: { sampler: "threshold", tau: 0.8, steps: 32 } },
    careful: { options: { sampler: "confidence", steps: 256, temperature: 0.7 } },
    think: { options: { sampler: "entropy", steps: 64 }, speed: "6" },
  },
  begins: "noise",
  bars: "letters fixed at each step",
};

const leftToRight: Process = {
  kind: "ar",
  name: "Left to right",
  does: "writes from left to right",
  inOrder: true,
  without: ["steps", "tau", "gamma", "eta"],
  presets: {
    quick: { options: {}, speed: "0" },
    careful: { options: { temperature: 0.7 } },
    think: { options: {}, speed: "12" },
  },
  begins: "empty places",
  bars: "a letter at each step",
};

/** Undefined where the page has no such process. */
export function processOf(kind: string): Process | undefined {
  return [masked, leftToRight].find((process) => process.kind === kind);
}
