/** A sample as an address and as a command line; keys are the command's option names. */
import { hasOpenGap, unescapeBraces } from "./gaps";
import { Vocabulary } from "./lanes";
import type { Process } from "../processes";
import type { Description, Request } from "../engine/protocol";
import { plainText } from "./typography";

export type Show = "ink" | "doubt" | "order";
export const shows: readonly Show[] = ["ink", "doubt", "order"];

/** The parts of an address; a key that is missing is left as it is. */
export interface Address {
  /** The version says which defaults the options have that it does not name; undefined: the engine's of today. */
  version?: 1 | 2;
  request: Partial<Request>;
  weights?: string;
  step?: number;
  show?: Show;
  char?: number;
  room?: string;
  theme?: "light" | "dark";
  /** Keys whose values could not be read. */
  unreadable: string[];
}

export const numberKeys = ["length", "steps", "temperature", "temperature-fall", "top-k", "top-p", "tau", "gamma", "eta", "churn",
  "stop-stable", "rounds", "proofread-share"] as const;

export interface Range {
  least: number;
  most: number;
  whole: boolean;
}

/** The sheet shows at most 32 rows, and every step is kept. */
const longest = 1024;
/** Ranges as core/sampling/options.h has them, but for what the page can hold. */
export const ranges: Readonly<Record<(typeof numberKeys)[number], Range>> = {
  length: { least: 1, most: longest, whole: true },
  steps: { least: 1, most: longest, whole: true },
  temperature: { least: 0, most: 1e6, whole: false },
  "temperature-fall": { least: 0, most: 1, whole: false },
  "top-k": { least: 0, most: 1 << 20, whole: true },
  "top-p": { least: 0, most: 1, whole: false },
  tau: { least: 0, most: 1, whole: false },
  gamma: { least: 0, most: 1e6, whole: false },
  eta: { least: 0, most: 1, whole: false },
  churn: { least: 0, most: 1, whole: false },
  "stop-stable": { least: 0, most: 1 << 20, whole: true },
  rounds: { least: 0, most: 1024, whole: true },
  "proofread-share": { least: 0, most: 1, whole: false },
};

/**
 * Values that a link leaves out, for good: the engine's defaults may change, a link's text may not. So sampler, steps and temperature,
 * which are tuned, are always named.
 */
const baseline = {
  prompt: "", length: 256, seed: "1", "temperature-fall": 0, "top-k": 0, "top-p": 1, tau: 0.9, gamma: 0.1, eta: 0.03, churn: 0.15,
  "stop-stable": 0,
} as const;

/** The one sampler that uses an option. */
const usedBy: Partial<Record<keyof Request, string>> = { tau: "threshold", gamma: "entropy", eta: "remask", churn: "churn" };

export function usesOption(sampler: string, key: keyof Request): boolean {
  return [undefined, sampler].includes(usedBy[key]);
}

/** Undefined where it is no number, or none of the range. */
export function readNumber(text: string, { least, most, whole }: Range): number | undefined {
  if (!/^(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text)) return undefined;
  const value = Number(text);
  return value >= least && value <= most && (!whole || Number.isInteger(value)) ? value : undefined;
}

export function isSeed(text: string): boolean {
  return /^\d{1,20}$/.test(text) && BigInt(text) < 1n << 64n;
}

/** An edit by the grammar of `--edit`; undefined where it is none. */
function readEdit(text: string): { to: number; character: string | undefined } | undefined {
  const found = /^(\d{1,9}):(?:(?:noise:(\d{1,9})-(\d{1,9})(?::(\d{1,3}))?|(?:keep|open):(\d{1,9})-(\d{1,9}))|put:(\d{1,9}):([^]))$/u.exec(text);
  if (!found) return undefined;
  const [, , noiseFrom, noiseTo, percent = "100", keepFrom, keepTo, position, character] = found;
  const from = Number(noiseFrom ?? keepFrom ?? position);
  const to = Number(noiseTo ?? keepTo ?? position);
  return from <= to && Number(percent) >= 1 && Number(percent) <= 100 ? { to, character } : undefined;
}

/** Undefined where the hash says nothing to us. */
export function readAddress(hash: string): Address | undefined {
  if (!/=/.test(hash)) return undefined;
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  const address: Address = { request: {}, unreadable: [] };
  const { request, unreadable } = address;
  const take = (key: string, read: (value: string) => boolean) => {
    const value = given.get(key);
    if (value !== null && !read(value)) unreadable.push(key);
  };
  const takeNumber = (key: string, range: Range, set: (value: number) => void) =>
    take(key, (text) => {
      const value = readNumber(text, range);
      if (value !== undefined) set(value);
      return value !== undefined;
    });
  const takeText = (key: "prompt" | "text" | "from-text", least: number) =>
    take(key, (value) => {
      const text = value.replace(/\r\n?/g, "\n");
      const { length } = [...text];
      const fits = length >= least && length <= longest;
      if (fits) request[key] = text;
      return fits;
    });
  take("v", (value) => (value === "1" || value === "2") && ((address.version = value === "1" ? 1 : 2), true));
  for (const key of numberKeys) takeNumber(key, ranges[key], (value) => (request[key] = value));
  takeNumber("step", { least: 0, most: 1e6, whole: true }, (value) => (address.step = value));
  takeNumber("char", { least: 0, most: longest - 1, whole: true }, (value) => (address.char = value));
  take("seed", (value) => isSeed(value) && ((request.seed = BigInt(value).toString()), true));
  take("sampler", (value) => /^[a-z-]{1,40}$/.test(value) && ((request.sampler = value), true));
  takeText("prompt", 0);
  takeText("text", 1);
  takeText("from-text", 1);
  take("mark", (value) => [...value].length === 1 && ((request.mark = value), true));
  take("weights", (value) => /^[\w.@-]{1,120}$/.test(value) && ((address.weights = value), true));
  take("proofread", (value) => /^[\w.@-]{1,120}$/.test(value) && ((request.proofread = value), true));
  take("room", (value) => ["sheet", "race", "bench", "story"].includes(value) && ((address.room = value), true));
  take("show", (value) => shows.includes(value as Show) && ((address.show = value as Show), true));
  take("theme", (value) => (value === "light" || value === "dark") && ((address.theme = value), true));
  const edits = given.getAll("edit");
  if (edits.some((edit) => !readEdit(edit))) unreadable.push("edit");
  else if (edits.length) request.edit = edits;
  return address;
}

export function sameRequest(a: Request, b: Request): boolean {
  const keys = new Set([...Object.keys(a), ...Object.keys(b)] as (keyof Request)[]);
  return [...keys].every((key) => JSON.stringify(a[key]) === JSON.stringify(b[key]));
}

/**
 * A request to one model, whose defaults were `before`, as a request to another: a sampler that it does not have, options that mean
 * nothing to it, and those that were not changed take its own defaults.
 */
export function adaptRequest(request: Request, before: Request, { defaults, samplers }: Description, process: Process): Request {
  const own = (["sampler", ...numberKeys, ...process.without] as const).filter((key) =>
    request[key] === before[key] || process.without.includes(key) || (key === "sampler" && !samplers.includes(request.sampler)));
  return { ...request, ...Object.fromEntries(own.map((key) => [key, defaults[key]])) };
}

/** Values of the options that an address does not name. */
export function unnamedOptions({ version, request }: Address, defaults: Request, process: Process): Request {
  // A temperature given alone is that of every pass, as the engine has it.
  const fall = request.temperature === undefined ? defaults["temperature-fall"] : 0;
  if (version === 1) return { ...defaults, ...baseline, sampler: process.firstSampler, steps: 64, temperature: 0.8 };
  return { ...defaults, ...(version === 2 ? baseline : {}), "temperature-fall": fall };
}

/** Copy of a request whose texts are in the characters of a vocabulary, as far as they can be. */
function inCharactersOf(vocabulary: Vocabulary, request: Partial<Request>): Partial<Request> {
  const plain = { ...request };
  for (const key of ["prompt", "text", "from-text"] as const)
    if (plain[key] !== undefined) plain[key] = plainText(plain[key], vocabulary, key === "text" ? plain.mark : undefined);
  if (plain.edit)
    plain.edit = plain.edit.map((edit) => {
      const { character = "" } = readEdit(edit)!;
      const sign = plainText(character, vocabulary);
      return [...sign].length === 1 ? edit.slice(0, edit.length - character.length) + sign : edit;
    });
  return plain;
}

/**
 * The request that an address asks of a model. What only the model can tell is looked at here, its samplers, its characters
 * and whether things fit the length, and which models can proofread: a key that does not suit is left out and named in `unreadable`.
 */
export function requestOf(address: Address, description: Description, process: Process,
  proofreaders: readonly string[]): { request: Request; unreadable: string[] } {
  const { defaults, samplers } = description;
  const vocabulary = new Vocabulary(description.vocab);
  const asked = inCharactersOf(vocabulary, address.request);
  const unreadable: string[] = [];
  const leaveOut = (from: Partial<Request>, key: "sampler" | "proofread" | "from-text" | "text" | "edit") => {
    delete from[key];
    unreadable.push(key);
  };
  if (asked.sampler !== undefined && !samplers.includes(asked.sampler)) leaveOut(asked, "sampler");
  if (asked.proofread !== undefined && (process.without.includes("proofread") || !proofreaders.includes(asked.proofread))) leaveOut(asked, "proofread");
  const request = adaptRequest({ ...unnamedOptions(address, defaults, process), ...asked }, defaults, description, process);
  const knows = (text: string, gap?: string) => [...text].every((character) => character === gap || vocabulary.has(character));
  const { text, mark = "_", "from-text": whole } = request;
  // Whether an open gap can be filled is for the engine to say.
  const open = text !== undefined && hasOpenGap(text);
  if (asked["from-text"] !== undefined && (whole === undefined || !knows(whole))) leaveOut(request, "from-text");
  else if (whole !== undefined) Object.assign(request, { prompt: "", text: undefined, mark: undefined, length: [...whole].length });
  if (request.text !== undefined && !open) {
    if (knows(unescapeBraces(request.text), mark)) request.length = [...unescapeBraces(request.text)].length;
    else {
      leaveOut(request, "text");
      delete request.mark;
    }
  }
  if (!knows(request.prompt) || [...request.prompt].length > request.length) {
    request.prompt = defaults.prompt;
    unreadable.push("prompt");
  }
  const suits = ({ to, character = "" }: { to: number; character: string | undefined }) => !open && to < request.length && knows(character);
  if (request.edit?.some((edit) => !suits(readEdit(edit)!))) leaveOut(request, "edit");
  return { request, unreadable };
}

/**
 * The parts of a sample that an address and a command both name: of what the sampler uses what is not `standard`, and what `always`
 * is named. The proofreader is named as its reader knows it.
 */
function options(request: Request, edits: readonly string[], process: Process, standard: Partial<Request>, always: readonly (keyof Request)[],
  proofreader: string | undefined): [string, string][] {
  const pairs: [string, string][] = [];
  const ofProofreader: readonly (keyof Request)[] = ["rounds", "proofread-share"];
  const isNamed = (key: keyof Request) => always.includes(key) || (ofProofreader.includes(key) ? proofreader !== undefined
    : request[key] !== standard[key] && !process.without.includes(key) && usesOption(request.sampler, key));
  if (request["from-text"] !== undefined) pairs.push(["from-text", request["from-text"]]);
  else if (request.text !== undefined) {
    pairs.push(["text", request.text]);
    if (request.mark !== undefined && request.mark !== "_") pairs.push(["mark", request.mark]);
  } else {
    if (request.prompt !== standard.prompt) pairs.push(["prompt", request.prompt]);
    if (request.length !== standard.length) pairs.push(["length", String(request.length)]);
  }
  if (request.seed !== standard.seed) pairs.push(["seed", request.seed]);
  if (proofreader !== undefined) pairs.push(["proofread", proofreader]);
  for (const key of ["sampler", ...numberKeys] as const)
    if (key !== "length" && isNamed(key)) pairs.push([key, String(request[key])]);
  for (const edit of edits) pairs.push(["edit", edit]);
  return pairs;
}

export interface ViewState {
  weights: string | undefined;
  step: number | undefined;
  show: Show;
  char: number | undefined;
}

export function writeAddress(request: Request, edits: readonly string[], process: Process, view: ViewState): string {
  const pairs: [string, string][] = [["v", "2"]];
  if (view.weights !== undefined) pairs.push(["weights", view.weights]);
  pairs.push(...options(request, edits, process, baseline, ["sampler", "steps", "temperature"], request.proofread));
  if (view.step !== undefined) pairs.push(["step", String(view.step)]);
  if (view.show !== "ink") pairs.push(["show", view.show]);
  if (view.char !== undefined) pairs.push(["char", String(view.char)]);
  return "#" + pairs.map(([key, value]) => `${key}=${encodeURIComponent(value)}`).join("&");
}

/** Quotes a word for a POSIX shell: between single quotes all stands for itself, line ends too. */
function quote(word: string): string {
  return /^[\w.,:/@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** `file` and `proofreader` are paths. */
export function commandLine(request: Request, edits: readonly string[], process: Process, defaults: Request, file: string,
  proofreader: string | undefined): string {
  const command = ["folio", request.text === undefined ? "sample" : "infill", "--weights", quote(file)];
  // A temperature that is named does not fall by default.
  const standard = { ...defaults, "temperature-fall": 0 };
  // A value that begins with a dash would be read as an option if it stood alone.
  for (const [key, value] of options(request, edits, process, standard, process.alwaysNamed, proofreader))
    command.push(value.startsWith("-") ? `--${key}=${quote(value)}` : `--${key} ${quote(value)}`);
  return command.join(" ");
}
