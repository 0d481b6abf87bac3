/** Isolation of the page from others, without which it has no threads. In the single file isolation.single.ts takes this module's place. */

/** Threads need shared memory, and that needs the isolation headers. */
export function mostThreads(): number {
  return self.crossOriginIsolated ? Math.max(1, Math.min(16, navigator.hardwareConcurrency || 1)) : 1;
}

/** True where a service worker could isolate the page: the host does not, and none has tried in vain. */
export function canIsolate(): boolean {
  return !self.crossOriginIsolated && isSecureContext && navigator.hardwareConcurrency > 1 && navigator.serviceWorker?.controller === null;
}

/** Isolates the page from its next load on. */
export async function isolate(): Promise<ServiceWorkerRegistration> {
  await navigator.serviceWorker.register(new URL("sw.js", document.baseURI));
  return navigator.serviceWorker.ready;
}

/** The state of things, for the bench. */
export function describeIsolation(): string {
  return crossOriginIsolated ? "isolated, so threads may share memory" : isSecureContext ? "not isolated, so there is one thread: the server sends no isolation headers"
    : "not isolated, so there is one thread: over plain http a browser isolates no page";
}
