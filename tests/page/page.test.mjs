// How a visit to the page begins: its record, its weights and engine, and what goes wrong with them: node --test tests/page/page.test.mjs
//   FOLIO_SCREENSHOTS  where to leave the screenshots  (none)
import assert from "node:assert/strict";
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { before, test } from "node:test";
import { brotliCompressSync } from "node:zlib";
import {
  choose, copied, defaultsOf, done, folder, gate, hurry, quick, race, raceSays, role, seen, shipped, stage, turned, twoFrames, until, verse, visit,
  watch, watchModels, workersEnd,
} from "./support.mjs";

/** What the sheet must show at each step of the recorded sample. */
async function recordedSheets() {
  const { text, revealedAt } = await shipped("trace.json");
  const sheet = (step) => [...text].map((letter, place) => (revealedAt[place] > step ? "_" : letter === "\n" ? "\u21b5" : letter)).join("").match(/.{1,32}/gu).join("\n");
  return Array.from({ length: Math.max(...revealedAt) + 1 }, (_, step) => sheet(step));
}

const selfTest = (page) => page.locator("#bench-facts").textContent();

/** As the first script: keeps every step that is drawn with its source and letters, and counts the passes that were made. */
function watchSheet() {
  window.sheets = [];
  window.passes = 0;
  window.Worker = class extends Worker {
    constructor(...given) {
      super(...given);
      this.addEventListener("message", ({ data }) => data.type === "frame" && data.milliseconds && ++window.passes);
    }
  };
  new MutationObserver(() => {
    const { step, source } = document.querySelector("#stage")?.dataset ?? {};
    const value = document.querySelector("#text")?.value;
    if (value) window.sheets.push({ step: Number(step), source, value });
  }).observe(document, { subtree: true, childList: true, attributeFilter: ["data-step", "data-source"] });
}

/** A visitor whose weights wait at a gate. */
async function visitBeforeWeights() {
  const weights = gate();
  const { page } = await visit("", {
    prepare: async (page) => {
      await page.addInitScript(watchSheet);
      await page.route("**/*.safetensors*", weights.hold);
    },
  });
  return { page, weights };
}

test("a recorded sample plays first, and the engine goes on from the step on show without a jump", async () => {
  const { page, weights } = await visitBeforeWeights();
  await until(page, { state: "recorded", source: "recorded" });
  await page.waitForFunction(() => Number(document.querySelector("#stage").dataset.step) >= 2);
  assert.ok(await role(page, "progressbar", "Weights").isVisible());
  weights.open();
  await page.waitForSelector("#stage[data-source=live]", { timeout: 120000 });
  assert.equal(await role(page, "progressbar", "Weights").isVisible(), false);
  assert.equal(await page.locator("#source").textContent(), "Live");
  await hurry(page);
  await done(page);
  const expected = await recordedSheets();
  const shown = await page.evaluate(() => window.sheets);
  const steps = shown.map(({ step }) => step);
  assert.deepEqual(steps, [...steps].sort((a, b) => a - b));
  for (const { step, value } of shown.filter(({ step }, at) => step === shown[at + 1]?.step)) assert.equal(value, expected[step], `step ${step}`);
  const first = shown.find(({ source }) => source === "live").step;
  assert.ok(first > 2 && shown.slice(shown.findIndex(({ source }) => source === "live")).every(({ source }) => source === "live"));
  // The steps before were not computed again, all those behind it were, and all agree.
  const passes = await page.evaluate(() => window.passes);
  assert.ok(passes >= expected.length - 1 - first && passes <= expected.length + 1 - first, `${passes} passes from step ${first}`);
  assert.match(await selfTest(page), new RegExp(`Self-testpassed: ${passes} steps of the recorded sample came out the same here, bit for bit`));
  assert.equal(await verse(page), (await shipped("trace.json")).text);
});

test("a recorded sample that has ended becomes live where it stands, and can be edited at any step", async () => {
  const { page, weights } = await visitBeforeWeights();
  await until(page, { source: "recorded" });
  await page.waitForSelector("#play-sign[d^=M]");
  await hurry(page);
  const expected = await recordedSheets();
  await until(page, { state: "recorded", step: String(expected.length - 1) });
  await page.waitForSelector(".settled");
  const text = await verse(page);
  weights.open();
  await until(page, { state: "done", source: "live", step: String(expected.length - 1) });
  assert.ok(await page.locator(".settled").count(), "the verse stays as it is");
  assert.equal(await verse(page), text);
  assert.match(await selfTest(page), /Self-testpassed: 8 steps/);
  await role(page, "slider", "Step").fill("40");
  await until(page, { state: "paused", step: "40" });
  assert.equal(await role(page, "textbox", "Text").inputValue(), expected[40]);
  // Letters that the record has at this step are noised again; what follows is what the same link computes from the start.
  const place = [...expected[40].replaceAll("\n", "")].findIndex((letter, at) => at > 40 && letter !== "_");
  await choose(page, place, place);
  await role(page, "toolbar", "Chosen text").getByRole("button", { name: "Noise again" }).click();
  await page.waitForSelector("#stage[data-state=running]");
  await done(page);
  assert.equal(await role(page, "radio", "B").isChecked(), true);
  const forked = await verse(page);
  const link = await copied(page, "Copy link");
  assert.match(link, new RegExp(`edit=40%3Anoise%3A${place}-${place}`));
  const { page: other } = await visit(new URL(link).hash);
  await done(other);
  assert.equal(await verse(other), forked);
});

test("weights that did not make the record begin a new sample, and are not compared with it", async () => {
  const trace = await shipped("trace.json");
  const { page } = await visit("", {
    prepare: async (page) => {
      await page.addInitScript(watchSheet);
      await page.route("**/trace.json?*", (route) => route.fulfill({ json: { ...trace, weights: "0123456789abcdef" } }));
    },
  });
  await page.waitForSelector("#stage[data-source=live]", { timeout: 120000 });
  await hurry(page);
  await done(page);
  assert.equal(await page.evaluate(() => window.passes), Math.max(...trace.revealedAt));
  assert.match(await selfTest(page), /Self-testpart of the bench/);
});

test("an engine whose text differs from the record fails the self-test, and shows its own text from the beginning", async () => {
  const trace = await shipped("trace.json");
  const early = trace.revealedAt.findIndex((step) => step === 1);
  const text = [...trace.text].map((letter, place) => (place === early ? (letter === "e" ? "a" : "e") : letter)).join("");
  const weights = gate();
  const { page } = await visit("", {
    prepare: async (page) => {
      await page.route("**/trace.json?*", (route) => route.fulfill({ json: { ...trace, text } }));
      await page.route("**/*.safetensors*", weights.hold);
    },
  });
  await until(page, { source: "recorded" });
  await page.waitForSelector("#play-sign[d^=M]");
  await role(page, "combobox", "Speed").selectOption("16 a sec.");
  weights.open();
  await page.waitForFunction(() => /Self-testFAILED: step \d+ of the recorded sample comes out otherwise here/.test(document.querySelector("#bench-facts").textContent), null, { timeout: 60000 });
  await until(page, { state: "recorded", step: String(Math.max(...trace.revealedAt)) });
  assert.equal(await verse(page), text);
  await page.waitForSelector("#stage[data-source=live]", { timeout: 60000 });
  await hurry(page);
  await done(page);
  assert.equal(await verse(page), trace.text);
});

test("a sample asked for before the weights are loaded begins with them, also where a link opened the page", async () => {
  const weights = gate();
  const { page } = await visit(quick, { prepare: (page) => page.route("**/*.safetensors*", weights.hold) });
  await until(page, { source: "recorded" });
  await page.waitForSelector("#play-sign[d^=M]");
  await role(page, "textbox", "Prompt").fill("JULIET:");
  await role(page, "button", "Sample").click();
  await until(page, { state: "loading" });
  weights.open();
  await done(page);
  assert.ok((await verse(page)).startsWith("JULIET:"));
});

test("of two models chosen one after the other only the last is loaded", async () => {
  const [entry] = await shipped("weights/index.json");
  const entries = [entry, { ...entry, name: "other", version: "other" }];
  const other = gate();
  const { page } = await visit(quick, {
    prepare: async (page) => {
      await page.route("**/weights/index.json?*", (route) => route.fulfill({ json: entries }));
      await page.route("**/*.safetensors?other", other.hold);
    },
  });
  await done(page);
  const atRest = page.workers().length;
  await role(page, "button", "More settings").click();
  const model = role(page, "combobox", "Model");
  await role(page, "option", "other").waitFor({ state: "attached" });
  await Promise.all([page.waitForRequest(/other/), model.selectOption("other")]);
  await model.selectOption(entry.name);
  await page.waitForFunction(() => document.querySelector("#progress").hidden);
  // The other one could come now, and is not fetched: it is no longer needed.
  other.open();
  await twoFrames(page);
  await workersEnd(page, atRest);
  await done(page);
  assert.equal(await model.inputValue(), entry.name);
  assert.equal((await page.locator("#colophon").textContent()).split(":")[0], entry.name);
});

test("without JavaScript the page shows the recorded verse", async () => {
  const html = await readFile(join(folder, "index.html"), "utf8");
  const { text } = await shipped("trace.json");
  const { page } = await visit("", { javaScriptEnabled: false });
  assert.equal(await page.locator("noscript article").textContent(), text);
  assert.doesNotMatch(html, /<!-- (still|verse) -->/);
  assert.doesNotMatch(html, / style=| on[a-z]+=/);
});

test("scripts, page, record and modules stay within their compressed sizes", async () => {
  const names = await readdir(folder);
  const sent = async (...patterns) => {
    const files = names.filter((name) => patterns.some((pattern) => pattern.test(name)));
    assert.ok(files.length);
    return Promise.all(files.map(async (name) => brotliCompressSync(await readFile(join(folder, name))).length));
  };
  const sum = (sizes) => sizes.reduce((a, b) => a + b);
  assert.ok(sum(await sent(/\.js$/)) <= 48e3);
  assert.ok(sum(await sent(/^index\.html$/, /\.css$/)) <= 14e3);
  assert.ok(sum(await sent(/^trace\.json$/)) <= 12e3);
  assert.ok(Math.max(...(await sent(/\.wasm$/))) <= 130e3);
});

test("without WebAssembly SIMD a sentence says so, and the recorded sample can be looked at", async () => {
  const { page, requests } = await visit("", { prepare: (page) => page.addInitScript(() => (WebAssembly.validate = () => false)) });
  assert.equal(await page.getByRole("alert").textContent(), "This browser lacks WebAssembly SIMD; you see a recorded sample.");
  await page.waitForFunction(() => Number(document.querySelector("#stage").dataset.step) >= 2);
  await role(page, "slider", "Step").focus();
  await page.keyboard.press("End");
  const { text } = await shipped("trace.json");
  assert.equal(await verse(page), text);
  assert.deepEqual(requests.filter((url) => /safetensors|wasm/.test(url)), []);
  for (const name of ["Run bench", "Verify"]) assert.ok(await role(page, "button", name).isDisabled());
});

test("weights that could not be fetched can be asked for again; cached ones are not fetched twice", async () => {
  let failing = true;
  const { page, requests } = await visit("", {
    mayFail: true,
    prepare: (page) => page.context().route("**/*.safetensors*", (route) => (failing ? route.abort() : route.continue())),
  });
  await page.getByText("The weights did not arrive.").waitFor();
  await until(page, { state: "error" });
  failing = false;
  await role(page, "button", "Try again").click();
  await page.waitForSelector("#stage[data-source=live]", { timeout: 120000 });
  await page.waitForFunction(async () => (await (await caches.open("folio-weights")).keys()).length);
  requests.length = 0;
  await page.reload();
  await page.waitForSelector("#stage[data-source=live]", { timeout: 120000 });
  assert.deepEqual(requests.filter((url) => url.includes("safetensors")), []);
});

test("an engine that could not be fetched is not reported as a broken file", async () => {
  let failing = true;
  const { page } = await visit("", {
    mayFail: true,
    prepare: (page) => page.context().route("**/*.wasm?*", (route) => (failing ? route.abort() : route.continue())),
  });
  await until(page, { state: "error" });
  assert.equal(await page.getByRole("alert").textContent(), "The engine did not arrive.");
  failing = false;
  await role(page, "button", "Try again").click();
  await page.waitForSelector("#stage[data-source=live]", { timeout: 120000 });
});

test("with reduced motion nothing plays by itself", async () => {
  const { page } = await visit("", { reducedMotion: "reduce", prepare: (page) => page.addInitScript(watch) });
  await page.waitForSelector("#stage[data-source=live][data-state=done]", { timeout: 120000 });
  await page.waitForSelector(".settled");
  assert.equal(await role(page, "button", "Play").count(), 1);
  const head = await stage(page).getAttribute("data-step");
  assert.deepEqual((await seen(page)).filter(({ step }) => step > 0 && step < Number(head)), []);
});

test("the presets set what they name, all else is the default; a first visit stands on one of them", async () => {
  const { page } = await visit("", { prepare: (page) => page.addInitScript(watchModels) });
  const preset = () => role(page, "radiogroup", "Preset").getByRole("radio", { checked: true }).evaluate((input) => input.parentElement.textContent);
  await page.waitForSelector("#stage[data-source=live]", { timeout: 120000 });
  assert.notEqual(await preset(), "Custom");
  await hurry(page);
  await done(page);
  await role(page, "button", "More settings").click();
  const field = (name) => role(page, "spinbutton", name);
  const presets = {
    masked: { Quick: ["spread", "16", false], Careful: ["spread", "128", true], "Watch it think": ["spread", "64", false] },
    gaussian: { Quick: ["ddpm", "32", false], Careful: ["churn", "256", false], "Watch it think": ["churn", "64", false] },
  };
  for (const [kind, wanted] of Object.entries(presets)) {
    if (kind === "gaussian") {
      await role(page, "radio", "Gaussian").check({ force: true });
      await turned(page, "Gaussian diffusion");
    }
    const defaults = await defaultsOf(page, kind);
    for (const [name, [sampler, steps, proofread]] of Object.entries(wanted)) {
      await field("Top-p").fill("0.5");
      assert.equal(await preset(), "Custom");
      await role(page, "radio", name).check({ force: true });
      assert.equal(await role(page, "combobox", "Sampler").inputValue(), sampler);
      assert.equal(await field("Steps").inputValue(), steps);
      assert.equal(await role(page, "checkbox", "Proofread").isChecked(), proofread, name);
      for (const [option, value] of [["Top-p", "top-p"], ["Rounds", "rounds"], ["Share", "proofread-share"]])
        assert.equal(await field(option).inputValue(), String(defaults[value]), option);
      assert.equal(await preset(), name);
    }
    assert.equal(await role(page, "combobox", "Speed").inputValue(), "6");
  }
});

test("the recorded sample has the defaults, lasts about eight seconds, and grows everywhere while the doubt falls", async () => {
  const { request, defaults, text, revealedAt, given } = await shipped("trace.json");
  for (const key of Object.keys(defaults)) if (!["prompt", "seed"].includes(key)) assert.equal(request[key], defaults[key], key);
  const steps = Math.max(...revealedAt);
  const { page } = await visit("", { prepare: (page) => page.route("**/*.safetensors*", gate().hold) });
  await until(page, { state: "recorded", source: "recorded" });
  const seconds = steps / Number(await role(page, "combobox", "Speed").inputValue());
  assert.ok(seconds >= 7 && seconds <= 9, `${seconds} s`);
  const half = revealedAt.map((step, place) => place >= given && step <= steps / 2);
  const rows = Array.from({ length: text.length / 32 }, (_, row) => half.slice(32 * row, 32 * row + 32).filter(Boolean).length);
  assert.ok(rows.every((letters) => letters > 0), `letters a row: ${rows}`);
  for (let row = 0; row < rows.length; row += 2) assert.ok(Math.abs(rows[row] + rows[row + 1] - 32) < 16, `letters a row: ${rows}`);
  // No pass fixes a whole neighbourhood.
  for (let step = 1; step <= steps; ++step) {
    const places = [...revealedAt.keys()].filter((place) => revealedAt[place] === step);
    assert.ok(places.length === 1 || places.at(-1) - places[0] > 1, `step ${step}: ${places}`);
  }
  const doubt = (await page.locator("#plot polyline.doubt").first().getAttribute("points")).split(" ").map((point) => -Number(point.split(",")[1]));
  const mean = (from, to) => doubt.slice(from, to).reduce((sum, height) => sum + height, 0) / (to - from);
  const quarter = Math.floor(doubt.length / 4);
  const quarters = [0, 1, 2, 3].map((at) => mean(at * quarter, (at + 1) * quarter));
  assert.deepEqual(quarters, [...quarters].sort((a, b) => b - a), "the doubt falls");
});

const shots = process.env.FOLIO_SCREENSHOTS;
before(async () => shots && mkdir(shots, { recursive: true }));

test("screenshots", { skip: !shots }, async () => {
  const scenes = [
    ["light", "&step=24&length=256&steps=64", { viewport: { width: 1280, height: 860 } }],
    ["dark", "&step=24&length=256&steps=64", { viewport: { width: 1280, height: 860 }, colorScheme: "dark" }],
    ["doubt", "&step=24&length=256&steps=64&show=doubt", { viewport: { width: 1280, height: 860 } }],
    ["verse", "&length=256&steps=16&step=16", { viewport: { width: 1280, height: 860 } }],
    ["tablet", "&step=24&length=256&steps=64", { viewport: { width: 820, height: 1180 } }],
    ["phone", "&step=24&length=256&steps=64", { viewport: { width: 375, height: 800 } }],
    ["gaussian", "&weights=gaussian-small&step=36&length=256&steps=64", { viewport: { width: 1280, height: 860 } }],
  ];
  for (const [name, rest, options] of scenes) {
    const { page } = await visit(`#v=1&prompt=ROMEO%3A&seed=1623${rest}`, options);
    await page.waitForSelector("#stage[data-source=live]:is([data-state=paused], [data-state=done])", { timeout: 240000 });
    if (name === "verse") await page.waitForSelector(".settled");
    await page.waitForTimeout(500);
    await page.screenshot({ path: join(shots, `${name}.png`), fullPage: name !== "light" && name !== "dark" && name !== "gaussian" });
  }
  const { page } = await visit("#v=1&prompt=ROMEO%3A&seed=1623&steps=16");
  await done(page);
  await race(page).getByRole("button", { name: "Run race", exact: true }).click();
  await raceSays(page, "Finished");
  await role(page, "slider", "Clock").fill("340");
  await race(page).screenshot({ path: join(shots, "race.png") });
});
