/** A lane is one run through the steps: all its frames are kept, so that looking back never computes. */
import type { Process } from "./processes";
import { FIXED, GIVEN, JUST_FIXED, type Frame, type Request } from "./protocol";

export class Vocabulary {
  readonly characters: string[];
  private ids = new Map<string, number>();

  constructor(vocab: string) {
    this.characters = [...vocab];
    this.characters.forEach((character, id) => {
      if (character !== "\ufffd") this.ids.set(character, id);
    });
  }

  /** The character of an id, or "" for an open place. */
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

/** What the timeline draws of a frame. */
export interface Summary {
  fixed: number;
  fixedNow: number;
  /**
   * Mean entropy of the open places, of a process that goes in order of those fixed in this step: the others nobody has looked
   * at. As a share of the greatest possible, 0 to 1.
   */
  doubt: number;
}

const summaries = new WeakMap<Frame, Summary>();

export function summarise({ frames, process, vocabulary }: Lane, step: number): Summary {
  const frame = frames[step];
  const known = summaries.get(frame);
  if (known) return known;
  let fixed = 0;
  let fixedNow = 0;
  let [entropy, count] = [0, 0];
  for (let place = 0; place < frame.length; ++place) {
    const fresh = (frame.flags[place] & JUST_FIXED) !== 0;
    if (frame.id[place] >= 0) ++fixed;
    if (fresh) ++fixedNow;
    if (process.inOrder ? !fresh : frame.id[place] >= 0) continue;
    entropy += frame.entropy[place];
    ++count;
  }
  const most = Math.log(Math.max(2, vocabulary.characters.length));
  // Before the first pass nobody has an opinion: doubt is complete.
  const doubt = frame.step === 0 && entropy === 0 && fixed < frame.length ? 1 : count === 0 ? 0 : Math.min(1, entropy / count / most);
  const summary = { fixed, fixedNow, doubt };
  summaries.set(frame, summary);
  return summary;
}

export class Lane {
  frames: Frame[] = [];
  /** The sampler's state at each step; a recorded lane has none. */
  states: (Uint8Array | undefined)[] = [];
  computing = false;

  constructor(
    readonly name: string,
    readonly request: Request,
    readonly vocabulary: Vocabulary,
    readonly process: Process,
    readonly live: boolean,
    /** As --edit has them, with the step they follow. */
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
    const { prompt, text } = this.request;
    return text === undefined || text.startsWith(prompt) ? [...prompt].length : 0;
  }

  add(frame: Frame, state: Uint8Array | undefined): void {
    this.frames.length = this.states.length = Math.min(this.frames.length, frame.step);
    this.frames[frame.step] = frame;
    this.states[frame.step] = state;
  }

  /** `open` stands for an open place; `among` takes a part, both its ends included. */
  text(step: number, open: string, among = { from: 0, to: Infinity }): string {
    const ids = this.frames[step].id.subarray(among.from, among.to + 1);
    return Array.from(ids, (id) => (id < 0 ? open : this.vocabulary.character(id))).join("");
  }

  /** The step in which the letter that a place has at `step` was fixed; undefined where the place is open. */
  fixedAt(place: number, step: number): number | undefined {
    if (!(this.frames[step].flags[place] & FIXED)) return undefined;
    const id = this.frames[step].id[place];
    let first = step;
    while (first > 0 && !(this.frames[first].flags[place] & JUST_FIXED) &&
      this.frames[first - 1].flags[place] & FIXED && this.frames[first - 1].id[place] === id) --first;
    return first;
  }

  /** The step after which the place was open for good until it was fixed, or until `step`. */
  openSince(place: number, step: number): number {
    let first = this.fixedAt(place, step) ?? step;
    while (first > 0 && !(this.frames[first - 1].flags[place] & FIXED)) --first;
    return first;
  }

  /** The fixed text that a new sample must keep, or undefined if that is just the prompt. */
  keptText(step: number): string | undefined {
    const { flags, id } = this.frames[step];
    let beyond = false;
    const mark = this.vocabulary.mark;
    const text = Array.from(id, (letter, place) => {
      if (place < this.promptLength || !(flags[place] & GIVEN) || letter < 0) return mark;
      beyond = true;
      return this.vocabulary.character(letter);
    });
    return beyond ? text.join("") : undefined;
  }
}

/** A, B, C, ... by the order of opening; after Z they begin again. */
export function laneName(count: number): string {
  return String.fromCharCode(65 + (count % 26));
}
