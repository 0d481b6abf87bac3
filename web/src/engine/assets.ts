/** The page's files, which lie beside it on its host. In the single file assets.single.ts takes this module's place. */
import { fetchUnlessStalled } from "./download";

/** The beginning of their addresses, for the page and for the scripts that it starts. */
export function home(): string {
  return new URL(".", location.href).href;
}

/** `fetch` of a file, which fails where no byte comes for `wait` milliseconds. */
export function fetchFile(address: string, wait?: number, options?: RequestInit): Promise<Response> {
  return fetchUnlessStalled(new URL(address), wait, options);
}

export function startScript(address: string): Worker {
  return new Worker(new URL(address), { type: "module" });
}

/** Where weights are kept once they have come. Secure contexts alone have it, and it may be refused; the page then downloads each time. */
export async function openCache(): Promise<Cache | undefined> {
  try {
    return await caches.open("folio-weights");
  } catch {
    return undefined;
  }
}
