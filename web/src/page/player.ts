/** Plays the lane on show, step by step: frames that are computed meanwhile, or that were kept. */
import { prefersReducedMotion } from "./features";
import type { Lane } from "./lanes";
import type { Narrator } from "./narrator";
import type { Session } from "./session";
import type { SheetState } from "./sheet_state";

export interface PlayerEvents {
  /** Steps beyond those of the lane on show are wanted. */
  wanted(): void;
  /** True while the step after the one on show must not come, since another lane's is about to. */
  holds(): boolean;
  /** Another step has come to rest. */
  rested(): void;
  /** The lane has been played to its end. */
  ended(): void;
}

export class Player {
  playing = false;
  /** True where what plays is new, false where it was computed before and is played again. */
  following = true;
  /** The step to show as soon as it is computed, without those before it. */
  goal: number | undefined;
  /** Makes the step after the lane's last one, where no run does; it is heard of until the player stops. */
  stepper: (() => void) | undefined;
  private perSecond = 8;
  private timer = 0;
  private lastTick = 0;

  constructor(private state: SheetState, private session: Session, private narrator: Narrator, private events: PlayerEvents) {}

  get speed(): string {
    return String(this.perSecond);
  }

  /** Steps a second, 0: as they come. */
  set speed(perSecond: string) {
    this.perSecond = Number(perSecond);
    this.schedule();
  }

  /** Shows a new sample from its first step. */
  begin(lane: Lane): void {
    this.follow(lane);
    this.state.step = 0;
    this.lastTick = performance.now();
  }

  /** Goes on with another lane from the step on show. */
  follow(lane: Lane): void {
    this.state.lane = lane;
    this.following = true;
  }

  play(): void {
    this.playing = true;
    // What is being done to the sheet comes first; the last of it plays on.
    if (this.session.pendingActs) return this.state.refresh();
    this.following = !this.state.lane?.finished;
    this.lastTick = performance.now();
    this.events.wanted();
    this.schedule();
    this.state.refresh();
  }

  pause(): void {
    this.halt();
    this.state.refresh();
    this.events.rested();
  }

  toggle(): void {
    const { lane, step } = this.state;
    this.state.touched = true;
    if (!lane) return;
    if (this.playing) return this.pause();
    if (lane.finished && step === lane.head) this.state.step = 0;
    this.play();
  }

  /** Stops without a word. */
  halt(): void {
    this.playing = false;
    this.stepper = undefined;
    clearTimeout(this.timer);
  }

  /** Shows a step, as near to it as there are any. */
  scrub(step: number): void {
    const { lane } = this.state;
    if (!lane) return;
    this.state.touched = true;
    this.goal = undefined;
    this.halt();
    this.narrator.cancel();
    this.state.step = Math.max(0, Math.min(lane.head, step));
    this.state.refresh();
    if (lane.live) this.events.rested();
  }

  /** The lane on show has another frame, or its run has ended. */
  laneChanged(lane: Lane): void {
    const { state } = this;
    if (this.goal !== undefined) {
      state.step = Math.min(this.goal, lane.head);
      if (state.step === this.goal || lane.finished) {
        this.goal = undefined;
        this.pause();
      }
    } else if (this.playing) {
      if (prefersReducedMotion.matches && lane.finished && lane.computing) state.step = lane.head;
      this.schedule();
    }
  }

  /** The next step as soon as it is due and there; computing never waits for it. */
  schedule(): void {
    clearTimeout(this.timer);
    const { state } = this;
    const { lane } = state;
    if (!this.playing || !lane || state.pending || this.goal !== undefined) return;
    if (state.step >= lane.head) {
      if (this.stepper) this.stepper();
      else if (lane.finished) this.end();
      return;
    }
    if (this.events.holds()) return;
    // Asked for stillness, a sample is shown when it is finished; a replay goes in slow cuts.
    if (prefersReducedMotion.matches && lane.computing) return;
    const rate = prefersReducedMotion.matches ? 1 : this.perSecond;
    const due = rate === 0 ? 0 : this.lastTick + 1000 / rate - performance.now();
    this.timer = window.setTimeout(() => {
      this.lastTick = performance.now();
      state.step = rate === 0 && lane.live && this.following ? lane.head : Math.min(lane.head, state.step + 1);
      state.refresh();
      this.narrator.sayStep();
      this.schedule();
    }, Math.max(rate === 0 ? 16 : 0, due));
  }

  private end(): void {
    this.playing = false;
    this.state.refresh();
    this.narrator.sayEnd();
    this.events.ended();
  }
}
