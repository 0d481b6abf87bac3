/** Downloads that are given up where no more bytes come. */

/** Milliseconds without a byte after which a download counts as stalled. */
export const stallTimeout = 20000;

export class Stalled extends Error {}

/** `fetch`, but the answer's body fails where no byte comes for so long. */
export async function fetchUnlessStalled(url: URL | string, wait = stallTimeout, options: RequestInit = {}): Promise<Response> {
  const given = new AbortController();
  let timer: ReturnType<typeof setTimeout>;
  const watch = () => {
    clearTimeout(timer);
    timer = setTimeout(() => given.abort(new Stalled("It stopped coming.")), wait);
  };
  const rest = () => clearTimeout(timer);
  options.signal?.addEventListener("abort", () => given.abort(options.signal!.reason));
  watch();
  const response = await fetch(url, { ...options, signal: given.signal }).finally(rest);
  if (!response.ok || !response.body) return response;
  watch();
  const body = response.body.pipeThrough(new TransformStream<Uint8Array, Uint8Array>({
    transform(bytes, to) {
      watch();
      to.enqueue(bytes);
    },
    flush: rest,
  }));
  return new Response(body, response);
}
