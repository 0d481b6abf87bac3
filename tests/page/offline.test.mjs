// What the browser stores of the page: visits without a network, updates, and what the visitor deletes: node --test tests/page/offline.test.mjs
//   FOLIO_FIREFOX  the browser beside Chromium  (/usr/bin/firefox-esr)
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { cp, link, mkdir, mkdtemp, readdir, readFile, rename, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { before, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { serve } from "../../web/serve.mjs";
import { stamp } from "../../web/stamp.mjs";
import { startFirefox } from "./marionette.mjs";
import { done, folder, hurry, quick, role, shipped, temporary, turned, until, verse, visit } from "./support.mjs";

const idOf = async (build) => /main\.js\?(\w+)/.exec(await readFile(join(build, "index.html"), "utf8"))[1];
const listOf = async (build) => JSON.parse(await readFile(join(build, "files.json"), "utf8"));

/** Another build: the page with some files changed, each by a function of its text, and others added. */
async function buildWith(changes) {
  const build = await mkdtemp(join(temporary, "build-"));
  await mkdir(join(build, "weights"));
  for (const name of await readdir(folder, { recursive: true }))
    if (name.endsWith(".safetensors")) await link(join(folder, name), join(build, name)).catch(() => cp(join(folder, name), join(build, name)));
    else if (/\.\w+$/.test(name) && name !== "folio.html") await cp(join(folder, name), join(build, name));
  for (const [name, change] of Object.entries(changes)) {
    const text = typeof change === "string" ? "" : await readFile(join(build, name), "utf8");
    const changed = typeof change === "string" ? change : change(text);
    assert.notEqual(changed, text, name);
    await writeFile(join(build, name), changed);
  }
  await stamp(build);
  return build;
}

/** A newer build, of which a letter of the page and one of a script differ, and which can train. */
let newer;
before(async () => {
  newer = await buildWith({
    "index.html": (text) => text.replace('data-room="sheet">Folio</a>', 'data-room="sheet">Folia</a>'),
    "main.js": (text) => text.replace(" parameters, run here with", " parameters, ran here with"),
    "folio-train.wasm": "a module",
  });
});

/** A host of a build, which can be given another one and be switched off and on. */
async function host(t, { isolated = true, prefix = "" } = {}) {
  const root = await mkdtemp(join(temporary, "host-"));
  const current = join(root, prefix || "page");
  const give = async (build) => {
    await symlink(build, join(root, "next"));
    await rename(join(root, "next"), current);
  };
  await give(folder);
  let server = await serve(prefix ? root : current, { isolated });
  t.after(() => server.close());
  const { port } = new URL(server.address);
  const on = async () => (server = await serve(prefix ? root : current, { isolated, port: Number(port) }));
  return { address: `${server.address}${prefix && `${prefix}/`}`, give, on, off: () => server.close() };
}

/** Resolves once the rows of these files of weights, and that of the page's own under "", say how much is stored. */
const stored = (page, ...files) => page.waitForFunction((files) => files.every((file) =>
  document.querySelector(`[data-stored="${file}"]`).textContent.endsWith(" MB")), files);
const first = (await shipped("weights/index.json"))[0].file;

/** As the first script: keeps what of the list of what is stored has moved. */
function watchList() {
  window.moved = [];
  const inList = ({ node }) => document.querySelector("#stored")?.contains(node);
  new PerformanceObserver((list) => window.moved.push(...list.getEntries().flatMap(({ sources }) => sources.filter(inList).map(({ node }) => node.textContent))))
    .observe({ type: "layout-shift", buffered: true });
}

/** A first visit, until all is stored. */
async function visitFirst(server, options = {}) {
  const { page } = await visit(quick, { server, stores: true, ...options });
  await done(page);
  await stored(page, "", first);
  return page;
}

const rows = (page) => page.locator("#stored li").allTextContents();
const alert = (page, words) => page.getByRole("alert").getByText(words, { exact: true }).waitFor();

/** Another tab of a visitor. */
async function tab(page, address = page.url()) {
  const other = await page.context().newPage();
  await other.goto(address);
  return other;
}

/** All files of the page's own build that it gets, by the hashes that a build has of them, are those of that build. */
async function hasOnly(page, build) {
  const list = await listOf(build);
  const id = await idOf(build);
  const got = await page.evaluate(async (paths) => {
    const { search } = new URL(document.querySelector("script[type=module]").src);
    const hashes = {};
    for (const path of paths) {
      const digest = await crypto.subtle.digest("SHA-256", await (await fetch(path + search)).arrayBuffer());
      hashes[path] = `sha256-${btoa(String.fromCharCode(...new Uint8Array(digest)))}`;
    }
    return { id: search.slice(1), hashes };
  }, Object.keys(list));
  assert.deepEqual(got, { id, hashes: list });
  const [heading, colophon] = [await page.locator(".mark").textContent(), await page.locator("#colophon").textContent()];
  assert.equal(heading, build === newer ? "Folia" : "Folio");
  assert.match(colophon, build === newer ? / ran here / : / run here /);
}

/** The paths of the stored files of a build. */
const filesOf = async (page, build) => page.evaluate(async (id) => {
  const name = (await caches.keys()).find((name) => name.endsWith(id));
  return (await (await caches.open(name)).keys()).map(({ url }) => url.split("?")[0].slice(new URL(".", document.baseURI).href.length)).sort();
}, await idOf(build));

const cachesOf = (page) => page.evaluate(async () => (await caches.keys()).map((name) => name.split(" ").pop()).sort());

for (const isolated of [true, false])
  test(`a second visit needs no network, ${isolated ? "with" : "without"} isolation headers of the host; a model that was never loaded is missing`, async (t) => {
    const server = await host(t, { isolated });
    const page = await visitFirst(server, { mayFail: true });
    const text = await verse(page);
    assert.equal(await page.evaluate(() => crossOriginIsolated), isolated);
    await page.close();
    server.off();
    const context = page.context();
    await context.setOffline(true);
    const again = await context.newPage();
    for (const address of isolated ? [server.address, `${server.address}index.html`] : [`${server.address}?from=home`]) {
      await again.goto(address + quick);
      await done(again);
      assert.equal(await verse(again), text);
      assert.equal(await again.evaluate(() => crossOriginIsolated), true);
    }
    const cores = await again.evaluate(() => navigator.hardwareConcurrency);
    assert.match(await again.locator("#bench-facts").textContent(), new RegExp(`Isolationisolated.*Threads${Math.min(16, cores)} of`));
    assert.match(await again.locator("#colophon").textContent(), new RegExp(`on ${cores === 1 ? "one thread" : `${Math.min(16, cores)} threads`}\\.`));
    await again.getByRole("table", { name: "Results" }).getByText("shipped").first().waitFor();
    await role(again, "radio", "Gaussian").check({ force: true });
    await alert(again, "The weights did not arrive.");
    assert.equal(await role(again, "button", "Try again").count(), 1);
    assert.ok(await role(again, "radio", "Masked").isChecked());
    await role(again, "textbox", "Prompt").fill("JULIET:");
    await role(again, "button", "Sample").click();
    await hurry(again);
    await again.waitForFunction(() => document.querySelector("#verse").textContent.startsWith("JULIET:"));
    await done(again);
    assert.equal(await again.getByRole("alert").count(), 0);
    const card = await again.evaluate(async () => (await fetch(document.querySelector("#colophon a").href)).status);
    assert.equal(card, 200);
  });

test("a page gets the files of its own build alone, also while the host has a newer one, and the next load is of that", async (t) => {
  const server = await host(t);
  const old = await visitFirst(server);
  const paths = [...Object.keys(await listOf(folder)), "files.json"].sort();
  assert.deepEqual(await filesOf(old, folder), paths.filter((path) => !/^folio(-threads)?\.wasm$/.test(path)), "all but modules for other browsers");
  await hasOnly(old, folder);
  await server.give(newer);
  const requests = [];
  old.context().on("request", (request) => requests.push(request.url()));
  // The second visit is served from the cache, and has the newer build stored beside it.
  const other = await tab(old);
  await Promise.all([old, other].map((page) => page.locator("#note").getByText("A new version of this page is here.").waitFor()));
  assert.deepEqual(await cachesOf(other), ["folio-weights", await idOf(folder), await idOf(newer)].sort());
  for (const page of [old, other]) await hasOnly(page, folder);
  await done(other);
  await other.reload();
  await other.waitForFunction(() => document.querySelector(".mark").textContent === "Folia");
  await done(other);
  assert.ok(!(await filesOf(other, newer)).includes("folio-train.wasm"), "nobody has trained yet");
  await hasOnly(other, newer);
  await other.waitForFunction(async (address) => await caches.match(address), `${server.address}folio-train.wasm?${await idOf(newer)}`);
  // The old one goes on, and can start its engine again.
  await role(old, "button", "More settings").click();
  await role(old, "spinbutton", "Threads").fill("1");
  await role(old, "spinbutton", "Threads").press("Tab");
  await old.waitForFunction(() => document.querySelector("#colophon").textContent.includes("on one thread"));
  await hasOnly(old, folder);
  assert.equal((await cachesOf(other)).length, 3);
  assert.deepEqual(requests.filter((url) => url.includes("safetensors")), [], "the weights have stayed");
  await old.close();
  await other.reload();
  await done(other);
  await other.waitForFunction(async () => (await caches.keys()).length === 2);
  assert.deepEqual(await cachesOf(other), ["folio-weights", await idOf(newer)].sort());
  await hasOnly(other, newer);
});

test("a loaded model can be loaded again without a network, in the first visit too; it goes when a newer build names it no more", async (t) => {
  const server = await host(t);
  const page = await visitFirst(server);
  await role(page, "radio", "Left to right").check({ force: true });
  await turned(page, "Left to right");
  await stored(page, "gpt-small.safetensors");
  server.off();
  await role(page, "radio", "Masked").check({ force: true });
  await turned(page, "Masked diffusion");
  await done(page);
  assert.equal(await page.getByRole("alert").count(), 0);
  await server.on();
  await server.give(await buildWith({ "weights/index.json": (text) => JSON.stringify(JSON.parse(text).filter(({ name }) => name !== "gpt-small")) }));
  await page.reload();
  await stored(page, first, "gpt-small.safetensors");
  await Promise.all([page.waitForEvent("load"), role(page, "button", "Load it").click()]);
  assert.match(page.url(), /prompt=ROMEO/);
  await page.waitForFunction(() => document.querySelector('[data-stored="gpt-small.safetensors"]').textContent === "not stored");
  await stored(page, "", first);
});

test("a build that is just being copied to the host is not stored, and neither is a download that breaks off", async (t) => {
  const half = await buildWith({ "main.js": (text) => text.replace(" parameters, run here with", " parameters, RUN here with") });
  await cp(join(folder, "main.js"), join(half, "main.js"));
  let breaks = /./;
  const build = await host(t);
  const server = createServer(async (request, answer) => {
    const whole = async (response) => ({ response, body: Buffer.from(await response.arrayBuffer()) });
    const got = await fetch(build.address + request.url.slice(1)).then(whole).catch(() => undefined);
    if (!got) return answer.destroy();
    const { response: { status, headers }, body } = got;
    answer.writeHead(status, Object.fromEntries(headers));
    if (!breaks.test(request.url)) return answer.end(body);
    answer.write(body.subarray(0, body.length / 2), () => answer.destroy());
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  t.after(() => (server.close(), server.closeAllConnections()));
  const address = `http://localhost:${server.address().port}/`;

  breaks = /safetensors|threads-relaxed\.wasm/;
  const { page } = await visit(quick, { server: { address }, stores: true, mayFail: true });
  await alert(page, "The weights did not arrive.");
  assert.deepEqual(await page.evaluate(async () => (await (await caches.open("folio-weights")).keys()).length), 0);
  breaks = /threads-relaxed\.wasm/;
  await role(page, "button", "Try again").click();
  await done(page);
  await stored(page, first);
  await page.evaluate(() => navigator.serviceWorker.ready);
  assert.match((await rows(page))[0], /^The page not stored$/);
  breaks = /^$/;
  await page.reload();
  await done(page);
  await stored(page, "");
  await hasOnly(page, folder);

  await build.give(half);
  const failed = page.evaluate(async () => {
    const registration = await navigator.serviceWorker.ready;
    await registration.update().catch(() => {});
    const { installing } = registration;
    if (installing) await new Promise((ended) => (installing.onstatechange = () => installing.state === "redundant" && ended()));
    return registration.active.state;
  });
  assert.equal(await failed, "activated");
  await page.reload();
  await done(page);
  await hasOnly(page, folder);
  const none = await page.evaluate(async (id) => {
    const [name] = (await caches.keys()).filter((name) => name.endsWith(id));
    return !name || (await (await caches.open(name)).keys()).length === 0;
  }, await idOf(half));
  assert.ok(none);
});

test("what is stored is listed and can be deleted; the page goes on, and its next visit is as the first", async (t) => {
  const server = await host(t);
  const page = await visitFirst(server, { viewport: { width: 320, height: 700 }, prepare: (page) => page.addInitScript(watchList) });
  await role(page, "link", "Bench").click();
  const list = role(page, "list", "Stored");
  const entries = await shipped("weights/index.json");
  const expected = entries.map(({ name, file, bytes }) => `${name} ${file === first ? `${(bytes / 1e6).toFixed(1)} MB` : "not stored"}`);
  const [own, ...others] = await list.getByRole("listitem").allTextContents();
  const all = others.pop();
  assert.deepEqual(others, expected);
  const sum = [own, all].map((words) => Number(/([\d.]+) MB$/.exec(words)[1]));
  assert.ok(sum[0] > 0.5 && sum[0] < 2 && Math.abs(sum[1] - sum[0] - entries[0].bytes / 1e6) < 0.11, `${own}, ${all}`);
  await role(page, "button", "Delete stored").click();
  await page.getByText("Deleted. What is loaded from now on is stored again.").first().waitFor();
  assert.deepEqual(await rows(page), ["The page not stored", ...entries.map(({ name }) => `${name} not stored`), "In all not stored"]);
  assert.ok(await role(page, "button", "Delete stored").isDisabled());
  assert.deepEqual(await page.evaluate(() => window.moved), []);
  assert.ok(await page.locator("#stored li").evaluateAll((rows) => rows.every((row) => row.scrollWidth <= row.clientWidth)));
  assert.deepEqual(await page.evaluate(async () => (await Promise.all((await caches.keys()).map(async (name) => (await (await caches.open(name)).keys()).length))).filter(Boolean)), []);
  await role(page, "link", "Folio").click();
  // The page may still be scrolling.
  await role(page, "radio", "Left to right").evaluate((input) => input.click());
  await stored(page, "gpt-small.safetensors");
  await page.goto("about:blank");
  await page.goto(server.address + quick);
  await done(page);
  await stored(page, "", first);
});

test("where the browser has no room the page works as without, and says so where it lists what is stored", async (t) => {
  const server = await host(t);
  const { page } = await visit("", {
    server, stores: true,
    prepare: async (page) => {
      const session = await page.context().newCDPSession(page);
      await session.send("Storage.overrideQuotaForOrigin", { origin: new URL(server.address).origin, quotaSize: 2e6 });
    },
  });
  await until(page, { source: "live" });
  await page.getByText("The browser has no room to store more; what is missing is loaded at each visit.").first().waitFor({ state: "attached" });
  await hurry(page);
  await done(page);
  assert.match((await rows(page)).join(), new RegExp(`${first.split(".")[0]} not stored`));
  assert.equal(await page.getByRole("alert").count(), 0);
});

test("where a browser has no service worker, nothing is listed and nothing is missing", async () => {
  const { page } = await visit(quick, { prepare: (page) => page.addInitScript(() => Object.defineProperty(Navigator.prototype, "serviceWorker", { value: undefined })) });
  await done(page);
  assert.equal(await page.locator("#stored").isVisible(), false);
});

test("the page can be installed from any folder of a host: its manifest, its icons and its colours", async (t) => {
  const server = await host(t, { prefix: "some/where".replace("/", "-") });
  const page = await visitFirst(server);
  const session = await page.context().newCDPSession(page);
  const { url, errors, data } = await session.send("Page.getAppManifest");
  assert.deepEqual([url, errors], [`${server.address}manifest.webmanifest`, []]);
  const manifest = JSON.parse(data);
  assert.equal(new URL(manifest.start_url, url).href, server.address);
  assert.equal(new URL(manifest.scope, url).href, server.address);
  assert.equal(manifest.display, "standalone");
  for (const { src, sizes, type } of manifest.icons) {
    const bytes = await readFile(join(folder, src));
    if (type === "image/svg+xml") continue;
    assert.equal(bytes.toString("latin1", 1, 4), "PNG");
    assert.equal(`${bytes.readUInt32BE(16)}x${bytes.readUInt32BE(20)}`, sizes);
    assert.deepEqual(await page.evaluate(async (src) => {
      const { width, height } = await createImageBitmap(await (await fetch(src)).blob());
      return `${width}x${height}`;
    }, src), sizes);
  }
  assert.deepEqual(manifest.icons.map(({ sizes, purpose = "any" }) => `${sizes} ${purpose}`), ["any any", "192x192 any", "512x512 any", "512x512 maskable"]);
  const paper = (await readFile(join(folder, "style.css"), "utf8")).match(/--paper: ?#\w+/g).map((words) => words.split("#")[1]);
  const themes = await page.locator("meta[name=theme-color]").evaluateAll((metas) => metas.map(({ content }) => content.slice(1)));
  assert.deepEqual(themes, paper.slice(0, 2));
  assert.equal(manifest.background_color, `#${paper[0]}`);
  assert.doesNotMatch(await readFile(join(folder, "folio.html"), "utf8"), /rel="manifest"/);
});

test("Firefox: a second visit needs no network, and a newer build comes whole", async (t) => {
  const path = process.env.FOLIO_FIREFOX ?? "/usr/bin/firefox-esr";
  assert.ok(existsSync(path), `Firefox is not at ${path}: install it, or let FOLIO_FIREFOX name it.`);
  const server = await host(t, { isolated: false });
  // Threads would be workers that a worker starts, and steered so Firefox 153 now and then hangs there.
  const firefox = await startFirefox(path, { online: true, preferences: { "dom.maxHardwareConcurrency": 1 } });
  t.after(() => firefox.end());
  /** Resolves once that holds in the page. While a page comes, which may be in another process, no script runs. */
  const holds = async (condition) => {
    while (!(await firefox.run(`async () => ${condition}`).catch(() => false))) await pause(100);
  };
  const sampled = `document.querySelector("#stage[data-state=done][data-source=live]") !== null`;
  const state = () => firefox.run(`async () => [document.querySelector(".mark").textContent, crossOriginIsolated, document.querySelector("#verse").textContent]`);
  const visit = async (query) => {
    await firefox.run(`async () => void setTimeout(() => (location.href = "?${query}" + location.hash))`);
    await holds(`location.search === "?${query}" && ${sampled}`);
  };
  await firefox.goTo(server.address + quick);
  await holds(`${sampled} && ["", "${first}"].every((file) => document.querySelector('[data-stored="' + file + '"]').textContent.endsWith(" MB"))`);
  const [heading, isIsolated, text] = await state();
  assert.deepEqual([heading, isIsolated], ["Folio", false]);
  await server.give(newer);
  await visit("second");
  assert.deepEqual(await state(), ["Folio", true, text]);
  await holds(`(await caches.keys()).length === 3 && (await navigator.serviceWorker.ready).active.state === "activated"`);
  server.off();
  await visit("third");
  assert.deepEqual(await state(), ["Folia", true, text]);
  await firefox.run(`async () => document.querySelectorAll("#process input")[1].click()`);
  await holds(`document.querySelector("#alert-text").textContent === "The weights did not arrive."`);
});
