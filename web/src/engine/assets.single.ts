/**
 * The files of the single file, which build.mjs has put into elements of the page: scripts as they are, all else compressed by gzip and
 * in base64. A script that the page starts asks it for what it needs.
 */
import type * as page from "./assets";

/** By their names, in the page alone: the texts of those elements, and files that the visitor has added. */
const files = new Map<string, string | File>();
const inPage = typeof document === "object";
if (inPage)
  for (const { dataset, text } of document.querySelectorAll<HTMLScriptElement>("script[data-file]")) files.set(dataset.file!, text);

/** Names are all that there is of addresses. */
export const home: typeof page.home = () => "";

/** The page's answer to a script. */
function ask(name: string): Promise<string | File | undefined> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = ({ data }) => resolve(data);
    self.postMessage({ wanted: name }, { transfer: [port2] });
  });
}

function unpack(base64: string): ReadableStream {
  const signs = atob(base64);
  const bytes = new Uint8Array(signs.length);
  for (let at = 0; at < bytes.length; ++at) bytes[at] = signs.charCodeAt(at);
  return new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
}

/** An answer of 404 where there is no such file. */
export const fetchFile: typeof page.fetchFile = async (address) => {
  const [name] = address.split("?");
  const file = await (inPage ? files.get(name) : ask(name));
  if (file === undefined) return new Response(null, { status: 404 });
  return new Response(typeof file === "string" ? unpack(file) : file);
};

export const startScript: typeof page.startScript = (address) => {
  const url = URL.createObjectURL(new Blob([files.get(address)!], { type: "text/javascript" }));
  const worker = new Worker(url);
  worker.addEventListener("message", ({ data, ports }) => {
    URL.revokeObjectURL(url);
    if (data.wanted !== undefined) ports[0].postMessage(files.get(data.wanted));
  });
  return worker;
};

/** Nothing comes from afar. */
export const openCache: typeof page.openCache = () => Promise.resolve(undefined);

export function hasFile(name: string): boolean {
  return files.has(name);
}

/** Has a file of the visitor's stand for one that is not inside. */
export function addFile(name: string, file: File): void {
  if (typeof files.get(name) !== "string") files.set(name, file);
}
