/** Edits of chosen positions, as `--edit` has them, and the reasons why some would change nothing. */
import type { Lane } from "./lanes";
import { REVEALED, CONDITIONED } from "../engine/protocol";

/** Positions from `from` to `to`, both included. */
export interface Choice {
  from: number;
  to: number;
}

/** The sentence that says why noise would change nothing at these positions; undefined where it would. */
export function whyNotNoised(lane: Lane, step: number, { from, to }: Choice): string | undefined {
  const flags = [...lane.frames[step].flags.subarray(from, to + 1)];
  const free = flags.filter((flag) => !(flag & CONDITIONED));
  if (!free.length) return `${from === to ? "This letter is" : "These letters are"} kept; press Release first, then noise can reach ${from === to ? "it" : "them"}.`;
  // A letter that is only likely as yet can be noised too, once a pass has made it so.
  if (free.some((flag) => flag & REVEALED) || (lane.process.changesAll && step > 0)) return undefined;
  return free.length < flags.length ? "What is not kept of these places is still noise." : "These places are still noise.";
}

/** The edits that keep the letters at these positions; undefined where there are none. */
export function keepingEdits(lane: Lane, step: number, { from, to }: Choice): string[] | undefined {
  const [letters, { id }] = [lane.letters(step), lane.frames[step]];
  if (!letters.subarray(from, to + 1).some((letter) => letter >= 0)) return undefined;
  const edits = [`keep:${from}-${to}`];
  // A letter may stand before it is decided: then to keep it is to write it.
  for (let position = from; position <= to; ++position)
    if (letters[position] >= 0 && id[position] < 0) edits.push(`put:${position}:${lane.vocabulary.character(letters[position])}`);
  return edits;
}

/** The edits that open these positions, in ascending order: one for each run of neighbours. */
export function openingEdits(positions: readonly number[]): string[] {
  const stretches: Choice[] = [];
  for (const position of positions) {
    const last = stretches[stretches.length - 1];
    if (last?.to === position - 1) last.to = position;
    else stretches.push({ from: position, to: position });
  }
  return stretches.map(({ from, to }) => `open:${from}-${to}`);
}

/** True where noise in a finished text has brought back the very same letters. */
export function cameBackTheSame(lane: Lane): boolean {
  const { edits, parent, from, head } = lane;
  return parent?.frames[from].done === true && /^\d+:noise:/.test(edits[edits.length - 1] ?? "") && lane.text(head, "_") === parent.text(from, "_");
}
