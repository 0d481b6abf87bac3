// Gives a built page the id of its build, by which its files ask for one another, and its service worker the list of them:
//   node stamp.mjs FOLDER     again after its files have been changed
import { createHash } from "node:crypto";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** What stands in index.html and sw.js until the id is known, and in sw.js for the hash of the list. */
export const noBuild = "0".repeat(16);
export const noHash = `sha256-${"A".repeat(43)}=`;

const sha256 = (bytes) => createHash("sha256").update(bytes).digest();
const integrity = (bytes) => `sha256-${sha256(bytes).toString("base64")}`;

/** The id is a hash of all files but weights, which have a version each, and the page in one file. */
export async function stamp(folder) {
  const write = (name, content) => writeFile(join(folder, name), content);
  const page = await readFile(join(folder, "index.html"), "utf8");
  const [, before] = /main\.js\?([0-9a-f]{16})/.exec(page);
  const worker = (await readFile(join(folder, "sw.js"), "utf8")).replaceAll(before, noBuild).replaceAll(/sha256-[\w+/]{43}=/g, noHash);
  const files = { "": Buffer.from(page.replaceAll(before, noBuild)) };
  for (const name of (await readdir(folder, { recursive: true })).sort())
    if (/\.\w+$/.test(name) && !/^(index\.html|sw\.js|folio\.html|files\.json)$|\.safetensors$/.test(name)) files[name] = await readFile(join(folder, name));

  const hashes = () => JSON.stringify(Object.fromEntries(Object.entries(files).map(([name, bytes]) => [name, integrity(bytes)])));
  const build = sha256(hashes() + worker).toString("hex").slice(0, 16);
  files[""] = Buffer.from(page.replaceAll(before, build));
  await write("index.html", files[""]);
  await write("files.json", hashes());
  await write("sw.js", worker.replaceAll(noBuild, build).replaceAll(noHash, integrity(hashes())));
  return build;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) console.log(await stamp(process.argv[2]));
