/** A sample as an address and as a command line. Keys are the command's option names. */
import type { Request } from "./protocol";

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
const wholeKeys = new Set(["length", "steps", "top-k", "step", "char"]);
/** Numbers begin at 0, and these end somewhere; the sheet shows at most 32 rows. */
const most: Record<string, number> = { length: 1024, steps: 1024, "top-p": 1, tau: 1, eta: 1 };
const editForm = /^\d+:(noise:\d+-\d+(:\d+)?|(keep|open):\d+-\d+|put:\d+:[^]{1,2})$/u;

export function readNumber(key: string, text: string): number | undefined {
  if (!/^\d+(\.\d+)?$/.test(text)) return undefined;
  const value = Number(text);
  const least = key === "length" || key === "steps" ? 1 : 0;
  const fits = value >= least && value <= (most[key] ?? 1e6) && (!wholeKeys.has(key) || Number.isInteger(value));
  return fits ? value : undefined;
}

export function isSeed(text: string): boolean {
  return /^\d{1,20}$/.test(text) && BigInt(text) < 1n << 64n;
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
  const takeNumber = (key: string, set: (value: number) => void) =>
    take(key, (text) => {
      const value = readNumber(key, text);
      if (value !== undefined) set(value);
      return value !== undefined;
    });
  for (const key of numberKeys) takeNumber(key, (value) => (request[key] = value));
  takeNumber("step", (value) => (address.step = value));
  takeNumber("char", (value) => (address.char = value));
  take("seed", (value) => isSeed(value) && ((request.seed = BigInt(value).toString()), true));
  take("sampler", (value) => /^[a-z-]{1,32}$/.test(value) && ((request.sampler = value), true));
  take("prompt", (value) => value.length <= 4096 && ((request.prompt = value.replace(/\r\n?/g, "\n")), true));
  take("text", (value) => value.length > 0 && value.length <= 4096 && ((request.text = value.replace(/\r\n?/g, "\n")), true));
  take("mark", (value) => [...value].length === 1 && ((request.mark = value), true));
  take("weights", (value) => /^[\w.@-]{1,120}$/.test(value) && ((address.weights = value), true));
  take("room", (value) => ["sheet", "story"].includes(value) && ((address.room = value), true));
  take("show", (value) => shows.includes(value as Show) && ((address.show = value as Show), true));
  take("theme", (value) => (value === "light" || value === "dark") && ((address.theme = value), true));
  const edits = given.getAll("edit");
  if (edits.some((edit) => !editForm.test(edit))) unreadable.push("edit");
  else if (edits.length) request.edit = edits;
  return address;
}

/** The parts of a sample that an address and a command both name, defaults left out. */
function options(request: Request, edits: readonly string[], defaults: Request): [string, string][] {
  const pairs: [string, string][] = [];
  if (request.text !== undefined) {
    pairs.push(["text", request.text]);
    if (request.mark !== undefined && request.mark !== "_") pairs.push(["mark", request.mark]);
  } else {
    if (request.prompt !== defaults.prompt) pairs.push(["prompt", request.prompt]);
    if (request.length !== defaults.length) pairs.push(["length", String(request.length)]);
  }
  pairs.push(["seed", request.seed]);
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

function quote(word: string): string {
  if (/^[\w.,:/@%+-]+$/.test(word)) return word;
  if (!/[\n\t]/.test(word)) return `'${word.replace(/'/g, `'\\''`)}'`;
  return `$'${word.replace(/\\/g, "\\\\").replace(/'/g, "\\'").replace(/\n/g, "\\n").replace(/\t/g, "\\t")}'`;
}

export function commandLine(request: Request, edits: readonly string[], defaults: Request, file: string): string {
  const command = ["folio", request.text === undefined ? "sample" : "infill", "--weights", quote(file)];
  // A value that begins with a dash would be read as an option if it stood alone.
  for (const [key, value] of options(request, edits, defaults))
    command.push(value.startsWith("-") ? `--${key}=${quote(value)}` : `--${key} ${quote(value)}`);
  return command.join(" ");
}
