/** The verification: texts that are the same on every target, sampled in this browser and compared with the published ones. */
import type { EngineHost, WeightsEntry } from "../engine/host";
import type { VerifiedText } from "../engine/protocol";
import { hasSimd } from "../page/features";
import { fetchPublished, hashOfAll, missingWeights, nameOfRun, otherWeights, type PublishedSample, type PublishedSet } from "../page/published";
import type { Announcer } from "./announcer";
import { byId, html, StopButton } from "./dom";

/** Hashes of one kernel set on one number of threads, by the names of the texts; of all where all are there. */
interface Run {
  name: string;
  hashes: Map<string, string>;
  all?: string | undefined;
}

export class Verification {
  private region = byId("verification");
  private button = byId<HTMLButtonElement>("verify");
  private stopButton = new StopButton(this.button, "Verify", () => void this.run(), () => this.stop());
  private entries: readonly WeightsEntry[] = [];
  private published: PublishedSet = { samples: [], weights: {}, hash: "", measured: [] };
  private runs: Run[] = [];
  private running = false;
  /** The words beside the button once there has been a run. */
  private outcome = "";

  /** `begins`: whatever plays should stop now. */
  constructor(private engine: EngineHost, private announcer: Announcer, private begins: () => void) {
    this.show("");
  }

  async fetchPublished(): Promise<void> {
    try {
      this.published = await fetchPublished();
      this.show(this.outcome);
    } catch {
      // There is nothing to compare with then, and the button stays off.
    }
  }

  /** The weights that the page has. */
  offer(entries: readonly WeightsEntry[]): void {
    this.entries = entries;
    if (!this.running) this.show(this.outcome);
  }

  /** True where there was something to stop. */
  stop(): boolean {
    if (this.running) this.engine.stopSideTask();
    return this.running;
  }

  private get checked(): PublishedSample[] {
    return this.published.samples.filter((sample) => !missingWeights(sample, this.entries).length);
  }

  private get needed(): WeightsEntry[] {
    const names = new Set(this.checked.flatMap(({ weights, request }) => [weights, request.proofread]));
    return this.entries.filter(({ name }) => names.has(name));
  }

  private async run(): Promise<void> {
    const { checked } = this;
    this.begins();
    this.running = true;
    this.runs = [];
    this.showError("");
    this.show("Loading");
    this.announcer.say("The verification begins.");
    let done = 0;
    try {
      const ended = await this.engine.verify(checked, this.needed, (text, count) => {
        this.add(text);
        this.show(`${++done} of ${count} texts`);
      });
      for (const run of this.runs) run.all = await hashOfAll(this.published, run.hashes);
      this.finish(ended ? this.summary() : "Stopped.");
    } catch (error) {
      this.finish("");
      this.showError(error instanceof Error && error.message ? `The verification stopped: ${error.message}` : "There was not enough memory for the verification.");
    }
  }

  private add(text: VerifiedText): void {
    const name = nameOfRun(text);
    const last = this.runs[this.runs.length - 1];
    const run = last?.name === name ? last : { name, hashes: new Map<string, string>() };
    if (run !== last) this.runs.push(run);
    run.hashes.set(text.name, text.hash);
  }

  private finish(words: string): void {
    this.running = false;
    this.show((this.outcome = words));
    if (words) this.announcer.say(words, true);
  }

  private summary(): string {
    const { checked, runs, published: { samples } } = this;
    const differing = checked.filter(({ name, hash }) => runs.some(({ hashes }) => hashes.get(name) !== hash)).length;
    if (differing) return `Finished: ${differing} of ${checked.length} texts ${differing === 1 ? "DIFFERS" : "DIFFER"} from what is published.`;
    const whole = checked.length === samples.length ? `all ${checked.length}` : `${checked.length} of ${samples.length}`;
    return `Finished: ${whole} texts are the published ones, under ${runs.length === 1 ? "the one kernel set" : `each of ${runs.length} kernel sets and numbers of threads`}.`;
  }

  private showError(sentence: string): void {
    byId("verify-alert").hidden = !sentence;
    byId("verify-alert-text").textContent = sentence;
  }

  private show(words: string): void {
    const { needed } = this;
    this.button.disabled = !(hasSimd() && crypto.subtle && needed.length);
    this.stopButton.show(this.running);
    this.region.setAttribute("aria-busy", String(this.running));
    byId("verify-state").textContent = words || (!crypto.subtle ? "Over plain http a browser computes no hashes."
      : needed.length ? `${(needed.reduce((sum, { bytes }) => sum + bytes, 0) / 1e6).toFixed(1)} MB of weights` : "");
    const { samples, measured, hash: publishedHash } = this.published;
    fillTable("verified", samples.map((sample) => [sample.name, html("code", {}, sample.hash), this.verdict(sample)]));
    fillTable("targets", [
      ...measured.map(({ target, kernels, threads, hash, by, date }): Cells =>
        [`${target}: ${kernels.join(", ").replaceAll("_", " ")}; ${threads.join(" and ")} threads`, html("code", {}, hash), `${by}, ${date}`]),
      ...this.runs.filter(({ all }) => all).map(({ name, all }): Cells => [`this browser: ${name}`, html("code", {}, all!), `you, now: ${sameness(all === publishedHash)}`]),
    ]);
  }

  /** What is to be said of one text. */
  private verdict(sample: PublishedSample): string {
    const missing = missingWeights(sample, this.entries);
    if (missing.length) return this.entries.length ? `not checked: the page has no ${missing.join(", ")}` : "not checked";
    const drawn = this.runs.filter(({ hashes }) => hashes.has(sample.name));
    if (!drawn.length) return "not checked yet";
    const differing = drawn.filter(({ hashes }) => hashes.get(sample.name) !== sample.hash);
    if (!differing.length) return `${sameness(true)}, ${drawn.length === 1 ? "once" : `${drawn.length} times`}`;
    const other = otherWeights(this.published, sample, this.entries);
    if (other.length) return `${sameness(false)}: the page has other weights, ${other.join(", ")}`;
    return `${sameness(false)}: ${differing.map(({ name, hashes }) => `${hashes.get(sample.name)} with ${name}`).join("; ")}`;
  }
}

type Cells = [string, HTMLElement, string];

/** Replaces the rows of a table. */
function fillTable(id: string, rows: Cells[]): void {
  const table = byId<HTMLTableElement>(id);
  for (const body of [...table.tBodies]) body.remove();
  table.append(html("tbody", {}, ...rows.map(([name, hash, words]) => html("tr", {}, html("th", { scope: "row" }, name), html("td", {}, hash), html("td", {}, words)))));
}

function sameness(same: boolean): string {
  return same ? "\u2713 published" : "DIFFERS";
}
