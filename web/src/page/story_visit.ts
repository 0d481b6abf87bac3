/** A visit to the story: its links move the sheet, which comes back to where it was when the story is left. */
import { stepOfShare } from "../views/story";
import type { Show } from "./address";
import type { Lane } from "./lanes";
import type { Player } from "./player";
import type { SheetState } from "./sheet_state";

export class StoryVisit {
  private before: { lane: Lane | undefined; step: number; show: Show } | undefined;

  constructor(private state: SheetState, private player: Player, private setShow: (show: Show) => void) {}

  /** A share of all steps; 0 is the first step. */
  goTo(share: number): void {
    const { lane } = this.state;
    if (lane) this.scrub(share === 0 ? 1 : stepOfShare(share, lane.steps));
  }

  goBy(steps: number): void {
    if (this.state.lane) this.scrub(this.state.step + steps);
  }

  show(show: Show): void {
    this.remember();
    this.setShow(show);
  }

  leave(): void {
    const { before } = this;
    this.before = undefined;
    if (!before) return;
    this.setShow(before.show);
    if (before.lane === this.state.lane) this.player.scrub(before.step);
  }

  private scrub(step: number): void {
    this.remember();
    this.player.scrub(step);
  }

  private remember(): void {
    const { lane, step, show } = this.state;
    this.before ??= { lane, step, show };
  }
}
