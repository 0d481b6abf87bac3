/** The one status region: never two sentences within four seconds; the end is always said. */
import { byId } from "./dom";

const pause = 4000;

export class Announcer {
  private region = byId("status");
  private lastTime = -Infinity;
  private waiting: { sentence: string; final: boolean } | undefined;
  private timer = 0;

  say(sentence: string, final = false): void {
    if (this.waiting?.final && !final) return;
    this.waiting = { sentence, final };
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => this.speak(), Math.max(0, this.lastTime + pause - performance.now()));
  }

  /** Drops what has not been said yet. */
  cancel(): void {
    this.waiting = undefined;
    clearTimeout(this.timer);
  }

  private speak(): void {
    this.region.textContent = this.waiting?.sentence ?? "";
    this.waiting = undefined;
    this.lastTime = performance.now();
  }
}
