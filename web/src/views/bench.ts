/** The bench: how fast the model runs in this browser, and reports of other machines for comparison. */
import type { EngineHost } from "../engine/host";
import { fetchFile, home } from "../engine/assets";
import { browserName, hasSimd, memoryInUse } from "../page/features";
import { canIsolate, describeIsolation, isolate, mostThreads } from "../page/isolation";
import type { Description, Timing } from "../engine/protocol";
import { largestReport, readReport, type Report } from "../page/report";
import type { Announcer } from "./announcer";
import { byId, html, StopButton, svg } from "./dom";
import { download } from "./save";

/** The version of the project, filled in by build.mjs. */
declare const FOLIO_VERSION: string;

/** A report in the table, and how its rows are marked. */
interface Entry {
  report: Report;
  origin: "measured here" | "shipped" | "opened";
}

/** Rows of the shipped report that a browser can measure too, at that machine's full number of threads. */
const comparable = ({ results, threads }: Report): Timing[] =>
  results.filter((row) => ["forward", "sampling"].includes(row.task) && row.threads === threads);

export interface BenchEvents {
  /** Whatever plays should stop now. */
  begins(): void;
  /** The page is about to be loaded again. */
  reloads(): void;
}

export class Bench {
  private region = byId("bench");
  private button = byId<HTMLButtonElement>("run-bench");
  private stopButton = new StopButton(this.button, "Run bench", () => this.request(), () => this.stop());
  private saveButton = byId<HTMLButtonElement>("save-report");
  private results = byId<HTMLTableElement>("results");
  private input = byId<HTMLInputElement>("reports");
  private own: Report | undefined;
  /** The result of computing the recorded sample again at this visit. */
  private selfTest = "";
  private shipped: Entry[] = [];
  private opened: Entry[] = [];
  private running = false;
  private queued = false;
  /** Bytes; before those are known, the state of measuring them. */
  private memory: number | "not asked" | "asked" | "unknown" = "not asked";

  constructor(private engine: EngineHost, private announcer: Announcer, private events: BenchEvents) {
    const cores = byId("use-all-cores");
    cores.hidden = !canIsolate();
    cores.addEventListener("click", () => void this.useAllCores());
    this.button.disabled = !hasSimd();
    this.saveButton.addEventListener("click", () => this.save());
    byId("open-reports").addEventListener("click", () => this.input.click());
    this.input.addEventListener("change", () => {
      void this.open([...(this.input.files ?? [])]);
      this.input.value = "";
    });
    this.showFacts();
  }

  /** The report that comes with the page. */
  async fetchShipped(): Promise<void> {
    try {
      const response = await fetchFile(`${home()}native.json`);
      if (!response.ok) return;
      const report = readReport(await response.text());
      this.shipped = [{ report: { ...report, results: comparable(report) }, origin: "shipped" }];
      this.showResults();
    } catch {
      // The bench is whole without it.
    }
  }

  /** Weights have come. */
  loaded(): void {
    this.showFacts();
    if (this.queued) void this.run();
  }

  /** Shows how the self-test of this visit ended. */
  setSelfTest(selfTest: string): void {
    this.selfTest = selfTest;
    this.showFacts();
  }

  /** True where there was something to stop. */
  stop(): boolean {
    if (!this.running && !this.queued) return false;
    this.engine.stopSideTask();
    if (this.queued) {
      this.queued = false;
      this.showState("");
    }
    return true;
  }

  async open(files: readonly File[]): Promise<void> {
    this.showError("");
    const refused: string[] = [];
    for (const file of files) {
      try {
        if (file.size > largestReport) throw new Error("it is longer than 1 MiB");
        const report = readReport(await file.text());
        const known = this.opened.some((other) => JSON.stringify(other.report) === JSON.stringify(report));
        if (!known) this.opened.push({ report, origin: "opened" });
      } catch (error) {
        refused.push(`${file.name.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, "?").slice(0, 60)} is no report Folio can read: ${(error as Error).message}`);
      }
    }
    this.showResults();
    if (refused.length) this.showError(`${refused.join("; ")}.`);
    else this.announcer.say(files.length === 1 ? "The report is in the table." : `${files.length} reports are in the table.`);
  }

  private request(): void {
    this.showError("");
    if (this.engine.description) return void this.run();
    this.queued = true;
    this.showState("Will start when the weights are here.");
  }

  private async run(): Promise<void> {
    this.queued = false;
    this.running = true;
    this.events.begins();
    this.announcer.say("The bench begins.");
    const before = this.own;
    let fresh: Report | undefined;
    let rows = 0;
    this.showState("");
    try {
      const ended = await this.engine.bench(mostThreads(), {
        begins: (setting, count) => {
          rows = count;
          const { deviceMemory } = navigator as { deviceMemory?: number };
          this.own = fresh = {
            program: "folio",
            version: FOLIO_VERSION,
            machine: {
              browser: browserName(), cores: navigator.hardwareConcurrency,
              ...(deviceMemory ? { memory_mib: Math.round(1024 * deviceMemory) } : {}),
            },
            date: new Date().toISOString().replace(/\.\d+/, ""),
            threads: mostThreads(), ...setting, results: [],
          };
          this.showFacts();
        },
        timed: (row) => {
          fresh!.results.push(row);
          this.showState(`${fresh!.results.length} of ${rows} measured`);
          this.showResults();
        },
      });
      if (ended) void this.measureMemory(fresh!);
      this.finish(ended ? summary(fresh!) : "Stopped.");
    } catch (error) {
      this.finish("");
      this.showError(error instanceof Error && error.message ? `The bench stopped: ${error.message}` : "There was not enough memory for the bench.");
    }
    // A bench that was stopped before its first row leaves what was measured before.
    if (!fresh?.results.length) this.own = before;
    this.showResults();
    this.showFacts();
  }

  private finish(words: string): void {
    this.running = false;
    this.showState(words);
    if (words) this.announcer.say(words);
  }

  private async useAllCores(): Promise<void> {
    try {
      await isolate();
    } catch {
      return this.showError("This browser does not let the page use more cores.");
    }
    this.events.reloads();
    location.reload();
  }

  private async measureMemory(report: Report): Promise<void> {
    this.memory = "asked";
    this.showFacts();
    const bytes = await memoryInUse();
    this.memory = bytes ?? "unknown";
    if (bytes) report.memory_mib = Math.round(bytes / 2 ** 20);
    this.showFacts();
  }

  private save(): void {
    if (this.own) download("folio-bench.json", "application/json", `${JSON.stringify(this.own)}\n`);
  }

  private showError(sentence: string): void {
    byId("bench-alert").hidden = !sentence;
    byId("bench-alert-text").textContent = sentence;
  }

  private showState(words: string): void {
    this.stopButton.show(this.running || this.queued);
    this.region.setAttribute("aria-busy", String(this.running));
    byId("bench-state").textContent = words || (this.running ? "Beginning" : "");
    this.saveButton.disabled = this.running || !this.own?.results.length;
  }

  showFacts(): void {
    const { description } = this.engine;
    const facts: [string, string][] = [
      ["Kernels", description ? kernelsOf(description) : "not known before the weights are here"],
      ["Isolation", describeIsolation()],
      ["Threads", `${mostThreads()} of ${navigator.hardwareConcurrency || 1} cores`],
      ["Memory", typeof this.memory === "number" ? `${Math.round(this.memory / 2 ** 20)} MiB in this page`
        : { "not asked": "measured after a bench", asked: "being measured, which may take a minute", unknown: "this browser does not tell" }[this.memory]],
      ["Self-test", [this.selfTest, verdict(this.own)].filter(Boolean).join("; ") || "part of the bench"],
    ];
    byId("bench-facts").replaceChildren(...facts.flatMap(([name, value]) => [html("dt", {}, name), html("dd", {}, value)]));
  }

  private showResults(): void {
    const entries: Entry[] = [...(this.own ? [{ report: this.own, origin: "measured here" } as Entry] : []), ...this.shipped, ...this.opened];
    const sameModel = new Set(entries.map(({ report }) => report.parameters)).size === 1;
    const tasks = [...new Set(entries.flatMap(({ report }) => report.results.map(({ task }) => task)))];
    const bodies = tasks.map((task) => {
      const rows = entries.flatMap((entry) => entry.report.results.filter((row) => row.task === task).map((row) => ({ entry, row })));
      rows.sort((a, b) => a.row.median_ms - b.row.median_ms);
      const longest = Math.max(...rows.map(({ row }) => row.upper_quartile_ms));
      return html("tbody", {}, ...rows.map(({ entry, row }) => rowElement(entry, row, longest, sameModel)));
    });
    this.results.hidden = !tasks.length;
    for (const body of [...this.results.tBodies]) body.remove();
    this.results.append(...bodies);
  }
}

/** One row: what was done, by whom, and how long it took. Each task has a scale of its own. */
function rowElement({ report, origin }: Entry, row: Timing, longest: number, sameModel: boolean): HTMLTableRowElement {
  const { machine, date, parameters } = report;
  const name = (machine.processor || machine.browser || "an unnamed machine").replace(/\((R|TM)\)/g, "");
  const particulars = [origin, origin === "measured here" ? "" : date?.split("T")[0], parameters && !sameModel ? inMillions(parameters) : ""];
  const { median_ms, lower_quartile_ms, upper_quartile_ms } = row;
  const toPercent = (ms: number) => (100 * ms) / longest;
  const [low, high] = [toPercent(lower_quartile_ms), toPercent(upper_quartile_ms)];
  const bar = svg("svg", { "aria-hidden": "true", viewBox: "0 0 100 12", preserveAspectRatio: "none" },
    svg("rect", { y: 2, width: Math.max(0.3, toPercent(median_ms)), height: 8 }),
    svg("path", { d: `M${low} 6H${high}M${low} 3v6M${high} 3v6`, "vector-effect": "non-scaling-stroke" }));
  return html("tr", { class: origin === "measured here" ? "own" : "other" },
    html("th", { scope: "row" }, row.task, small([row.kernels && plain(row.kernels), row.products, row.threads === 1 ? "1 thread" : `${row.threads} threads`])),
    html("td", {}, name, small(particulars)),
    html("td", { class: "num" }, bar, `${digits(median_ms)} ms`, html("small", {}, `${digits(lower_quartile_ms)} to ${digits(upper_quartile_ms)}`)));
}

function small(parts: readonly (string | undefined)[]): HTMLElement {
  return html("small", {}, parts.filter(Boolean).join(", "));
}

/** Names of sets as prose has them. */
function plain(name: string): string {
  return name.replaceAll("_", " ");
}

function inMillions(parameters: number): string {
  return parameters < 1e6 ? `${Math.round(parameters / 1e3)} thousand parameters` : `${(parameters / 1e6).toFixed(1)} million parameters`;
}

/** About three digits, whatever the size. */
function digits(ms: number): string {
  return ms.toFixed(ms >= 100 ? 0 : ms >= 10 ? 1 : ms >= 0.1 ? 2 : 4);
}

/** The set in use, and why it is. */
function kernelsOf({ kernels, settled, choice, sets }: Description): string {
  const rivals = choice.map(plain).join(", ");
  if (!settled) return `the first passes show which is the fastest here: ${rivals}`;
  return `${plain(kernels)}: ` +
    (choice.length > 1 ? `the fastest here in the first passes, of ${choice.length} that gave the plain set's answers on trial (${rivals})`
      : sets.length === 1 ? "the only set, since this browser has no relaxed SIMD"
      : kernels === sets[0] ? `the first choice of ${sets.length}, and on trial it gave the plain set's answers`
      : "on trial a better set gave other answers here, so it is not used");
}

function verdict(report: Report | undefined): string {
  const check = report?.self_check;
  if (!check) return "";
  const others = check.kernels.filter(({ kernels }) => kernels !== check.against);
  if (!others.length) return `passed: ${plain(check.against)} is the plain set, and the only one`;
  return others.map(({ kernels, passed }) => `${plain(kernels)} ${passed ? "agrees" : "DOES NOT AGREE"} with ${plain(check.against)}`).join("; ");
}

function summary({ results }: Report): string {
  const { task } = results[0];
  const [best] = results.filter((row) => row.task === task).sort((a, b) => a.median_ms - b.median_ms);
  return `Finished: a ${task === "forward" ? "pass" : "sample"} takes ${digits(best.median_ms)} ms with ${plain(best.kernels!)} on ${best.threads === 1 ? "one thread" : `${best.threads} threads`}.`;
}
