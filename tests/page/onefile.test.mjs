// The page in one file, opened from a disk with no network: node --test tests/page/onefile.test.mjs
//   FOLIO_FIREFOX  the browser beside Chromium  (/usr/bin/firefox-esr)
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { copyFile, mkdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { startFirefox } from "./marionette.mjs";
import {
  copied, done, folder, folio, hurry, openWeights, race, raceSays, role, shipped, temporary, top, turned, verse, visit, withoutProgram,
  written,
} from "./support.mjs";

const weights = (name) => join(top, "weights", `${name}.safetensors`);

// Alone in its folder, whose name has what an address cannot hold.
const file = join(temporary, "Één map", "folio.html");
const address = pathToFileURL(file).href;
before(async () => {
  await mkdir(join(file, ".."), { recursive: true });
  await copyFile(join(folder, "folio.html"), file);
});

/** A visitor who opens the file; nothing but the file itself may be asked for. */
const open = (hash = "", options = {}) => visit(hash, { server: { address }, offline: true, ...options });

const link = "#v=2&prompt=ROMEO%3A&length=64&seed=7&sampler=spread&steps=8&temperature=0.9";
const proofread = link.replace("&sampler", "&proofread=gpt-small&sampler") + "&rounds=1&proofread-share=0.2";
const asks = (files, purpose = "") => `This file has only the masked model: ${purpose}open ${files} with Open weights, or drop ${files.includes(" ") ? "them" : "it"} here.`;
const asksForProofreader = asks("gpt-small.safetensors", "to proofread, ");

/** What the program writes for `link`, with more options. */
const program = (...more) => folio("sample", "--weights", weights("masked-small"), "--prompt", "ROMEO:", "--length", "64", "--seed", "7", "--sampler", "spread",
  "--steps", "8", "--temperature", "0.9", ...more)?.slice(0, -1);
const proofreadByProgram = () => program("--proofread", weights("gpt-small"), "--rounds", "1", "--proofread-share", "0.2");

/** Drops files on the page. */
async function drop(page, ...names) {
  const given = await Promise.all(names.map(async (name) => [`${name}.safetensors`, (await readFile(weights(name))).toString("base64")]));
  await page.evaluate(async (given) => {
    const dataTransfer = new DataTransfer();
    for (const [name, base64] of given)
      dataTransfer.items.add(new File([Uint8Array.from(atob(base64), (sign) => sign.charCodeAt(0))], name));
    document.dispatchEvent(new DragEvent("drop", { dataTransfer, cancelable: true, bubbles: true }));
  }, given);
}

test("the file has at most 6 MB, names its style and script by their hashes, and may load nothing", async () => {
  assert.ok((await stat(file)).size <= 6e6);
  const html = await readFile(file, "utf8");
  const hash = (pattern) => `'sha256-${createHash("sha256").update(pattern.exec(html)[1]).digest("base64")}'`;
  const [, policy] = /<meta http-equiv="Content-Security-Policy" content="([^"]*)">/.exec(html);
  assert.equal(policy, `default-src 'none'; script-src ${hash(/<script type="module">([^]*?)<\/script>/)} 'wasm-unsafe-eval'; ` +
    `style-src ${hash(/<style>([^]*?)<\/style>/)}; img-src data: blob:; worker-src blob:; base-uri 'none'; form-action 'none'`);
  const addresses = [...html.replace(/<(script|style)[^]*?<\/\1>/g, "").matchAll(/ (?:href|src|action)="([^"]*)"/g)].map(([, to]) => to);
  assert.deepEqual(addresses.filter((to) => !/^(#|data:)/.test(to)), []);
  assert.doesNotMatch(html, / style=| on[a-z]+=|<!-- [a-z]/);
});

test("opened from a disk, the recorded sample plays and the engine goes on, on one thread; what the page says of itself holds", async () => {
  const { page } = await open();
  await page.waitForSelector("#stage[data-source=live]", { timeout: 120000 });
  await hurry(page);
  await done(page);
  assert.equal(await verse(page), (await shipped("trace.json")).text);
  const facts = await page.locator("#bench-facts").textContent();
  assert.match(facts, /Isolationnot needed: the page in one file has the engine for one thread aloneThreads1 of/);
  assert.match(facts, /Self-testpassed: \d+ steps of the recorded sample came out the same here, bit for bit/);
  assert.equal(await role(page, "button", "Use all cores").count(), 0);
  assert.match(await page.locator("#colophon").textContent(), /^masked-small: .* on one thread\. Type \? for the keys\.$/);
  assert.equal(await page.locator("#colophon a").count(), 0);
  // The figures of a native machine are inside.
  await role(page, "table", "Results").getByText("shipped").first().waitFor();
});

test("a link gives the text of the program, byte for byte, and is copied with the address of the file", async () => {
  const links = [
    link, "#v=2&text=To%20be%2C%20or%20____%20to%20be&seed=3&sampler=spread&steps=4&temperature=0.9",
    "#v=2&prompt=JULIET%3A&length=64&seed=5&sampler=ancestral&steps=6&temperature=0.8&edit=3:noise:10-40:60&edit=6:put:30:'",
  ];
  const { page } = await open(`#v=2&length=16&seed=1&sampler=spread&steps=1&temperature=1`);
  await done(page);
  for (const hash of links) {
    await page.evaluate((hash) => (location.hash = hash), hash);
    await page.waitForFunction((name) => document.querySelector("#signature").textContent === name, `Seed ${/seed=(\d+)/.exec(hash)[1]}`);
    await hurry(page);
    await done(page);
    const text = await verse(page);
    assert.equal(text, (await written(page)) ?? text);
    const copy = await copied(page, "Copy link");
    assert.equal(copy.split("#")[0], address);
    assert.equal(decodeURIComponent(copy.split("#")[1]), decodeURIComponent(hash.slice(1)));
  }
  await page.reload();
  await done(page);
});

test("what is to proofread is asked for in one sentence, and works once it is opened or dropped", async () => {
  const { page } = await open(link);
  await hurry(page);
  await done(page);
  const text = await verse(page);
  assert.equal(text, program() ?? text);
  await role(page, "button", "More settings").click();
  await role(page, "checkbox", "Proofread").check();
  await page.locator("#note").getByText(asksForProofreader).waitFor();
  await role(page, "spinbutton", "Rounds").fill("1");
  await role(page, "spinbutton", "Share").fill("0.2");
  await role(page, "textbox", "Seed").fill("7");
  await role(page, "button", "Sample").click();
  await page.getByRole("alert").getByText(asksForProofreader, { exact: true }).waitFor();
  assert.equal(await page.locator("#note").isVisible(), false);
  assert.equal(await page.locator("#remedy").textContent(), "Open weights");
  await openWeights(page, weights("gpt-small"));
  await page.waitForFunction((before) => !document.querySelector("#verse").hidden && document.querySelector("#verse").textContent !== before, text);
  await done(page);
  assert.equal(await page.getByRole("alert").count(), 0);
  assert.ok((await page.locator(".runhead").innerText()).startsWith("Masked"), "it has not become the model");
  assert.equal(await verse(page), proofreadByProgram() ?? (await verse(page)));
  assert.equal(await verse(page), (await written(page)) ?? (await verse(page)));

  // A link asks for it too, and a file of another name will do.
  const { page: other } = await open(proofread);
  await other.getByRole("alert").getByText(asksForProofreader, { exact: true }).waitFor();
  await drop(other, "gpt-small");
  await done(other);
  assert.equal(await verse(other), await verse(page));
});

test("other models are asked for in one sentence, and stay once they are opened; a race begins with two", async () => {
  const { page } = await open(link);
  await hurry(page);
  await done(page);
  const text = await verse(page);
  const needs = page.locator("#race-needs");
  assert.equal(await needs.textContent(), asks("gaussian-small.safetensors and gpt-small.safetensors", "for a race, "));
  assert.ok(await role(race(page), "button", "Run race").isDisabled());
  await page.locator("label:has-text('Gaussian') input").evaluate((input) => input.click());
  await page.getByRole("alert").getByText(asks("gaussian-small.safetensors"), { exact: true }).waitFor();
  assert.ok(await role(page, "radio", "Masked").isChecked());
  assert.equal(await verse(page), text, "what stood there stays");
  await openWeights(page, weights("gaussian-small"));
  await turned(page, "Gaussian diffusion");
  await done(page);
  assert.match(await page.evaluate(() => document.querySelector("#command").textContent), / --weights weights\/gaussian-small\.safetensors /);
  await page.locator("label:has-text('Masked') input").evaluate((input) => input.click());
  await turned(page, "Masked diffusion");
  await done(page);
  await page.locator("label:has-text('Gaussian') input").evaluate((input) => input.click());
  await turned(page, "Gaussian diffusion");
  await done(page);
  assert.equal(await needs.textContent(), "");
  await page.locator("#length").evaluate((field) => (field.value = "32"));
  await role(race(page), "button", "Run race").click();
  await raceSays(page, "Finished, each on one thread.");
  assert.deepEqual(await race(page).locator("tbody th").allTextContents(), ["Masked masked-small", "Gaussian gaussian-small"]);
});

test("a link that names another model says so, and is answered once that is opened", async () => {
  const hash = "#v=2&weights=gpt-small&prompt=KING%3A&length=32&seed=7&sampler=left-to-right&steps=64&temperature=0.7";
  const { page } = await open(hash);
  await page.locator("#note").getByText("This link was made with other weights, gpt-small: open that file to see the same text.").waitFor();
  await done(page);
  await role(page, "button", "More settings").click();
  await openWeights(page, weights("gpt-small"));
  await turned(page, "Left to right");
  await hurry(page);
  await done(page);
  assert.equal(await verse(page), (await written(page)) ?? (await verse(page)));
  assert.equal(new URL(await copied(page, "Copy link")).hash, hash);
});

test("Firefox opens the file too, and gives the same text", { skip: withoutProgram }, async (t) => {
  const path = process.env.FOLIO_FIREFOX ?? "/usr/bin/firefox-esr";
  assert.ok(existsSync(path), `Firefox is not at ${path}: install it, or let FOLIO_FIREFOX name it.`);
  const firefox = await startFirefox(path);
  t.after(() => firefox.end());
  await firefox.goTo(address + link);
  /** In the page: resolves once the sample of an address that fits is done, to its verse. */
  const sampled = `async (part) => {
    const { dataset } = document.querySelector("#stage");
    const ready = () => dataset.state === "done" && dataset.source === "live" && document.querySelector("#alert").hidden && location.hash.includes(part);
    while (!ready()) await new Promise((later) => setTimeout(later, 50));
    return document.querySelector("#verse").textContent;
  }`;
  assert.equal(await firefox.run(sampled, "seed=7"), program());
  assert.equal(await firefox.run(`async (hash) => {
    location.hash = hash;
    const alert = document.querySelector("#alert");
    while (alert.hidden) await new Promise((later) => setTimeout(later, 50));
    return document.querySelector("#alert-text").textContent;
  }`, proofread), asksForProofreader);
  await firefox.chooseFile("#file", weights("gpt-small"));
  assert.equal(await firefox.run(sampled, "proofread"), proofreadByProgram());
  assert.deepEqual(await firefox.complaints(address), []);
});
