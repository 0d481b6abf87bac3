/** The frame of the sheet: its running head above, its signature, scale and catchword below. */
import { isPhone } from "../page/features";
import type { Lane } from "../page/lanes";
import type { Show } from "../page/address";
import { byId, html } from "./dom";

const scales: Record<Show, [string, string, number[]] | undefined> = {
  ink: undefined,
  doubt: ["sure", "in doubt", [0, 1, 2, 3, 4]],
  order: ["first", "last", [4, 3, 2, 1]],
};

export class SheetFrame {
  /** `progress`: in words, of what is computed before it can be shown; else empty. */
  show(lane: Lane, step: number, show: Show, progress: string): void {
    const frame = lane.frames[step];
    const atEnd = frame.done && step === lane.head;
    byId("source").textContent = lane.live ? "Live" : "Recorded";
    byId("run-head").replaceChildren(progress || (atEnd ? "Finished" : `Step ${step} of ${lane.steps}`),
      ...(frame.proofreadNll && !progress ? [html("span", { class: "wide" }, ", proofread")] : []));
    const saved = frame.passesSaved ? `, ${frame.passesSaved} saved` : "";
    byId("run-count").replaceChildren(...(atEnd ? [`${lane.steps === 1 ? "1 step" : `${lane.steps} steps`}${saved}`]
      : [`${lane.countStanding(step)} of ${frame.length}`, html("span", { class: "wide" }, ` ${lane.process.fixed}`)]));
    byId("signature").textContent = `Seed ${lane.request.seed}`;
    const next = atEnd ? [] : nextLetters(lane, step).slice(0, isPhone.matches ? 3 : 4);
    byId("catchword").replaceChildren(...(atEnd ? ["finis"] : next.length ? ["next", ...next.map((letter) => html("i", {}, letter))] : []));
    const scale = scales[show];
    byId("scale").replaceChildren(...(scale
      ? [html("span", {}, scale[0]), ...scale[2].map((level) => html("i", { class: `d${level}` })), html("span", {}, scale[1])] : []));
  }
}

/** The letters to be fixed next, or to change, the most confident first: those of the next frame where it is known, else guesses. */
function nextLetters(lane: Lane, step: number): string[] {
  const now = lane.frames[step];
  const at = step < lane.head ? step + 1 : step;
  const letters: { letter: string; probability: number }[] = [];
  // Of what stands further on, a process that goes in order has no guess; nor is there one of which guesses will change.
  if (at === step && (lane.process.inOrder || lane.process.changesAll)) return [];
  now.id.forEach((id, position) => {
    if (at > step ? !lane.changes(position, at) : id >= 0) return;
    const letter = lane.vocabulary.character(lane.mostLikely(position, at));
    const probability = lane.confidence(position, at);
    if (letter.trim() && probability > 0) letters.push({ letter, probability });
  });
  return letters.sort((a, b) => b.probability - a.probability).map(({ letter }) => letter);
}
