/** The visitor's selection: chosen positions, the pinned biography, the position under the pointer. */
import { closestCall } from "../views/biography";
import type { Views } from "../views/views";
import { countOf, type Choice } from "./edits";
import { isPhone } from "./features";
import type { Narrator } from "./narrator";
import type { Player } from "./player";
import type { SheetState } from "./sheet_state";

export class Selection {
  /** `hovers` hears that the pointer is over another position. */
  constructor(private state: SheetState, private player: Player, private narrator: Narrator, private views: Pick<Views, "announcer" | "sheet" | "statusBar">,
    private hovers: () => void) {}

  choose(choice: Choice | undefined): void {
    if (String(choice) === String(this.state.chosen)) return;
    this.state.chosen = choice;
    if (choice && this.player.playing) this.player.pause();
    this.state.refresh();
  }

  /** Adds positions to the choice, or takes them away. */
  paint(positions: readonly number[], erases: boolean): void {
    const chosen = new Set(this.state.chosen);
    for (const position of positions) erases ? chosen.delete(position) : chosen.add(position);
    this.choose(chosen.size ? [...chosen].sort((a, b) => a - b) : undefined);
  }

  /** Says how much is chosen, which the textarea does not tell. */
  sayChosen(): void {
    this.views.announcer.say(`Chosen: ${countOf(this.state.chosen ?? [])}.`);
  }

  /** Lets the choice go, in the textarea too. */
  unchoose(): void {
    this.views.sheet.select(undefined);
    this.state.chosen = undefined;
  }

  pin(position: number): void {
    this.state.pinned = position === this.state.pinned ? -1 : position;
    this.state.touched = true;
    if (this.state.pinned >= 0) this.narrator.sayPinned(position);
    this.state.refresh();
  }

  /** Pins the biography that stands in the margin by itself, or ends the one that is pinned. */
  pinClosest(): void {
    const { lane, step, pinned } = this.state;
    const position = pinned >= 0 || !lane ? pinned : closestCall(lane, step);
    if (position >= 0) this.pin(position);
    else this.views.statusBar.say("No letter has a biography yet; go on a few steps first.");
  }

  hover(position: number): void {
    if (position === this.state.hovered || isPhone.matches) return;
    this.state.hovered = position;
    this.hovers();
  }

  /** True where there was something to let go of. */
  clear(): boolean {
    if (!this.state.chosen && this.state.pinned < 0) return false;
    this.unchoose();
    this.state.pinned = -1;
    this.state.refresh();
    return true;
  }
}
