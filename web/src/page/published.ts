/** The fixed set of texts by which targets are compared, and what is published of it: weights/verify.json, which the program reads too. */
import { fetchFile, home } from "../engine/assets";
import type { WeightsEntry } from "../engine/host";
import type { SampleToVerify, VerifiedText } from "../engine/protocol";
import { digest } from "../engine/weights";

export interface PublishedSample extends SampleToVerify {
  hash: string;
}

/** Kernel sets of one target that were run on these numbers of threads. */
export interface Measurement {
  target: string;
  kernels: string[];
  threads: number[];
  /** Of all texts. */
  hash: string;
  by: string;
  date: string;
}

export interface PublishedSet {
  samples: PublishedSample[];
  /** The versions of the weights that the hashes are of, by their names. */
  weights: Record<string, string>;
  /** Of all texts. */
  hash: string;
  measured: Measurement[];
}

export async function fetchPublished(): Promise<PublishedSet> {
  const response = await fetchFile(`${home()}verify.json`);
  if (!response.ok) throw new Error(`verify.json: ${response.status}`);
  return response.json();
}

/** Weights that a sample needs and the page has not got. */
export function missingWeights({ weights, request: { proofread } }: SampleToVerify, entries: readonly WeightsEntry[]): string[] {
  return [weights, proofread].filter((name) => name && !entries.some((entry) => entry.name === name)) as string[];
}

/** Weights that a sample needs, where the page has other ones than those that the hashes are of. */
export function otherWeights(published: PublishedSet, { weights, request: { proofread } }: SampleToVerify, entries: readonly WeightsEntry[]): string[] {
  return entries.filter(({ name, version }) => [weights, proofread].includes(name) && version !== published.weights[name]).map(({ name }) => name);
}

/** "wasm relaxed, 2 threads". */
export function nameOfRun({ kernels, threads }: Pick<VerifiedText, "kernels" | "threads">): string {
  return `${kernels.replaceAll("_", " ")}, ${threads === 1 ? "1 thread" : `${threads} threads`}`;
}

/** The hash of all texts by their names: that of a line `HASH NAME` for each. Undefined where one is missing. */
export async function hashOfAll({ samples }: PublishedSet, hashes: ReadonlyMap<string, string>): Promise<string | undefined> {
  if (samples.some(({ name }) => !hashes.has(name))) return undefined;
  return digest(new TextEncoder().encode(samples.map(({ name }) => `${hashes.get(name)} ${name}\n`).join("")));
}
