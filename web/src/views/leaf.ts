/** The leaf around the sheet: running head, signature, catchword, and the sentences that stand in its foot. */
import { isPhone } from "../page/features";
import type { Lane } from "../page/lanes";
import type { Show } from "../page/address";
import type { Announcer } from "./announcer";
import { byId, html } from "./dom";

const scales: Record<Show, [string, string, number[]] | undefined> = {
  ink: undefined,
  doubt: ["sure", "in doubt", [0, 1, 2, 3, 4]],
  order: ["first", "last", [4, 3, 2, 1]],
};

export interface Remedy {
  label: string;
  apply(): void;
}

export class Leaf {
  readonly stage = byId("stage");
  private note = byId("note");
  private alert = byId("alert");
  private remedy = byId("remedy");
  private noteTimer = 0;
  private apply: (() => void) | undefined;
  /** Tells whether the cause of the note still holds; undefined where it has none that lasts. */
  private holds: (() => boolean) | undefined;
  /** True where only the end of its cause ends the alert. */
  private lasting = false;

  constructor(private announcer: Announcer) {
    this.remedy.addEventListener("click", () => this.apply?.());
    // Of what has been done nothing need be said any more once something else is done.
    for (const act of ["click", "keydown"])
      document.addEventListener(act, ({ target }) => {
        if (!this.holds && !this.note.contains(target as Node)) this.hush();
      }, true);
  }

  /** `progress`: in words, of what is computed before it can be shown; else empty. */
  show(lane: Lane, step: number, show: Show, progress: string): void {
    const frame = lane.frames[step];
    const atEnd = frame.done && step === lane.head;
    byId("source").textContent = lane.live ? "Live" : "Recorded";
    byId("run-head").replaceChildren(progress || (atEnd ? "Finished" : `Step ${step} of ${lane.steps}`),
      ...(frame.proofreadNll && !progress ? [html("span", { class: "wide" }, ", proofread")] : []));
    const saved = frame.passesSaved ? `, ${frame.passesSaved} saved` : "";
    byId("run-count").replaceChildren(...(atEnd ? [`${lane.steps === 1 ? "1 step" : `${lane.steps} steps`}${saved}`]
      : [`${lane.standing(step)} of ${frame.length}`, html("span", { class: "wide" }, ` ${lane.process.fixed}`)]));
    byId("signature").textContent = `Seed ${lane.request.seed}`;
    const next = atEnd ? [] : nextLetters(lane, step).slice(0, isPhone.matches ? 3 : 4);
    byId("catchword").replaceChildren(...(atEnd ? ["finis"] : next.length ? ["next", ...next.map((letter) => html("i", {}, letter))] : []));
    const scale = scales[show];
    byId("scale").replaceChildren(...(scale
      ? [html("span", {}, scale[0]), ...scale[2].map((level) => html("i", { class: `d${level}` })), html("span", {}, scale[1])] : []));
  }

  /** The weights' way here: a hairline that fills, and the figures beside it. No `total` ends it. */
  progress(bytes: number, total: number): void {
    const bar = byId("progress");
    bar.hidden = total === 0;
    if (total === 0) return byId("arrived").replaceChildren();
    const share = Math.min(1, bytes / total);
    const megabytes = (value: number) => (value / 1e6).toFixed(1);
    const text = `${megabytes(bytes)} of ${megabytes(total)} MB`;
    byId("arrived").textContent = text;
    bar.setAttribute("aria-valuenow", String(Math.round(100 * share)));
    bar.setAttribute("aria-valuetext", text);
    (bar.firstElementChild as HTMLElement).style.setProperty("transform", `scaleX(${share})`);
  }

  /** A sentence that is no error; it goes after a while or with the next act, or when its cause no longer holds. */
  say(sentence: string, remedy?: Remedy, holds?: () => boolean): void {
    this.giveWay();
    this.holds = holds;
    this.announcer.say(sentence);
    const button = remedy ? html("button", { click: () => (this.hush(), remedy.apply()) }, remedy.label) : "";
    this.note.replaceChildren(sentence, " ", button);
    this.note.hidden = false;
    clearTimeout(this.noteTimer);
    if (!holds) this.noteTimer = window.setTimeout(() => this.hush(), 6000);
  }

  hush(): void {
    leave(this.note);
    this.note.hidden = true;
    this.holds = undefined;
  }

  /** Takes a note away whose cause is gone. */
  review(): void {
    if (this.holds && !this.holds()) this.hush();
  }

  /** Another sentence is about to be said: old ones go, but for an alert that tells how things still are, or what can be done. */
  giveWay(): void {
    this.hush();
    if (!this.lasting && !this.apply) this.recover();
  }

  /** `lasting`: until `recover`, whatever else is said. */
  fail(sentence: string, remedy?: Remedy, lasting = false): void {
    this.hush();
    this.lasting = lasting;
    this.alert.hidden = false;
    byId("alert-text").textContent = sentence;
    this.remedy.hidden = !remedy;
    this.remedy.textContent = remedy?.label ?? "";
    this.apply = remedy?.apply;
  }

  recover(): void {
    leave(this.alert);
    this.alert.hidden = true;
    this.apply = undefined;
    this.lasting = false;
    byId("alert-text").textContent = "";
  }

  get failing(): boolean {
    return !this.alert.hidden;
  }
}

/** The focus must not be lost with what is about to be hidden. */
function leave(element: HTMLElement): void {
  if (element.contains(document.activeElement)) byId("sample").focus({ preventScroll: true });
}

/** The letters to be fixed next, or to change, surest first: known where the next frame is, else the likeliest guesses. */
function nextLetters(lane: Lane, step: number): string[] {
  const now = lane.frames[step];
  const at = step < lane.head ? step + 1 : step;
  const letters: { letter: string; probability: number }[] = [];
  // Of what stands further on, a process that goes in order has no guess; nor is there one of which guesses will change.
  if (at === step && (lane.process.inOrder || lane.process.together)) return [];
  now.id.forEach((id, place) => {
    if (at > step ? !lane.moves(place, at) : id >= 0) return;
    const letter = lane.vocabulary.character(lane.seeming(place, at));
    const probability = lane.sureness(place, at);
    if (letter.trim() && probability > 0) letters.push({ letter, probability });
  });
  return letters.sort((a, b) => b.probability - a.probability).map(({ letter }) => letter);
}
