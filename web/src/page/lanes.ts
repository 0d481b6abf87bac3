/** A lane is one run through the steps: all its frames are kept, so that looking back never computes. */
import { stretchesOf, type Choice } from "./edits";
import { escapeBraces } from "./gaps";
import type { Process } from "../processes";
import { REVEALED, CONDITIONED, NEW, REOPENED, type Frame, type Request, type SavedState } from "../engine/protocol";

export class Vocabulary {
  readonly characters: string[];
  private ids = new Map<string, number>();

  constructor(vocab: string) {
    this.characters = [...vocab];
    this.characters.forEach((character, id) => {
      if (character !== "\ufffd") this.ids.set(character, id);
    });
  }

  /** The character of an id, or "" for an open position. */
  character(id: number): string {
    return id < 0 ? "" : this.characters[id] ?? "\ufffd";
  }

  has(character: string): boolean {
    return this.ids.has(character);
  }

  /** A sign for a gap that no text of this vocabulary can hold. */
  get mark(): string {
    return ["_", "~", "^", "\u00a6"].find((sign) => !this.has(sign)) ?? "\ue000";
  }
}

/** The figures of a frame that the timeline draws. */
export interface Summary {
  /** Letters that were fixed in this step, or changed where every step changes them. */
  changed: number;
  /**
   * Mean entropy of the open positions, or, of a process that goes in order, of those fixed in this step, since no pass has read the
   * others. As a share of the greatest possible, 0 to 1.
   */
  doubt: number;
}

/** A proofreader's score of the letter that stood at a position before its step. */
export interface Proofreading {
  step: number;
  letter: number;
  nll: number;
  struckOut: boolean;
}

const summaries = new WeakMap<Frame, Summary>();

export function summarize(lane: Lane, step: number): Summary {
  const frame = lane.frames[step];
  const cached = summaries.get(frame);
  if (cached) return cached;
  const most = Math.log(Math.max(2, lane.vocabulary.characters.length));
  let changed = 0;
  let [entropy, count] = [0, 0];
  for (let position = 0; position < frame.length; ++position) {
    const fresh = (frame.flags[position] & NEW) !== 0;
    if (lane.changes(position, step)) ++changed;
    if (lane.process.inOrder ? !fresh && step > 0 : frame.id[position] >= 0) continue;
    // Of what no pass has seen doubt is complete.
    entropy += frame.topProbability[4 * position] > 0 ? frame.entropy[position] : most;
    ++count;
  }
  const summary = { changed, doubt: count === 0 ? 0 : Math.min(1, entropy / count / most) };
  summaries.set(frame, summary);
  return summary;
}

/** States of more bytes are kept at some steps only. */
const largeState = 1 << 14;
const largeStatesEvery = 8;

export class Lane {
  frames: Frame[] = [];
  /** The sampler's state at each step, or at some: a pass leads from one to the next. */
  states: (SavedState | undefined)[] = [];
  computing = false;
  /** The letters that were last asked for, and their step. */
  private lettersOf: { step: number; letters: Int32Array } | undefined;

  constructor(
    readonly name: string,
    readonly request: Request,
    readonly vocabulary: Vocabulary,
    readonly process: Process,
    readonly live: boolean,
    /** Edits as --edit has them, each with the step it follows. */
    readonly edits: string[] = [],
    readonly parent?: Lane,
    readonly from = 0,
  ) {
    if (parent) {
      this.frames = parent.frames.slice(0, from + 1);
      this.states = parent.states.slice(0, from + 1);
    }
  }

  get head(): number {
    return this.frames.length - 1;
  }

  get finished(): boolean {
    return this.frames[this.head]?.done ?? false;
  }

  /** The number of steps, as far as it is known. */
  get steps(): number {
    const last = this.frames[this.head];
    return !last ? this.request.steps : last.done ? this.head : Math.max(last.steps, this.head);
  }

  get promptLength(): number {
    const { prompt, text, "from-text": whole } = this.request;
    if (whole !== undefined) return 0;
    return text === undefined || text.startsWith(escapeBraces(prompt)) ? [...prompt].length : 0;
  }

  /** `keep`: the state is needed, however large. */
  add(frame: Frame, state: SavedState | undefined, keep = false): void {
    const { step } = frame;
    this.frames.length = this.states.length = Math.min(this.frames.length, step);
    this.frames[step] = frame;
    this.states[step] = keep || step % largeStatesEvery === 0 || (state instanceof Uint8Array && state.length <= largeState) ? state : undefined;
    this.lettersOf = undefined;
  }

  /** The id of the letter at each position, -1 where there is none. */
  letters(step: number): Int32Array {
    const { id } = this.frames[step];
    if (!this.process.changesAll) return id;
    if (this.lettersOf?.step !== step)
      this.lettersOf = { step, letters: id.map((_, position) => (this.revealedAt(position, step) === undefined ? -1 : this.mostLikely(position, step))) };
    return this.lettersOf.letters;
  }

  /** Number of positions that have their letter. */
  countStanding(step: number): number {
    return this.letters(step).reduce((count, id) => count + (id >= 0 ? 1 : 0), 0);
  }

  /** The text, with `open` for a position without a letter. */
  text(step: number, open: string): string {
    return this.textBetween(step, open, 0);
  }

  /** The text of chosen positions: what is apart is on lines of its own. */
  chosenText(step: number, open: string, choice: Choice): string {
    return stretchesOf(choice).map(({ from, to }) => this.textBetween(step, open, from, to))
      .reduce((above, text) => `${above}${above.endsWith("\n") ? "" : "\n"}${text}`);
  }

  private textBetween(step: number, open: string, from: number, to = Infinity): string {
    const ids = this.letters(step).subarray(from, to + 1);
    return Array.from(ids, (id) => (id < 0 ? open : this.vocabulary.character(id))).join("");
  }

  /** The letter at a position, or the most likely one where it is open; -1 before its first pass. */
  mostLikely(position: number, step: number): number {
    const { id, topId, topProbability } = this.frames[step];
    if (id[position] >= 0) return id[position];
    return topProbability[4 * position] > 0 && !this.isNoisedAt(position, step) ? topId[4 * position] : -1;
  }

  /** True where an edit at this very step has noised a position: its last prediction holds no longer. */
  private isNoisedAt(position: number, step: number): boolean {
    const noised = (at: number) => (this.frames[at].flags[position] & REOPENED) !== 0;
    return this.process.changesAll && step > 0 && noised(step) && !noised(step - 1);
  }

  /** Probability of that letter now, or when it was fixed. */
  confidence(position: number, step: number): number {
    const { id, probability, topProbability } = this.frames[step];
    return id[position] >= 0 ? probability[position] : topProbability[4 * position];
  }

  /** True where a position gets its letter in a step, or another where every step changes them. */
  changes(position: number, step: number): boolean {
    if (!this.process.changesAll) return (this.frames[step].flags[position] & NEW) !== 0;
    if (step === 0 || this.frames[step].flags[position] & CONDITIONED) return false;
    const before = this.mostLikely(position, step - 1);
    return before >= 0 && this.mostLikely(position, step) !== before;
  }

  /** The step since which a position has the letter that it has at `step`; undefined where it has none. */
  revealedAt(position: number, step: number): number | undefined {
    if (this.process.changesAll && !(this.frames[step].flags[position] & CONDITIONED)) return this.settledAt(position, step);
    if (!(this.frames[step].flags[position] & REVEALED)) return undefined;
    const id = this.frames[step].id[position];
    let first = step;
    while (first > 0 && !(this.frames[first].flags[position] & NEW) &&
      this.frames[first - 1].flags[position] & REVEALED && this.frames[first - 1].id[position] === id) --first;
    return first;
  }

  /**
   * The step after which the most likely letter of a position has not changed until it was decided. Before that is known, it counts as
   * settled where it has not changed for an eighth of all steps.
   */
  private settledAt(position: number, step: number): number | undefined {
    const fixed = (at: number) => (this.frames[at].flags[position] & REVEALED) !== 0;
    // No pass has seen it since.
    const opened = (at: number) => (at > 0 && fixed(at - 1) && !fixed(at)) || this.isNoisedAt(position, at);
    if (opened(step)) return undefined;
    let last = step;
    while (last < this.head && !fixed(last)) ++last;
    const letter = this.mostLikely(position, last);
    let first = last;
    while (first > 0 && !opened(first - 1) && this.mostLikely(position, first - 1) === letter) --first;
    const settled = fixed(last) || last - first >= this.steps / 8;
    return letter >= 0 && settled && first <= step ? first : undefined;
  }

  /** The step from which a position was open until it was fixed, or until `step`. */
  openSince(position: number, step: number): number {
    let first = this.revealedAt(position, step) ?? step;
    while (first > 0 && !(this.frames[first - 1].flags[position] & REVEALED)) --first;
    return first;
  }

  /** The step since which a position has been given: kept or typed. */
  givenSince(position: number, step: number): number {
    const given = (at: number) => (this.frames[at].flags[position] & CONDITIONED) !== 0 && this.frames[at].id[position] === this.frames[step].id[position];
    let first = step;
    while (first > 0 && given(first - 1)) --first;
    return first;
  }

  /** Positions whose letters the visitor keeps, beyond the prompt. `textIsPrompt`: all that were given from the start belong to it. */
  keptPositions(step: number, textIsPrompt: boolean): number[] {
    const { flags, id } = this.frames[step];
    const ofPrompt = (position: number) => position < this.promptLength || (textIsPrompt && (this.frames[0].flags[position] & CONDITIONED) !== 0);
    return Array.from(id.keys()).filter((position) => flags[position] & CONDITIONED && id[position] >= 0 && !ofPrompt(position));
  }

  /** Their letters, which a new sample must keep, with a mark at every other position; undefined where there are none. */
  keptText(step: number, textIsPrompt: boolean): string[] | undefined {
    const { id } = this.frames[step];
    const text = new Array<string>(id.length).fill(this.vocabulary.mark);
    const positions = this.keptPositions(step, textIsPrompt);
    for (const position of positions) text[position] = this.vocabulary.character(id[position]);
    return positions.length ? text : undefined;
  }

  /** True where a proofreading step struck out the letter at a position. */
  struckOut(position: number, step: number): boolean {
    const { proofreadNll, flags } = this.frames[step];
    return proofreadNll !== undefined && (flags[position] & REOPENED) !== 0 && this.frames[step - 1].id[position] >= 0;
  }

  /** The proofreader's last score of a position up to `step`; `struckOut`: the last that struck its letter out. */
  proofreading(position: number, step: number, struckOut = false): Proofreading | undefined {
    for (let at = step; at > 0; --at) {
      const nll = this.frames[at].proofreadNll?.[position] ?? NaN;
      if (!Number.isNaN(nll) && (!struckOut || this.struckOut(position, at)))
        return { step: at, letter: this.frames[at - 1].id[position], nll, struckOut: this.struckOut(position, at) };
    }
    return undefined;
  }
}

/** A, B, C, ... by the order of opening; after Z they begin again. */
export function laneName(count: number): string {
  return String.fromCharCode(65 + (count % 26));
}
