/** Pings a worker: one that has ended, or hangs, sends no message of its own. */
import type { ToWorker } from "./protocol";

/** Milliseconds; a pass of a large model takes seconds on a small device, and no answer comes within it. */
export const longestSilence = 30000;
const asks = 4;

export class Heartbeat {
  /** True once the worker has said anything. */
  heard = false;
  private unanswered = 0;
  private timer: number;

  constructor(private worker: Worker, silence: number, onSilence: () => void) {
    worker.addEventListener("message", this.hear);
    // Counted in questions, not in time: a machine that has slept has asked none meanwhile.
    this.timer = window.setInterval(() => {
      if (this.unanswered < asks) {
        ++this.unanswered;
        worker.postMessage({ type: "ping" } satisfies ToWorker);
      } else {
        this.end();
        onSilence();
      }
    }, silence / (asks + 1));
  }

  end(): void {
    clearInterval(this.timer);
    this.worker.removeEventListener("message", this.hear);
  }

  private hear = (): void => {
    this.heard = true;
    this.unanswered = 0;
  };
}
