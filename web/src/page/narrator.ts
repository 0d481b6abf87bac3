/** Says how a sample comes along: to a screen reader, and in the foot of the sheet where the device is slow. */
import { CONDITIONED } from "../engine/protocol";
import { processes } from "../processes";
import { byId } from "../views/dom";
import type { Views } from "../views/views";
import type { Session } from "./session";
import type { SheetState } from "./sheet_state";

/** Milliseconds of a pass on a slow device; several passes decide, since any one may have had to wait. */
const slowPass = 400;
const fewestPasses = 5;

export class Narrator {
  private slowSaid = false;
  private lastQuarter = 0;
  /** The verse that has been read out last of this sample. */
  private told = "";

  constructor(private state: SheetState, private session: Session, private views: Pick<Views, "announcer" | "controls" | "statusBar">) {}

  /** A new sample begins: nothing need be said any more of the one before. */
  begin(): void {
    this.views.statusBar.clearAlert();
    if (this.slowSaid) this.views.statusBar.clearNote();
    this.slowSaid = false;
    this.lastQuarter = 0;
    this.told = "";
    this.views.announcer.cancel();
    this.views.announcer.say("Sampling begins.");
  }

  /** Drops what has not been said yet. */
  cancel(): void {
    this.views.announcer.cancel();
  }

  sayStep(): void {
    this.sayQuarter();
    this.sayStruckOut();
  }

  sayEnd(): void {
    const { lane, step, touched } = this.state;
    if (!lane || !(touched || lane.live)) return;
    const verse = lane.text(step, "_");
    this.views.announcer.say(verse === this.told ? "Finished." : `Finished. ${verse}`, true);
    this.told = verse;
  }

  sayPinned(position: number): void {
    const { lane, step } = this.state;
    if (!lane) return;
    const { process } = lane;
    const character = lane.vocabulary.character(lane.letters(step)[position]);
    const fixedAt = lane.fixedAt(position, step);
    const given = lane.frames[step].flags[position] & CONDITIONED;
    this.views.announcer.say(fixedAt === undefined ? `Biography of an ${process.open} place.`
      : `Biography of ${character === "\n" ? "a line end" : character === " " ? "a space" : character}, ${given ? "given by you" : `${process.fixed} at step ${fixedAt}`}.`);
  }

  /** The time that a sample will take, where that is long, and once in a sample that this device is slow. */
  sayIfSlow(): void {
    const { lane } = this.state;
    const { milliseconds } = this.session;
    const process = lane?.process ?? processes[0];
    const sample = milliseconds * process.passes(this.views.controls.request());
    byId("estimate").textContent = sample > 3000 ? `about ${Math.round(sample / 1000)} s` : "";
    if (this.slowSaid || milliseconds < slowPass || !lane?.computing || lane.head - lane.from < fewestPasses) return;
    this.slowSaid = true;
    this.views.statusBar.say(`This device takes ${(milliseconds / 1000).toFixed(1)} s a pass.`,
      process.presets.quick.options.steps === undefined ? undefined : { label: "Use Quick", apply: () => this.views.controls.choose("quick") }, () => this.session.milliseconds >= slowPass);
  }

  private sayQuarter(): void {
    const { lane, step } = this.state;
    if (!lane?.live) return;
    const quarter = Math.floor((4 * lane.countStanding(step)) / lane.frames[step].length);
    if (quarter > this.lastQuarter && quarter < 4)
      this.views.announcer.say(`${["", "A quarter", "Half", "Three quarters"][quarter]} of the letters are ${lane.process.fixed}.`);
    this.lastQuarter = quarter;
  }

  private sayStruckOut(): void {
    const { lane, step } = this.state;
    if (!lane?.frames[step].proofreadNll) return;
    const count = lane.frames[step].id.reduce((sum, _, position) => sum + (lane.struckOut(position, step) ? 1 : 0), 0);
    this.views.announcer.say(count === 1 ? "The proofreader strikes out a letter." : `The proofreader strikes out ${count} letters.`);
  }
}
