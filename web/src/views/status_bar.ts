/** The sentences in the foot of the sheet, a note or an alert, and the progress of what is downloaded. */
import type { Announcer } from "./announcer";
import { byId, html } from "./dom";

export interface Remedy {
  label: string;
  apply(): void;
}

export class StatusBar {
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
        if (!this.holds && !this.note.contains(target as Node)) this.clearNote();
      }, true);
  }

  /** Shows the progress of weights: a hairline that fills, and figures. A `total` of 0 ends it. */
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

  /** Shows a note, which is no error; it goes after a while or with the next act, or when its cause no longer holds. */
  say(sentence: string, remedy?: Remedy, holds?: () => boolean): void {
    this.makeRoom();
    this.holds = holds;
    this.announcer.say(sentence);
    const button = remedy ? html("button", { click: () => (this.clearNote(), remedy.apply()) }, remedy.label) : "";
    this.note.replaceChildren(sentence, " ", button);
    this.note.hidden = false;
    clearTimeout(this.noteTimer);
    if (!holds) this.noteTimer = window.setTimeout(() => this.clearNote(), 6000);
  }

  clearNote(): void {
    leave(this.note);
    this.note.hidden = true;
    this.holds = undefined;
  }

  /** Clears a note whose cause is gone. */
  dropStaleNote(): void {
    if (this.holds && !this.holds()) this.clearNote();
  }

  /** Clears old sentences before another, but for an alert that still holds or offers a remedy. */
  makeRoom(): void {
    this.clearNote();
    if (!this.lasting && !this.apply) this.clearAlert();
  }

  /** Shows an alert. `lasting`: until `clearAlert`, whatever else is said. */
  fail(sentence: string, remedy?: Remedy, lasting = false): void {
    this.clearNote();
    this.lasting = lasting;
    this.alert.hidden = false;
    byId("alert-text").textContent = sentence;
    this.remedy.hidden = !remedy;
    this.remedy.textContent = remedy?.label ?? "";
    this.apply = remedy?.apply;
  }

  clearAlert(): void {
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
