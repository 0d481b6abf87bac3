/** The toolbar of the chosen letters, below them, or above where there is no room. */
import { countOf, stretchesOf, type Choice } from "../page/edits";
import { CONDITIONED } from "../engine/protocol";
import type { Lane } from "../page/lanes";
import { byId } from "./dom";
import { columns } from "./looks";
import type { Sheet } from "./sheet";

export interface ToolbarEvents {
  noiseAgain(): void;
  keep(): void;
  release(): void;
  copy(): void;
}

export class Toolbar {
  private root = byId("toolbar");
  private stage = byId("stage");
  private count = byId("chosen-count");
  private keep = byId("keep");
  private far = byId<HTMLInputElement>("far");
  private releases = false;

  constructor(private sheet: Sheet, events: ToolbarEvents) {
    byId("noise").addEventListener("click", () => events.noiseAgain());
    this.keep.addEventListener("click", () => (this.releases ? events.release() : events.keep()));
    byId("copy").addEventListener("click", () => events.copy());
    this.far.addEventListener("input", () => this.gauge());
    this.gauge();
    // A press would take the selection away from the verse before it is acted on.
    this.root.addEventListener("mousedown", (event) => {
      if (event.target !== this.far) event.preventDefault();
    });
    this.root.addEventListener("keydown", (event) => this.roam(event));
  }

  get percent(): number {
    return Number(this.far.value);
  }

  private gauge(): void {
    byId("far-value").textContent = `${this.percent} %`;
    this.far.setAttribute("aria-valuetext", `${this.percent} percent`);
  }

  private roam(event: KeyboardEvent): void {
    if (event.target === this.far || (event.key !== "ArrowRight" && event.key !== "ArrowLeft")) return;
    const stops = [...this.root.querySelectorAll<HTMLElement>("button, input")];
    const next = stops.indexOf(event.target as HTMLElement) + (event.key === "ArrowRight" ? 1 : -1);
    stops[(next + stops.length) % stops.length].focus();
    event.preventDefault();
  }

  show(lane: Lane, step: number, choice: Choice | undefined): void {
    // The focus must not be lost with what is about to be hidden.
    if (!choice && this.root.contains(document.activeElement)) this.sheet.focus();
    this.root.hidden = !choice;
    if (!choice) return;
    const { flags } = lane.frames[step];
    this.count.textContent = countOf(choice);
    this.releases = choice.every((position) => flags[position] & CONDITIONED);
    this.keep.textContent = this.releases ? "Release" : "Keep";
    const end = choice[choice.length - 1];
    const first = this.sheet.rectangle(choice.find((position) => position >= end - (end % columns))!);
    const last = this.sheet.rectangle(end);
    const around = this.stage.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = this.root;
    // The next stroke may begin anywhere, and nothing that is pressed shall slide away.
    const above = this.sheet.paints || stretchesOf(choice).length > 1;
    const middle = above ? around.width / 2 : (Math.min(first.left, last.left) + last.right) / 2 - around.left;
    const left = Math.max(4, Math.min(around.width - width - 4, middle - width / 2));
    let top = last.bottom - around.top + 6;
    if (top + height > around.height + 8) top = Math.max(2, this.sheet.rectangle(choice[0]).top - around.top - height - 6);
    if (above) top = Math.max(4, this.sheet.rectangle(0).top - height - 2) - around.top;
    this.root.style.setProperty("left", `${left}px`);
    this.root.style.setProperty("top", `${top}px`);
  }
}
