/** The recorded sample that plays while the weights load, unpacked from trace.json (packed by build.mjs, which says how). */
import { FIXED, GIVEN, JUST_FIXED, type Frame, type Request } from "./protocol";
import { Lane, Vocabulary } from "./lanes";

interface Packed {
  request: Request;
  defaults: Request;
  vocab: string;
  text: string;
  given: number;
  fixedAt: number[];
  probability: string;
  topIds: string[];
  topProbabilities: string[];
  entropy: string;
}

/** Signs stand for whole numbers from 0; "!" repeats the number that the same place had a step before. */
class Signs {
  private at = 0;
  constructor(private signs: string) {}

  next(before: number): number {
    const code = this.signs.charCodeAt(this.at++);
    return code === 33 ? before : code - 35;
  }
}

export interface Recording {
  lane: Lane;
  defaults: Request;
}

export async function fetchRecord(): Promise<Recording | undefined> {
  const response = await fetch(new URL("trace.json", document.baseURI));
  if (!response.ok) return undefined;
  const packed = (await response.json()) as Packed;
  return { lane: unpack(packed), defaults: packed.defaults };
}

function unpack(packed: Packed): Lane {
  const vocabulary = new Vocabulary(packed.vocab);
  const lane = new Lane("A", packed.request, vocabulary, false);
  const ids = [...packed.text].map((character) => vocabulary.characters.indexOf(character));
  const length = ids.length;
  const steps = Math.max(...packed.fixedAt);
  const frames: Frame[] = [];
  for (let step = 0; step <= steps; ++step)
    frames.push({
      step, steps, length, done: step === steps, windowFirst: 0, windowLength: length,
      id: new Int32Array(length).fill(-1), flags: new Uint8Array(length),
      probability: new Float32Array(length), entropy: new Float32Array(length),
      topId: new Int32Array(4 * length), topProbability: new Float32Array(4 * length),
    });
  const topIds = packed.topIds.map((signs) => new Signs(signs));
  const topProbabilities = packed.topProbabilities.map((signs) => new Signs(signs));
  const entropies = new Signs(packed.entropy);
  const probabilities = new Signs(packed.probability);
  for (let place = 0; place < length; ++place) {
    const probability = (probabilities.next(0) / 63) ** 2;
    const id = [0, 0, 0, 0];
    const root = [0, 0, 0, 0];
    let entropy = 0;
    for (let step = 0; step <= steps; ++step) {
      const frame = frames[step];
      if (step >= 1 && step <= packed.fixedAt[place]) {
        for (let rank = 0; rank < 4; ++rank) {
          id[rank] = topIds[rank].next(id[rank]);
          root[rank] = topProbabilities[rank].next(root[rank]);
        }
        entropy = entropies.next(entropy);
      }
      for (let rank = 0; rank < 4; ++rank) {
        frame.topId[4 * place + rank] = id[rank];
        frame.topProbability[4 * place + rank] = (root[rank] / 63) ** 2;
      }
      frame.entropy[place] = entropy / 10;
      if (step >= packed.fixedAt[place]) {
        frame.id[place] = ids[place];
        frame.probability[place] = probability;
        frame.flags[place] = FIXED | (place < packed.given ? GIVEN : 0) |
          (step === packed.fixedAt[place] && place >= packed.given ? JUST_FIXED : 0);
      }
    }
  }
  for (const frame of frames) lane.add(frame, undefined);
  return lane;
}
