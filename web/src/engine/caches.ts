/** What the page, its worker and its service worker must agree on about what the browser stores. */

/** The caches of the page begin so, at whatever address of their host it lies. */
export const cachePrefix = "folio";

/** The cache of weights. Their addresses have the hashes of their contents, so they outlive a build of the page. */
export const weightsCache = "folio-weights";

/** Where it is told that something has been stored, or the name of the error where it could not be. */
export const storedChannel = "folio-stored";

export function tellStored(error?: Error | void): void {
  const channel = new BroadcastChannel(storedChannel);
  channel.postMessage(error?.name);
  channel.close();
}
