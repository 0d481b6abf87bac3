/** Service worker that adds isolation headers to all that the page fetches, where the host sends none, so that it may have threads. */

interface Fetching extends Event {
  request: Request;
  respondWith(response: Promise<Response>): void;
}

const isolation = [
  ["Cross-Origin-Opener-Policy", "same-origin"], ["Cross-Origin-Embedder-Policy", "require-corp"],
  ["Cross-Origin-Resource-Policy", "same-origin"],
] as const;

async function isolated(request: Request): Promise<Response> {
  const { body, status, statusText, headers: sent } = await fetch(request);
  const headers = new Headers(sent);
  for (const [name, value] of isolation) headers.set(name, value);
  // These have no body, not even an empty one.
  return new Response([204, 205, 304].includes(status) ? null : body, { status, statusText, headers });
}

self.addEventListener("fetch", (event) => {
  const { request } = event as Fetching;
  if (new URL(request.url).origin === self.location.origin) (event as Fetching).respondWith(isolated(request));
});
