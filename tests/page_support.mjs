// What the tests of the page share: two servers, a browser, fresh visitors, and what they look at and press.
//   FOLIO_PAGE      the built page  (web/dist)
//   FOLIO_CHROMIUM  the browser     (/usr/bin/chromium)
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { after, afterEach, before } from "node:test";
import { fileURLToPath } from "node:url";
import { serve } from "../web/serve.mjs";

export const web = resolve(dirname(fileURLToPath(import.meta.url)), "../web");
export const fromWeb = createRequire(join(web, "package.json"));
const { chromium } = fromWeb("playwright-core");
export const folder = resolve(process.env.FOLIO_PAGE ?? join(web, "dist"));

export const temporary = await mkdtemp(join(tmpdir(), "folio-"));
let browser;
export let isolated, plain;
let open = [];

before(async () => {
  browser = await chromium.launch({ executablePath: process.env.FOLIO_CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
  [isolated, plain] = [await serve(folder), await serve(folder, { isolated: false })];
});
after(async () => {
  await browser.close();
  isolated.close();
  plain.close();
  await rm(temporary, { recursive: true });
});

// Whatever a test does: nothing is asked of another host, and nobody complains.
afterEach(async () => {
  const visits = open;
  open = [];
  for (const { page, complaints, requests, host, mayFail } of visits) {
    await page.context().close();
    if (!mayFail) assert.deepEqual(complaints, []);
    assert.deepEqual(requests.filter((url) => !url.startsWith(host) && !/^(data|blob):/.test(url)), []);
  }
});

/** A fresh visitor on the page; `options` go to the browser's context. */
export async function visit(hash = "", { server = isolated, prepare, mayFail = false, ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: new URL(server.address).origin });
  const page = await context.newPage();
  const [complaints, requests] = [[], []];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(error.stack));
  page.on("request", (request) => requests.push(request.url()));
  open.push({ page, complaints, requests, host: server.address, mayFail });
  if (prepare) await prepare(page);
  await page.goto(server.address + hash);
  return { page, requests };
}

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
/** Weights that are slow to come. */
export async function late(route) {
  await new Promise((wait) => setTimeout(wait, 1500));
  await route.continue().catch(() => {});
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
