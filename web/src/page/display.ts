/** Draws the page: the sheet and all that speaks of it, after every change. */
import type { EngineHost } from "../engine/host";
import { closestCall } from "../views/biography";
import { byId } from "../views/dom";
import type { Picture } from "../views/looks";
import { otherLane } from "../views/timeline";
import type { Views } from "../views/views";
import type { Editing } from "./editing";
import { hasSimd, isPhone } from "./features";
import type { Links } from "./links";
import type { Player } from "./player";
import type { Sampling } from "./sampling";
import type { Session } from "./session";
import type { SheetState } from "./sheet_state";

export type Mode = "recorded" | "loading" | "running" | "paused" | "done" | "error";

/** Milliseconds: frames may come faster than they can be drawn. */
const drawingTime = 16;
const playSign = "M4.5 1.5 16 9 4.5 16.5z";
const pauseSign = "M4 2h3.4v14H4zM10.6 2H14v14h-3.4z";

export class Display {
  private stage = byId("stage");
  private timer = 0;

  constructor(
    private state: SheetState, private engine: EngineHost, private session: Session, private player: Player, private sampling: Sampling,
    private editing: Editing, private links: Links,
    private views: Pick<Views, "biography" | "candidates" | "library" | "lifeButton" | "sampleButton" | "sheet" | "sheetFrame" | "statusBar" | "story" | "timeline" | "toolbar">,
  ) {}

  get mode(): Mode {
    const { lane, step, pending } = this.state;
    const { candidates, library, statusBar } = this.views;
    const { playing, goal } = this.player;
    if (pending || candidates.running || (lane?.live && (playing || (lane.computing && goal !== undefined)))) return "running";
    if (this.sampling.queued || (!lane && library.loading)) return "loading";
    if (!lane) return library.failed ? "error" : "loading";
    if (library.failed && statusBar.failing && hasSimd()) return "error";
    if (!lane.live) return "recorded";
    return lane.finished && step === lane.head ? "done" : "paused";
  }

  refreshSoon(): void {
    this.timer ||= window.setTimeout(() => this.refresh(), drawingTime);
  }

  refresh(): void {
    clearTimeout(this.timer);
    this.timer = 0;
    const { stage, mode, views } = this;
    const { lane, step, show, chosen } = this.state;
    views.statusBar.dropStaleNote();
    stage.dataset.state = mode;
    stage.setAttribute("aria-busy", String(mode === "running"));
    views.sampleButton.show(mode === "running");
    views.lifeButton.show(this.player.stepper !== undefined);
    if (!lane?.frames[step]) return;
    stage.dataset.source = lane.live ? "live" : "recorded";
    // What is said of the sheet is said of the process that made it.
    for (const words of document.querySelectorAll<HTMLElement>("[data-process]")) words.hidden = !words.dataset.process!.split(" ").includes(lane.process.kind);
    stage.dataset.step = String(step);
    byId("play").setAttribute("aria-label", this.player.playing ? "Pause" : "Play");
    byId("play-sign").setAttribute("d", this.player.playing ? pauseSign : playSign);
    const picture = this.picture();
    views.sheet.show(picture);
    views.sheetFrame.show(lane, step, show, views.candidates.progress);
    views.timeline.show(this.session.lanes, lane, step, picture.compared);
    // A game chooses by itself.
    views.toolbar.show(lane, step, this.player.stepper ? undefined : chosen);
    views.story.nameSteps(lane.steps);
    byId("command").textContent = this.links.command;
    const kept = this.editing.keptPositions.length;
    byId("kept").hidden = !kept;
    byId("kept-count").textContent = kept === 1 ? "Kept: 1 letter." : `Kept: ${kept} letters.`;
    this.showBiography();
  }

  showBiography(): void {
    const { lane, step, hovered, pinned } = this.state;
    if (!lane?.frames[step]) return;
    const isPinned = pinned >= 0 && pinned < lane.frames[step].length;
    const automatic = !isPinned && hovered < 0;
    const position = hovered >= 0 ? hovered : isPinned ? pinned : isPhone.matches ? -1 : closestCall(lane, step);
    this.views.biography.show(lane, step, position, isPinned, automatic, this.engine.description !== undefined);
  }

  picture(): Picture {
    const { step, show, chosen, pinned, hovered, comparing } = this.state;
    const lane = this.state.lane!;
    return {
      lane, step, show, guesses: byId<HTMLInputElement>("guesses").checked, chosen, pinned,
      closest: pinned < 0 && hovered < 0 && !isPhone.matches ? this.closest() : -1,
      compared: comparing ? otherLane(this.session.lanes, lane) : undefined,
      moving: this.mode === "running" || this.player.playing,
    };
  }

  /** The position of the closest call, until the sample is finished. */
  private closest(): number {
    const { lane, step } = this.state;
    const atEnd = lane?.finished && step === lane.head;
    return lane && step >= 1 && !atEnd ? closestCall(lane, step) : -1;
  }
}
