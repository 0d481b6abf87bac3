// Builds the page: node build.mjs [--wasm FOLDER] [--weights FOLDER] [--out FOLDER]
//   --wasm     the built modules, folio*.wasm    (../build/web)
//   --weights  *.safetensors and their cards     (../weights)
//   --out      what any static host can serve    (dist); folio.html in it is the page in one file, which needs no host
import { createHash } from "node:crypto";
import { access, cp, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { minify } from "terser";
import { icons } from "./icons.mjs";
import { noBuild, noHash, stamp } from "./stamp.mjs";

const here = dirname(fileURLToPath(import.meta.url));

/** The sample that plays while the weights load, all else by default. Its sampler fixes each place once, so that it can be packed. */
const recorded = { prompt: "ROMEO:", seed: "2" };

const { values } = parseArgs({ options: { wasm: { type: "string" }, weights: { type: "string" }, out: { type: "string" } } });
const from = {
  wasm: resolve(values.wasm ?? join(here, "../build/web")),
  weights: resolve(values.weights ?? join(here, "../weights")),
};
const out = resolve(values.out ?? join(here, "dist"));

const [, version] = /project\(Folio VERSION ([\d.]+)/.exec(await readFile(join(here, "../CMakeLists.txt"), "utf8"));

await rm(out, { recursive: true, force: true });
await mkdir(join(out, "weights"), { recursive: true });
const scripts = await loadScripts({ wasm: "engine/wasm", record: "page/record", processes: "processes" });
const entries = await findWeights();
for (const [name, script] of Object.entries(await bundle(["main", "engine/worker", "engine/helper", "sw"], { format: "esm" })))
  await writeFile(join(out, name), script);
await build({ entryPoints: [join(here, "style.css")], minify: true, outdir: out, logLevel: "warning", target: "chrome120" });
const modules = (await readdir(from.wasm)).filter((name) => /^folio[a-z-]*\.wasm$/.test(name));
if (!modules.length) throw new Error(`There are no folio*.wasm in ${from.wasm}; build them first.`);
for (const name of modules) await cp(join(from.wasm, name), join(out, name));
for (const { name, file, card } of entries) {
  await cp(join(from.weights, file), join(out, "weights", file));
  // As plain text, which every browser shows.
  if (card) await cp(join(from.weights, `${name}.md`), join(out, "weights", card));
}
// A native machine's figures, for the page's bench to stand beside.
await cp(join(here, "../bench/native.json"), join(out, "native.json"));
// The published texts, by which its verification goes.
await writeFile(join(out, "verify.json"), JSON.stringify(JSON.parse(await readFile(join(here, "../weights/verify.json"), "utf8"))));
await writeFile(join(out, "weights/index.json"), JSON.stringify(entries));
for (const [name, bytes] of Object.entries(icons())) await writeFile(join(out, name), bytes);
const source = (await readFile(join(here, "index.html"), "utf8")).replace("<!-- stored -->", entries.map(({ file, name }) =>
  `<li>${name} <span class="num" data-stored="${file}">not stored</span></li>`).join(""));
const [, description, title] = /name="description" content="([^"]*)"[^]*<title>(.*)<\/title>/.exec(source) ?? [];
await writeFile(join(out, "manifest.webmanifest"), makeManifest());

const record = await makeRecord(entries[0]);
await writeFile(join(out, "trace.json"), JSON.stringify(record));
await writeFile(join(out, "index.html"), await fillPage(record, {
  policy: policyOf({
    "script-src": "'self' 'wasm-unsafe-eval'", "style-src": "'self'", "connect-src": "'self'", "img-src": "'self' data: blob:",
    "worker-src": "'self'", "manifest-src": "'self'",
  }),
  files: [
    `<link rel="stylesheet" href="style.css?${noBuild}">`,
    ...["weights/index.json", "trace.json"].map((file) => `<link rel="preload" as="fetch" crossorigin href="${file}?${noBuild}">`),
    '<link rel="manifest" href="manifest.webmanifest">',
    `<script type="module" src="main.js?${noBuild}"></script>`,
  ].join("\n"),
}));
await writeFile(join(out, "folio.html"), await makeSingleFile());
await stamp(out);

/** Bundles scripts of src/, each with what it imports, and gives their texts by the names of their files. */
async function bundle(paths, options) {
  const { outputFiles } = await build({
    entryPoints: Object.fromEntries(paths.map((path) => [basename(path), join(here, `src/${path}.ts`)])),
    bundle: true, target: "es2022", minify: true, charset: "utf8", outdir: out, write: false, logLevel: "warning",
    define: { FOLIO_VERSION: JSON.stringify(version), FOLIO_BUILD: JSON.stringify(noBuild), FOLIO_FILES: JSON.stringify(noHash) }, ...options,
  });
  // Terser finds some more to leave out than the bundler does.
  const shorten = async ({ path, text }) => [basename(path), (await minify(text, { module: options.format === "esm", ecma: 2022, compress: { passes: 3 } })).code];
  return Object.fromEntries(await Promise.all(outputFiles.map(shorten)));
}

/** A plugin of the bundler: what imports NAME gets NAME.single.ts where there is one, but for that file itself. */
function preferSingle() {
  const resolveSingle = async ({ path, resolveDir, importer }) => {
    const single = join(resolveDir, `${path}.single.ts`);
    return single !== importer && (await access(single).then(() => true, () => false)) ? { path: single } : undefined;
  };
  return { name: "prefer-single", setup: ({ onResolve }) => onResolve({ filter: /^\./ }, resolveSingle) };
}

/** Modules of the page by name, for the build's own use; `paths` says where in src/ they are. */
async function loadScripts(paths) {
  const folder = join(out, ".scripts");
  const entryPoints = Object.fromEntries(Object.entries(paths).map(([name, path]) => [name, join(here, `src/${path}.ts`)]));
  await build({ entryPoints, bundle: true, format: "esm", outdir: folder, outExtension: { ".js": ".mjs" }, logLevel: "warning" });
  const load = async (name) => [name, await import(pathToFileURL(join(folder, `${name}.mjs`)).href)];
  const loaded = Object.fromEntries(await Promise.all(Object.keys(paths).map(load)));
  await rm(folder, { recursive: true });
  return loaded;
}

/**
 * All models by their processes, and within a family the largest first: the page takes the first one unless told otherwise. No f16
 * file of what is there as I8.
 */
async function findWeights() {
  const families = scripts.processes.processes.flatMap((process) => process.families);
  const all = (await readdir(from.weights)).filter((name) => name.endsWith(".safetensors") && families.some((family) => name.startsWith(`${family}-`)));
  const files = all.filter((name) => !(name.includes("-f16.") && all.includes(name.replace("-f16.", "."))));
  if (!files.some((name) => name.startsWith("masked"))) throw new Error(`There are no masked-*.safetensors in ${from.weights}.`);
  const rank = (name) => 8 * families.findLastIndex((family) => name.startsWith(family)) + (name.includes("base") ? 0 : name.includes("small") ? 2 : 4) + (name.includes("-f16") ? 1 : 0);
  files.sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
  return Promise.all(files.map(async (file) => {
    const bytes = await readFile(join(from.weights, file));
    const name = basename(file, ".safetensors");
    const card = await access(join(from.weights, `${name}.md`)).then(() => `${name}.txt`, () => "");
    const header = JSON.parse(bytes.toString("utf8", 8, 8 + Number(bytes.readBigUInt64LE(0))));
    const { kind: process, knots } = JSON.parse(header.__metadata__["folio.process"]);
    const size = name.replace("-f16", "").split("-").pop();
    const nats = /\*\*(\d+\.\d+) ± (\d+\.\d+) nats\/character\*\*/.exec(card && (await readFile(join(from.weights, `${name}.md`), "utf8")));
    return {
      name, file, process, size, bytes: bytes.length, version: createHash("sha256").update(bytes).digest("hex").slice(0, 16), card,
      ...(nats ? { nats: [Number(nats[1]), Number(nats[2])] } : {}),
      ...(knots ? { knots: knots.map((knot) => Number(knot.toFixed(3))) } : {}),
    };
  }));
}

/** Runs the page's own engine here. Node has no fetch for files, and its relaxed SIMD is not to be trusted. */
async function makeRecord({ file, version }) {
  const { fetch } = globalThis;
  globalThis.fetch = async (url) => new Response(await readFile(url), { headers: { "content-type": "application/wasm" } });
  try {
    const engine = await scripts.wasm.instantiate({ base: pathToFileURL(out + "/").href, threads: 1 });
    const bytes = await readFile(join(from.weights, file));
    engine.load(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
    const { defaults, vocab, products } = engine.describe();
    const request = { ...defaults, ...recorded };
    engine.start(request);
    const [frames, states] = [[engine.frame()], [engine.save()]];
    while (!frames[frames.length - 1].done) {
      engine.step();
      frames.push(engine.frame());
      states.push(engine.save());
    }
    const { unpack, recordedSteps, framesAgree, rootTolerance } = scripts.record;
    const packed = { ...(products === "int8" ? { weights: version } : {}), ...pack(frames, request, defaults, vocab, rootTolerance) };
    const lane = unpack(packed);
    const restored = recordedSteps(lane).every((recorded, step) => Buffer.from(engine.recordedState(recorded)).equals(states[step]));
    if (!restored || !frames.every((frame, step) => framesAgree(frame, lane.frames[step], true)))
      throw new Error("The record does not unpack to what was recorded.");
    return packed;
  } finally {
    globalThis.fetch = fetch;
  }
}

/**
 * Two strings, step by step and within a step place by place as long as it is open: the ids of the four likeliest letters; their
 * probabilities and the entropy. A sign stands for a whole number, "#" for 0, and "!" for the same as a step before, or a close
 * neighbour of it where it is a measure. Probabilities are 63 times their root, entropies tenths of a nat: finer than the eye, and a
 * tenth of the bytes. Only the probabilities of the letters that were fixed are exact, being part of the sampler's state.
 * src/page/record.ts reads it.
 */
function pack(frames, request, defaults, vocab, rootTolerance) {
  const last = frames[frames.length - 1];
  const characters = [...vocab];
  const given = [...request.prompt].length;
  const revealedAt = Array.from(last.id, (_, position) => frames.findIndex((frame) => frame.id[position] >= 0));
  const root = (probability) => Math.min(63, Math.round(63 * Math.sqrt(probability)));
  const rankings = rankLetters(frames, revealedAt, given, root, rootTolerance);
  /** `numbers` gives those of a place at a step; one that is off by at most its slack from the one before is "the same". */
  const series = (tolerances, numbers) => {
    let signs = "";
    const before = revealedAt.map(() => []);
    for (let step = 1; step <= last.step; ++step)
      for (let position = given; position < last.length; ++position)
        if (step <= revealedAt[position])
          numbers(frames[step], position).forEach((number, index) => {
            const same = Math.abs(number - before[position][index]) <= tolerances[index];
            signs += same ? "!" : String.fromCharCode(35 + number);
            if (!same) before[position][index] = number;
          });
    return signs;
  };
  return {
    request, defaults, vocab, given, revealedAt,
    text: Array.from(last.id, (id) => characters[id]).join(""),
    probability: Buffer.from(Float32Array.from(last.probability).buffer).toString("base64"),
    topIds: series([0, 0, 0, 0], (frame, position) => rankings[frame.step][position]),
    measures: series([rootTolerance, rootTolerance, rootTolerance, rootTolerance, 1], ({ topProbability, entropy }, position) =>
      [...Array.from(topProbability.subarray(4 * position, 4 * position + 4), root), Math.min(90, Math.round(10 * entropy[position]))]),
  };
}

/** The four likeliest letters by step and place; those that are as good as equally likely keep the ranks of the step before. */
function rankLetters(frames, revealedAt, given, root, rootTolerance) {
  const ranks = [0, 1, 2, 3];
  const rankings = frames.map(() => []);
  for (let position = given; position < revealedAt.length; ++position) {
    let before = [];
    for (let step = 1; step <= revealedAt[position]; ++step) {
      const { topId, topProbability } = frames[step];
      const ids = ranks.map((rank) => Math.max(0, topId[4 * position + rank]));
      const roots = ranks.map((rank) => root(topProbability[4 * position + rank]));
      const fits = (id, rank) => ids.includes(id) && Math.abs(roots[ids.indexOf(id)] - roots[rank]) <= rootTolerance;
      const kept = ranks.map((rank) => (fits(before[rank], rank) ? before[rank] : undefined));
      const others = ids.filter((id) => !kept.includes(id));
      const ranking = kept.map((id) => id ?? others.shift());
      rankings[step][position] = before = ranking.every(fits) ? ranking : ids;
    }
  }
  return rankings;
}

/**
 * The page in one file, from the same sources: where there is NAME.single.ts beside NAME.ts, it takes its place. Style and script are
 * named in the policy by their hashes, and nothing can be fetched: of the weights, the smallest of the first model's process are
 * inside, with the modules for one thread.
 */
async function makeSingleFile() {
  const [first] = entries;
  const inside = entries.filter(({ process }) => process === first.process).sort((a, b) => a.bytes - b.bytes)[0];
  const others = entries.filter(({ process }) => process !== first.process);
  const packed = inside === first ? record : await makeRecord(inside);
  const { "main.js": main, "worker.js": worker } = await bundle(["main", "engine/worker"], { format: "iife", plugins: [preferSingle()] });
  const style = (await readFile(join(out, "style.css"), "utf8")).trim();
  const data = {
    "trace.json": JSON.stringify(packed),
    // Model cards are not inside.
    "weights/index.json": JSON.stringify([inside, ...others].map((entry) => ({ ...entry, card: "" }))),
  };
  for (const name of ["folio.wasm", "folio-relaxed.wasm", "native.json", "verify.json", `weights/${inside.file}`]) data[name] = await readFile(join(out, name));
  const hash = (text) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
  return fillPage(packed, {
    policy: policyOf({ "script-src": `${hash(main)} 'wasm-unsafe-eval'`, "style-src": hash(style), "img-src": "data: blob:", "worker-src": "blob:" }),
    files: inline("style", "", style),
    data: [
      inline("script", ' type="text/plain" data-file="worker.js"', worker),
      ...Object.entries(data).map(([name, bytes]) =>
        inline("script", ` type="application/gzip" data-file="${name}"`, gzipSync(bytes, { level: 9 }).toString("base64"))),
      inline("script", ' type="module"', main),
    ].join("\n"),
  });
}

/** With it a browser can install the page. Its addresses are relative, so the page may lie in any folder. */
function makeManifest() {
  const icon = (src, sizes, more) => ({ src, sizes, type: src.endsWith("svg") ? "image/svg+xml" : "image/png", ...more });
  const [, colour] = /name="theme-color" content="(#\w+)"/.exec(source);
  return JSON.stringify({
    name: title, short_name: title.split(":")[0], description, lang: "en", start_url: "./", scope: "./", display: "standalone",
    theme_color: colour, background_color: colour,
    icons: [
      icon("icon.svg", "any"), icon("icon-192.png", "192x192"), icon("icon-512.png", "512x512"),
      icon("icon-maskable.png", "512x512", { purpose: "maskable" }),
    ],
  });
}

/** An element whose text a browser takes as it stands, which it does only where nothing in there looks like a tag. */
function inline(tag, attributes, text) {
  if (/<(!--|\/?script|\/style)/i.test(text)) throw new Error(`A ${tag} of folio.html holds what looks like a tag.`);
  return `<${tag}${attributes}>${text}</${tag}>`;
}

/** The element with a page's policy, by which it loads nothing but what `directives` say. */
function policyOf(directives) {
  const all = { "default-src": "'none'", ...directives, "base-uri": "'none'", "form-action": "'none'" };
  return `<meta http-equiv="Content-Security-Policy" content="${Object.entries(all).map((directive) => directive.join(" ")).join("; ")}">`;
}

/**
 * The page as it stands without a script: the recorded sample's first step behind, its verse for those without scripts. `files` are
 * the elements of its style and scripts, `data` those that come last.
 */
async function fillPage({ text, given }, { policy, files, data = "" }) {
  const escape = (part) => part.replace(/[&<>]/g, (character) => `&#${character.charCodeAt(0)};`);
  const cells = [...text].map((character, position) => (position < given ? character : "\u00b7"));
  const rows = cells.join("").match(/.{1,32}/gsu) ?? [];
  const { processes, proseOf } = scripts.processes;
  /** A part of every process's prose, of which the first one's is to be seen. */
  const ofEach = (part, element) => processes.flatMap(({ kind }, index) => {
    const words = proseOf[kind][part];
    return words ? element(`data-process="${kind}"${index ? " hidden" : ""}`, words) : [];
  });
  const parts = {
    policy, files, data,
    still: escape(rows.join("\n")),
    verse: text.split(/(?<=\n)/).map((line) => `<span class="line">${escape(line)}</span>`).join(""),
    ledes: ofEach("lede", (attributes, words) => `<p class="lede" ${attributes}>${words}</p>`).join("\n  "),
    headings: ofEach("heading", (attributes, words) => `<span class="wide" ${attributes}>${words}</span>`).join(""),
    "before story": ofEach("beforeStory", (attributes, words) => `<p ${attributes}>${words}</p>`).join("\n      "),
    story: (await readFile(join(here, "story.html"), "utf8")).trim().replaceAll("\n", "\n      "),
  };
  return source.replaceAll(/<!-- ([a-z ]+) -->/g, (_, name) => parts[name]);
}
