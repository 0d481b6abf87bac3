/**
 * The service worker: has the page's files work without a network, and adds isolation headers where the host sends none, so that the
 * page may have threads.
 *
 * A build of the page has an id, which the page's files have behind their addresses when they ask for one another (engine/assets.ts).
 * The files of a build are stored in a cache of their own, each checked by the hash that the build's list has of it. A page gets files
 * of its own build alone, also once there is a newer one: the next load is of that, and when no page of the old one is open, its cache
 * goes. Weights are stored by the page itself (engine/weights.ts), and go when the list of weights names them no more.
 */
import { cachePrefix, tellStored, weightsCache } from "./engine/caches";
import type { WeightsEntry } from "./engine/host";
import { hasRelaxedSimd } from "./engine/relaxed_simd";

/** The id of this worker's build, and the hash of the list of its files. stamp.mjs fills them in. */
declare const FOLIO_BUILD: string;
declare const FOLIO_FILES: string;

interface Lasting extends Event {
  waitUntil(work: Promise<unknown>): void;
}

interface Fetching extends Lasting {
  request: Request;
  respondWith(response: Promise<Response>): void;
}

interface Worker {
  registration: ServiceWorkerRegistration;
  clients: { claim(): Promise<void>; matchAll(options: { includeUncontrolled: boolean }): Promise<{ url: string }[]> };
  skipWaiting(): Promise<void>;
  oninstall(event: Lasting): void;
  onactivate(event: Lasting): void;
  onmessage(event: Lasting & MessageEvent): void;
  onfetch(event: Fetching): void;
}
const worker = self as unknown as Worker;
const home = worker.registration.scope;

const isolation = [
  ["Cross-Origin-Opener-Policy", "same-origin"], ["Cross-Origin-Embedder-Policy", "require-corp"],
  ["Cross-Origin-Resource-Policy", "same-origin"],
] as const;

/** The name of a build's cache. Other pages of the host may have builds of their own. */
const cacheOf = (build: string) => `${cachePrefix} ${home} ${build}`;

/** A file of a build, as the page asks for it and as it is stored. */
const addressOf = (path: string, build = FOLIO_BUILD) => `${home}${path}?${build}`;

/** The hashes of a stored build's files by their paths. The page has the path "". */
async function listOf(build = FOLIO_BUILD): Promise<Record<string, string> | undefined> {
  return (await caches.match(addressOf("files.json", build)).catch(() => undefined))?.json();
}

/** A file of the server's, and no other bytes than those of that hash. */
function asNamed(path: string, integrity: string, build?: string): Request {
  return new Request(addressOf(path, build), { integrity, cache: "no-cache" });
}

/** Files that are stored only once they are used: those of training, and modules that this browser does not need. */
function waitsForUse(path: string): boolean {
  return path.includes("train") || (path.endsWith(".wasm") && path.includes("relaxed") !== hasRelaxedSimd());
}

/** Stores the files of this worker's build, all or none. */
async function store(): Promise<void> {
  if (await listOf()) return;
  const list = asNamed("files.json", FOLIO_FILES);
  const files = Object.entries<string>(await (await fetch(list)).json());
  const cache = await caches.open(cacheOf(FOLIO_BUILD));
  await cache.addAll([list, ...files.filter(([path]) => !waitsForUse(path)).map(([path, hash]) => asNamed(path, hash))]);
}

/** Deletes the caches of other builds, and weights that the page's list does not name, unless another page is open that may need them. */
async function tidy(): Promise<void> {
  const pages = await worker.clients.matchAll({ includeUncontrolled: true });
  if (pages.filter(({ url }) => url.startsWith(home)).length > 1) return;
  for (const name of await caches.keys())
    if (name.startsWith(cacheOf("")) && name !== cacheOf(FOLIO_BUILD)) await caches.delete(name);
  const index = await caches.match(addressOf("weights/index.json"));
  const named = ((await index!.json()) as WeightsEntry[]).map(({ file, version }) => addressOf(`weights/${file}`, version));
  const weights = await caches.open(weightsCache);
  for (const key of await weights.keys()) if (key.url.startsWith(`${home}weights/`) && !named.includes(key.url)) await weights.delete(key);
}

async function answer(event: Fetching): Promise<Response> {
  const { request } = event;
  const [before, search] = request.url.split(/[?#]/);
  const path = before.slice(home.length).replace(/^index\.html$/, "");
  // Whatever stands behind the address of a page, it is the page.
  const build = (request.mode !== "navigate" && search) || FOLIO_BUILD;
  const hash = (await listOf(build))?.[path];
  if (!hash) {
    // What the server has now is of another build.
    return (await listOf())?.[path] ? Response.error() : fetch(request);
  }
  const stored = await caches.match(addressOf(path, build));
  if (stored) return stored;
  const response = await fetch(asNamed(path, hash, build));
  const copy = response.clone();
  event.waitUntil(caches.open(cacheOf(build)).then((cache) => cache.put(addressOf(path, build), copy)).then(tellStored, tellStored));
  return response;
}

async function isolated(answered: Promise<Response>): Promise<Response> {
  const response = await answered;
  const { body, status, statusText, headers: sent } = response;
  // A redirection, which is the browser's to follow, or a failure.
  if (!status) return response;
  const headers = new Headers(sent);
  for (const [name, value] of isolation) headers.set(name, value);
  // These have no body, not even an empty one.
  return new Response([204, 205, 304].includes(status) ? null : body, { status, statusText, headers });
}

worker.oninstall = (event) => {
  const settle = (error: unknown) => {
    // An older build that is stored is better than a newer one that is not; where none is, there is isolation all the same.
    if (worker.registration.active) throw error;
  };
  event.waitUntil(store().catch(settle).then(() => worker.skipWaiting()));
};

worker.onactivate = (event) => event.waitUntil(worker.clients.claim());

// A page that has begun tells its build.
worker.onmessage = (event) => {
  if (event.data === FOLIO_BUILD) event.waitUntil(store().then(tidy).then(tellStored, tellStored));
};

worker.onfetch = (event) => {
  const { method, url } = event.request;
  // Weights come as they would without this worker.
  if (method === "GET" && url.startsWith(home) && !url.includes(".safetensors")) event.respondWith(isolated(answer(event)));
};
