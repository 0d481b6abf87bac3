// What the tests of the page share: two servers, a browser, fresh visitors, and what they look at and press.
//   FOLIO_PAGE      the built page  (web/dist)
//   FOLIO_HEADLESS  the browser     (/usr/bin/chromium-headless-shell: Chromium without windows, which takes a third less CPU time)
//   FOLIO_PROGRAM   the program     (build/release/folio)
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { after, afterEach, before } from "node:test";
import { fileURLToPath } from "node:url";
import { serve } from "../../web/serve.mjs";

export const web = resolve(dirname(fileURLToPath(import.meta.url)), "../../web");
export const fromWeb = createRequire(join(web, "package.json"));
const { chromium } = fromWeb("playwright-core");
export const folder = resolve(process.env.FOLIO_PAGE ?? join(web, "dist"));
/** The files beside the page that say what it has: `weights/index.json` and `trace.json`. */
export const shipped = async (name) => JSON.parse(await readFile(join(folder, name), "utf8"));

export const temporary = await mkdtemp(join(tmpdir(), "folio-"));
let browser;
export let isolated, plain;
let open = [];

before(async () => {
  browser = await chromium.launch({ executablePath: process.env.FOLIO_HEADLESS ?? "/usr/bin/chromium-headless-shell", args: ["--no-sandbox"] });
  [isolated, plain] = [await serve(folder), await serve(folder, { isolated: false })];
});
after(async () => {
  await browser.close();
  isolated.close();
  plain.close();
  await rm(temporary, { recursive: true });
});

// Whatever a test does: no request goes to another host, and nothing is logged as an error or a warning.
afterEach(async () => {
  const visits = open;
  open = visits.filter(({ isShared }) => isShared);
  for (const visit of visits) {
    const { page, complaints, requests, host, mayFail, isShared } = visit;
    if (isShared) Object.assign(visit, { complaints: [], requests: [] });
    else await page.context().close();
    if (!mayFail) assert.deepEqual(complaints, []);
    assert.deepEqual(requests.filter((url) => !url.startsWith(host) && !/^(data|blob):/.test(url)), []);
  }
});

/** A fresh visitor on the page; `options` go to the browser's context. */
export async function visit(hash = "", options = {}) {
  return open[open.push(await enter(hash, options)) - 1];
}

/** In the page: its browser has no service worker for it, so that a second visit goes to the server as the first one did. */
function refuseServiceWorker() {
  if (navigator.serviceWorker) navigator.serviceWorker.register = () => Promise.reject(new Error("refused"));
}

/** `stores`: the browser has a service worker for the page. */
async function enter(hash, { server = isolated, prepare, mayFail = false, isShared = false, stores = false, ...options }) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  const { origin } = new URL(server.address);
  // A file has none.
  await context.grantPermissions(["clipboard-read", "clipboard-write"], origin === "null" ? {} : { origin });
  const page = await context.newPage();
  const visit = { page, complaints: [], requests: [], host: server.address, mayFail, isShared };
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && visit.complaints.push(message.text()));
  page.on("pageerror", (error) => visit.complaints.push(error.stack));
  page.on("request", (request) => visit.requests.push(request.url()));
  if (!stores && options.javaScriptEnabled !== false) await page.addInitScript(refuseServiceWorker);
  if (prepare) await prepare(page);
  await page.goto(server.address + hash, { timeout: 120000 });
  return visit;
}

/** In the page: brings back what a visit begins with, all but the address. */
function restoreDefaults() {
  document.activeElement.blur();
  getSelection().removeAllRanges();
  document.querySelector("#text").setSelectionRange(0, 0);
  scrollTo({ top: 0, behavior: "instant" });
  document.querySelector("#status").textContent = "";
  const press = (button, pressed) => button.getAttribute("aria-expanded") === String(pressed) || button.click();
  press(document.querySelector("#more-button"), false);
  press(document.querySelector("#save"), false);
  for (const group of ["show", "choose-by"]) document.querySelector(`#${group} input`).click();
  const set = (id, value) => Object.assign(document.querySelector(id), { value });
  set("#speed", "8").dispatchEvent(new Event("change"));
  set("#far", "100").dispatchEvent(new Event("input"));
  for (const alert of document.querySelectorAll("#race-alert, #bench-alert")) alert.hidden = true;
}

/**
 * Makes a function that is `visit` for tests that do not depend on how a visit begins: one visitor of a file's tests, who goes on to
 * another address and finds the page as it is at first, its sample about to run. Where that cannot be had after what another test has
 * left, there is a fresh visitor.
 */
export function sharing(prepare = () => {}) {
  const visits = new Map();
  return async (hash, { server = isolated } = {}) => {
    const former = visits.get(server);
    if (former && (await goOn(former, hash).catch(() => false))) return former;
    open = open.filter((other) => other !== former);
    await former?.page.context().close();
    const fresh = await visit(hash, {
      server, isShared: true,
      prepare: async (page) => {
        await page.addInitScript(watchModels);
        await prepare(page);
      },
    });
    visits.set(server, fresh);
    return fresh;
  };
}
export const revisit = sharing();

/** In the page: follows a link, until its sample runs. */
function follow(hash) {
  const stage = document.querySelector("#stage");
  return new Promise((runs, fails) => {
    new MutationObserver((_, observer) => {
      if (stage.dataset.state !== "running") return;
      observer.disconnect();
      runs();
    }).observe(stage, { attributeFilter: ["data-state"] });
    setTimeout(() => fails(new Error(`Nothing runs for ${hash}.`)), 20000);
    history.replaceState(null, "", "#");
    location.hash = hash;
  });
}

/** True once the sample of the address runs. */
async function goOn({ page }, hash) {
  await page.setViewportSize({ width: 1280, height: 800 });
  await page.emulateMedia({ colorScheme: null, forcedColors: null });
  await page.mouse.move(1, 1);
  await page.evaluate(() => document.activeElement.blur());
  for (let press = 0; press < 4; ++press) await page.keyboard.press("Escape");
  await page.waitForFunction(() => ["stage", "race", "bench"].every((id) => document.querySelector(`#${id}`).getAttribute("aria-busy") !== "true"));
  await page.evaluate(restoreDefaults);
  await twoFrames(page);
  await page.evaluate(follow, hash);
  return true;
}

/** Two frames, after which whatever was set off has been laid out and drawn. */
export const twoFrames = (page) => page.evaluate(() => new Promise((ready) => requestAnimationFrame(() => requestAnimationFrame(() => ready()))));

export const role = (page, name, options) => page.getByRole(name, typeof options === "string" ? { name: options, exact: true } : options);
export const stage = (page) => role(page, "region", "Stage");
export const verse = (page) => role(page, "article", "Verse").evaluate((article) => article.textContent);
export const until = (page, attributes) =>
  page.waitForSelector(`#stage${Object.entries(attributes).map(([key, value]) => `[data-${key}="${value}"]`).join("")}`, { timeout: 120000 });
export const done = (page) => until(page, { state: "done", source: "live" });

// Few places and passes, and frames as they come: the tests ask how the page behaves, not how well it writes.
export const quick = "#v=1&prompt=ROMEO%3A&length=64&seed=7&steps=8";

export async function hurry(page) {
  await role(page, "combobox", "Speed").selectOption("as it comes");
}

/** Keeps every state, step and source that is shown from now on; `seen` gives them. In the page, or as its first script. */
export function watch() {
  window.seen = [];
  new MutationObserver(() => {
    const { state, step, source } = document.querySelector("#stage")?.dataset ?? {};
    if (state) window.seen.push({ state, step: Number(step), source });
  }).observe(document, { subtree: true, childList: true, attributeFilter: ["data-state", "data-step", "data-source"] });
}

/** A gate in the way of what is asked for: `hold` is a route's handler, whose answer waits until `open` is called. */
export function gate() {
  let open;
  const opened = new Promise((resolve) => (open = resolve));
  return { open, hold: async (route) => (await opened, route.continue().catch(() => {})) };
}

export const seen = (page) => page.evaluate(() => window.seen);

/** As the first script: keeps the description of every model that is loaded; `defaultsOf` gives its defaults by its process. */
export function watchModels() {
  window.models = [];
  window.Worker = class extends Worker {
    constructor(...given) {
      super(...given);
      this.addEventListener("message", ({ data }) => data.type === "loaded" && window.models.push(data.description));
    }
  };
}
export const defaultsOf = (page, kind) => page.evaluate((kind) => window.models.findLast(({ process }) => process.kind === kind).defaults, kind);

/** Chooses places with the keyboard, as a reader without a mouse would. */
export async function choose(page, from, to) {
  const text = role(page, "textbox", "Text");
  await text.focus();
  await page.keyboard.press("Control+Home");
  for (let row = 0; row < Math.floor(from / 32); ++row) await page.keyboard.press("ArrowDown");
  for (let column = 0; column < from % 32; ++column) await page.keyboard.press("ArrowRight");
  // A row's end is a position of its own.
  const rowEnds = Math.floor(Math.max(from, to) / 32) - Math.floor(from / 32);
  for (let press = from; press <= to + rowEnds; ++press) await page.keyboard.press("Shift+ArrowRight");
  if (to >= from) await page.waitForSelector("#toolbar:not([hidden])");
}

/** Presses a button that reads Stop; one that has just turned into that takes no press for half a second. */
export async function stop(region) {
  const button = role(region, "button", "Stop");
  await button.waitFor();
  await button.evaluate(() => new Promise((waited) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(waited, 600)))));
  await button.click();
}

/** Resolves once there are no more workers than at rest; one in the middle of a pass takes a while to end. */
export async function workersEnd(page, atRest) {
  while (page.workers().length > atRest) await Promise.race(page.workers().map((worker) => worker.waitForEvent("close").catch(() => {})));
  assert.equal(page.workers().length, atRest);
}

// ---- the program, which writes the same as the page

export const top = join(web, "..");
export const program = resolve(process.env.FOLIO_PROGRAM ?? join(top, "build/release/folio"));
export const withoutProgram = !existsSync(program) && "the program is not built";

/** Runs a command line that the page has given. */
export const shell = (command, cwd = top) =>
  execFileSync("/bin/sh", ["-c", command], { cwd, env: { ...process.env, PATH: `${dirname(program)}:${process.env.PATH}` }, encoding: "utf8" });

/** What the program writes for options of the page's; undefined where there is no program. */
export const folio = (...options) =>
  (withoutProgram ? undefined : execFileSync(program, options, { cwd: top, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }));

/** What a button has copied. */
export async function copied(page, name) {
  await role(page, "button", name).click();
  return page.evaluate(() => navigator.clipboard.readText());
}

/** The text that the page's command writes; undefined where there is no program. */
export async function written(page) {
  const command = await copied(page, "Copy command line");
  return withoutProgram ? undefined : shell(command).slice(0, -1);
}

/** What the page saves as a text, a trace or an image. */
export async function save(page, kind) {
  await role(page, "button", "Save").click();
  const [download] = await Promise.all([page.waitForEvent("download"), page.locator(`[data-save=${kind}]`).click()]);
  return readFile(await download.path(), "utf8");
}

export const stepsOf = (trace) => trace.trim().split("\n").map((line) => JSON.parse(line));

/** The trace that the page saves, and that of its command; both undefined where there is no program. */
export async function traces(page) {
  if (withoutProgram) return {};
  const file = join(temporary, "trace.jsonl");
  shell(`${await page.locator("#command").textContent()} --trace ${file}`);
  return { saved: await save(page, "trace"), traced: await readFile(file, "utf8") };
}

/** The command that the page gives traces what the page saves. */
export async function sameTrace(page) {
  const { saved, traced } = await traces(page);
  if (saved) assert.deepEqual(stepsOf(saved), stepsOf(traced));
}

/** Opens a file of weights. */
export async function openWeights(page, file) {
  const chooser = page.waitForEvent("filechooser");
  await role(page, "button", "Open weights").last().click();
  await (await chooser).setFiles(file);
}

/** Resolves once a sample of another process is on show, by the words of the running head. */
export const turned = (page, words) =>
  page.waitForFunction((begin) => document.querySelector(".runhead").innerText.startsWith(begin), words, { timeout: 60000 });

export const race = (page) => role(page, "region", "Race");
/** Resolves once the race says such words of itself. */
export const raceSays = (page, words) => page.waitForFunction((text) => document.querySelector("#race-state").textContent.startsWith(text), words, { timeout: 120000 });
