/** Looks of a frame's positions, each by its state. */
import type { Show } from "../page/address";
import type { Choice } from "../page/edits";
import type { Lane } from "../page/lanes";
import { CONDITIONED, NEW, REOPENED } from "../engine/protocol";
import { beside, lineEnd, plain, type Look } from "./ink";

export const columns = 32;

export interface Picture {
  lane: Lane;
  step: number;
  show: Show;
  guesses: boolean;
  chosen: Choice | undefined;
  pinned: number;
  /** The position whose biography is shown unasked, or -1. */
  closest: number;
  compared: Lane | undefined;
  /** Playing or computing: the textarea under a visitor's caret keeps its value. */
  moving: boolean;
}

function signOf(character: string): string {
  return character === "\n" ? "\u21b5" : character;
}

/** Steps of doubt, in bits; the greatest of 65 characters is 6.02. */
const bitsPerGround = 1.05;

/** The look of every position of a frame. */
export function looksOf(picture: Picture): Look[] {
  const { lane, step, show, chosen, pinned, closest, compared } = picture;
  const frame = lane.frames[step];
  const other = compared?.frames[Math.min(step, compared.head)];
  const caret = lane.process.inOrder ? frame.id.indexOf(-1) : -1;
  const among = new Set(chosen);
  return Array.from(frame.id, (id, position) => {
    const look: Look = { ...plain };
    const flags = frame.flags[position];
    if (id >= 0) {
      const character = lane.vocabulary.character(id);
      look.sign = signOf(character);
      if (character === "\n") Object.assign(look, { size: lineEnd, ink: "soft" });
      look.wet = (flags & NEW) !== 0 && (flags & CONDITIONED) === 0 && !lane.process.changesAll;
      look.given = (flags & CONDITIONED) !== 0;
      if (look.wet && show === "ink") look.ink = "sheet";
    } else if (lane.struckOut(position, step)) {
      Object.assign(look, { sign: signOf(lane.vocabulary.character(lane.frames[step - 1].id[position])), ink: "red", hatched: true, struckOut: true });
    } else {
      if (lane.process.openLook === "blur") blur(look, picture, position);
      if (lane.process.openLook === "guess") guess(look, picture, position);
      look.caret = position === caret;
      look.hatched = (flags & REOPENED) !== 0;
    }
    if (show !== "ink") {
      look.ink = "ink";
      look.wet = false;
      look.ground = (flags & CONDITIONED) !== 0 ? 0 : show === "doubt" ? groundOfDoubt(frame.entropy[position]) : groundOfOrder(lane, position, step);
    }
    if (among.has(position)) {
      look.chosen = true;
      look.chosenBeside = beside.map(([x, y]) => {
        const column = (position % columns) + x;
        return column >= 0 && column < columns && among.has(position + y * columns + x);
      });
      look.wet = false;
      look.ink = look.ink === "edge" ? "soft" : "ink";
    }
    look.frame = position === pinned ? 2 : position === closest ? 1 : 0;
    look.differs = other !== undefined && other.id[position] !== id;
    return look;
  });
}

/** The three most likely letters over one another, each as opaque as it is likely: an uncertain position is a blur. */
function blur(look: Look, { lane, step, guesses }: Picture, position: number): void {
  const { topId, topProbability } = lane.frames[step];
  if (lane.mostLikely(position, step) < 0 || (!guesses && lane.letters(step)[position] < 0)) {
    look.sign = "\u00b7";
    look.ink = "edge";
    return;
  }
  look.layers = [2, 1, 0].map((rank) => {
    const character = lane.vocabulary.character(topId[4 * position + rank]);
    // The eye takes half the ink for less than half.
    return { sign: signOf(character), opacity: topProbability[4 * position + rank] ** 0.7 };
  });
  look.sign = look.layers[2].sign;
}

function guess(look: Look, { lane, step, guesses }: Picture, position: number): void {
  const frame = lane.frames[step];
  const probability = frame.topProbability[4 * position];
  const character = lane.vocabulary.character(frame.topId[4 * position]);
  if (!guesses || probability < 0.2 || character === " " || character === "\n") {
    look.sign = "\u00b7";
    look.ink = "edge";
  } else {
    look.sign = character;
    look.ink = probability > 0.4 ? "near" : "guess";
    // Eight sizes, not a continuum: an eye sees no more, and glyphs are kept.
    look.size = 0.6 + 0.3 * (Math.round(7 * Math.min(1, probability / 0.8)) / 7);
  }
}

function groundOfDoubt(nats: number): number {
  return Math.min(4, Math.floor(nats / Math.LN2 / bitsPerGround));
}

function groundOfOrder(lane: Lane, position: number, step: number): number {
  const revealedAt = lane.revealedAt(position, step);
  return revealedAt === undefined ? 0 : 4 - Math.min(3, Math.floor((revealedAt / Math.max(1, lane.steps)) * 4));
}
