/** The story below the sheet: its links move the sheet, and leaving it puts the sheet back. */
import { byId, html } from "./dom";
import { drawCell, fitCanvas, plain, readPalette, type Look } from "./ink";
import { shows, type Show } from "../page/address";
import { Schedule } from "./schedule";

export interface StoryEvents {
  /** A share of all steps; 0 is the first step. */
  goTo(share: number): void;
  goBy(steps: number): void;
  show(show: Show): void;
  /** Switches to another process, by its kind. */
  switchTo(kind: string): void;
  copyCommand(): void;
  leave(): void;
}

const marks: readonly (readonly [Partial<Look>, string])[] = [
  [{ sign: "\u00b7", ink: "edge" }, "hidden, no opinion yet"],
  [{ sign: "e", ink: "guess", size: 0.74 }, "open: a guess, larger as it grows surer"],
  [{ sign: "e", ink: "sheet", wet: true }, "fixed in this very step"],
  [{ sign: "e" }, "fixed"],
  [{ sign: "E", given: true }, "fixed by you"],
  [{ sign: "e", chosen: true }, "chosen"],
  [{ sign: "\u00b7", ink: "edge", hatched: true }, "noised again"],
  [{ sign: "e", ink: "red", hatched: true, struckOut: true }, "struck out by the proofreader"],
  [{ layers: [{ sign: "c", opacity: 0.3 }, { sign: "e", opacity: 0.6 }] }, "Gaussian: letters over one another, each as dark as it is likely"],
];

export class Story {
  private steps = byId("story").querySelectorAll<HTMLElement>("[data-share]");
  private key = byId("key");
  private schedule = new Schedule();

  constructor(events: StoryEvents) {
    const story = byId("story");
    story.addEventListener("click", ({ target }) => {
      const { share, by, show, turn, command } = (target as HTMLElement).dataset;
      if (share !== undefined) events.goTo(Number(share));
      if (by !== undefined) events.goBy(Number(by));
      if (turn !== undefined) events.switchTo(turn);
      if (command !== undefined) events.copyCommand();
      const chosen = shows.find((name) => name === show);
      if (chosen) events.show(chosen);
    });
    for (const button of story.querySelectorAll("button")) button.disabled = false;
    const middle = { rootMargin: "-60% 0px -15% 0px" };
    new IntersectionObserver(([entry]) => {
      if (!entry.isIntersecting) events.leave();
    }, middle).observe(story);
    for (const [, words] of marks) this.key.append(html("li", {}, html("canvas", { "aria-hidden": "true" }), words));
    this.drawKey();
  }

  /** Shows a second schedule, where there is one: -log SNR at evenly spaced times. */
  compare(knots: readonly number[] | undefined): void {
    this.schedule.compare(knots);
  }

  /** After a change of theme. */
  redraw(): void {
    this.drawKey();
    this.schedule.draw();
  }

  private drawKey(): void {
    const palette = readPalette();
    this.key.querySelectorAll("canvas").forEach((canvas, index) => {
      const context = fitCanvas(canvas, 24, 34);
      context.clearRect(0, 0, 24, 34);
      drawCell(context, { ...plain, ...marks[index][0] }, 0, 0, { width: 24, height: 34, size: 19 }, palette);
    });
  }

  nameSteps(steps: number): void {
    for (const link of this.steps) link.textContent = `step ${stepOfShare(Number(link.dataset.share), steps)}`;
  }
}

export function stepOfShare(share: number, steps: number): number {
  return Math.max(1, Math.round(share * steps));
}
