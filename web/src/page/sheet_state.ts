/** The lane and step on the sheet and how they are shown: the state that the parts of the page share. */
import type { Show } from "./address";
import type { Choice } from "./edits";
import type { Lane } from "./lanes";

export class SheetState {
  lane: Lane | undefined;
  step = 0;
  show: Show = "ink";
  chosen: Choice | undefined;
  /** Positions whose biography is pinned, and that the pointer is over; -1: none. */
  pinned = -1;
  hovered = -1;
  comparing = false;
  /** True once the visitor has acted on what is shown: from then on nothing replaces it by itself. */
  touched = false;
  /** The lane of a new sample; it replaces the one on show with its first frame. */
  pending: Lane | undefined;

  /** `refresh` draws the page after a change. */
  constructor(readonly refresh: () => void) {}
}
