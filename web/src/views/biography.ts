/** The biography of one position: when its letter was fixed, how likely it was, and which other letters were. */
import { CONDITIONED } from "../engine/protocol";
import type { Lane, Proofreading } from "../page/lanes";
import { byId, html, sign, spoken, svg } from "./dom";
import { columns } from "./looks";

export interface BiographyEvents {
  /** Takes another letter at this position, decided at this step. */
  take(position: number, step: number, character: string): void;
  close(byKey: boolean): void;
}

/** The least probable of the letters fixed in the last four steps; it changes at most once in four steps. */
export function closestCall(lane: Lane, step: number): number {
  const last = step === lane.head && lane.finished ? step : step - (step % 4);
  let closest = -1;
  let least = 2;
  lane.letters(step).forEach((letter, position) => {
    if (lane.frames[step].flags[position] & CONDITIONED || !/[a-z]/i.test(lane.vocabulary.character(letter))) return;
    const at = lane.fixedAt(position, step) ?? 0;
    if (at < Math.max(1, last - 3) || at > last || lane.confidence(position, at) >= least) return;
    least = lane.confidence(position, at);
    closest = position;
  });
  return closest;
}

const chartWidth = 312;
const margin = 34;

export class Biography {
  private root = byId("biography");
  private shown = "";
  /** The lane of an automatic biography. */
  private lane: Lane | undefined;

  constructor(private events: BiographyEvents) {}

  show(lane: Lane, step: number, position: number, pinned: boolean, automatic: boolean, takable: boolean): void {
    this.root.classList.toggle("open", pinned);
    const state = [lane.name, lane.live, lane.frames.length, lane.edits.length, step, position, pinned, automatic, takable, innerWidth <= 600].join();
    // A biography that has the keyboard's focus does not turn into another position's.
    const held = automatic && lane === this.lane && this.root.querySelector(":focus-visible") !== null;
    if (held || state === this.shown) return;
    // Announced only when pinned: otherwise it changes too often to be read out.
    this.shown = state;
    this.lane = automatic ? lane : undefined;
    const buttons = () => [...this.root.querySelectorAll("button")];
    const focused = buttons().findIndex((button) => button === document.activeElement);
    this.root.replaceChildren(...(position < 0 ? this.empty() : this.describe(lane, step, position, automatic, takable)));
    if (focused >= 0) buttons()[Math.min(focused, buttons().length - 1)]?.focus({ preventScroll: true });
  }

  private empty(): Node[] {
    return [html("h2", {}, "Biography"),
      html("p", { class: "hint" }, "Point at a character to read its life: when it was fixed, and what else it might have been.")];
  }

  private describe(lane: Lane, step: number, position: number, automatic: boolean, takable: boolean): Node[] {
    const frame = lane.frames[step];
    const { vocabulary } = lane;
    const given = (frame.flags[position] & CONDITIONED) !== 0;
    const fixedAt = lane.fixedAt(position, step);
    const character = vocabulary.character(lane.letters(step)[position]);
    const { process } = lane;
    const where = `row ${Math.floor(position / columns) + 1}, column ${(position % columns) + 1}`;
    const close = html("button", { class: "close", click: (event) => this.events.close((event as MouseEvent).detail === 0) }, "Close");
    const title = html("h2", {}, automatic ? "Biography of the closest call" : "Biography");
    const original = fixedAt === 0 && (step === 0 || !process.changesAll);
    const small = html("small");
    let state: string;
    if (given) {
      const since = lane.givenSince(position, step);
      state = "Given by you";
      small.append(position < lane.promptLength ? process.ofPrompt : since ? `after step ${since}` : "from the start");
    } else if (original) {
      state = "Part of the text";
      small.append("that goes into noise");
    } else if (fixedAt !== undefined) {
      state = `${process.fixed[0].toUpperCase()}${process.fixed.slice(1)} at step ${fixedAt} of ${lane.steps}`;
      if (process.changesAll) small.append("now at probability ", number(lane.confidence(position, step)));
    } else {
      state = `Still ${process.open} at step ${step}`;
      if (lane.mostLikely(position, step) >= 0)
        small.append("now leaning to ", html("b", {}, spoken(vocabulary.character(frame.topId[4 * position]))), ", ", number(frame.topProbability[4 * position]));
      else small.append("nobody has looked yet");
    }
    small.append(...(small.hasChildNodes() ? [html("br")] : []), where);
    const decision = given || original || fixedAt === undefined || process.changesAll ? [] : decisionOf(lane, position, step);
    const sentences = [...decision, ...proofreadingOf(lane, position, step)].flatMap((sentence) => [...sentence, " "]);
    const told = html("p", { class: "told", hidden: !sentences.length }, ...sentences);
    const who = html("div", { class: "who" },
      html("div", { class: "glyph", "aria-hidden": "true" }, character ? sign(character) : "?"),
      html("p", {}, character ? html("span", { class: "unseen" }, `${spoken(character)}: `) : "", state, html("br"), small));
    // Where every step changes all, what is said now counts, not what was when a letter settled.
    const end = process.changesAll ? step : fixedAt ?? step;
    const alternatives = given || original ? [] : alternativesAt(lane, position, end, fixedAt !== undefined);
    if (alternatives.length === 0) return [close, title, html("div", {}, who, told)];
    const decided = fixedAt !== undefined;
    return [close, title,
      // In order, a single pass reads each position, so there is no curve.
      html("div", {}, who, told, ...(process.inOrder ? [] : [html("figure", {},
        html("figcaption", {}, "How likely the network found each letter, at temperature 1, step by step"),
        this.chart(lane, position, step, end, fixedAt, alternatives))])),
      html("div", {}, html("h3", {}, decided ? "Its runners-up" : "Who is in the running"),
        html("ul", { class: "runners" }, ...alternatives.map((alternative) => this.alternative(alternative, lane, position, fixedAt, step, takable))),
        html("p", { class: "hint" }, "Take another letter and the timeline forks there: the rest of the verse has to live with it."))];
  }

  private alternative(alternative: Alternative, lane: Lane, position: number, fixedAt: number | undefined, step: number, takable: boolean): HTMLElement {
    const character = lane.vocabulary.character(alternative.id);
    const bar = svg("svg", { viewBox: "0 0 100 7", preserveAspectRatio: "none", "aria-hidden": "true" },
      svg("rect", { width: Math.max(1.5, alternative.probability * 100), height: 7 }));
    const last = alternative.chosen ? html("span", { class: "is" }, "chosen")
      : html("button", {
        // What is to be seen is part of the name.
        "aria-label": `Take ${spoken(character)} instead`,
        disabled: !takable,
        // An open position takes the letter now; a fixed one just before it was decided.
        click: () => this.events.take(position, fixedAt === undefined ? step : Math.max(0, fixedAt - 1), character),
      }, `take ${spoken(character)}`);
    return html("li", { class: alternative.chosen ? "taken" : "" },
      html("b", {}, html("span", { "aria-hidden": "true" }, sign(character)), html("span", { class: "unseen" }, spoken(character))),
      bar, html("span", { class: "num" }, rounded(alternative.probability)), last);
  }

  /** `end`: the last step of the curves. */
  private chart(lane: Lane, position: number, step: number, end: number, fixedAt: number | undefined, alternatives: Alternative[]): SVGSVGElement {
    const height = innerWidth <= 600 ? 112 : 156;
    const steps = Math.max(1, lane.steps);
    const since = Math.min(lane.openSince(position, step), Math.max(0, end - 1));
    const right = chartWidth - margin;
    const x = (at: number) => ((at - since) / Math.max(1, steps - since)) * right;
    const y = (probability: number) => height - 16 - probability * (height - 30);
    const parts: Node[] = [
      svg("line", { class: "rule", x1: 0, x2: right, y1: y(0), y2: y(0) }),
      svg("line", { class: "rule", x1: 0, x2: right, y1: y(1), y2: y(1) }),
    ];
    // A position has seen its first pass one step after it was opened.
    const first = Math.min(end, since + 1);
    const labels = alternatives.map((alternative, rank) => {
      const points: string[] = [];
      for (let at = first; at <= end; ++at) points.push(`${x(at).toFixed(1)},${y(probabilityAt(lane, position, at, alternative.id)).toFixed(1)}`);
      if (points.length === 1) points.unshift(`${x(since).toFixed(1)},${points[0].split(",")[1]}`);
      const style = alternative.chosen ? "curve taken" : `curve rank${rank}`;
      parts.push(svg("polyline", { class: style, points: points.join(" ") }));
      return { alternative, y: y(probabilityAt(lane, position, end, alternative.id)) };
    }).sort((a, b) => a.y - b.y);
    spreadLabels(labels, y(0) - 6);
    if (fixedAt !== undefined && alternatives[0].chosen)
      parts.push(svg("circle", { class: "decided", cx: x(fixedAt), cy: y(lane.process.changesAll ? probabilityAt(lane, position, fixedAt, alternatives[0].id) : alternatives[0].probability), r: 4 }));
    const now = x(step);
    // The letters keep off the line of the present step.
    const besideEnd = x(end) + 9;
    const labelX = step > end && now > besideEnd - 4 && now < besideEnd + 14 ? now + 6 : besideEnd;
    for (const { alternative, y: at } of labels)
      parts.push(svg("text", { class: alternative.chosen ? "label taken" : "label", x: labelX, y: at + 5 }, sign(lane.vocabulary.character(alternative.id))));
    if (step > end) {
      parts.push(svg("line", { class: "now", x1: now, x2: now, y1: y(1), y2: y(0) }));
      if (now > 70 && now < right - 46) parts.push(svg("text", { x: now, y: height - 1, "text-anchor": "middle" }, "now"));
    }
    parts.push(svg("text", { x: right, y: y(1) - 6, "text-anchor": "end" }, "certain"),
      svg("text", { x: 0, y: height - 1 }, `step ${since}`),
      svg("text", { x: right, y: height - 1, "text-anchor": "end" }, String(steps)));
    return svg("svg", { viewBox: `0 0 ${chartWidth} ${height}`, "aria-hidden": "true" }, ...parts);
  }
}

type Sentence = (Node | string)[];

function number(value: number): HTMLElement {
  return html("span", { class: "num" }, rounded(value));
}

/**
 * How a fixed letter came to be: the sampler chose the position by the probabilities at temperature 1, the draw chose the letter,
 * and may have taken one that the network gave little.
 */
function decisionOf(lane: Lane, position: number, step: number): Sentence[] {
  const { request } = lane;
  const reason = lane.process.samplers[request.sampler]?.reason;
  const { temperature, "temperature-fall": fall } = request;
  const drawn = temperature === 0 ? "The letter was the likeliest:" : `The letter was drawn at ${
    fall > 0 ? `a temperature that falls from ${temperature} to ${Number((temperature * (1 - fall)).toFixed(2))}` : `temperature ${temperature}`}:`;
  const given: Sentence = [drawn, " at temperature 1 the network gave it ", number(lane.confidence(position, step)), "."];
  return reason ? [[`The sampler took this place as ${reason}.`], given] : [given];
}

/** The proofreader's score of the letter, and of the one that it struck out here before. */
function proofreadingOf(lane: Lane, position: number, step: number): Sentence[] {
  const letterOf = ({ letter }: Proofreading) => html("b", {}, spoken(lane.vocabulary.character(letter)));
  const nats = ({ nll }: Proofreading) => `\u2212${nll.toFixed(2)} nats`;
  const last = lane.proofreading(position, step);
  const struck = lane.proofreading(position, step, true);
  const sentences: Sentence[] = [];
  if (struck) sentences.push([`Struck out at step ${struck.step}, where `, letterOf(struck), ` stood: the proofreader gave it ${nats(struck)}.`]);
  if (last && !last.struckOut)
    sentences.push(last.letter === lane.letters(step)[position] ? [`The proofreader gave it ${nats(last)}.`]
      : ["The proofreader gave ", letterOf(last), `, which stood here, ${nats(last)}.`]);
  return sentences;
}

/** Two decimals; what would round to 0 is said to be small. */
function rounded(probability: number): string {
  return probability < 0.005 ? "< 0.01" : probability.toFixed(2);
}

interface Alternative {
  id: number;
  probability: number;
  chosen: boolean;
}

/** The four most likely when it was decided; the letter chosen comes first even where the draw took a rarer one. */
function alternativesAt(lane: Lane, position: number, at: number, decided: boolean): Alternative[] {
  const { topId, topProbability } = lane.frames[at];
  const letter = lane.mostLikely(position, at);
  const top = [0, 1, 2, 3]
    .map((rank) => ({ id: topId[4 * position + rank], probability: topProbability[4 * position + rank], chosen: false }))
    .filter((alternative) => alternative.probability > 0);
  if (!decided) return top;
  const chosen = top.find((alternative) => alternative.id === letter) ?? { id: letter, probability: lane.confidence(position, at), chosen: true };
  chosen.chosen = true;
  return [chosen, ...top.filter((alternative) => alternative !== chosen)].slice(0, 4);
}

/** A letter's probability at a step; outside the four most likely it is only known to be less than the fourth's. */
function probabilityAt(lane: Lane, position: number, at: number, letter: number): number {
  const { topId, topProbability } = lane.frames[at];
  for (let rank = 0; rank < 4; ++rank) if (topId[4 * position + rank] === letter) return topProbability[4 * position + rank];
  return topProbability[4 * position + 3] / 2;
}

function spreadLabels(labels: { y: number }[], lowest: number): void {
  const gap = 17;
  for (let index = 1; index < labels.length; ++index) labels[index].y = Math.max(labels[index].y, labels[index - 1].y + gap);
  for (let index = labels.length - 1, limit = lowest; index >= 0; --index, limit -= gap) labels[index].y = Math.min(labels[index].y, limit);
}
