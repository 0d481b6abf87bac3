/** Loading of weights: fetched from the page's host and cached, or read from a visitor's own file. */
import { fetchFile, openCache } from "./assets";
import { tellStored } from "./caches";
import type { HostedWeights, Source } from "./protocol";

/** The weights did not come, or other bytes did. */
export class WeightsMissing extends Error {
  constructor(readonly damaged: boolean) {
    super("The weights were lost.");
  }
}

export interface Arrival {
  file: ArrayBuffer;
  /** Digits of the file's hash, so the same wherever it came from; undefined where it cannot be computed. */
  version: string | undefined;
}

/** Milliseconds between two reports of progress. */
const pause = 40;

/** The first 16 digits of the SHA-256, which only secure contexts can tell. */
export async function digest(bytes: BufferSource): Promise<string | undefined> {
  const found = crypto.subtle && new Uint8Array(await crypto.subtle.digest("SHA-256", bytes), 0, 8);
  return found && Array.from(found, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Caches a file in the place of an older one; loading does not wait for it. */
async function keep(cache: Cache, url: string, file: Response): Promise<void> {
  for (const old of await cache.keys())
    if (new URL(old.url).pathname === new URL(url).pathname) await cache.delete(old);
  await cache.put(url, file);
}

/** The bytes of an answer, which must be those that the source names. */
async function receive(response: Response, source: HostedWeights, progress: (bytes: number) => void): Promise<ArrayBuffer> {
  if (!response.ok || !response.body) throw new WeightsMissing(false);
  const bytes = new Uint8Array(source.bytes);
  let filled = 0;
  let told = 0;
  for (const reader = response.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    if (filled + value.length > bytes.length) throw new WeightsMissing(true);
    bytes.set(value, filled);
    filled += value.length;
    if (performance.now() - told < pause) continue;
    told = performance.now();
    progress(filled);
  }
  if (filled < bytes.length) throw new WeightsMissing(false);
  if (![undefined, source.version].includes(await digest(bytes.buffer))) throw new WeightsMissing(true);
  return bytes.buffer;
}

/** Fails with WeightsMissing, or a RangeError where there is no memory. */
export async function read(source: Source, progress: (bytes: number) => void): Promise<Arrival> {
  const lost = (error: unknown) => {
    throw error instanceof RangeError || error instanceof WeightsMissing ? error : new WeightsMissing(false);
  };
  if (source instanceof File) {
    const file = await source.arrayBuffer().catch(lost);
    return { file, version: await digest(file) };
  }
  const { url, version, stallTimeout } = source;
  const cache = await openCache();
  const cached = await cache?.match(url);
  if (cached) {
    const file = await receive(cached, source, progress).catch(() => undefined);
    if (file) return { file, version };
    await cache!.delete(url);
  }
  // What lies between here and the server may have kept a damaged file too.
  const response = await fetchFile(url, stallTimeout, { cache: "no-cache" }).catch(lost);
  const file = await receive(response, source, progress).catch(lost);
  // Where there is no room left, say, the weights work all the same.
  if (cache) void keep(cache, url, new Response(file)).then(tellStored, tellStored);
  return { file, version };
}
