/** The recorded sample that plays while the weights load, unpacked from trace.json (packed by build.mjs, which says how). */
import { fetchFile, home } from "../engine/assets";
import { REVEALED, NEW, CONDITIONED, type Frame, type RecordedStep, type Request } from "../engine/protocol";
import { Lane, Vocabulary } from "./lanes";
import { masked } from "../processes";

export interface Packed {
  /** The version of the weights that made it, where any engine makes the very same of them. */
  weights?: string;
  request: Request;
  defaults: Request;
  vocab: string;
  text: string;
  given: number;
  revealedAt: number[];
  /** Float32 in base64: with these a state can be told exactly. */
  probability: string;
  topIds: string;
  measures: string;
}

/** Error that 63 times the root of a probability may have where the record repeats it. */
export const rootTolerance = 4;

/** Reader of numbers from 0, one character each; "!" repeats the number that the same position had a step before. */
class SymbolReader {
  private at = 0;
  constructor(private signs: string) {}

  /** Replaces numbers by the next ones. */
  update(numbers: number[]): void {
    numbers.forEach((_, index) => {
      const code = this.signs.charCodeAt(this.at++);
      if (code !== 33) numbers[index] = code - 35;
    });
  }
}

export interface Recording {
  lane: Lane;
  defaults: Request;
  /** The version of the weights that made it; unknown where other machines may make something else of them. */
  weights: string | undefined;
}

export async function fetchRecord(): Promise<Recording | undefined> {
  const response = await fetchFile(`${home()}trace.json`);
  if (!response.ok) return undefined;
  const packed = (await response.json()) as Packed;
  return { lane: unpack(packed), defaults: packed.defaults, weights: packed.weights };
}

/** True where a frame computed here is the recorded one, as far as the record tells; not `exact`: to within rounding. */
export function framesAgree(live: Frame, recorded: Frame | undefined, exact: boolean): boolean {
  if (live.length !== recorded?.length) return false;
  const near = (a: number, b: number, tolerance: number) => Math.abs(a - b) <= tolerance;
  return live.id.every((id, position) => {
    if (id !== recorded.id[position] || !near(live.probability[position], recorded.probability[position], exact ? 0 : 0.02)) return false;
    // A pass predicts nothing at positions that were fixed before it.
    if (id >= 0 && !(recorded.flags[position] & NEW)) return true;
    return [0, 1, 2, 3].every((rank) => near(63 * Math.sqrt(live.topProbability[4 * position + rank]),
      63 * Math.sqrt(recorded.topProbability[4 * position + rank]), rootTolerance + 0.51));
  });
}

/** The steps of a recorded lane, of which the engine makes states: only where positions are fixed once each and in one block. */
export function recordedSteps({ frames }: Lane): RecordedStep[] {
  const revealedAt = new Int32Array(frames[0].length);
  return frames.map(({ step, steps, id, probability, flags }) => {
    revealedAt.forEach((_, position) => flags[position] & NEW && (revealedAt[position] = step));
    return { step, steps, id, revealedAt: revealedAt.slice(), probability, flags: flags.map((flag) => flag & ~NEW) };
  });
}

export function unpack(packed: Packed): Lane {
  const vocabulary = new Vocabulary(packed.vocab);
  const lane = new Lane("A", packed.request, vocabulary, masked, false);
  const ids = [...packed.text].map((character) => vocabulary.characters.indexOf(character));
  const length = ids.length;
  const steps = Math.max(...packed.revealedAt);
  const frames: Frame[] = [];
  for (let step = 0; step <= steps; ++step)
    frames.push({
      step, steps, length, done: step === steps, windowFirst: 0, windowLength: length, editsApplied: 0, passesSaved: 0,
      id: new Int32Array(length).fill(-1), flags: new Uint8Array(length),
      probability: new Float32Array(length), entropy: new Float32Array(length),
      topId: new Int32Array(4 * length), topProbability: new Float32Array(4 * length), proofreadNll: undefined,
    });
  const [topIds, measures] = [new SymbolReader(packed.topIds), new SymbolReader(packed.measures)];
  const probabilities = new Float32Array(Uint8Array.from(atob(packed.probability), (sign) => sign.charCodeAt(0)).buffer);
  const open = ids.map(() => ({ topIds: [0, 0, 0, 0], measures: [0, 0, 0, 0, 0] }));
  for (const frame of frames)
    open.forEach((now, position) => {
      const { step } = frame;
      const revealedAt = packed.revealedAt[position];
      if (step >= 1 && step <= revealedAt) {
        topIds.update(now.topIds);
        measures.update(now.measures);
      }
      frame.topId.set(now.topIds, 4 * position);
      frame.topProbability.set(now.measures.slice(0, 4).map((root) => (root / 63) ** 2), 4 * position);
      frame.entropy[position] = now.measures[4] / 10;
      if (step < revealedAt) return;
      const given = position < packed.given;
      frame.id[position] = ids[position];
      frame.probability[position] = probabilities[position];
      frame.flags[position] = REVEALED | (given ? CONDITIONED : 0) | (step === revealedAt && !given ? NEW : 0);
    });
  for (const frame of frames) lane.add(frame, undefined);
  return lane;
}
