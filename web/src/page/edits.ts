/** Edits of chosen positions, as `--edit` has them, and the reasons why some would change nothing. */
import type { Lane } from "./lanes";
import { REVEALED, CONDITIONED } from "../engine/protocol";

/** Chosen positions in ascending order; never none. */
export type Choice = readonly number[];

export function countOf({ length }: readonly number[]): string {
  return length === 1 ? "1 character" : `${length} characters`;
}

/** Neighbouring positions from `from` to `to`, both included. */
export interface Stretch {
  from: number;
  to: number;
}

export function positionsOf({ from, to }: Stretch): number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}

/** The stretches of positions in ascending order; two are one where `bridges` holds for all positions between them. */
export function stretchesOf(positions: readonly number[], bridges: (position: number) => boolean = () => false): Stretch[] {
  const stretches: Stretch[] = [];
  for (const position of positions) {
    const last = stretches[stretches.length - 1];
    let next = (last?.to ?? position) + 1;
    while (next < position && bridges(next)) ++next;
    if (last && next === position) last.to = position;
    else stretches.push({ from: position, to: position });
  }
  return stretches;
}

/** The sentence that says why noise would change nothing at these positions; undefined where it would. */
export function whyNotNoised(lane: Lane, step: number, choice: Choice): string | undefined {
  const flags = choice.map((position) => lane.frames[step].flags[position]);
  const free = flags.filter((flag) => !(flag & CONDITIONED));
  if (!free.length) return `${flags.length === 1 ? "This letter is" : "These letters are"} kept; press Release first, then noise can reach ${flags.length === 1 ? "it" : "them"}.`;
  // A letter that is only likely as yet can be noised too, once a pass has made it so.
  if (free.some((flag) => flag & REVEALED) || (lane.process.changesAll && step > 0)) return undefined;
  return free.length < flags.length ? "What is not kept of these places is still noise." : "These places are still noise.";
}

/** The edits that noise these positions again, as few as do so; none where there is nothing that noise would change. */
export function noisingEdits(lane: Lane, step: number, choice: Choice, percent: number): string[] {
  const { changesAll } = lane.process;
  const has = (flag: number) => (position: number) => (lane.frames[step].flags[position] & flag) !== 0;
  const [isKept, isRevealed] = [has(CONDITIONED), has(REVEALED)];
  const isUnmoved = (position: number) => isKept(position) || !(changesAll || isRevealed(position));
  const reached = choice.filter((position) => !isUnmoved(position));
  if (!reached.length) return [];
  const whole = stretchesOf(choice);
  const stretches = whole.length === 1 ? whole : stretchesOf(reached, percent === 100 ? isUnmoved : isKept);
  const shares = changesAll || stretches.length === 1 ? stretches.map(() => percent) : sharesOf(stretches, reached, percent);
  return stretches.flatMap(({ from, to }, index) => (shares[index] ? [`noise:${from}-${to}${shares[index] === 100 ? "" : `:${shares[index]}`}`] : []));
}

/** The percentage of each stretch with which that of all is noised: each by itself would be rounded up. */
function sharesOf(stretches: readonly Stretch[], reached: readonly number[], percent: number): number[] {
  let [before, noised] = [0, 0];
  return stretches.map(({ from, to }) => {
    const size = reached.filter((position) => position >= from && position <= to).length;
    const count = Math.ceil(((before += size) * percent) / 100) - noised;
    noised += count;
    return count && Math.max(1, Math.floor((100 * count) / size));
  });
}

/** The edits that keep the letters at these positions; undefined where there are none. */
export function keepingEdits(lane: Lane, step: number, choice: Choice): string[] | undefined {
  const [letters, { id }] = [lane.letters(step), lane.frames[step]];
  if (!choice.some((position) => letters[position] >= 0)) return undefined;
  const edits = stretchesOf(choice).map(({ from, to }) => `keep:${from}-${to}`);
  // A letter may stand before it is decided: then to keep it is to write it.
  for (const position of choice)
    if (letters[position] >= 0 && id[position] < 0) edits.push(`put:${position}:${lane.vocabulary.character(letters[position])}`);
  return edits;
}

/** The edits that open these positions, in ascending order. */
export function openingEdits(positions: readonly number[]): string[] {
  return stretchesOf(positions).map(({ from, to }) => `open:${from}-${to}`);
}

/** True where noise in a finished text has brought back the very same letters. */
export function cameBackTheSame(lane: Lane): boolean {
  const { edits, parent, from, head } = lane;
  return parent?.frames[from].done === true && /^\d+:noise:/.test(edits[edits.length - 1] ?? "") && lane.text(head, "_") === parent.text(from, "_");
}
