/** What the browser stores, so that the page works without a network. In the single file storage.single.ts takes this module's place. */
import { build, home } from "../engine/assets";
import { cachePrefix, storedChannel } from "../engine/caches";
import { isolate } from "./isolation";

/** Browsers have no service worker where the page must not store. */
export function canStore(): boolean {
  return navigator.serviceWorker !== undefined;
}

/** Stores the page's files from now on, where the browser lets it. `onNewer` hears that the next load has newer ones. */
export async function keepPage(onNewer: () => void): Promise<void> {
  const { serviceWorker } = navigator;
  try {
    // A first service worker takes a page over that has the same build.
    let { controller } = serviceWorker;
    serviceWorker.addEventListener("controllerchange", () => {
      if (controller) onNewer();
      ({ controller } = serviceWorker);
    });
    (await isolate()).active!.postMessage(build());
  } catch {
    // Everything comes from the server then.
  }
}

/** Calls back when something was stored, or could not be, for want of room or otherwise. */
export function onStored(act: (isFull: boolean) => void): void {
  new BroadcastChannel(storedChannel).onmessage = ({ data }) => act(data === "QuotaExceededError");
}

/** Fails where nothing can be stored. */
async function forEachStored(act: (cache: Cache, file: Request) => Promise<unknown>): Promise<void> {
  for (const name of await caches.keys()) {
    if (!name.startsWith(cachePrefix)) continue;
    const cache = await caches.open(name);
    for (const file of await cache.keys()) if (file.url.startsWith(home())) await act(cache, file);
  }
}

/** Bytes of what is stored: of weights by the names of their files, of the page's own files under "", and of them together under "all". */
export async function listStored(): Promise<Map<string, number>> {
  const sizes = new Map<string, number>();
  await forEachStored(async (cache, file) => {
    const name = /[^/]*\.safetensors|$/.exec(file.url)![0];
    const { size } = await (await cache.match(file))!.blob();
    for (const sum of [name, "all"]) sizes.set(sum, (sizes.get(sum) ?? 0) + size);
  });
  return sizes;
}

export function deleteStored(): Promise<void> {
  return forEachStored((cache, file) => cache.delete(file));
}
