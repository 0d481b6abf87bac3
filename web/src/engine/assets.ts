/** The page's files, which lie beside it on its host. In the single file assets.single.ts takes this module's place. */
import { weightsCache } from "./caches";
import { fetchUnlessStalled } from "./download";

/**
 * The id of the page's build. It stands behind the address of this script, and so behind those of all the files that it asks for: a
 * file of another build is never taken from a cache in its place.
 */
export function build(): string {
  return import.meta.url.split("?")[1] ?? "";
}

/** Weights have their own version behind theirs. */
function withBuild(address: string): URL {
  const url = new URL(address);
  url.search ||= build();
  return url;
}

/** The beginning of their addresses, for the page and for the scripts that it starts. */
export function home(): string {
  return new URL(".", location.href).href;
}

/** `fetch` of a file, which fails where no byte comes for `wait` milliseconds. */
export function fetchFile(address: string, wait?: number, options?: RequestInit): Promise<Response> {
  return fetchUnlessStalled(withBuild(address), wait, options);
}

export function startScript(address: string): Worker {
  return new Worker(withBuild(address), { type: "module" });
}

/** Where weights are kept once they have come. Secure contexts alone have it, and it may be refused; the page then downloads each time. */
export async function openCache(): Promise<Cache | undefined> {
  try {
    return await caches.open(weightsCache);
  } catch {
    return undefined;
  }
}
