// Serves a folder on this machine with the headers that give the page threads:
//   node serve.mjs FOLDER [PORT]     prints the address; without PORT a free one
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";

const types = {
  ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8",
  ".mjs": "text/javascript; charset=utf-8", ".txt": "text/plain; charset=utf-8", ".css": "text/css; charset=utf-8",
  ".json": "application/json", ".wasm": "application/wasm", ".svg": "image/svg+xml", ".png": "image/png",
  ".webmanifest": "application/manifest+json",
};
const isolation = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };

/** Listens and resolves to { address, close }; `isolated: false` leaves the headers out. */
export function serve(folder, { port = 0, isolated = true } = {}) {
  const root = resolve(folder);
  const server = createServer(async (request, response) => {
    try {
      let path = resolve(join(root, decodeURIComponent(new URL(request.url, "http://localhost").pathname)));
      if (path !== root && !path.startsWith(root + sep)) throw new Error("outside");
      if ((await stat(path)).isDirectory()) path = join(path, "index.html");
      const { size } = await stat(path);
      response.writeHead(200, {
        "Content-Type": types[extname(path)] ?? "application/octet-stream", "Content-Length": size,
        "Cache-Control": "no-cache", ...(isolated ? isolation : {}),
      });
      createReadStream(path).pipe(response);
    } catch {
      response.writeHead(404, { "Content-Type": "text/plain" }).end("Not found\n");
    }
  });
  return new Promise((listening, failed) => {
    server.on("error", failed);
    server.listen(port, "127.0.0.1", () =>
      listening({ address: `http://localhost:${server.address().port}/`, close: () => (server.close(), server.closeAllConnections()) }));
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { address } = await serve(process.argv[2] ?? "dist", { port: Number(process.argv[3] ?? 0) });
  console.log(address);
}
