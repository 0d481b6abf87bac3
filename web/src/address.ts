/** A sample as an address and as a command line. Keys are the command's option names. */
import { Vocabulary } from "./lanes";
import type { Process } from "./processes";
import type { Description, Request } from "./protocol";

export type Show = "ink" | "doubt" | "order";
export const shows: readonly Show[] = ["ink", "doubt", "order"];

/** What an address may say; a key that is missing is left as it is. */
export interface Address {
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

export const numberKeys = ["length", "steps", "temperature", "top-k", "top-p", "tau", "gamma", "eta"] as const;

export interface Range {
  least: number;
  most: number;
  whole: boolean;
}

/** The sheet shows at most 32 rows, and every step is kept. */
const longest = 1024;
/** As core/sampling/defaults.h has them, but for what the page can hold. */
export const ranges: Readonly<Record<(typeof numberKeys)[number], Range>> = {
  length: { least: 1, most: longest, whole: true },
  steps: { least: 1, most: longest, whole: true },
  temperature: { least: 0, most: 1e6, whole: false },
  "top-k": { least: 0, most: 1 << 20, whole: true },
  "top-p": { least: 0, most: 1, whole: false },
  tau: { least: 0, most: 1, whole: false },
  gamma: { least: 0, most: 1e6, whole: false },
  eta: { least: 0, most: 1, whole: false },
};

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
  const [, , noiseFrom, noiseTo, percent = "100", keepFrom, keepTo, place, character] = found;
  const from = Number(noiseFrom ?? keepFrom ?? place);
  const to = Number(noiseTo ?? keepTo ?? place);
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
  take("v", (value) => value === "1");
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
  take("room", (value) => ["sheet", "race", "bench", "story"].includes(value) && ((address.room = value), true));
  take("show", (value) => shows.includes(value as Show) && ((address.show = value as Show), true));
  take("theme", (value) => (value === "light" || value === "dark") && ((address.theme = value), true));
  const edits = given.getAll("edit");
  if (edits.some((edit) => !readEdit(edit))) unreadable.push("edit");
  else if (edits.length) request.edit = edits;
  return address;
}

/** What was asked of one model, asked of another: a sampler that it does not have, and options that mean nothing to it, are its own. */
export function suit(request: Request, { defaults, samplers }: Description, process: Process): Request {
  const own = (keys: readonly (keyof Request)[]) => Object.fromEntries(keys.map((key) => [key, defaults[key]]));
  return { ...request, ...own(samplers.includes(request.sampler) ? process.without : ["sampler", ...process.without]) };
}

/**
 * The request that an address asks of a model. What only the model can tell is looked at here, its samplers, its characters
 * and whether things fit the length: a key that does not suit is left out and named in `unreadable`.
 */
export function requestOf(asked: Partial<Request>, description: Description, process: Process): { request: Request; unreadable: string[] } {
  const { defaults, samplers } = description;
  const vocabulary = new Vocabulary(description.vocab);
  const request = suit({ ...defaults, ...asked }, description, process);
  const unreadable = asked.sampler === undefined || samplers.includes(asked.sampler) ? [] : ["sampler"];
  const knows = (text: string, gap?: string) => [...text].every((character) => character === gap || vocabulary.has(character));
  const whole = request["from-text"];
  if (asked["from-text"] !== undefined && (whole === undefined || !knows(whole))) {
    delete request["from-text"];
    unreadable.push("from-text");
  } else if (whole !== undefined) Object.assign(request, { prompt: "", text: undefined, mark: undefined, length: [...whole].length });
  if (request.text !== undefined && knows(request.text, request.mark ?? "_")) request.length = [...request.text].length;
  else if (request.text !== undefined) {
    delete request.text;
    delete request.mark;
    unreadable.push("text");
  }
  if (!knows(request.prompt) || [...request.prompt].length > request.length) {
    request.prompt = defaults.prompt;
    unreadable.push("prompt");
  }
  const suits = ({ to, character = "" }: { to: number; character: string | undefined }) => to < request.length && knows(character);
  if (request.edit?.some((edit) => !suits(readEdit(edit)!))) {
    delete request.edit;
    unreadable.push("edit");
  }
  return { request, unreadable };
}

/** The parts of a sample that an address and a command both name, defaults left out. */
function options(request: Request, edits: readonly string[], defaults: Request): [string, string][] {
  const pairs: [string, string][] = [];
  if (request["from-text"] !== undefined) pairs.push(["from-text", request["from-text"]]);
  else if (request.text !== undefined) {
    pairs.push(["text", request.text]);
    if (request.mark !== undefined && request.mark !== "_") pairs.push(["mark", request.mark]);
  } else {
    if (request.prompt !== defaults.prompt) pairs.push(["prompt", request.prompt]);
    if (request.length !== defaults.length) pairs.push(["length", String(request.length)]);
  }
  if (request.seed !== defaults.seed) pairs.push(["seed", request.seed]);
  for (const key of ["sampler", ...numberKeys] as const)
    if (key !== "length" && request[key] !== defaults[key]) pairs.push([key, String(request[key])]);
  for (const edit of edits) pairs.push(["edit", edit]);
  return pairs;
}

export interface Place {
  weights: string | undefined;
  step: number | undefined;
  show: Show;
  char: number | undefined;
}

export function writeAddress(request: Request, edits: readonly string[], defaults: Request, place: Place): string {
  const pairs: [string, string][] = [["v", "1"]];
  if (place.weights !== undefined) pairs.push(["weights", place.weights]);
  pairs.push(...options(request, edits, defaults));
  if (place.step !== undefined) pairs.push(["step", String(place.step)]);
  if (place.show !== "ink") pairs.push(["show", place.show]);
  if (place.char !== undefined) pairs.push(["char", String(place.char)]);
  return "#" + pairs.map(([key, value]) => `${key}=${encodeURIComponent(value)}`).join("&");
}

/** As every POSIX shell reads it: between single quotes all stands for itself, line ends too. */
function quote(word: string): string {
  return /^[\w.,:/@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

export function commandLine(request: Request, edits: readonly string[], defaults: Request, file: string): string {
  const command = ["folio", request.text === undefined ? "sample" : "infill", "--weights", quote(file)];
  // A value that begins with a dash would be read as an option if it stood alone.
  for (const [key, value] of options(request, edits, defaults))
    command.push(value.startsWith("-") ? `--${key}=${quote(value)}` : `--${key} ${quote(value)}`);
  return command.join(" ");
}
