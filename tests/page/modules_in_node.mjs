// The page's engine in Node: the WebAssembly modules and scripts of web/src beside one another in a folder that goes with the test.
import { cpSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { after } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "../../web/node_modules/esbuild/lib/main.js";

export const top = fileURLToPath(new URL("../..", import.meta.url));

/** The folder, and its address, which engines take as their base; NAME.js is in it for each script [FOLDER/]NAME. */
export async function gather(scripts) {
  const modules = process.env.FOLIO_WASM ?? join(top, "build/web");
  const folder = mkdtempSync(join(tmpdir(), "folio-"));
  after(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, "package.json"), '{"type":"module"}');
  for (const name of readdirSync(modules)) if (/^folio.*\.wasm$/.test(name)) cpSync(join(modules, name), join(folder, name));
  await build({
    entryPoints: Object.fromEntries(scripts.map((path) => [basename(path), join(top, `web/src/${path}.ts`)])), bundle: true, splitting: true, format: "esm", outdir: folder,
    logLevel: "warning",
  });
  return { folder, base: pathToFileURL(`${folder}/`).href };
}
