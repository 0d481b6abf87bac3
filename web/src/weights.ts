/** Weights on their way into the worker: fetched from beside the page and kept, or read out of a visitor's own file. */
import type { Source } from "./protocol";

export interface Arrival {
  file: ArrayBuffer;
  /** As the shelf has it, so that the same file has the same one wherever it came from; missing where it cannot be told. */
  version: string | undefined;
}

const cacheName = "folio-weights";
/** In milliseconds, between two words of progress. */
const pause = 40;

/** Cache Storage exists in secure contexts only, and may be refused; the page then downloads each time. */
async function openCache(): Promise<Cache | undefined> {
  try {
    return await caches.open(cacheName);
  } catch {
    return undefined;
  }
}

/** The first digits of the SHA-256, which only secure contexts can tell. */
async function digest(bytes: ArrayBuffer): Promise<string | undefined> {
  const found = crypto.subtle && new Uint8Array(await crypto.subtle.digest("SHA-256", bytes), 0, 8);
  return found && Array.from(found, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** What is kept under an address is kept for good, so it must be what the address says. */
async function keep(cache: Cache, url: string, version: string, bytes: ArrayBuffer): Promise<void> {
  const response = new Response(bytes);
  if (![undefined, version].includes(await digest(bytes))) return;
  try {
    for (const old of await cache.keys())
      if (new URL(old.url).pathname === new URL(url).pathname) await cache.delete(old);
    await cache.put(url, response);
  } catch {
    // No room left, say: the weights work all the same.
  }
}

/** Nobody waits for what is read to be kept. */
export async function read(source: Source, progress: (bytes: number) => void): Promise<Arrival> {
  if (source instanceof File) {
    const file = await source.arrayBuffer();
    return { file, version: await digest(file) };
  }
  const { url, version } = source;
  const cache = await openCache();
  const cached = await cache?.match(url);
  const response = cached ?? (await fetch(url));
  if (!response.ok || !response.body) throw new Error(`status ${response.status}`);
  const bytes = new Uint8Array(source.bytes);
  let filled = 0;
  let told = 0;
  for (const reader = response.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done || filled + value.length > bytes.length) {
      if (done && filled === bytes.length) break;
      await cache?.delete(url);
      throw new Error(done ? "cut short" : "longer than announced");
    }
    bytes.set(value, filled);
    filled += value.length;
    if (performance.now() - told < pause) continue;
    told = performance.now();
    progress(filled);
  }
  if (cache && !cached) void keep(cache, url, version, bytes.buffer);
  return { file: bytes.buffer, version };
}
