/** The controls, whose fields are the request of the next sample: there is no second copy of it. */
import { isSeed, numberKeys, ranges, readNumber, unnamedOptions, usesOption, type Address, type Range } from "../page/address";
import type { Vocabulary } from "../page/lanes";
import type { Recording } from "../page/record";
import { masked, processes, type Preset, type Process, type Settings } from "../processes";
import type { Request } from "../engine/protocol";
import { plainText, whyUnknownInPrompt } from "../page/typography";
import { byId, html, Radios } from "./dom";

const speeds: readonly (readonly [string, string])[] = [
  ["1", "1 a sec."], ["4", "4 a sec."], ["6", "6 a sec."], ["8", "8 a sec."], ["12", "12 a sec."], ["16", "16 a sec."], ["0", "as it comes"],
];

const ofProofreader: readonly string[] = ["rounds", "proofread-share"];

export interface ControlsEvents {
  sample(): void;
  noiseText(): void;
  /** A process was chosen, by its kind. */
  process(kind: string): void;
  /** A preset was chosen; the fields have it. */
  preset(): void;
  /** Some field was changed by hand. */
  changed(): void;
  speed(perSecond: string): void;
  /** Samples will be proofread from now on. */
  proofreads(): void;
}

export class Controls {
  private prompt = byId<HTMLTextAreaElement>("prompt");
  private seed = byId<HTMLInputElement>("seed");
  private sampler = byId<HTMLSelectElement>("sampler");
  private speed = byId<HTMLSelectElement>("speed");
  private threads = byId<HTMLInputElement>("threads");
  private proofread = byId<HTMLInputElement>("proofread");
  /** The model that would proofread, by name: the one that a link has named, else the one that goes with the model in use. */
  private proofreader: string | undefined;
  private offeredProofreader: string | undefined;
  /** True once a speed was chosen: until then it does not count for a preset. */
  private speedChosen = false;
  private presets: Radios<Preset | "custom">;
  private processes: Radios<string>;
  private process = masked;
  /** The defaults of the model in use, or of the one that made the record. */
  defaults: Request | undefined;
  private vocabulary: Vocabulary | undefined;
  /** The sentence that names invalid fields and their ranges; empty where all are valid. */
  complaint = "";
  /** True where the visitor has changed a field since they were last set. */
  edited = false;
  /** True where the visitor has typed how far the temperature falls since the fields were last set. */
  private fallTyped = false;
  /** True where the visitor has typed a seed since this was last set back. */
  seedTyped = false;

  constructor(private events: ControlsEvents) {
    for (const key of numberKeys) {
      const field = byId<HTMLInputElement>(key);
      [field.min, field.max] = [String(ranges[key].least), String(ranges[key].most)];
    }
    this.processes = new Radios<string>(byId("process"), (kind) => events.process(kind));
    this.offerProcesses([]);
    byId("noise-text").addEventListener("click", () => events.noiseText());
    this.presets = new Radios<Preset | "custom">(byId("preset"), (preset) => this.choose(preset));
    this.presets.offer([["quick", "Quick"], ["careful", "Careful"], ["think", "Watch it think"], ["custom", "Custom"]], "custom");
    this.speed.append(...speeds.map(([value, label]) => html("option", { value }, label)));
    this.speed.addEventListener("change", () => {
      this.speedChosen = true;
      events.speed(this.speed.value);
      this.showPreset();
    });
    this.prompt.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      if (!event.repeat) events.sample();
    });
    this.seed.addEventListener("input", () => (this.seedTyped = true));
    // A temperature given alone is that of every pass, as it is to the command.
    byId("temperature-fall").addEventListener("input", () => (this.fallTyped = true));
    byId("temperature").addEventListener("input", () => {
      if (!this.fallTyped) byId<HTMLInputElement>("temperature-fall").value = "0";
    });
    this.proofread.addEventListener("change", () => {
      this.proofreader = this.offeredProofreader;
      this.change();
      if (this.proofread.checked) events.proofreads();
    });
    byId("new-seed").addEventListener("click", () => {
      this.newSeed();
      this.change();
    });
    byId("controls").addEventListener("input", (event) => {
      if ((event.target as Element).closest(".field")) this.change();
    });
    const more = byId("more-button");
    more.addEventListener("click", () => this.unfold(more.getAttribute("aria-expanded") !== "true"));
  }

  unfold(open: boolean): void {
    byId("more-button").setAttribute("aria-expanded", String(open));
    byId("more").hidden = !open;
  }

  showShortcuts(): void {
    this.unfold(true);
    byId("shortcut-list").scrollIntoView({ block: "nearest" });
  }

  /** Another one than before. */
  newSeed(): void {
    const before = this.seed.value;
    while (this.seed.value === before) this.seed.value = String(crypto.getRandomValues(new Uint32Array(1))[0] % 100000);
  }

  setSpeed(value: string): void {
    this.speed.value = value;
  }

  /** Offers what a model has. What means nothing to it goes away, and what was the default of the one before is now its own. */
  setModel(defaults: Request, samplers: readonly string[], process: Process, vocabulary: Vocabulary): void {
    const before = this.defaults;
    this.vocabulary = vocabulary;
    this.defaults = defaults;
    const selected = this.sampler.value;
    this.sampler.replaceChildren(...samplers.map((name) => html("option", { value: name }, name)));
    this.sampler.value = samplers.includes(selected) && selected !== before?.sampler ? selected : defaults.sampler;
    this.process = process;
    byId("noise-text").hidden = process.without.includes("from-text");
    for (const key of numberKeys) {
      const field = byId<HTMLInputElement>(key);
      if (before && field.value === String(before[key])) field.value = String(defaults[key]);
    }
    this.offerProofreader(this.offeredProofreader);
    this.showPreset();
  }

  /** The name of the model that goes with the one in use; without one nothing can be proofread. */
  offerProofreader(name: string | undefined): void {
    this.offeredProofreader = name;
    this.proofreader ??= name;
    const hidden = !this.proofreader || this.process.without.includes("proofread");
    byId("proofread-check").hidden = hidden;
    for (const key of ofProofreader) byId(key).closest<HTMLElement>(".field")!.hidden = hidden;
  }

  /** Offers the processes of these kinds, and the one in use; `chosen` may be on its way. */
  offerProcesses(kinds: readonly string[], chosen = this.process.kind): void {
    this.processes.offer(processes.map(({ kind, name }) => [kind, name] as const), chosen);
    for (const { kind } of processes) this.processes.allow(kind, kind === this.process.kind || kinds.includes(kind));
  }

  /** Shows a recorded sample's request; that of an address, which is to be answered, goes before it. */
  setRecorded({ lane, defaults }: Recording, asked: Address | undefined): void {
    this.setModel(this.defaults ?? defaults, [lane.request.sampler], lane.process, lane.vocabulary);
    this.set(asked ? { ...unnamedOptions(asked, this.defaults!, lane.process), ...asked.request } : lane.request);
  }

  /** Shows a request in the fields. */
  set(request: Partial<Request>): void {
    if (request.prompt !== undefined) this.prompt.value = request.prompt;
    if (request.seed !== undefined) this.seed.value = request.seed;
    if (request.sampler !== undefined) {
      if (![...this.sampler.options].some(({ value }) => value === request.sampler))
        this.sampler.append(html("option", { value: request.sampler }, request.sampler));
      this.sampler.value = request.sampler;
    }
    for (const key of numberKeys) if (request[key] !== undefined) byId<HTMLInputElement>(key).value = String(request[key]);
    this.fallTyped = this.edited = false;
    this.proofread.checked = request.proofread !== undefined;
    this.proofreader = request.proofread ?? this.offeredProofreader;
    this.showPreset();
  }

  /** The request in the fields. An invalid field takes its default, is marked, and has its sentence in `complaint`. */
  request(): Request {
    const request = { ...this.defaults! };
    const sentences: string[] = [];
    const mark = (field: HTMLElement, fits: boolean, allowed: string) => {
      if (fits) field.removeAttribute("aria-invalid");
      else {
        field.setAttribute("aria-invalid", "true");
        sentences.push(`${field.getAttribute("aria-label")} must be ${allowed}`);
      }
    };
    const read = (field: HTMLInputElement, range: Range): number | undefined => {
      const value = readNumber(field.value.trim(), range);
      mark(field, value !== undefined, `a ${range.whole ? "whole " : ""}number from ${range.least} to ${range.most}`);
      return value;
    };
    const prompt = this.prompt.value.replace(/\r\n?/g, "\n");
    request.prompt = this.vocabulary ? plainText(prompt, this.vocabulary) : prompt;
    request.sampler = this.sampler.value || request.sampler;
    for (const key of numberKeys)
      if (this.uses(key, request.sampler)) request[key] = read(byId<HTMLInputElement>(key), ranges[key]) ?? request[key];
    if (this.proofread.checked && this.proofreader && !this.process.without.includes("proofread")) request.proofread = this.proofreader;
    read(this.threads, { least: 1, most: Number(this.threads.max), whole: true });
    const seed = this.seed.value.trim();
    mark(this.seed, isSeed(seed), "a whole number from 0 to 18446744073709551615");
    if (isSeed(seed)) request.seed = BigInt(seed).toString();
    this.complaint = sentences.length ? `${sentences.join("; ")}.` : "";
    byId("complaint").textContent = this.complaint;
    byId("complaint").hidden = !this.complaint;
    return request;
  }

  /** True where some field holds what it may not; then that field is shown. */
  refuse(): boolean {
    this.request();
    if (!this.complaint) return false;
    this.unfold(true);
    byId("more").querySelector<HTMLElement>("[aria-invalid]")?.focus();
    return true;
  }

  /** The sentence that refuses the prompt; undefined where the model knows all of it, and the field then holds what it is read as. */
  refusePrompt(): string | undefined {
    const { prompt } = this.request();
    const reason = this.vocabulary && whyUnknownInPrompt(prompt, this.vocabulary);
    if (!reason && this.prompt.value !== prompt) this.prompt.value = prompt;
    return reason;
  }

  choose(preset: Preset | "custom"): void {
    if (preset === "custom") return this.unfold(true);
    if (!this.defaults) return;
    const settings = this.process.presets[preset];
    const { speed } = settings;
    if (speed) {
      this.speedChosen = true;
      this.setSpeed(speed);
      this.events.speed(speed);
    }
    const { prompt: _prompt, length: _length, seed: _seed, ...options } = this.optionsOf(settings);
    this.set(options);
    this.events.changed();
    if (this.proofread.checked) this.events.proofreads();
    this.events.preset();
  }

  /** A preset means the defaults but for what it sets. */
  private optionsOf({ options, proofread }: Settings): Request {
    return { ...this.defaults!, ...options, ...(proofread && this.offeredProofreader ? { proofread: this.offeredProofreader } : {}) };
  }

  private uses(key: (typeof numberKeys)[number], sampler: string): boolean {
    return !this.process.without.includes(key) && usesOption(sampler, key);
  }

  private change(): void {
    this.edited = true;
    this.showPreset();
    this.events.changed();
  }

  private showPreset(): void {
    if (!this.defaults) return;
    const request = this.request();
    for (const key of numberKeys)
      if (!ofProofreader.includes(key)) byId(key).closest<HTMLElement>(".field")!.hidden = !this.uses(key, request.sampler);
    const { presets, samplers } = this.process;
    byId("sampler-help").textContent = samplers[request.sampler] ? `${request.sampler}: ${samplers[request.sampler].does}.` : "";
    const fits = (Object.keys(presets) as Preset[]).find((name) => {
      const { speed } = presets[name];
      const wanted = this.optionsOf(presets[name]);
      const inPace = !this.speedChosen || speed === undefined || speed === this.speed.value;
      return inPace && (["sampler", "proofread", ...numberKeys] as const).every((key) => key === "length" || request[key] === wanted[key]);
    });
    this.presets.select(this.complaint ? "custom" : fits ?? "custom");
  }
}
