/** A sample's steps as lines of JSON, byte for byte as `folio sample --trace` writes them. */
import type { Lane } from "./lanes";

/** Rounds to six digits as printf does: a tie goes to the even digit, where toPrecision takes the larger one. */
function rounded(value: number): number {
  const tie = /^(\d\.\d{4}[02468])50*(e.*)$/.exec(value.toExponential(100));
  return Number(tie ? tie[1] + tie[2] : value.toPrecision(6));
}

function list(values: readonly unknown[]): string {
  return `[${values.join()}]`;
}

function inFours<T>(values: T[]): T[][] {
  return Array.from({ length: values.length / 4 }, (_, position) => values.slice(4 * position, 4 * position + 4));
}

/** Formats as printf's %.6g does; NaN is null. */
function written(value: number): string {
  if (Number.isNaN(value)) return "null";
  const number = rounded(value);
  return number !== 0 && Math.abs(number) < 1e-4 ? number.toExponential().replace(/-(\d)$/, "-0$1") : String(number);
}

export function traceOf(lane: Lane): string {
  const numbers = (values: Float32Array) => Array.from(values, written);
  return lane.frames.map((frame) => {
    const text = Array.from(frame.id, (id) => (id < 0 ? "\ufffd" : lane.vocabulary.character(id))).join("");
    const fields: [string, unknown][] = [
      ["sample", 0], ["step", frame.step], ["steps", frame.steps], ["length", frame.length], ["text", JSON.stringify(text)],
      ["ids", list(Array.from(frame.id))], ["flags", list(Array.from(frame.flags))],
      ["probability", list(numbers(frame.probability))], ["entropy", list(numbers(frame.entropy))],
      ["top", list(inFours(Array.from(frame.topId)).map(list))], ["top_probability", list(inFours(numbers(frame.topProbability)).map(list))],
    ];
    if (frame.proofreadNll) fields.push(["proofread_nll", list(numbers(frame.proofreadNll))]);
    return `{${fields.map(([name, value]) => `"${name}":${value}`).join()}}\n`;
  }).join("");
}
