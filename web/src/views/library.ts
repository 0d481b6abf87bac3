/**
 * The choice and loading of weights, hosted with the page or from a visitor's own file, with the errors that may occur. In the single
 * file the class of library.single.ts takes this one's place, and extends it.
 */
import { fetchFile, home } from "../engine/assets";
import {
  EngineFailed, EngineHost, fromFile, fromEntry, OutOfMemory, RefusedFile, missingSentence, WeightsMissing, type WeightsEntry, type Weights,
} from "../engine/host";
import { readNumber, type Address } from "../page/address";
import { hasSimd, prefersSmall } from "../page/features";
import { mostThreads } from "../page/isolation";
import { processes, processOf } from "../processes";
import { byId, html } from "./dom";
import type { Remedy, StatusBar } from "./status_bar";

export interface LibraryEvents {
  /** Weights have come; `changed` if they are other ones than before. */
  loaded(changed: boolean): void;
  /** Something about `loading` or `failed` is new. */
  changed(): void;
  /** Files were dropped that are no weights. */
  reports(files: File[]): void;
}

export class Library {
  loading = false;
  /** There is no model, and none is on its way. */
  failed = false;
  protected entries: readonly WeightsEntry[] = [];
  private model = byId<HTMLSelectElement>("model");
  private threads = byId<HTMLInputElement>("threads");
  private width = mostThreads();
  private loadingAbort = new AbortController();
  private coming: string | undefined;
  /** The weights that the address in hand was made with. */
  requestedName: string | undefined;
  protected file = byId<HTMLInputElement>("file");

  constructor(protected engine: EngineHost, protected statusBar: StatusBar, protected events: LibraryEvents) {
    this.threads.max = this.threads.value = String(mostThreads());
    this.threads.disabled = mostThreads() === 1;
    this.threads.addEventListener("change", () => {
      const width = readNumber(this.threads.value, { least: 1, most: mostThreads(), whole: true });
      if (width === undefined || width === this.width) return;
      this.width = width;
      if (engine.weights && !this.loading) void this.load(engine.weights, 0);
    });
    this.model.addEventListener("change", () => {
      const entry = this.entries.find(({ name }) => name === this.model.value);
      if (entry) void this.take(entry);
    });
    byId("open").addEventListener("click", () => this.file.click());
    this.file.addEventListener("change", () => {
      void this.open([...(this.file.files ?? [])]);
      this.file.value = "";
    });
    document.addEventListener("dragover", (event) => {
      if (event.dataTransfer?.types.includes("Files")) event.preventDefault();
    });
    document.addEventListener("drop", (event) => {
      if (!event.dataTransfer?.files.length) return;
      event.preventDefault();
      const files = [...event.dataTransfer.files];
      const reports = files.filter(({ name, type }) => type === "application/json" || /\.json$/i.test(name));
      if (reports.length) events.reports(reports);
      void this.open(files.filter((file) => !reports.includes(file)));
    });
  }

  /** Name of the weights in use, in links and in the list of models. */
  get name(): string | undefined {
    return this.engine.weights?.name;
  }

  /** The same, undefined for those that every visitor gets. */
  get nameInLinks(): string | undefined {
    return this.name === this.entries[0]?.name ? undefined : this.name;
  }

  /** The weights of that name, where they are listed and can be had. */
  protected entryOf(wanted: string | undefined): WeightsEntry | undefined {
    return this.entries.find(({ name }) => name === wanted);
  }

  /** The file that a command needs. */
  get path(): string {
    const entry = this.entryOf(this.name);
    if (!entry && this.name) return `${this.name.replace(/@.*/, "")}.safetensors`;
    return `weights/${(entry ?? this.entries[0])?.file ?? "masked-base.safetensors"}`;
  }

  /** The model that proofreads what the one in use writes: one as large as that where there is one. */
  get proofreader(): WeightsEntry | undefined {
    const { proofreaders } = this.engine;
    const size = this.entryOf(this.name)?.size;
    return proofreaders.find((entry) => entry.size === size) ?? proofreaders[0];
  }

  /** Says what proofreading will download. */
  sayProofreader(): void {
    const { proofreader } = this;
    if (proofreader) this.statusBar.say(`Proofreading loads ${proofreader.name}, ${(proofreader.bytes / 1e6).toFixed(1)} MB.`);
  }

  /** The sentence and the remedy where the weights of that name, which are to proofread, did not come; `again` does what needs them. */
  missingProofreader(_name: string, damaged: boolean, again: () => void): [string, Remedy] {
    return [missingSentence("The weights of the proofreader", damaged), { label: "Try again", apply: again }];
  }

  /** Kind of process of the weights that are loaded or, so far as is known, being loaded. */
  get kind(): string | undefined {
    return (this.loading && this.coming) || this.engine.description?.process.kind;
  }

  /** Kinds of processes that there are weights for. */
  get kinds(): string[] {
    return this.entries.map(({ process }) => process);
  }

  /** Weights of another process, as large as those in use where there are such; without a word where it is the same one. */
  switchTo(kind: string | undefined): void {
    if (kind === undefined) return;
    const size = this.entryOf(this.name)?.size;
    const entries = this.entries.filter(({ process }) => process === kind);
    const entry = entries.find((other) => other.size === size) ?? entries[0];
    if (!entry && this.entries.length) this.statusBar.say("There are no weights of that process here.");
    if (entry && kind !== this.kind) void this.take(entry);
  }

  /** Weights that can be read without asking the visitor for a file. */
  get available(): readonly WeightsEntry[] {
    return this.entries;
  }

  /** Weights of each process, all of one size, the smallest of which there are several; without some where there are none. */
  get raceEntries(): WeightsEntry[] {
    const sizes = [...new Set(this.entries.map(({ size }) => size))];
    const fields = sizes.map((size) => processes.flatMap(({ kind }) => this.entries.find((entry) => entry.size === size && entry.process === kind) ?? []));
    const bytes = (entries: WeightsEntry[]) => entries.reduce((sum, entry) => sum + entry.bytes, 0);
    return fields.sort((a, b) => b.length - a.length || bytes(a) - bytes(b))[0] ?? [];
  }

  /** Words for what a race of these needs. */
  get raceNeeds(): string {
    const entries = this.raceEntries;
    const megabytes = entries.reduce((sum, { bytes }) => sum + bytes, 0) / 1e6;
    return entries.length < 2 ? "There are not weights enough here for a race."
      : `Their weights are ${entries.length} files of ${megabytes.toFixed(1)} MB together, which come once.`;
  }

  /** -log SNR at evenly spaced times, of the first model that has such a schedule. */
  get schedule(): readonly number[] | undefined {
    return this.entries.find(({ knots }) => knots)?.knots;
  }

  /** Looks what there is and loads what an address means, else what suits this visitor. */
  async visit(asked: Address | undefined): Promise<void> {
    const signal = this.supersede();
    this.loading = true;
    try {
      const response = await fetchFile(`${home()}weights/index.json`, undefined, { signal });
      if (!response.ok) throw new Error(`status ${response.status}`);
      this.entries = (await response.json()) as WeightsEntry[];
      if (!this.entries.length) throw new Error("nothing there");
      this.engine.proofreaders = this.entries.filter(({ process }) => processOf(process)?.proofreads);
    } catch {
      if (signal.aborted) return;
      return this.fail("The weights did not arrive.", "Try again", () => void this.visit(asked));
    }
    if (!hasSimd()) return this.fail("This browser lacks WebAssembly SIMD; you see a recorded sample.");
    const requestedName = (this.requestedName = asked?.weights);
    const named = this.entryOf(requestedName);
    if (requestedName && !named)
      this.statusBar.say(`This link was made with other weights, ${requestedName}: open that file to see the same text.`,
        { label: "Open weights", apply: () => this.file.click() }, () => this.requestedName === requestedName && this.name !== requestedName);
    const entry = named ?? ((!asked && prefersSmall() && this.smallest) || this.entries[0]);
    await this.take(entry);
  }

  /** After the engine has replaced a worker that crashed. */
  restarted(outOfMemory: boolean): void {
    if (outOfMemory) this.sayOutOfMemory();
    else if (this.engine.description) this.statusBar.say("The engine stopped and was restarted; the last step is kept.");
    else this.fail("The engine stopped.", "Try again", () => this.engine.weights && void this.load(this.engine.weights, 0));
  }

  /** The visitor's own files, of which the first one is loaded. */
  protected async open([file]: readonly File[]): Promise<void> {
    if (file) await this.load(fromFile(file), file.size);
  }

  /** Loads listed weights. */
  protected take(entry: WeightsEntry): Promise<void> {
    return this.load(fromEntry(entry), entry.bytes);
  }

  private async load(weights: Weights, bytes: number): Promise<void> {
    const before = this.name;
    const signal = this.supersede();
    this.coming = this.entryOf(weights.name)?.process;
    const { width } = this;
    this.loading = true;
    this.failed = false;
    this.statusBar.clearAlert();
    this.statusBar.progress(0, bytes);
    this.events.changed();
    try {
      await this.engine.open(weights, width, (arrived) => this.statusBar.progress(arrived, bytes), signal);
      this.loading = false;
      this.describe();
      this.events.loaded(before !== this.name);
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof RefusedFile) this.fail(`This file is not a model Folio can read: ${error.message}`);
      else if (error instanceof OutOfMemory) this.sayOutOfMemory();
      else if (error instanceof EngineFailed) this.fail(error.message, "Try again", () => void this.load(weights, bytes));
      else this.fail(missingSentence("The weights", error instanceof WeightsMissing && error.damaged), "Try again", () => void this.load(weights, bytes));
    }
    this.statusBar.progress(0, 0);
    this.offer();
    this.events.changed();
    // Threads were changed meanwhile.
    if (width !== this.width && this.engine.weights === weights) await this.load(weights, 0);
  }

  /** Ends a load that is under way: of two that overlap the last counts. */
  private supersede(): AbortSignal {
    this.loadingAbort.abort();
    this.statusBar.progress(0, 0);
    this.loadingAbort = new AbortController();
    return this.loadingAbort.signal;
  }

  private get smallest(): WeightsEntry | undefined {
    const [first] = this.entries;
    return this.entries.filter(({ process }) => process === first.process).sort((a, b) => a.bytes - b.bytes)[0];
  }

  private sayOutOfMemory(): void {
    const small = this.smallest;
    this.fail("Not enough memory for this model.", "Use the small one", small && (() => void this.take(small)));
  }

  private fail(sentence: string, label = "", apply?: () => void): void {
    this.loading = false;
    this.failed = !this.engine.description;
    this.statusBar.fail(sentence, apply && { label, apply }, this.failed);
    this.events.changed();
  }

  /** The list of models. */
  protected offer(): void {
    const names = this.entries.map(({ name }) => name);
    if (this.name && !names.includes(this.name)) names.push(this.name);
    this.model.replaceChildren(...names.map((name) => html("option", { value: name }, name)));
    if (this.name) this.model.value = this.name;
  }

  /** The colophon: what runs here, and how. */
  describe(): void {
    const { parameters, kernels, settled, choice, threads, process } = this.engine.description!;
    const name = this.name!;
    const size = parameters < 1e6 ? `${Math.round(parameters / 1e3)} thousand` : `${(parameters / 1e6).toFixed(1)} million`;
    const card = this.entryOf(name)?.card;
    byId("colophon").replaceChildren(card ? html("a", { href: `weights/${card}` }, name) : name,
      `: ${processOf(process.kind)!.does}, with ${size} parameters, run here with ${settled ? `the ${kernels.replaceAll("_", " ")} kernels` : `whichever of ${choice.length} sets of kernels the first passes show to be the fastest,`} on ${threads === 1 ? "one thread" : `${threads} threads`}. Type `,
      html("kbd", {}, "?"), " for the keys.");
  }
}
