/** The race: one text by a model of each process, one after another, then all of them side by side on one clock. */
import {
  EngineFailed, fromEntry, OutOfMemory, RefusedFile, missingSentence, WeightsMissing, type EngineHost, type WeightsEntry,
} from "../engine/host";
import { prefersReducedMotion } from "../page/features";
import { hasOpenGap } from "../page/gaps";
import { mostThreads } from "../page/isolation";
import { Lane, Vocabulary } from "../page/lanes";
import { processOf, type Process } from "../processes";
import type { Request } from "../engine/protocol";
import { plainText, whyUnknown } from "../page/typography";
import type { Announcer } from "./announcer";
import { byId, html, Radios, StopButton } from "./dom";
import { drawCell, fitCanvas, readPalette, type Cell, type Palette } from "./ink";
import { columns, looksOf } from "./looks";

export interface RaceEvents {
  /** Whatever plays should stop now. */
  begins(): void;
  /** The request for all of them; undefined where the controls are invalid. */
  request(): Request | undefined;
}

type Axis = "seconds" | "passes";

/** Milliseconds of a replay, however long the race took. */
const replayTime = 9000;

/** One model, its sample and when each step of it came. */
class Racer {
  lane: Lane | undefined;
  /** Seconds from the start, by step. */
  readonly times: number[] = [];
  readonly process: Process;
  readonly figure: HTMLElement;
  readonly text = html("p", { class: "unseen" });
  private canvas = html("canvas", { "aria-hidden": "true" });
  private count = html("span", { class: "num" });
  private way = html("div");

  constructor(readonly entry: WeightsEntry) {
    this.process = processOf(entry.process)!;
    this.figure = html("figure", {},
      html("figcaption", {}, html("span", {}, this.process.name), this.count),
      this.canvas, html("div", { class: "way" }, this.way), this.text);
  }

  get passes(): number {
    return this.lane?.head ?? 0;
  }

  get seconds(): number {
    return this.times[this.times.length - 1] ?? 0;
  }

  length(axis: Axis): number {
    return axis === "seconds" ? this.seconds : this.passes;
  }

  /** The last step that has come by then. */
  stepAt(time: number, axis: Axis): number {
    if (axis === "passes") return Math.min(this.passes, Math.floor(time));
    const later = this.times.findIndex((at) => at > time);
    return later < 0 ? this.passes : Math.max(0, later - 1);
  }

  private get cell(): Cell {
    const width = this.canvas.clientWidth / columns;
    return { width, height: Math.round(width * 2.2), size: width * 1.35 };
  }

  /** Takes the room of a text of this length. */
  reserve(length: number): number {
    const height = Math.ceil(length / columns) * this.cell.height;
    this.canvas.style.setProperty("height", `${height}px`);
    return height;
  }

  /** `share`: how much of the common clock's way is behind. */
  show(step: number, share: number, palette: Palette): void {
    const { lane, canvas } = this;
    this.way.style.setProperty("transform", `scaleX(${share})`);
    if (!lane?.frames[step]) return;
    // What is red happens now.
    const atRest = step === lane.head && lane.finished;
    this.count.textContent = atRest ? `${this.passes} passes` : `pass ${step}`;
    const looks = looksOf({ lane, step, show: "ink", guesses: true, chosen: undefined, pinned: -1, closest: -1, compared: undefined, moving: true });
    const { cell } = this;
    const height = this.reserve(looks.length);
    const context = fitCanvas(canvas, canvas.clientWidth, height);
    context.clearRect(0, 0, canvas.clientWidth, height);
    looks.forEach((look, position) =>
      drawCell(context, atRest && look.wet ? { ...look, wet: false, ink: "ink" } : look, (position % columns) * cell.width, Math.floor(position / columns) * cell.height, cell, palette));
  }
}

export class Race {
  private region = byId("race");
  private button = byId<HTMLButtonElement>("run-race");
  private stopButton = new StopButton(this.button, "Run race", () => void this.run(), () => this.stop());
  private clock = byId<HTMLInputElement>("clock");
  private entries: readonly WeightsEntry[] = [];
  private racers: Racer[] = [];
  private axis: Axis = "seconds";
  private palette = readPalette();
  private running = false;
  private pending = 0;
  /** When the replay began. */
  private began = 0;

  constructor(private engine: EngineHost, private announcer: Announcer, private events: RaceEvents) {
    byId("replay").addEventListener("click", () => this.replay());
    this.clock.addEventListener("input", () => {
      cancelAnimationFrame(this.pending);
      this.show();
    });
    new Radios<Axis>(byId("axis"), (axis) => {
      this.axis = axis;
      this.show();
    }).offer([["seconds", "Seconds"], ["passes", "Passes"]], "seconds");
    new ResizeObserver(() => this.show()).observe(byId("race-sheets"));
  }

  /** The models that would run, and words for what that needs. */
  offer(entries: readonly WeightsEntry[], needs: string): void {
    this.entries = entries;
    this.button.disabled = entries.length < 2;
    byId("race-needs").textContent = needs;
  }

  /** After a change of theme. */
  redraw(): void {
    this.palette = readPalette();
    this.show();
  }

  /** True where there was something to stop. */
  stop(): boolean {
    if (this.running) this.engine.stopSideTask();
    return this.running;
  }

  private async run(): Promise<void> {
    const asked = this.events.request();
    if (!asked) return;
    this.showError("");
    this.events.begins();
    cancelAnimationFrame(this.pending);
    this.running = true;
    const racers = (this.racers = this.entries.map((entry) => new Racer(entry)));
    byId("race-sheets").replaceChildren(...racers.map(({ figure }) => figure));
    byId("race-sheets").hidden = false;
    for (const racer of racers) racer.reserve(asked.length);
    this.showResults();
    this.showEnd("coming");
    this.announcer.say("The race begins.");
    this.say("Beginning");
    let ended = true;
    try {
      for (const racer of racers) if (ended) ended = await this.runOne(racer, asked);
    } catch (error) {
      ended = false;
      this.showError(sentenceOf(error, racers.find(({ lane }) => !lane?.finished)));
    }
    this.running = false;
    this.say(ended ? `Finished, each on ${mostThreads() === 1 ? "one thread" : `${mostThreads()} threads`}.` : byId("race-alert").hidden ? "Stopped." : "");
    if (!ended) return this.showEnd("none");
    for (const { lane, text } of racers) text.textContent = lane!.text(lane!.head, "_");
    this.showResults();
    this.showEnd("here");
    this.announcer.say("The race is over; its figures are in the table.");
    if (prefersReducedMotion.matches) this.show(1);
    else this.replay();
  }

  private runOne(racer: Racer, asked: Request): Promise<boolean> {
    const { name } = racer.process;
    const rank = `${this.racers.indexOf(racer) + 1} of ${this.racers.length}`;
    return this.engine.race(fromEntry(racer.entry), {
      weightsProgress: (bytes) => this.say(`${name}, ${rank}: ${(bytes / 1e6).toFixed(1)} of ${(racer.entry.bytes / 1e6).toFixed(1)} MB`),
      loaded: ({ defaults, vocab }) => {
        const vocabulary = new Vocabulary(vocab);
        const prompt = plainText(asked.prompt, vocabulary);
        const refusal = hasOpenGap(prompt) ? "its models fill no open gaps; give it a prompt without any." : whyUnknown(prompt, vocabulary);
        if (refusal) throw new EngineFailed(refusal);
        const request = { ...defaults, prompt, length: asked.length, seed: asked.seed };
        racer.lane = new Lane("A", request, vocabulary, racer.process, true);
        return request;
      },
      frame: (frame, milliseconds) => {
        racer.lane!.add(frame, undefined);
        racer.times.push(racer.seconds + milliseconds / 1000);
        this.say(`${name}, ${rank}: pass ${frame.step} of ${frame.steps}`);
        this.pending ||= requestAnimationFrame(() => {
          this.pending = 0;
          racer.show(racer.passes, 0, this.palette);
        });
      },
    });
  }

  private replay(): void {
    cancelAnimationFrame(this.pending);
    this.began = performance.now();
    const tick = (now: number) => {
      const share = Math.min(1, Math.max(0, (now - this.began) / replayTime));
      // Asked for stillness, it goes in cuts, a second each.
      this.show(prefersReducedMotion.matches ? Math.floor((share * replayTime) / 1000) / (replayTime / 1000) : share);
      this.pending = share < 1 ? requestAnimationFrame(tick) : 0;
    };
    this.pending = requestAnimationFrame(tick);
  }

  /** All of them at a share of the common clock's way, by default where its slider stands. */
  private show(share = Number(this.clock.value) / Number(this.clock.max)): void {
    if (this.running || !this.racers.every(({ lane }) => lane?.finished)) return;
    const longest = Math.max(...this.racers.map((racer) => racer.length(this.axis)));
    const now = share * longest;
    const told = this.axis === "seconds" ? `${now.toFixed(2)} of ${longest.toFixed(2)} s` : `${Math.floor(now)} of ${longest} passes`;
    this.clock.value = String(Math.round(share * Number(this.clock.max)));
    this.clock.setAttribute("aria-valuetext", told);
    byId("race-time").textContent = told;
    for (const racer of this.racers) racer.show(racer.stepAt(now, this.axis), Math.min(now, racer.length(this.axis)) / longest, this.palette);
  }

  /** Clock and figures; those that are to come have their room already. */
  private showEnd(state: "none" | "coming" | "here"): void {
    for (const part of [byId("race-clock"), byId("race-results")]) {
      part.hidden = state === "none";
      part.classList.toggle("coming", state === "coming");
    }
  }

  private showResults(): void {
    const table = byId<HTMLTableElement>("race-results");
    const heads = [...table.tHead!.rows[0].cells].map(({ textContent }) => textContent!);
    table.tBodies[0].replaceChildren(...this.racers.map(({ process, entry, passes, seconds, lane }) =>
      html("tr", {}, html("th", { scope: "row" }, process.name, " ", html("small", {}, entry.name)),
        ...[
          String(passes), seconds.toFixed(2), String(Math.round((lane?.frames[0]?.length ?? 0) / Math.max(seconds, 1e-3))),
          entry.nats ? `${process.bounded ? "\u2264 " : ""}${entry.nats[0].toFixed(3)} \u00b1 ${entry.nats[1].toFixed(3)}` : "not measured",
        ].map((figure, index) => html("td", { class: "num", "data-head": heads[index + 1] }, figure)))));
  }

  private showError(sentence: string): void {
    byId("race-alert").hidden = !sentence;
    byId("race-alert-text").textContent = sentence;
  }

  private say(words: string): void {
    this.stopButton.show(this.running);
    this.region.setAttribute("aria-busy", String(this.running));
    byId("race-state").textContent = words;
  }
}

function sentenceOf(error: unknown, racer: Racer | undefined): string {
  const name = racer?.entry.name ?? "A model";
  if (error instanceof OutOfMemory) return "There was not enough memory for the race.";
  if (error instanceof RefusedFile) return `${name} is not a model Folio can read: ${error.message}`;
  if (error instanceof EngineFailed) return `The race stopped: ${error.message}`;
  return missingSentence(`The weights of ${name}`, error instanceof WeightsMissing && error.damaged);
}
