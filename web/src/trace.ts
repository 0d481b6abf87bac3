/** A sample's steps as lines of JSON, as `folio sample --trace` writes them. */
import type { Lane } from "./lanes";

/** To six digits as printf has it: a tie goes to the even digit, where toPrecision takes the larger one. */
function rounded(value: number): number {
  const tie = /^(\d\.\d{4}[02468])50*(e.*)$/.exec(value.toExponential(100));
  return Number(tie ? tie[1] + tie[2] : value.toPrecision(6));
}

function inFours<T>(values: T[]): T[][] {
  return Array.from({ length: values.length / 4 }, (_, place) => values.slice(4 * place, 4 * place + 4));
}

export function traceOf(lane: Lane): string {
  const numbers = (values: Float32Array) => Array.from(values, rounded);
  return lane.frames.map((frame) => JSON.stringify({
    sample: 0, step: frame.step, steps: frame.steps, length: frame.length, text: Array.from(frame.id, (id) => (id < 0 ? "\ufffd" : lane.vocabulary.character(id))).join(""),
    ids: Array.from(frame.id), flags: Array.from(frame.flags),
    probability: numbers(frame.probability), entropy: numbers(frame.entropy),
    top: inFours(Array.from(frame.topId)), top_probability: inFours(numbers(frame.topProbability)),
    // JSON has null for what is no number.
    ...(frame.proofreadNll && { proofread_nll: numbers(frame.proofreadNll) }),
  }) + "\n").join("");
}
