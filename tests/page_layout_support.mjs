// What the tests of the page's layout share: a browser, the built page, and visits that watch what moves.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { after, afterEach, before } from "node:test";
import { fileURLToPath } from "node:url";
import { serve } from "../web/serve.mjs";

export const web = resolve(dirname(fileURLToPath(import.meta.url)), "../web");
export const fromWeb = createRequire(join(web, "package.json"));
export const folder = resolve(process.env.FOLIO_PAGE ?? join(web, "dist"));
export const sizes = {
  desktop: { width: 1440, height: 900 }, tablet: { width: 820, height: 1180 }, phone: { width: 390, height: 844 }, narrow: { width: 320, height: 700 },
};
/** Few places and passes: these tests ask where things stand, not how well the page writes. */
export const quick = "#v=1&prompt=ROMEO%3A&length=64&seed=7&steps=8";

let browser, server;
let open = [];

before(async () => {
  const { chromium } = fromWeb("playwright-core");
  browser = await chromium.launch({ executablePath: process.env.FOLIO_CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
  server = await serve(folder);
});
after(async () => {
  await browser.close();
  server.close();
});
afterEach(async () => {
  const visits = open;
  open = [];
  for (const { page, complaints, mayFail } of visits) {
    await page.context().close();
    if (!mayFail) assert.deepEqual(complaints, []);
  }
});

/** As the first script: keeps every layout shift, also those that follow an act of the visitor, with what moved. */
function watchShifts() {
  window.shifts = [];
  const name = (node) => node?.id || node?.parentElement?.id || node?.className || node?.nodeName;
  window.shiftObserver = new PerformanceObserver((list) => window.takeShifts(list.getEntries()));
  window.takeShifts = (entries) => {
    for (const { value, sources } of entries)
      window.shifts.push({
        value, moved: sources.map(({ node, previousRect: a, currentRect: b }) =>
          `${name(node)} from ${Math.round(a.x)},${Math.round(a.y)} to ${Math.round(b.x)},${Math.round(b.y)}`),
      });
  };
  window.shiftObserver.observe({ type: "layout-shift", buffered: true });
}

/** A fresh visitor; `size` is one of `sizes`, or a viewport. */
export async function visit(hash = "", { size = "desktop", prepare, mayFail = false, ...options } = {}) {
  const viewport = sizes[size] ?? size;
  const small = viewport.width <= 600;
  const context = await browser.newContext({ viewport, hasTouch: small, isMobile: small, ...options });
  await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: new URL(server.address).origin });
  const page = await context.newPage();
  const complaints = [];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(error.stack));
  open.push({ page, complaints, mayFail });
  if (options.javaScriptEnabled !== false) await page.addInitScript(watchShifts);
  if (prepare) await prepare(page);
  await page.goto(server.address + hash);
  return page;
}

export const until = (page, attributes) =>
  page.waitForSelector(`#stage${Object.entries(attributes).map(([key, value]) => `[data-${key}="${value}"]`).join("")}`, { timeout: 60000 });
export const done = (page) => until(page, { state: "done", source: "live" });
export const role = (page, name, options) => page.getByRole(name, typeof options === "string" ? { name: options, exact: true } : options);

/** Two frames, after which whatever was set off has been laid out and drawn. */
export const drawn = (page) => page.evaluate(() => new Promise((ready) => requestAnimationFrame(() => requestAnimationFrame(() => ready()))));

/** All that has moved so far. */
export async function shifts(page) {
  await drawn(page);
  return page.evaluate(() => {
    window.takeShifts(window.shiftObserver.takeRecords());
    return window.shifts;
  });
}

/** Forks the sample at different steps until there are so many lanes. */
export async function fork(page, lanes) {
  for (let count = 2; count <= lanes; ++count) {
    if (count > 2) await page.locator("#lane input").first().check({ force: true });
    await page.locator("#step").fill(String(count));
    await role(page, "button", "Fork here").click();
    await page.waitForFunction((count) => document.querySelectorAll("#lane input").length === count, count);
  }
}
