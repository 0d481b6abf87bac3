// The built page in Chromium, as a visitor meets it: node --test tests/page.test.mjs
//   FOLIO_SCREENSHOTS  where to leave the screenshots  (none)
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { before, test } from "node:test";
import { brotliCompressSync } from "node:zlib";
import {
  choose, defaultsOf, done, folder, hurry, isolated, late, plain, quick, role, seen, stage, stop, temporary, until, verse, visit, watch,
  watchModels, web,
} from "./page_support.mjs";

const shots = process.env.FOLIO_SCREENSHOTS;
before(async () => shots && mkdir(shots, { recursive: true }));

/** What the sheet must show at each step of the recorded sample. */
async function recordedSheets() {
  const { text, fixedAt } = JSON.parse(await readFile(join(folder, "trace.json"), "utf8"));
  const sheet = (step) => [...text].map((letter, place) => (fixedAt[place] > step ? "_" : letter === "\n" ? "\u21b5" : letter)).join("").match(/.{1,32}/gu).join("\n");
  return Array.from({ length: Math.max(...fixedAt) + 1 }, (_, step) => sheet(step));
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

test("a record plays first, and the engine goes on from the step on show without a jump", async () => {
  const { page } = await visit("", {
    prepare: async (page) => {
      await page.addInitScript(watchSheet);
      await page.route("**/*.safetensors*", late);
    },
  });
  await until(page, { state: "recorded", source: "recorded" });
  await page.waitForFunction(() => Number(document.querySelector("#stage").dataset.step) >= 2);
  assert.ok(await role(page, "progressbar", "Weights").isVisible());
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
  assert.equal(await verse(page), JSON.parse(await readFile(join(folder, "trace.json"), "utf8")).text);
});

test("a record that has ended goes live where it stands, and can be taken up at any step", async () => {
  let release;
  const held = new Promise((resolve) => (release = resolve));
  const { page } = await visit("", {
    prepare: async (page) => {
      await page.addInitScript(watchSheet);
      await page.route("**/*.safetensors*", async (route) => (await held, route.continue()));
    },
  });
  await until(page, { source: "recorded" });
  await page.waitForSelector("#play-sign[d^=M]");
  await hurry(page);
  const expected = await recordedSheets();
  await until(page, { state: "recorded", step: String(expected.length - 1) });
  await page.waitForSelector(".settled");
  const text = await verse(page);
  release();
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
  await role(page, "button", "Copy link").click();
  const link = await page.evaluate(() => navigator.clipboard.readText());
  assert.match(link, new RegExp(`edit=40%3Anoise%3A${place}-${place}`));
  const { page: other } = await visit(new URL(link).hash);
  await done(other);
  assert.equal(await verse(other), forked);
});

test("other weights than the record's begin anew, and are not tested by it", async () => {
  const trace = JSON.parse(await readFile(join(folder, "trace.json"), "utf8"));
  const { page } = await visit("", {
    prepare: async (page) => {
      await page.addInitScript(watchSheet);
      await page.route("**/trace.json", (route) => route.fulfill({ json: { ...trace, weights: "0123456789abcdef" } }));
    },
  });
  await page.waitForSelector("#stage[data-source=live]", { timeout: 120000 });
  await hurry(page);
  await done(page);
  assert.equal(await page.evaluate(() => window.passes), Math.max(...trace.fixedAt));
  assert.match(await selfTest(page), /Self-testpart of the bench/);
});

test("an engine that says something else than the record fails the self-test, and shows its own text from the beginning", async () => {
  const trace = JSON.parse(await readFile(join(folder, "trace.json"), "utf8"));
  const early = trace.fixedAt.findIndex((step) => step === 1);
  const text = [...trace.text].map((letter, place) => (place === early ? (letter === "e" ? "a" : "e") : letter)).join("");
  const { page } = await visit("", {
    prepare: async (page) => {
      await page.route("**/trace.json", (route) => route.fulfill({ json: { ...trace, text } }));
      await page.route("**/*.safetensors*", late);
    },
  });
  await until(page, { source: "recorded" });
  await page.waitForSelector("#play-sign[d^=M]");
  await role(page, "combobox", "Speed").selectOption("16 a sec.");
  await page.waitForFunction(() => /Self-testFAILED: step \d+ of the recorded sample comes out otherwise here/.test(document.querySelector("#bench-facts").textContent), null, { timeout: 60000 });
  await until(page, { state: "recorded", step: String(Math.max(...trace.fixedAt)) });
  assert.equal(await verse(page), text);
  await page.waitForSelector("#stage[data-source=live]", { timeout: 60000 });
  await hurry(page);
  await done(page);
  assert.equal(await verse(page), trace.text);
});

test("a sample asked for before the weights are here comes with them, also on a link's page", async () => {
  const { page } = await visit(quick, { prepare: (page) => page.route("**/*.safetensors*", late) });
  await until(page, { source: "recorded" });
  await page.waitForSelector("#play-sign[d^=M]");
  await role(page, "textbox", "Prompt").fill("JULIET:");
  await role(page, "button", "Sample").click();
  await until(page, { state: "loading" });
  await done(page);
  assert.ok((await verse(page)).startsWith("JULIET:"));
});

test("of two models that were chosen the last one comes", async () => {
  const [shelf] = JSON.parse(await readFile(join(folder, "weights/index.json"), "utf8"));
  const shelves = [shelf, { ...shelf, name: "other", version: "other" }];
  const { page } = await visit(quick, {
    prepare: async (page) => {
      await page.route("**/weights/index.json", (route) => route.fulfill({ json: shelves }));
      await page.route("**/*.safetensors?other", late);
    },
  });
  await done(page);
  await role(page, "button", "More settings").click();
  const model = role(page, "combobox", "Model");
  await role(page, "option", "other").waitFor({ state: "attached" });
  await Promise.all([page.waitForRequest(/other/), model.selectOption("other")]);
  await model.selectOption(shelf.name);
  await page.waitForFunction(() => document.querySelector("#progress").hidden);
  // The other one's time comes, and it keeps away: nobody waits for it any more.
  await page.waitForTimeout(2500);
  assert.equal(page.workers().filter((worker) => worker.url().endsWith("/worker.js")).length, 1);
  await done(page);
  assert.equal(await model.inputValue(), shelf.name);
  assert.equal((await page.locator("#colophon").textContent()).split(":")[0], shelf.name);
});

test("without a script there is still a poem", async () => {
  const html = await readFile(join(folder, "index.html"), "utf8");
  const { text } = JSON.parse(await readFile(join(folder, "trace.json"), "utf8"));
  const { page } = await visit("", { javaScriptEnabled: false });
  assert.equal(await page.locator("noscript article").textContent(), text);
  assert.doesNotMatch(html, /<!-- (still|verse) -->/);
  assert.doesNotMatch(html, / style=| on[a-z]+=/);
});

test("what is sent stays small", async () => {
  const names = await readdir(folder);
  const sent = async (...patterns) => {
    const files = names.filter((name) => patterns.some((pattern) => pattern.test(name)));
    assert.ok(files.length);
    return Promise.all(files.map(async (name) => brotliCompressSync(await readFile(join(folder, name))).length));
  };
  const sum = (sizes) => sizes.reduce((a, b) => a + b);
  assert.ok(sum(await sent(/\.js$/)) <= 45e3);
  assert.ok(sum(await sent(/\.html$/, /\.css$/)) <= 14e3);
  assert.ok(sum(await sent(/^trace\.json$/)) <= 12e3);
  assert.ok(Math.max(...(await sent(/\.wasm$/))) <= 130e3);
});

test("samples: the prompt is kept, the same seed gives the same text, another seed another", async () => {
  const { page } = await visit(quick);
  await done(page);
  await hurry(page);
  const first = await verse(page);
  assert.equal([...first].length, 64);
  assert.ok(first.startsWith("ROMEO:"));
  await role(page, "button", "More settings").click();
  // A seed that the visitor types is his, also where it is the same.
  await role(page, "textbox", "Seed").fill("7");
  await page.evaluate(watch);
  await role(page, "button", "Sample").click();
  await done(page);
  assert.ok((await seen(page)).some(({ state, step }) => state === "running" && step === 0));
  assert.equal(await verse(page), first);
  await role(page, "textbox", "Seed").fill("8");
  await role(page, "button", "Sample").click();
  await done(page);
  const other = await verse(page);
  assert.ok(other.startsWith("ROMEO:"));
  assert.notEqual(other, first);
  await role(page, "textbox", "Prompt").fill("JULIET:");
  await role(page, "button", "Sample").click();
  await done(page);
  assert.ok((await verse(page)).startsWith("JULIET:"));
  assert.match(page.url(), /prompt=JULIET%3A.*seed=8/);
  await page.goBack();
  await page.waitForFunction((text) => document.querySelector("#verse").textContent === text, other);
  await page.goBack();
  await page.waitForFunction((text) => document.querySelector("#verse").textContent === text, first);
});

test("a sample asked for again after it has finished comes with a new seed, by button and by key", async () => {
  const { page } = await visit(quick);
  await done(page);
  await hurry(page);
  const seeds = ["7"], texts = [await verse(page)];
  for (const ask of [() => role(page, "button", "Sample").click(), () => page.keyboard.press("s")]) {
    await ask();
    await page.waitForFunction((seed) => document.querySelector("#signature").textContent !== `Seed ${seed}`, seeds.at(-1));
    await done(page);
    seeds.push((await page.locator("#signature").textContent()).replace("Seed ", ""));
    texts.push(await verse(page));
    // The field shows it, link and command name it.
    assert.equal(await page.locator("#seed").inputValue(), seeds.at(-1));
    assert.match(page.url(), new RegExp(`&seed=${seeds.at(-1)}&`));
    assert.match(await page.locator("#command").textContent(), new RegExp(` --seed ${seeds.at(-1)} `));
    await page.evaluate(() => document.activeElement.blur());
  }
  assert.equal(new Set(texts).size, 3);
  // Another request keeps the seed.
  await role(page, "textbox", "Prompt").fill("JULIET:");
  await role(page, "button", "Sample").click();
  await page.waitForFunction(() => document.querySelector("#verse").textContent.startsWith("JULIET:"));
  assert.equal(await page.locator("#signature").textContent(), `Seed ${seeds.at(-1)}`);
});

test("of samples that overtake one another the last one counts, and plays", async () => {
  const { page } = await visit(quick);
  await done(page);
  await hurry(page);
  const text = await verse(page);
  for (const seed of [8, 9]) {
    await page.evaluate((hash) => (location.hash = hash), quick.replace("seed=7", `seed=${seed}`));
    await page.waitForFunction((name) => document.querySelector("#signature").textContent === name, `Seed ${seed}`);
    await done(page);
  }
  await page.evaluate(() => {
    for (const repeat of [false, false, true])
      document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "s", repeat, bubbles: true, cancelable: true }));
  });
  await done(page);
  assert.equal(await stage(page).getAttribute("data-step"), "8");
  assert.notEqual(await page.locator("#signature").textContent(), "Seed 9");
  // The one sample that came has one address.
  for (let back = 0; back < 3; ++back) await page.evaluate(() => history.back());
  await page.waitForFunction((name) => document.querySelector("#signature").textContent === name, "Seed 7");
  await done(page);
  assert.equal(await verse(page), text);
});

test("a sample that was stopped goes on, and every step is computed", async () => {
  const { page } = await visit("#v=1&length=256&steps=256&sampler=confidence&step=1");
  await until(page, { state: "paused", step: "1" });
  await role(page, "combobox", "Speed").selectOption("4 a sec.");
  await role(page, "button", "Play").click();
  await page.waitForFunction(() => Number(document.querySelector("#stage").dataset.step) >= 2);
  await stop(page);
  await until(page, { state: "paused" });
  await hurry(page);
  await role(page, "button", "Play").click();
  await until(page, { state: "done", step: "256" });
});

test("the same text with threads and without", async () => {
  const texts = [];
  for (const server of [isolated, plain]) {
    const { page } = await visit(quick, { server });
    await done(page);
    assert.equal(await page.evaluate(() => crossOriginIsolated), server === isolated);
    texts.push(await verse(page));
  }
  assert.equal(texts[0], texts[1]);
});

test("scrubs through the steps without computing", async () => {
  const { page } = await visit(quick);
  await done(page);
  const slider = role(page, "slider", "Step");
  await slider.focus();
  await page.keyboard.press("Home");
  assert.equal(await stage(page).getAttribute("data-step"), "0");
  assert.match(await slider.getAttribute("aria-valuetext"), /^Step 0 of 8, 6 of 64 characters fixed$/);
  const value = await role(page, "textbox", "Text").inputValue();
  assert.equal(value, "ROMEO:" + "_".repeat(26) + "\n" + "_".repeat(32));
  assert.equal(await role(page, "article", "Verse").count(), 0);
  await page.keyboard.press("ArrowRight");
  assert.equal(await stage(page).getAttribute("data-step"), "1");
  await page.keyboard.press("End");
  await until(page, { state: "done", step: "8" });
});

test("noises chosen letters again in a lane of their own; a link and a command tell the same story", async () => {
  const { page } = await visit(quick);
  await done(page);
  await hurry(page);
  const before = await verse(page);
  await choose(page, 40, 49);
  const toolbar = role(page, "toolbar", "Chosen text");
  await toolbar.getByText("10 characters").waitFor();
  await toolbar.getByRole("slider", { name: "How far back" }).fill("100");
  await toolbar.getByRole("button", { name: "Noise again" }).click();
  await page.waitForFunction(() => Number(document.querySelector("#stage").dataset.step) > 8);
  await done(page);
  assert.equal(await role(page, "radio", "B").isChecked(), true);
  const after = await verse(page);
  assert.equal(after.slice(0, 40) + after.slice(50), before.slice(0, 40) + before.slice(50));

  await role(page, "button", "Copy command line").click();
  const command = await page.evaluate(() => navigator.clipboard.readText());
  assert.match(command, /^folio sample --weights weights\/masked-.*\.safetensors --prompt ROMEO: --length 64 --seed 7 --sampler confidence --steps 8 --temperature 0\.8 --edit 8:noise:40-49$/);
  await role(page, "button", "Copy link").click();
  const link = await page.evaluate(() => navigator.clipboard.readText());
  const { page: other } = await visit(new URL(link).hash);
  await until(other, { state: "done", step: await stage(page).getAttribute("data-step") });
  assert.equal(await verse(other), after);

  await role(page, "radio", "A").check({ force: true });
  assert.equal(await verse(page), before);
  await role(page, "radio", "B").check({ force: true });
  await role(page, "button", "Compare with A").click();
  assert.equal(await role(page, "button", "Compare with A").getAttribute("aria-pressed"), "true");
});

const top = join(web, "..");
const program = resolve(process.env.FOLIO_PROGRAM ?? join(top, "build/release/folio"));
const pathWithProgram = { ...process.env, PATH: `${dirname(program)}:${process.env.PATH}` };
const links = [
  "prompt=ROMEO%3A%0AO%2C%20what's%20%26%20so&length=96&steps=12&temperature=0.7",
  "prompt=--%20but%20soft&length=48&steps=6&top-k=12&top-p=0.9",
  "text=To%20be%2C%20or%20____%20to%20be%3A%0A___%20is%20the%20________%0A%0AIt's%20______&steps=9",
  "prompt=JULIET%3A&length=64&steps=8&edit=3%3Anoise%3A10-40%3A60&edit=8%3Aopen%3A20-25&edit=9%3Aput%3A30%3A'&edit=9%3Aput%3A31%3A%0A&edit=4%3Akeep%3A7-12",
  ...["ancestral", "margin", "threshold", "entropy", "remask"].map((sampler) => `prompt=The%20&length=64&steps=12&sampler=${sampler}&temperature=0.9`),
  "prompt=KING%3A%0A&length=600&steps=5",
  "from-text=To%20be%2C%20or%20not%20to%20be%3A%0Athat%20is&steps=6&edit=2%3Akeep%3A0-4",
  "weights=gaussian-small&prompt=ROMEO%3A&length=64&steps=8&sampler=ddim&top-k=5",
  "weights=gaussian-small&prompt=KING&length=40&steps=12&edit=5%3Anoise%3A10-20%3A70&edit=12%3Anoise%3A20-30%3A40&edit=14%3Aput%3A12%3Ax",
  "weights=gaussian-small&text=To%20be%2C%20or%20____%20to%20be&steps=5&sampler=churn&temperature=0.9",
  "weights=gaussian-small&from-text=To%20be%2C%20or%20not%20to%20be%3A%0Athat%20is&steps=4",
  "weights=gaussian-article-small&prompt=The%20&length=48&steps=9",
  "v=2&prompt=ROMEO%3A&length=80",
  "v=2&prompt=ROMEO%3A&length=64&sampler=spread&steps=16&temperature=1.2&temperature-fall=0.7",
  "v=2&prompt=KING&length=64&sampler=spread&steps=9&temperature=1&temperature-fall=0.5&tau=0.3",
  "v=2&text=To%20be%2C%20or%20____%20to%20be&sampler=spread&steps=64&temperature=0.9",
  "v=2&weights=gaussian-small&prompt=ROMEO%3A&length=64&sampler=ddpm&steps=24&temperature=0.3&stop-stable=3",
  "v=2&weights=gaussian-small&prompt=ROMEO%3A&length=48&sampler=churn&steps=12&temperature=0.7&churn=0.4&temperature-fall=0.2",
  "v=2&weights=gpt-small&prompt=KING%3A&length=48&sampler=left-to-right&steps=64&temperature=0.7",
  "v=2&prompt=ROMEO%3A&length=64&sampler=spread&steps=8&temperature=0.9&proofread=gpt-small&rounds=2&proofread-share=0.2",
  "v=2&weights=gaussian-small&prompt=ROMEO%3A&length=64&sampler=ddpm&steps=12&temperature=0.8&proofread=gpt-small&rounds=2&proofread-share=0.1",
  "v=2&text=To%20be%2C%20or%20________%20to%20be&sampler=spread&steps=64&temperature=0.9&proofread=gpt-small&rounds=1&proofread-share=0.5&edit=2:noise:0-3",
];
test("a link and the command it gives write the same text, byte for byte", { skip: !existsSync(program) && "the program is not built" }, async () => {
  const written = [];
  for (const server of [isolated, plain]) {
    const { page } = await visit(`#v=1&seed=9&length=16&steps=1`, { server });
    for (const [seed, link] of links.entries()) {
      await page.evaluate((hash) => (location.hash = hash), `#${link.startsWith("v=") ? "" : "v=1&"}${link}&seed=${1000 + seed}`);
      await page.waitForFunction((name) => document.querySelector("#signature").textContent === name, `Seed ${1000 + seed}`);
      await hurry(page);
      await done(page);
      assert.doesNotMatch(await page.locator("#note").textContent(), /could not be read/, link);
      await role(page, "button", "Copy command line").click();
      const command = await page.evaluate(() => navigator.clipboard.readText());
      written[seed] ??= { command, text: execFileSync("/bin/sh", ["-c", `${command} --threads 2`], { cwd: top, env: pathWithProgram, encoding: "utf8" }) };
      assert.equal(command, written[seed].command);
      assert.equal(`${await verse(page)}\n`, written[seed].text, command);
    }
  }
});

test("a link restores step, show and letter, and says what it could not read", async () => {
  const { page } = await visit(`${quick}&step=4&show=doubt&char=20&temperature=hot`);
  await until(page, { state: "paused", source: "live", step: "4" });
  assert.equal(await role(page, "radio", "Doubt").isChecked(), true);
  assert.match(await role(page, "region", "Biography").textContent(), /row 1, column 21/);
  await page.getByText("Part of this link could not be read: temperature.").first().waitFor();
});

test("what a link says wrongly is named, all of it, and the rest applies", async () => {
  const unreadable = [
    ["sampler=foo&top-k=1.5", "top-k, sampler"], ["length=0&top-p=7&seed=18446744073709551616", "length, top-p, seed"],
    [`prompt=${"a".repeat(3000)}`, "prompt"], [`prompt=${"a".repeat(51)}&tau=sure`, "tau, prompt"], ["prompt=%FF%FE", "prompt"],
    ["text=%00%01", "text"], ["edit=2:put:3:\u00e9", "edit"], ["edit=2:open:9-4", "edit"], ["edit=2:keep:4-50", "edit"],
  ];
  const { page } = await visit("#v=1&steps=3&length=50");
  await done(page);
  for (const [index, [part, keys]] of unreadable.entries()) {
    // Its own number of steps tells each link's sample from the one before.
    const steps = 4 + index;
    const length = part.startsWith("length=0") ? 256 : 50;
    await page.evaluate((hash) => (location.hash = hash), `#v=1&steps=${steps}&${length === 50 ? "length=50&" : ""}${part}`);
    await page.waitForFunction((count) => document.querySelector("#run-count").textContent === count, `${steps} steps`);
    await done(page);
    assert.equal((await page.locator("#note").textContent()).trim(), `Part of this link could not be read: ${keys}.`);
    assert.equal(await page.getByRole("alert").count(), 0, part);
    assert.equal([...(await verse(page))].length, length, part);
  }
});

test("a field that holds what it may not is marked and said, and nothing is sampled", async () => {
  const { page } = await visit("#v=1&length=64&steps=8");
  await done(page);
  await hurry(page);
  // It names what is tuned, and of the rest what is not the baseline of its version.
  await page.waitForURL(/#v=2&length=64&sampler=confidence&steps=8&temperature=0\.8$/);
  const text = await verse(page);
  await role(page, "button", "More settings").click();
  const wrong = [["Steps", "0"], ["Steps", "99999"], ["Length", "100000"], ["Length", ""], ["Temperature", "-1"], ["Top-p", "7"],
    ["Temperature fall", "1.5"], ["Rounds", "-1"], ["Share", "2"], ["Threads", "999"], ["Seed", "abc"], ["Seed", "18446744073709551616"]];
  for (const [name, value] of wrong) {
    const field = role(page, name === "Seed" ? "textbox" : "spinbutton", name);
    if (await field.isDisabled()) continue;
    const before = await field.inputValue();
    await field.fill(value);
    assert.equal(await field.getAttribute("aria-invalid"), "true", name);
    assert.match(await page.locator("#complaint").textContent(), new RegExp(`^${name} must be a (whole )?number from \\d+ to \\d+\\.$`));
    await role(page, "button", "Sample").click();
    assert.equal(await page.evaluate(() => document.activeElement.getAttribute("aria-label")), name);
    assert.equal(await stage(page).getAttribute("data-state"), "done");
    await field.fill(before);
    assert.equal(await field.getAttribute("aria-invalid"), null, name);
  }
  assert.equal(await page.locator("#complaint").isVisible(), false);
  assert.equal(await verse(page), text);
});

test("typing fixes letters, and a sample fills what lies between", async () => {
  const { page } = await visit(quick);
  await done(page);
  await hurry(page);
  await choose(page, 32, 31);
  await page.keyboard.type("To be, or");
  await page.waitForFunction(() => document.querySelector("#text").value.includes("To be, or"));
  await page.keyboard.press("Delete");
  await page.waitForFunction(() => document.querySelector("#text").value.slice(33).startsWith("To be, or_"));
  await page.keyboard.type("\u00e9");
  await page.getByText("The model does not know \u00e9.").first().waitFor();
  await page.keyboard.press("Escape");
  await role(page, "button", "Sample").click();
  await page.waitForFunction(() => document.querySelector("#stage").dataset.step === "8");
  await done(page);
  const text = await verse(page);
  assert.ok(text.startsWith("ROMEO:"));
  assert.equal(text.slice(32, 41), "To be, or");
  assert.match(await page.locator("#command").textContent(), /^folio infill .*--text 'ROMEO:_{26}To be, or_{23}' --seed 7/);
});

test("a lane forks off behind an edit that was planned for later than the end", async () => {
  const { page } = await visit(`${quick}&edit=100:noise:20-29`);
  await done(page);
  const text = await verse(page);
  const step = await stage(page).getAttribute("data-step");
  await page.keyboard.press("f");
  await page.waitForFunction(() => document.querySelectorAll("#lane input").length === 2);
  await until(page, { state: "done", step });
  assert.equal(await page.getByRole("alert").count(), 0);
  assert.equal(await verse(page), text);
  assert.match(await page.locator("#command").textContent(), /--edit 8:noise:20-29$/);
});

test("keeps and releases letters, and opens places", async () => {
  const { page } = await visit(quick);
  await done(page);
  await choose(page, 10, 14);
  await page.getByRole("button", { name: "Keep", exact: true }).click();
  await page.getByRole("button", { name: "Release", exact: true }).click();
  await page.waitForFunction(() => document.querySelector("#text").value.slice(10, 15) === "_____");
  await until(page, { state: "paused" });
});

test("takes another letter instead", async () => {
  const { page } = await visit(`${quick}&char=30`);
  await done(page);
  await hurry(page);
  const take = role(page, "region", "Biography").getByRole("button", { name: /^Take .* instead$/ }).first();
  const name = (await take.getAttribute("aria-label")).match(/^Take (.*) instead$/)[1];
  await take.click();
  await page.waitForSelector("#lanes:not([hidden])");
  await done(page);
  const letter = { space: " ", "line end": "\n" }[name] ?? name;
  assert.equal([...(await verse(page))][30], letter);
  assert.match(await page.locator("#command").textContent(), /--edit .*\d+:put:30:/);
});

test("the keyboard alone is enough", async () => {
  const { page } = await visit(quick);
  await done(page);
  await page.keyboard.press("Home");
  assert.equal(await stage(page).getAttribute("data-step"), "0");
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("Shift+ArrowRight");
  await until(page, { step: "8" });
  await page.keyboard.press("d");
  assert.equal(await role(page, "radio", "Doubt").isChecked(), true);
  await page.keyboard.press("d");
  await page.keyboard.press("f");
  await page.waitForFunction(() => document.querySelectorAll("#lane input").length === 2);
  await page.keyboard.press("l");
  assert.equal(await role(page, "radio", "A").isChecked(), true);
  await page.keyboard.press("s");
  await until(page, { state: "running" });
  assert.equal(await stage(page).getAttribute("aria-busy"), "true");
  await page.keyboard.press("Escape");
  await page.waitForFunction(() => document.querySelector("#stage").dataset.state !== "running");
  await page.keyboard.press("s");
  await done(page);
  await choose(page, 20, 25);
  await page.keyboard.press("Control+Enter");
  await page.waitForSelector("#lanes:not([hidden])");
  await page.keyboard.press("Escape");
  assert.notEqual(await page.evaluate(() => document.activeElement.id), "text");
  await page.keyboard.press("?");
  assert.ok(await page.locator("#shortcut-list").isVisible());
  // Every stop of the tabulator is visible and named.
  const stops = new Set();
  for (let stop = 0; stop < 60; ++stop) {
    await page.keyboard.press("Tab");
    const { name, visible } = await page.evaluate(() => {
      const { activeElement: element } = document;
      const label = element.labels?.[0]?.textContent;
      const { width, height } = element.getBoundingClientRect();
      return {
        name: element === document.body ? "the end" : (element.getAttribute("aria-label") || label || element.textContent).trim(),
        visible: element.checkVisibility({ visibilityProperty: true }) && width > 0 && height > 0,
      };
    });
    assert.ok(name && visible, `${name} after ${[...stops].join(", ")}`);
    stops.add(name);
  }
  assert.ok(stops.size > 30, [...stops].join(", "));
});

test("what goes does not take the focus with it", async () => {
  const { page } = await visit(quick);
  await done(page);
  const focused = () => page.evaluate(() => document.activeElement.id);
  await choose(page, 20, 25);
  await page.focus("#noise");
  await page.keyboard.press("Enter");
  await page.waitForSelector("#toolbar", { state: "hidden" });
  assert.equal(await focused(), "text");
  await done(page);
  await choose(page, 20, 25);
  await page.focus("#keep");
  await page.keyboard.press("Escape");
  assert.equal(await focused(), "text");
});

test("an address that says nothing leaves the sample alone", async () => {
  const { page } = await visit(quick);
  await done(page);
  await hurry(page);
  await role(page, "textbox", "Prompt").fill("JULIET:");
  await role(page, "button", "Sample").click();
  await done(page);
  await role(page, "link", "Folio").click();
  await page.evaluate(() => (location.hash = ""));
  await page.waitForTimeout(500);
  await done(page);
  assert.ok((await verse(page)).startsWith("JULIET:"));
});

test("the status region tells the end, with the verse", async () => {
  const { page } = await visit("");
  await page.waitForSelector("#stage[data-source=live]", { timeout: 120000 });
  await page.evaluate((hash) => (location.hash = hash), quick);
  await page.waitForFunction(() => document.querySelector("[role=status]").textContent.startsWith("Finished. ROMEO:"), null, { timeout: 60000 });
});

test("without SIMD: the sentence, and the record to look at", async () => {
  const { page, requests } = await visit("", { prepare: (page) => page.addInitScript(() => (WebAssembly.validate = () => false)) });
  assert.equal(await page.getByRole("alert").textContent(), "This browser lacks WebAssembly SIMD; you see a recorded sample.");
  await page.waitForFunction(() => Number(document.querySelector("#stage").dataset.step) >= 2);
  await role(page, "slider", "Step").focus();
  await page.keyboard.press("End");
  const { text } = JSON.parse(await readFile(join(folder, "trace.json"), "utf8"));
  assert.equal(await verse(page), text);
  assert.deepEqual(requests.filter((url) => /safetensors|wasm/.test(url)), []);
  assert.ok(await role(page, "button", "Run bench").isDisabled());
});

test("a broken file is refused in a sentence, and the old model stays", async () => {
  const { page } = await visit(quick);
  await done(page);
  const text = await verse(page);
  await role(page, "button", "More settings").click();
  const chooser = page.waitForEvent("filechooser");
  await role(page, "button", "Open weights").click();
  await (await chooser).setFiles({ name: "broken.safetensors", mimeType: "", buffer: Buffer.from("not a model at all") });
  await page.waitForFunction(() => document.querySelector("[role=alert]").textContent.startsWith("This file is not a model Folio can read: "));
  assert.match(await page.getByRole("alert").textContent(), /: .+\.$/);
  await hurry(page);
  await role(page, "textbox", "Seed").fill("9");
  await role(page, "button", "Sample").click();
  await page.waitForFunction((old) => document.querySelector("#verse").textContent !== old, text);
  await done(page);
  assert.equal(await page.getByRole("alert").count(), 0);
});

test("weights that do not arrive can be asked for again; kept ones are not fetched twice", async () => {
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

test("an engine that does not arrive is no broken file", async () => {
  let failing = true;
  const { page } = await visit("", {
    mayFail: true,
    prepare: (page) => page.context().route("**/*.wasm", (route) => (failing ? route.abort() : route.continue())),
  });
  await until(page, { state: "error" });
  assert.equal(await page.getByRole("alert").textContent(), "The engine did not arrive.");
  failing = false;
  await role(page, "button", "Try again").click();
  await page.waitForSelector("#stage[data-source=live]", { timeout: 120000 });
});

test("an unknown character in the prompt is named, and the sheet stays", async () => {
  const { page } = await visit(quick);
  await done(page);
  const text = await verse(page);
  await role(page, "textbox", "Prompt").fill("Rom\u00e9o");
  await role(page, "button", "Sample").click();
  await page.waitForFunction(() => document.querySelector("[role=alert]").textContent.length > 10);
  assert.match(await page.getByRole("alert").textContent(), /\u00e9/);
  await done(page);
  assert.equal(await verse(page), text);
});

test("a refused sample leaves the lanes and the address alone", async () => {
  const { page } = await visit(quick);
  await done(page);
  await page.keyboard.press("f");
  await page.waitForFunction(() => document.querySelectorAll("#lane input").length === 2);
  await page.waitForTimeout(400);
  const address = page.url();
  await role(page, "textbox", "Prompt").fill("Rom\u00e9o");
  await role(page, "button", "Sample").click();
  await page.getByRole("alert").waitFor();
  await done(page);
  assert.equal(await page.locator("#lane input").count(), 2);
  assert.equal(page.url(), address);
});

test("a click lets the choice go", async () => {
  const { page } = await visit(quick);
  await done(page);
  await choose(page, 10, 14);
  // As slow as a hand: the browser tells of the new selection before the button is up.
  await page.locator("#text").click({ position: { x: 60, y: 40 }, delay: 200 });
  await page.waitForSelector("#toolbar[hidden]", { state: "attached" });
  await role(page, "region", "Biography").getByText(/row 2, column 3/).waitFor();
});

test("copies and cuts the sample's own letters", async () => {
  const { page } = await visit(quick);
  await done(page);
  const text = await verse(page);
  await choose(page, 28, 35);
  await page.keyboard.press("Control+C");
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), text.slice(28, 36));
  await page.keyboard.press("Control+X");
  await page.waitForFunction(() => document.querySelector("#text").value.slice(28, 37) === "____\n____");
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), text.slice(28, 36));
  await page.keyboard.press("Control+C");
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), "________");
});

async function save(page, kind) {
  await role(page, "button", "Save").click();
  const [download] = await Promise.all([page.waitForEvent("download"), page.locator(`[data-save=${kind}]`).click()]);
  return readFile(await download.path(), "utf8");
}
const steps = (trace) => trace.trim().split("\n").map((line) => JSON.parse(line));
/** The command that the page gives traces what the page saves. */
async function sameTrace(page) {
  if (!existsSync(program)) return;
  const command = await page.locator("#command").textContent();
  const file = join(temporary, "trace.jsonl");
  execFileSync("/bin/sh", ["-c", `${command} --trace ${file}`], { cwd: top, env: pathWithProgram });
  assert.deepEqual(steps(await save(page, "trace")), steps(await readFile(file, "utf8")));
}

test("saves text, trace and picture", async () => {
  const { page } = await visit(quick);
  await done(page);
  assert.equal(await save(page, "text"), await verse(page));
  const trace = steps(await save(page, "trace"));
  assert.deepEqual(trace.map(({ step }) => step), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
  assert.equal(trace[8].text, await verse(page));
  await sameTrace(page);
  // Also of a lane that was forked by an edit.
  await choose(page, 40, 49);
  await role(page, "toolbar", "Chosen text").getByRole("button", { name: "Noise again" }).click();
  await page.waitForFunction(() => Number(document.querySelector("#stage").dataset.step) > 8);
  await done(page);
  await sameTrace(page);
  assert.match(await save(page, "image"), /^<svg [^]*<metadata>http[^]*seed=7[^]*<\/svg>\n$/);
});

test("asked for stillness, nothing plays by itself", async () => {
  const { page } = await visit("", { reducedMotion: "reduce", prepare: (page) => page.addInitScript(watch) });
  await page.waitForSelector("#stage[data-source=live][data-state=done]", { timeout: 120000 });
  await page.waitForSelector(".settled");
  assert.equal(await role(page, "button", "Play").count(), 1);
  const head = await stage(page).getAttribute("data-step");
  assert.deepEqual((await seen(page)).filter(({ step }) => step > 0 && step < Number(head)), []);
});

test("a finished sample settles into verse that can be chosen from", async () => {
  const { page } = await visit(quick);
  await done(page);
  await page.waitForSelector(".settled");
  const box = await page.locator("#verse").evaluate((article) => {
    const range = document.createRange();
    const text = article.querySelector(".line:last-child").lastChild;
    range.setStart(text, 2);
    range.setEnd(text, 6);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    return range.toString();
  });
  await role(page, "toolbar", "Chosen text").getByRole("button", { name: "Copy" }).click();
  await page.getByText("The chosen text is copied.").first().waitFor();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), box);
});

const gpt = join(top, "tests/golden/exact-gpt.safetensors");
async function openWeights(page, file) {
  const chooser = page.waitForEvent("filechooser");
  await role(page, "button", "Open weights").last().click();
  await (await chooser).setFiles(file);
}
/** The command that the page gives, and the text it writes among the golden weights; false where there is no program. */
async function commanded(page) {
  await role(page, "button", "Copy command line").click();
  const command = await page.evaluate(() => navigator.clipboard.readText());
  const golden = command.replace("weights/gpt-golden", "exact-gpt");
  return { command, text: existsSync(program) && execFileSync("/bin/sh", ["-c", golden], { cwd: dirname(gpt), env: pathWithProgram, encoding: "utf8" }).slice(0, -1) };
}
const offered = (page, name) => role(page, "radiogroup", name).getByRole("radio").evaluateAll((inputs) => inputs.map((input) => input.parentElement.textContent));

test("a model that writes from left to right is shown as one: its own options, words and text", async () => {
  const { page } = await visit(quick);
  await done(page);
  await hurry(page);
  const own = ["Steps", "Temperature fall", "Tau", "Rounds", "Share"];
  await role(page, "button", "More settings").click();
  await role(page, "combobox", "Sampler").selectOption("threshold");
  for (const name of own) assert.ok(await role(page, "spinbutton", name).isVisible(), name);
  for (const name of ["Churn", "Stop when stable"]) assert.equal(await role(page, "spinbutton", name).count(), 0, name);
  assert.ok(await role(page, "checkbox", "Proofread").isVisible());
  // What has gone may hold what it likes.
  await role(page, "spinbutton", "Tau").fill("7");
  await openWeights(page, gpt);
  await page.waitForFunction(() => document.querySelector("#model").value.startsWith("exact-gpt@"));
  await page.waitForFunction(() => document.querySelector("#stage").dataset.step === "58");
  await done(page);
  assert.equal(await page.getByRole("alert").count(), 0);
  for (const name of own) assert.equal(await role(page, "spinbutton", name).count(), 0, name);
  assert.equal(await role(page, "checkbox", "Proofread").count(), 0);
  assert.ok(await role(page, "spinbutton", "Temperature").isVisible());
  assert.equal(await page.locator("#complaint").isVisible(), false);
  assert.deepEqual(await role(page, "combobox", "Sampler").locator("option").allTextContents(), ["left-to-right"]);
  assert.deepEqual(await offered(page, "Process"), ["Masked", "Gaussian", "Left to right"]);
  assert.ok(await role(page, "radio", "Left to right").isChecked());
  assert.match(await page.locator(".runhead").innerText(), /^Left to right/);
  assert.match(await page.locator(".lede:visible").textContent(), /from left to right.* no diffusion/);
  assert.equal(await page.locator(".lede:visible").count(), 1);
  assert.ok(await page.getByText("What follows tells of masked diffusion").isVisible());
  assert.match(await page.locator("#colophon").textContent(), /^exact-gpt@[0-9a-f]+: writes from left to right, /);
  assert.match(await page.locator("#plot").textContent(), /empty places/);
  const text = await verse(page);
  assert.ok(text.startsWith("ROMEO:"));
  const first = await commanded(page);
  assert.equal(first.command, "folio sample --weights exact-gpt.safetensors --prompt ROMEO: --length 64 --seed 7 --temperature 0.8");
  if (first.text !== false) assert.equal(first.text, text);
  // Half way: what stands further on is empty, and a caret stands where the next letter comes.
  await role(page, "slider", "Step").fill("20");
  assert.equal((await role(page, "textbox", "Text").inputValue()).replace("\n", "").indexOf("_"), 26);
  const image = await save(page, "image");
  assert.doesNotMatch(image, /\u00b7/);
  assert.equal(image.match(/<path /g).length, 6 + 1);
  assert.equal(await role(page, "region", "Biography").locator("figure").count(), 0);
  // Presets are its own.
  await role(page, "radio", "Careful").check({ force: true });
  assert.equal(await role(page, "spinbutton", "Temperature").inputValue(), "0.7");
  await role(page, "radio", "Watch it think").check({ force: true });
  assert.equal(await role(page, "combobox", "Speed").inputValue(), "12");
  assert.equal(await role(page, "radio", "Watch it think").isChecked(), true);
  await hurry(page);
  assert.equal(await role(page, "radio", "Quick").isChecked(), true);
  // The masked model brings back its own.
  const [shelf] = JSON.parse(await readFile(join(folder, "weights/index.json"), "utf8"));
  await role(page, "combobox", "Model").selectOption(shelf.name);
  await page.waitForFunction(() => document.querySelector(".runhead").innerText.startsWith("Masked diffusion"));
  await done(page);
  assert.equal(await page.getByRole("alert").count(), 0);
  assert.equal(await role(page, "combobox", "Sampler").inputValue(), "spread");
  assert.ok(await role(page, "spinbutton", "Steps").isVisible());
  assert.ok(await role(page, "radio", "Masked").isChecked());
  assert.match(await page.locator(".lede:visible").textContent(), /characters of noise/);
});

test("from left to right, edits, links and commands tell the same story", async () => {
  const { page } = await visit(quick);
  await done(page);
  await hurry(page);
  await role(page, "button", "More settings").click();
  await openWeights(page, gpt);
  await page.waitForFunction(() => document.querySelector("#stage").dataset.step === "58");
  await done(page);
  const before = await verse(page);
  await choose(page, 20, 29);
  await role(page, "toolbar", "Chosen text").getByRole("button", { name: "Noise again" }).click();
  await page.waitForFunction(() => Number(document.querySelector("#stage").dataset.step) === 68);
  await done(page);
  const after = await verse(page);
  assert.equal(after.slice(0, 20) + after.slice(30), before.slice(0, 20) + before.slice(30));
  const edited = await commanded(page);
  assert.match(edited.command, /--seed 7 --temperature 0\.8 --edit 58:noise:20-29$/);
  if (edited.text !== false) assert.equal(edited.text, after);
  await role(page, "button", "Copy link").click();
  const link = await page.evaluate(() => navigator.clipboard.readText());
  assert.match(link, /&sampler=left-to-right&steps=\d+&temperature=0\.8&edit=/);
  const { page: other } = await visit(new URL(link).hash);
  await other.getByText(/^This link was made with other weights, exact-gpt@/).first().waitFor();
  await role(other, "button", "More settings").click();
  await openWeights(other, gpt);
  await other.waitForFunction(() => document.querySelector("#model").value.startsWith("exact-gpt@"));
  await hurry(other);
  await until(other, { state: "done", source: "live", step: "68" });
  assert.equal(await verse(other), after);
  // Another letter taken, and letters typed further on, which stay and are not looked at.
  await role(page, "slider", "Step").fill("10");
  await choose(page, 40, 39);
  await page.keyboard.type("Tybalt");
  await page.waitForFunction(() => document.querySelector("#text").value.includes("Tybalt"));
  await page.keyboard.press("Escape");
  await role(page, "button", "Play").click();
  await done(page);
  const typed = await verse(page);
  assert.equal(typed.slice(0, 16) + typed.slice(40, 46), before.slice(0, 16) + "Tybalt");
  assert.equal(typed.slice(16, 40), before.slice(16, 40));
  const put = await commanded(page);
  if (put.text !== false) assert.equal(put.text, typed);
});

test("a model from left to right can be on the shelf, and a link's options that it lacks are left out", async () => {
  const [shelf] = JSON.parse(await readFile(join(folder, "weights/index.json"), "utf8"));
  const bytes = await readFile(gpt);
  const version = createHash("sha256").update(bytes).digest("hex").slice(0, 16);
  const shelves = [shelf, { name: "gpt-golden", file: "gpt-golden.safetensors", process: "ar", bytes: bytes.length, version, card: "" }];
  const prepare = async (page) => {
    await page.route("**/weights/index.json", (route) => route.fulfill({ json: shelves }));
    await page.route("**/gpt-golden.safetensors?*", (route) => route.fulfill({ body: bytes }));
  };
  const { page } = await visit("#v=1&weights=gpt-golden&prompt=KING&length=40&steps=7&tau=0.3&sampler=entropy", { prepare });
  await until(page, { state: "done", source: "live", step: "36" });
  assert.equal((await page.locator("#note").textContent()).trim(), "Part of this link could not be read: sampler.");
  const { command, text } = await commanded(page);
  assert.equal(command, "folio sample --weights weights/gpt-golden.safetensors --prompt KING --length 40 --temperature 0.8");
  if (text !== false) assert.equal(text, await verse(page));
  // While the record of the masked model plays there is nothing to hand over to: its request begins anew.
  const { page: fresh } = await visit("", { prepare });
  await until(fresh, { source: "recorded" });
  await fresh.waitForSelector("#play-sign[d^=M]");
  await role(fresh, "button", "More settings").click();
  await openWeights(fresh, gpt);
  await fresh.waitForFunction(() => document.querySelector("#stage").dataset.source === "live" && document.querySelector("#model").value.startsWith("exact-gpt@"));
  await hurry(fresh);
  await until(fresh, { state: "done", source: "live", step: "250" });
  assert.match(await fresh.locator(".runhead").innerText(), /^Left to right/);
  assert.equal(await fresh.getByRole("alert").count(), 0);
});

/** The text that the page's command writes; undefined where there is no program. */
async function written(page) {
  await role(page, "button", "Copy command line").click();
  const command = await page.evaluate(() => navigator.clipboard.readText());
  return existsSync(program) ? execFileSync("/bin/sh", ["-c", command], { cwd: top, env: pathWithProgram, encoding: "utf8" }).slice(0, -1) : undefined;
}
const gaussian = "#v=1&weights=gaussian-small&prompt=ROMEO%3A&length=64&seed=7&steps=24&sampler=ddim";
const turned = (page, words) => page.waitForFunction((begin) => document.querySelector(".runhead").innerText.startsWith(begin), words, { timeout: 60000 });

test("the processes are turned to by hand and by key, each with its own options, words and presets", async () => {
  const { page } = await visit(quick);
  await done(page);
  await hurry(page);
  await role(page, "button", "More settings").click();
  const models = await role(page, "combobox", "Model").locator("option").allTextContents();
  for (const name of ["masked-small", "gaussian-small", "gaussian-article-small", "gpt-small"]) assert.ok(models.includes(name), name);
  assert.deepEqual(await offered(page, "Process"), ["Masked", "Gaussian", "Left to right"]);
  await role(page, "radio", "Gaussian").check({ force: true });
  await turned(page, "Gaussian diffusion");
  await done(page);
  assert.equal(await role(page, "combobox", "Model").inputValue(), "gaussian-small");
  assert.deepEqual(await role(page, "combobox", "Sampler").locator("option").allTextContents(), ["ddpm", "ddim", "churn"]);
  for (const name of ["Tau", "Gamma", "Eta"]) assert.equal(await role(page, "spinbutton", name).count(), 0, name);
  for (const name of ["Temperature fall", "Stop when stable", "Rounds", "Share"]) assert.ok(await role(page, "spinbutton", name).isVisible(), name);
  assert.match(await page.locator(".lede:visible").textContent(), /blurs/);
  assert.equal(await page.locator(".lede:visible").count(), 1);
  assert.match(await page.locator("#colophon").textContent(), /^gaussian-small: takes away noise that blurs letters, /);
  // The request stays what it was, but for a sampler that it could not name.
  await page.waitForFunction(() => /weights=gaussian-small&prompt=ROMEO%3A&length=64&seed=7&sampler=\w+&steps=8&temperature=0\.8$/.test(location.hash));
  await hurry(page);
  await page.evaluate(() => document.activeElement.blur());
  await page.keyboard.press("3");
  await turned(page, "Left to right");
  await done(page);
  assert.equal(await role(page, "button", "Noise the text").count(), 0);
  await page.keyboard.press("1");
  await turned(page, "Masked diffusion");
  await done(page);
  assert.equal(await page.getByRole("alert").count(), 0);
});

test("weights of another process that do not arrive leave the process as it is", async () => {
  const { page } = await visit(quick, { mayFail: true, prepare: (page) => page.route("**/gaussian-small.safetensors*", (route) => route.abort()) });
  await done(page);
  const text = await verse(page);
  await role(page, "radio", "Gaussian").check({ force: true });
  await page.getByText("The weights did not arrive.").waitFor();
  assert.ok(await role(page, "radio", "Masked").isChecked());
  assert.equal(await verse(page), text);
});

test("Gaussian diffusion is a blur that sharpens: letters settle, the timeline counts changes, a life is told", async () => {
  const { page } = await visit(`${gaussian}&char=30`);
  await done(page);
  await hurry(page);
  const text = await verse(page);
  assert.equal(text, (await written(page)) ?? text);
  const slider = role(page, "slider", "Step");
  const settled = async (step) => {
    await slider.fill(String(step));
    const [, told] = /^Step \d+ of 24, (\d+) of 64 characters settled$/.exec(await slider.getAttribute("aria-valuetext"));
    return Number(told);
  };
  const counts = [];
  for (const step of [0, 6, 12, 18, 24]) counts.push(await settled(step));
  assert.deepEqual([counts[0], counts[4]], [6, 64]);
  assert.deepEqual(counts, [...counts].sort((a, b) => a - b));
  await slider.fill("12");
  // What stands is what the end has.
  const value = (await role(page, "textbox", "Text").inputValue()).replace("\n", "").replaceAll("\u21b5", "\n");
  [...value].forEach((letter, place) => letter === "_" || assert.equal(letter, text[place], `place ${place}`));
  assert.equal(value.replaceAll("_", "").length, counts[2]);
  assert.match(await page.locator("#plot").textContent(), /letters changed at each step/);
  assert.match(await role(page, "region", "Biography").textContent(), /Settled at step \d+ of 24|Still unsettled at step 12/);
  assert.equal(await role(page, "region", "Biography").locator("figure polyline").count(), 4);
  assert.ok((await save(page, "image")).match(/ opacity="0\.\d+"/g).length > 20);
  for (const show of ["Doubt", "Order"]) await role(page, "radio", show).check({ force: true });
});

test("Gaussian letters are noised again, kept, typed and taken, wherever a fork begins", async () => {
  const { page } = await visit(gaussian);
  await done(page);
  await hurry(page);
  const before = await verse(page);
  const toolbar = role(page, "toolbar", "Chosen text");
  // Behind the end: the time that the letters go back to is the share of the passes.
  await choose(page, 40, 49);
  await toolbar.getByRole("slider", { name: "How far back" }).fill("50");
  await toolbar.getByRole("button", { name: "Noise again" }).click();
  await until(page, { state: "done", step: "36" });
  const again = await verse(page);
  assert.equal(again.slice(0, 40) + again.slice(50), before.slice(0, 40) + before.slice(50));
  assert.equal(again, (await written(page)) ?? again);
  assert.match(await page.locator("#command").textContent(), /--edit 24:noise:40-49:50$/);
  // On the way, at a step whose state is not kept: letters that stand are kept, others noised and typed.
  await role(page, "slider", "Step").fill("19");
  const value = (await role(page, "textbox", "Text").inputValue()).replace("\n", "");
  const stands = [...value].findIndex((letter, place) => place > 6 && !["_", "\u21b5"].includes(letter));
  await choose(page, stands, stands);
  await toolbar.getByRole("button", { name: "Keep" }).click();
  await page.waitForSelector("#lanes input >> nth=2");
  await page.keyboard.press("Escape");
  await choose(page, 50, 49);
  await page.keyboard.type("sweet");
  await page.waitForFunction(() => document.querySelector("#text").value.includes("sweet"));
  await page.keyboard.press("Escape");
  await choose(page, 32, 41);
  await toolbar.getByRole("slider", { name: "How far back" }).fill("100");
  await toolbar.getByRole("button", { name: "Noise again" }).click();
  await until(page, { state: "done", step: "24" });
  const text = await verse(page);
  assert.equal(text[stands], value[stands]);
  assert.equal(text.slice(50, 55), "sweet");
  await sameTrace(page);
  assert.match(await page.locator("#command").textContent(), /--edit 19:noise:32-41$/);
  assert.equal(text, (await written(page)) ?? text);
  await role(page, "button", "Copy link").click();
  const link = await page.evaluate(() => navigator.clipboard.readText());
  const { page: other } = await visit(new URL(link).hash);
  await done(other);
  assert.equal(await verse(other), text);
});

test("a finished text goes into noise and comes back as another", async () => {
  for (const [hash, process] of [[quick, "masked"], [gaussian.replace("steps=24", "steps=8"), "gaussian"]]) {
    const { page } = await visit(hash);
    await done(page);
    await hurry(page);
    const text = await verse(page);
    const steps = Number(await stage(page).getAttribute("data-step"));
    await role(page, "button", "Noise the text").click();
    await until(page, { state: "done", step: String(2 * steps) });
    const back = await verse(page);
    assert.notEqual(back, text);
    assert.equal([...back].length, 64);
    assert.equal(back, (await written(page)) ?? back);
    assert.match(await page.locator("#command").textContent(), / --from-text '/);
    assert.match(page.url(), /from-text=ROMEO%3A/);
    const slider = role(page, "slider", "Step");
    await slider.fill("0");
    assert.match(await slider.getAttribute("aria-valuetext"), /, 64 of 64 characters /);
    await slider.fill(String(steps));
    if (process === "masked") assert.match(await slider.getAttribute("aria-valuetext"), /, 0 of 64 characters /);
    await slider.fill("3");
    await role(page, "button", "Noise the text").click();
    await until(page, { state: "done", step: String(2 * steps) });
    assert.notEqual(await verse(page), back);
    await page.goBack();
    await page.waitForFunction((text) => document.querySelector("#verse").textContent === text, back);
  }
  const { page } = await visit("#v=1&length=32&steps=4&from-text=caf%C3%A9");
  await done(page);
  assert.equal((await page.locator("#note").textContent()).trim(), "Part of this link could not be read: from-text.");
  await page.evaluate(() => (location.hash = "#v=1&weights=gpt-small&length=32&from-text=To%20be"));
  await turned(page, "Left to right");
  await done(page);
  assert.equal((await page.locator("#note").textContent()).trim(), "Part of this link could not be read: from-text.");
});

/** What the program writes for options of the page's; undefined where there is no program. */
const folio = (...options) => (existsSync(program) ? execFileSync(program, options, { cwd: top, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }) : undefined);
const copied = async (page, name) => {
  await role(page, "button", name).click();
  return page.evaluate(() => navigator.clipboard.readText());
};

test("a link of v=1 gives the text for which it was written, and what is written is v=2 with sampler, steps and temperature", async () => {
  const old = {
    "masked-small": ["confidence", "ROMEO:\nHow fast, s pale  leave foung it to call them as I are in the past,\nAnd sunzen at these p"],
    "gaussian-small": ["ddpm", "ROMEO:\nThen, deprition, mituse to jeases, wordss:\nNor h mustarer comber bleasted Here as in seea"],
    "gpt-small": ["left-to-right", "ROMEO:\nDidst thou proceed the arm of his eyes?\n\nJULIET:\nSwillst thou not meet the sup within thi"],
  };
  for (const [weights, [sampler, text]] of Object.entries(old)) {
    const { page } = await visit(`#v=1&weights=${weights}&prompt=ROMEO%3A&length=96&seed=7`);
    await hurry(page);
    await done(page);
    assert.equal(await verse(page), text, weights);
    if (weights !== "gpt-small")
      assert.equal(folio("sample", "--weights", `weights/${weights}.safetensors`, "--prompt", "ROMEO:", "--length", "96", "--seed", "7", "--sampler", sampler,
        "--steps", "64", "--temperature", "0.8") ?? `${text}\n`, `${text}\n`);
    const link = new URL(await copied(page, "Copy link")).hash;
    assert.match(link, new RegExp(`^#v=2&(weights=[a-z-]+&)?prompt=ROMEO%3A&length=96&seed=7&sampler=${sampler}&steps=64&temperature=0\\.8$`));
    const { page: other } = await visit(link);
    await hurry(other);
    await done(other);
    assert.equal(await verse(other), text, link);
  }
});

test("a link without a version takes the defaults of today, and a version that nobody knows is named", async () => {
  for (const version of ["", "v=3&"]) {
    const { page } = await visit(`#${version}prompt=ROMEO%3A&length=64`, { prepare: (page) => page.addInitScript(watchModels) });
    if (version) await page.getByText("Part of this link could not be read: v.").first().waitFor();
    await hurry(page);
    await done(page);
    const { sampler, steps, temperature, "temperature-fall": fall } = await defaultsOf(page, "masked");
    assert.equal(new URL(await copied(page, "Copy link")).hash,
      `#v=2&prompt=ROMEO%3A&length=64&sampler=${sampler}&steps=${steps}&temperature=${temperature}${fall ? `&temperature-fall=${fall}` : ""}`);
    assert.equal(await verse(page), (folio("sample", "--weights", "weights/masked-small.safetensors", "--prompt", "ROMEO:", "--length", "64") ?? `${await verse(page)}\n`).slice(0, -1));
    // A temperature given alone is that of every pass.
    await page.evaluate((hash) => (location.hash = hash), `#${version}prompt=ROMEO%3A&length=64&seed=2&temperature=0.7`);
    await page.waitForFunction(() => document.querySelector("#signature").textContent === "Seed 2");
    await done(page);
    assert.match(new URL(await copied(page, "Copy link")).hash, /&temperature=0\.7$/);
    assert.equal(await verse(page), (await written(page)) ?? (await verse(page)));
  }
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
  const { request, defaults, text, fixedAt, given } = JSON.parse(await readFile(join(folder, "trace.json"), "utf8"));
  for (const key of Object.keys(defaults)) if (!["prompt", "seed"].includes(key)) assert.equal(request[key], defaults[key], key);
  const steps = Math.max(...fixedAt);
  const { page } = await visit("", { prepare: (page) => page.route("**/*.safetensors*", late) });
  await until(page, { state: "recorded", source: "recorded" });
  const seconds = steps / Number(await role(page, "combobox", "Speed").inputValue());
  assert.ok(seconds >= 7 && seconds <= 9, `${seconds} s`);
  const half = fixedAt.map((step, place) => place >= given && step <= steps / 2);
  const rows = Array.from({ length: text.length / 32 }, (_, row) => half.slice(32 * row, 32 * row + 32).filter(Boolean).length);
  assert.ok(rows.every((letters) => letters > 0), `letters a row: ${rows}`);
  for (let row = 0; row < rows.length; row += 2) assert.ok(Math.abs(rows[row] + rows[row + 1] - 32) < 16, `letters a row: ${rows}`);
  // No pass fixes a whole neighbourhood.
  for (let step = 1; step <= steps; ++step) {
    const places = [...fixedAt.keys()].filter((place) => fixedAt[place] === step);
    assert.ok(places.length === 1 || places.at(-1) - places[0] > 1, `step ${step}: ${places}`);
  }
  const doubt = (await page.locator("#plot polyline.doubt").first().getAttribute("points")).split(" ").map((point) => -Number(point.split(",")[1]));
  const mean = (from, to) => doubt.slice(from, to).reduce((sum, height) => sum + height, 0) / (to - from);
  const quarter = Math.floor(doubt.length / 4);
  const quarters = [0, 1, 2, 3].map((at) => mean(at * quarter, (at + 1) * quarter));
  assert.deepEqual(quarters, [...quarters].sort((a, b) => b - a), "the doubt falls");
});

const proofread = "#v=2&prompt=ROMEO%3A&length=96&seed=7&sampler=spread&steps=12&temperature=1&proofread=gpt-small&rounds=2&proofread-share=0.2";

test("a proofread sample: what is struck out is seen and told, link and command give the same text", async () => {
  const { page } = await visit(quick.replace("length=64", "length=96"));
  await done(page);
  await hurry(page);
  await role(page, "button", "More settings").click();
  const { bytes } = JSON.parse(await readFile(join(folder, "weights/index.json"), "utf8")).find(({ name }) => name === "gpt-small");
  await role(page, "checkbox", "Proofread").check();
  await page.getByText(`Proofreading loads gpt-small, ${(bytes / 1e6).toFixed(1)} MB.`).first().waitFor();
  await role(page, "combobox", "Sampler").selectOption("spread");
  for (const [name, value] of [["Steps", "12"], ["Temperature", "1"], ["Rounds", "2"], ["Share", "0.2"]]) await role(page, "spinbutton", name).fill(value);
  await role(page, "button", "Sample").click();
  await page.waitForSelector("#stage[data-state=running]");
  await done(page);
  const text = await verse(page);
  assert.ok(text.startsWith("ROMEO:"));
  const [link, command] = [new URL(await copied(page, "Copy link")).hash, await copied(page, "Copy command line")];
  assert.equal(link, proofread.replace("prompt=ROMEO%3A&length=96&seed=7&sampler=spread&steps=12&temperature=1&proofread=gpt-small",
    "prompt=ROMEO%3A&length=96&seed=7&proofread=gpt-small&sampler=spread&steps=12&temperature=1"));
  assert.match(command, / --proofread weights\/gpt-small\.safetensors --sampler spread --steps 12 --temperature 1 --rounds 2 --proofread-share 0\.2$/);
  assert.equal(text, (await written(page)) ?? text);
  await sameTrace(page);
  const { page: other } = await visit(link);
  await hurry(other);
  await done(other);
  assert.equal(await verse(other), text);
  // The first proofreading comes behind the last pass.
  const scored = steps(await save(page, "trace")).filter((line) => "proofread_nll" in line).map(({ step }) => step);
  assert.equal(scored[0], 13);
  assert.equal(scored.length, 2);
  const sheet = async (step) => {
    await role(page, "slider", "Step").fill(String(step));
    return [...(await role(page, "textbox", "Text").inputValue()).replaceAll("\n", "")];
  };
  const [before, struck] = [await sheet(12), await sheet(13)];
  const places = [...struck.keys()].filter((place) => struck[place] === "_");
  assert.ok(places.length >= 18 && !before.includes("_") && places.every((place) => place >= 6), `${places}`);
  assert.equal((await save(page, "image")).match(/<path d="M[\d.]+ [\d.]+h16" /g).length, places.length);
  const place = places.find((place) => /[a-z]/i.test(before[place]));
  await choose(page, place, place - 1);
  await page.keyboard.press("Enter");
  const biography = role(page, "region", "Biography");
  await biography.getByText(`Struck out at step 13, where ${before[place]} stood: the proofreader gave it \u2212`).waitFor();
  // At the end it is told of still, and so is what the second round found of the letter that took its place.
  await page.keyboard.press("Escape");
  await role(page, "slider", "Step").fill(String(scored[1]));
  assert.match(await biography.textContent(), /Struck out at step \d+, where|The proofreader gave it \u2212\d+\.\d\d nats\./);
});

test("a proofread sample goes on from any step of a round, and can be edited there", async () => {
  const gaussian = proofread.replace("sampler=spread&steps=12&temperature=1", "weights=gaussian-small&sampler=ddpm&steps=12&temperature=0.8");
  for (const hash of [proofread, gaussian]) {
    const { page } = await visit(hash);
    await hurry(page);
    await done(page);
    const text = await verse(page);
    const last = Number(await stage(page).getAttribute("data-step"));
    for (const [forks, step] of [13, 14, last - 1].entries()) {
      await role(page, "slider", "Step").fill(String(step));
      await role(page, "button", "Fork here").click();
      // A fork is made of the lane on show, so each has one lane more.
      await page.waitForFunction((count) => document.querySelectorAll("#lane input").length === count, forks + 2);
      await role(page, "button", "Play").click();
      await done(page);
      assert.equal(await verse(page), text, `from step ${step} of ${hash}`);
      assert.equal(await stage(page).getAttribute("data-step"), String(last));
    }
    // What is struck out is open again, whatever the process.
    await role(page, "slider", "Step").fill("13");
    const open = (await role(page, "textbox", "Text").inputValue()).match(/_/g).length;
    assert.ok(open >= 18, `${open} of 90 letters are struck out`);
    await role(page, "slider", "Step").fill("14");
    await choose(page, 20, 29);
    await role(page, "toolbar", "Chosen text").getByRole("button", { name: "Noise again" }).click();
    await page.waitForFunction(() => document.querySelector("#stage").dataset.state === "running");
    await done(page);
    await sameTrace(page);
    const edited = await verse(page);
    assert.match(await page.locator("#command").textContent(), / --edit 14:noise:20-29$/);
    assert.equal(edited, (await written(page)) ?? edited);
  }
});

test("weights that proofread come with progress, and where they do not, with a sentence and nothing lost", async () => {
  let failing = true, release;
  const held = new Promise((resolve) => (release = resolve));
  const { page, requests } = await visit(quick, {
    mayFail: true,
    prepare: (page) => page.route("**/gpt-small.safetensors*", async (route) => (failing ? route.abort() : (await held, route.continue()))),
  });
  await done(page);
  await hurry(page);
  const text = await verse(page);
  await role(page, "button", "More settings").click();
  await role(page, "checkbox", "Proofread").check();
  assert.deepEqual(requests.filter((url) => url.includes("gpt-small")), []);
  await role(page, "button", "Sample").click();
  await page.getByText("The weights of the proofreader did not arrive.").waitFor();
  await done(page);
  assert.equal(await verse(page), text);
  failing = false;
  await role(page, "button", "Try again").click();
  await until(page, { state: "running" });
  await role(page, "progressbar", "Weights").waitFor();
  // Who does not wait any longer has lost nothing; the weights come all the same.
  await stop(page);
  await page.waitForFunction(() => document.querySelector("#stage").dataset.state !== "running");
  assert.equal(await page.getByRole("alert").count(), 0);
  assert.equal(await role(page, "progressbar", "Weights").count(), 0);
  await role(page, "button", "Sample").click();
  await role(page, "progressbar", "Weights").waitFor();
  release();
  await page.waitForFunction(() => document.querySelector("#command").textContent.includes(" --proofread "));
  await done(page);
  assert.equal(await role(page, "progressbar", "Weights").count(), 0);
  assert.match(await page.locator("#command").textContent(), / --proofread /);
  assert.equal(await verse(page), (await written(page)) ?? (await verse(page)));
  // Kept like all weights, and loaded anew by the worker of another model.
  requests.length = 0;
  await role(page, "radio", "Gaussian").check({ force: true });
  await turned(page, "Gaussian diffusion");
  await done(page);
  assert.match(await page.locator("#command").textContent(), /gaussian-small\.safetensors .* --proofread weights\/gpt-small/);
  assert.deepEqual(requests.filter((url) => url.includes("gpt-small")), []);
});

test("a prompt with an open gap is filled with every length, and any candidate can be shown", async () => {
  const { page } = await visit(quick);
  await done(page);
  await hurry(page);
  const before = await verse(page);
  await page.evaluate(() => {
    window.heads = [];
    const head = document.querySelector("#run-head");
    new MutationObserver(() => window.heads.push(head.textContent)).observe(head, { childList: true });
  });
  assert.equal(await role(page, "list", "Candidates").count(), 0);
  await role(page, "textbox", "Prompt").fill("To be, or {1-8} to be");
  await role(page, "button", "Sample").click();
  const list = role(page, "list", "Candidates");
  await list.waitFor({ timeout: 60000 });
  await done(page);
  const heads = await page.evaluate(() => window.heads);
  for (const count of [2, 5, 8]) assert.ok(heads.includes(`Candidate ${count} of 8`), heads.join());
  const items = await list.getByRole("button").evaluateAll((buttons) => buttons.map((button) =>
    ({ text: button.querySelector("span").textContent, nats: button.querySelector(".num").textContent, kept: button.getAttribute("aria-current") === "true" })));
  assert.equal(items.length, 8);
  const [kept] = items.filter((item) => item.kept);
  assert.equal(items.filter((item) => item.kept).length, 1);
  assert.equal(await verse(page), kept.text);
  const gap = "_".repeat(kept.text.length - "To be, or  to be".length);
  assert.match(await page.locator("#command").textContent(), new RegExp(`^folio infill .* --text 'To be, or ${gap} to be' --seed 7 `));
  assert.equal(kept.text, (await written(page)) ?? kept.text);
  assert.match(page.url(), new RegExp(`text=To%20be%2C%20or%20${gap}%20to%20be&seed=7`));
  const json = folio("infill", "--weights", "weights/masked-small.safetensors", "--text", "To be, or {1-8} to be", "--seed", "7", "--sampler", "confidence",
    "--steps", "8", "--temperature", "0.8", "--json");
  if (json) {
    const { text, candidates } = JSON.parse(json);
    assert.equal(text, kept.text);
    assert.deepEqual(items.map(({ text, nats }) => [text, nats]), candidates.map(({ text, nats_per_char }) => [text, nats_per_char.toFixed(2)]));
  }
  const another = items.findIndex((item) => !item.kept);
  await list.getByRole("button").nth(another).click();
  await page.waitForFunction((text) => document.querySelector("#verse").textContent === text, items[another].text);
  await done(page);
  assert.equal(await list.locator("[aria-current=true] span").first().textContent(), items[another].text);
  assert.ok(decodeURIComponent(page.url()).includes(`text=To be, or ${"_".repeat(items[another].text.length - 16)} to be`));
  await page.goBack();
  await page.waitForFunction((text) => document.querySelector("#verse").textContent === text, kept.text);
  assert.equal(await list.locator("[aria-current=true] span").first().textContent(), kept.text);
  // The same prompt again has other candidates; another prompt has none, and keeps nothing of this text.
  await role(page, "button", "Sample").click();
  await page.waitForFunction(() => document.querySelector("#signature").textContent !== "Seed 7");
  await done(page);
  assert.equal(await list.getByRole("button").count(), 8);
  await role(page, "textbox", "Prompt").fill("ROMEO:");
  await role(page, "button", "Sample").click();
  await page.waitForFunction(() => document.querySelector("#verse").textContent.startsWith("ROMEO:"));
  await done(page);
  assert.equal(await list.count(), 0);
  assert.equal((await verse(page)).length, before.length);
  assert.match(await page.locator("#command").textContent(), /^folio sample /);
});

test("open gaps: proofread ones, those of a link, and what cannot be filled", async () => {
  const { page } = await visit("#v=2&weights=gaussian-small&text=To%20be%2C%20or%20%7B3-4%7D%20to%20be&seed=5&sampler=ddpm&steps=8&temperature=0.8&proofread=gpt-small&rounds=1&proofread-share=0.2");
  await hurry(page);
  const list = role(page, "list", "Candidates");
  await list.waitFor({ timeout: 60000 });
  await done(page);
  assert.equal(await role(page, "textbox", "Prompt").inputValue(), "To be, or {3-4} to be");
  await page.waitForURL(/text=To%20be%2C%20or%20_{3,4}%20to%20be&seed=5&proofread=gpt-small/);
  const text = await verse(page);
  assert.equal(text, (await written(page)) ?? text);
  const json = folio("infill", "--weights", "weights/gaussian-small.safetensors", "--text", "To be, or {3-4} to be", "--seed", "5", "--sampler", "ddpm", "--steps", "8",
    "--temperature", "0.8", "--proofread", "weights/gpt-small.safetensors", "--rounds", "1", "--proofread-share", "0.2", "--json");
  if (json) assert.equal(text, JSON.parse(json).text);
  const sample = async (prompt) => {
    await role(page, "textbox", "Prompt").fill(prompt);
    await role(page, "button", "Sample").click();
  };
  // Each time the sentence is another, and what was there stays.
  const sentences = new Set();
  for (const prompt of ["To {4-2} be", "To {-} be", "To {1-300} be", "{1-20} and {1-20}", "To {1-2} \u00e9"]) {
    const before = await page.locator("#alert-text").textContent();
    await sample(prompt);
    await page.waitForFunction((before) => ![before, ""].includes(document.querySelector("#alert-text").textContent), before);
    const sentence = await page.getByRole("alert").textContent();
    assert.match(sentence, /^[A-Z][^\n]*\.$/);
    sentences.add(sentence);
    await done(page);
    assert.equal(await verse(page), text);
    assert.equal(await list.count(), 1);
  }
  assert.equal(sentences.size, 5);
  // Stopped, nothing has happened.
  await role(page, "button", "More settings").click();
  await role(page, "spinbutton", "Steps").fill("1000");
  await sample("To be, or {1-100} to be");
  await page.waitForFunction(() => document.querySelector("#run-head").textContent.startsWith("Candidate "));
  await stop(page);
  await done(page);
  assert.equal(await verse(page), text);
  await role(page, "radio", "Left to right").check({ force: true });
  await turned(page, "Left to right");
  await done(page);
  assert.equal(await list.count(), 0);
  await sample("To be, or {1-3} to be");
  await page.getByText("Open gaps need a masked or a Gaussian model").waitFor();
});

test("a Gaussian sample that stops early says how many passes that saved", async () => {
  const { page } = await visit("#v=2&weights=gaussian-small&prompt=ROMEO%3A&length=64&seed=7&sampler=ddpm&steps=64&temperature=0.1&stop-stable=3");
  await hurry(page);
  await done(page);
  const [, made, saved] = /^(\d+) steps, (\d+) saved$/.exec(await page.locator("#run-count").textContent());
  assert.ok(Number(saved) >= 1);
  assert.equal(Number(made) + Number(saved), 64);
  const command = await copied(page, "Copy command line");
  const run = (redirection) => execFileSync("/bin/sh", ["-c", `${command} ${redirection}`], { cwd: top, env: pathWithProgram, encoding: "utf8" });
  if (!existsSync(program)) return;
  assert.equal(run("2>/dev/null"), `${await verse(page)}\n`);
  assert.match(run("2>&1 >/dev/null"), new RegExp(`\\b${saved} passes`));
});

test("a life tells how the place was chosen and how the letter was drawn", async () => {
  const { page } = await visit(`${quick.replace("sampler", "")}&sampler=spread&char=30`);
  await done(page);
  const biography = await role(page, "region", "Biography").textContent();
  assert.match(biography, /The sampler took this place as the most confident of its stretch of open ones\. The letter was drawn at temperature 0\.8: at temperature 1 the network gave it (< )?\d\.\d\d\./);
  await role(page, "button", "More settings").click();
  assert.match(await page.locator("#sampler-help").textContent(), /^spread: .*far apart\.$/);
});

test("the story puts step and Show back when it is left", async () => {
  const { page } = await visit(`${quick}&step=3`);
  await until(page, { state: "paused", step: "3" });
  await role(page, "radio", "Order").check({ force: true });
  await role(page, "link", "Story").click();
  await page.waitForSelector("nav [data-room=story][aria-current=page]");
  const story = role(page, "region", "Story");
  await story.getByRole("button", { name: "Show the doubt" }).click();
  assert.ok(await role(page, "radio", "Doubt").isChecked());
  await story.getByRole("button", { name: /^step/ }).last().click();
  await until(page, { step: "6" });
  await role(page, "link", "Sheet").click();
  await until(page, { step: "3" });
  assert.ok(await role(page, "radio", "Order").isChecked());
});

const race = (page) => role(page, "region", "Race");
const raceSays = (page, words) => page.waitForFunction((text) => document.querySelector("#race-state").textContent.startsWith(text), words, { timeout: 120000 });

test("a race runs one model of each process, replays them on one clock and names no winner", async () => {
  const { page } = await visit(`${quick.replace("length=64", "length=96")}&room=race`, { prepare: (page) => page.addInitScript(watchModels) });
  await done(page);
  await page.waitForSelector("nav [data-room=race][aria-current=page]");
  const shelves = JSON.parse(await readFile(join(folder, "weights/index.json"), "utf8"));
  const racers = ["masked-small", "gaussian-small", "gpt-small"].map((name) => shelves.find((shelf) => shelf.name === name));
  const megabytes = racers.reduce((sum, { bytes }) => sum + bytes, 0) / 1e6;
  assert.ok((await race(page).textContent()).includes(`3 files of ${megabytes.toFixed(1)} MB together`));
  await race(page).getByRole("button", { name: "Run race", exact: true }).click();
  assert.equal(await race(page).getAttribute("aria-busy"), "true");
  await raceSays(page, "Finished");
  assert.equal(await race(page).getAttribute("aria-busy"), "false");
  const figures = await role(page, "table", "Race figures").locator("tbody tr").evaluateAll((rows) => rows.map((row) => [...row.cells].map((cell) => cell.innerText)));
  assert.deepEqual(figures.map(([name]) => name.replace(/\s+\S+$/, "")), ["Masked", "Gaussian", "Left to right"]);
  // A masked model's pass fixes a letter at least.
  const passesOf = [Math.min(90, (await defaultsOf(page, "masked")).steps), (await defaultsOf(page, "gaussian")).steps, 90];
  for (const [at, [, passes, seconds, speed, nats]] of figures.entries()) {
    assert.equal(passes, String(passesOf[at]));
    assert.ok(Math.abs((Number(speed) * Number(seconds)) / 96 - 1) < 0.1 || Number(seconds) < 0.2, `${speed} characters a second in ${seconds} s`);
    const { nats: [mean, error] = [] } = racers[at];
    assert.equal(nats, mean ? `${at === 2 ? "" : "\u2264 "}${mean.toFixed(3)} \u00b1 ${error.toFixed(3)}` : "not measured");
  }
  assert.ok(racers[0].nats && racers[2].nats, "the cards of these two have figures");
  assert.doesNotMatch(await race(page).textContent(), /winner|wins|fastest|best/i);
  // Each text is what that model writes for the same request by itself.
  const texts = await race(page).locator("figure p").allTextContents();
  if (existsSync(program))
    for (const [at, { name }] of racers.entries()) {
      const options = ["sample", "--weights", `weights/${name}.safetensors`, "--prompt", "ROMEO:", "--length", "96", "--seed", "7"];
      assert.equal(texts[at], execFileSync(program, options, { cwd: top, encoding: "utf8" }).slice(0, -1), name);
    }
  const clock = role(page, "slider", "Clock");
  await clock.focus();
  await page.keyboard.press("Home");
  assert.match(await clock.getAttribute("aria-valuetext"), /^0\.00 of \d+\.\d\d s$/);
  assert.deepEqual(await race(page).locator("figcaption .num").allTextContents(), ["pass 0", "pass 0", "pass 0"]);
  await role(page, "radio", "Passes").check({ force: true });
  await clock.fill("800");
  const longest = Math.max(...passesOf), now = Math.floor(0.8 * longest);
  assert.equal(await clock.getAttribute("aria-valuetext"), `${now} of ${longest} passes`);
  assert.deepEqual(await race(page).locator("figcaption .num").allTextContents(), passesOf.map((passes) => (passes > now ? `pass ${now}` : `${passes} passes`)));
  await role(page, "button", "Replay").click();
  await page.waitForFunction(() => document.querySelector("#clock").value > 0 && document.querySelector("#clock").value < 600);
  // The sheet's own sample is where it was, and goes on working.
  await role(page, "textbox", "Prompt").fill("JULIET:");
  await role(page, "button", "Sample").click();
  await done(page);
  assert.ok((await verse(page)).startsWith("JULIET:"));
});

test("a race can be stopped, and what goes wrong with it is said in one sentence", async () => {
  let failing = true;
  const { page } = await visit(quick, { mayFail: true, prepare: (page) => page.route("**/gpt-small.safetensors*", (route) => (failing ? route.abort() : route.continue())) });
  await done(page);
  const workers = () => page.workers().length;
  const atRest = workers();
  await race(page).getByRole("button", { name: "Run race", exact: true }).click();
  await raceSays(page, "Masked, 1 of 3: pass ");
  await stop(race(page));
  await raceSays(page, "Stopped.");
  for (let wait = 0; wait < 100 && workers() > atRest; ++wait) await page.waitForTimeout(100);
  assert.equal(workers(), atRest);
  await race(page).getByRole("button", { name: "Run race", exact: true }).click();
  await race(page).getByRole("alert").waitFor({ timeout: 120000 });
  assert.equal(await race(page).getByRole("alert").textContent(), "The weights of gpt-small did not arrive.");
  failing = false;
  await role(page, "textbox", "Prompt").fill("Rom\u00e9o");
  await race(page).getByRole("button", { name: "Run race", exact: true }).click();
  await page.waitForFunction(() => document.querySelector("#race-alert-text").textContent.includes("\u00e9"));
  assert.match(await race(page).getByRole("alert").textContent(), /^The race stopped: [^\n]+\.$/);
});

test("the story lets the two schedules be compared, and turns the sheet to another process", async () => {
  const { page } = await visit(`${quick}&room=story`);
  await done(page);
  const time = role(page, "slider", "Time");
  const left = () => Promise.all(["#article-left", "#our-left"].map((id) => page.locator(id).textContent()));
  await time.focus();
  await page.keyboard.press("End");
  const [article, ours] = await left();
  assert.equal(article, "27 % of the power, 6 of 100 letters legible by themselves");
  assert.match(ours, /^0\.\d % of the power, 2 of 100 letters/);
  await page.keyboard.press("Home");
  assert.match((await left())[0], /^100 % of the power, 100 of 100 letters/);
  await role(page, "region", "Story").getByRole("link", { name: "Let all three race" }).click();
  await page.waitForSelector("nav [data-room=race][aria-current=page]");
  assert.equal(await page.evaluate(() => document.activeElement.id), "race-start");
  await role(page, "region", "Story").getByRole("button", { name: "Load such a model" }).click();
  await turned(page, "Gaussian diffusion");
  await page.getByText("where nothing is hidden and nothing fixed before the end").waitFor();
});

const bench = (page) => role(page, "region", "Bench");
const rows = (page) => role(page, "table", "Results").locator("tbody tr");
const benchSays = (page, words) => page.waitForFunction((text) => document.querySelector("#bench-state").textContent.startsWith(text), words, { timeout: 120000 });

/** Drops files on the page as a hand would. */
async function drop(page, files) {
  const data = await page.evaluateHandle((files) => {
    const transfer = new DataTransfer();
    for (const [name, text] of files) transfer.items.add(new File([text], name));
    return transfer;
  }, files);
  await page.dispatchEvent("body", "drop", { dataTransfer: data });
}

const timing = (task, kernels, threads, ms) => ({
  task, kernels, products: "f32", threads, repetitions: 9, median_ms: ms, lower_quartile_ms: 0.9 * ms, upper_quartile_ms: 1.1 * ms, chars_per_s: 256e3 / ms,
});
const reportOf = (processor, results = [timing("forward", "sse9", 3, 12.34), timing("training", "sse9", 3, 5678)]) =>
  ({ program: "folio", machine: { processor, cores: 3 }, date: "2026-01-02T03:04:05Z", parameters: 1000, length: 256, results });

test("the bench times every kernel set on one thread and on all, and saves what folio bench --json writes", async () => {
  const { page } = await visit(quick);
  await done(page);
  await role(page, "link", "Bench").click();
  await page.waitForSelector("nav [data-room=bench][aria-current=page]");
  await bench(page).getByRole("button", { name: "Run bench", exact: true }).click();
  assert.equal(await bench(page).getByRole("button", { name: "Stop", exact: true }).count(), 1);
  assert.equal(await bench(page).getAttribute("aria-busy"), "true");
  await benchSays(page, "Finished: a pass takes ");
  assert.equal(await bench(page).getAttribute("aria-busy"), "false");
  const [download] = await Promise.all([page.waitForEvent("download"), role(page, "button", "Save report").click()]);
  const report = JSON.parse(await readFile(await download.path(), "utf8"));
  assert.equal(report.program, "folio");
  assert.match(report.machine.browser, /^Chrome \d+/);
  assert.ok(report.machine.cores >= 1 && report.parameters > 1e5 && report.length === 256 && report.date.endsWith("Z"));
  assert.equal(report.self_check.passed, true);
  assert.ok(report.kernels.includes("wasm") && report.kernels.includes(report.self_check.against));
  const cores = await page.evaluate(() => navigator.hardwareConcurrency);
  const expected = [...new Set([1, Math.min(16, cores)])].flatMap((threads) =>
    report.kernels.flatMap((kernels) => ["forward", "sampling"].map((task) => `${task} ${kernels} ${threads}`)));
  assert.deepEqual(report.results.map(({ task, kernels, threads }) => `${task} ${kernels} ${threads}`).sort(), expected.sort());
  for (const row of report.results) {
    assert.ok(0 < row.lower_quartile_ms && row.lower_quartile_ms <= row.median_ms && row.median_ms <= row.upper_quartile_ms);
    assert.ok(row.repetitions >= 1);
    assert.ok(Math.abs((row.chars_per_s * row.median_ms) / 1000 - 256) < 1e-6);
  }
  const passes = (task) => report.results.filter((row) => row.task === task && row.kernels === "wasm" && row.threads === 1)[0].median_ms;
  // A sample is sixteen passes, whatever the noise of this machine.
  assert.ok(passes("sampling") / passes("forward") > 5 && passes("sampling") / passes("forward") < 60);
  assert.equal(await rows(page).filter({ hasText: "measured here" }).count(), expected.length);
  assert.match(await bench(page).textContent(), /Self-test(wasm relaxed agrees with wasm|passed)/);
});

test("a bench can be stopped, and neither runs beside a sample", async () => {
  const { page } = await visit(quick);
  await done(page);
  const workers = () => page.workers().length;
  const atRest = workers();
  // A worker in the middle of a pass takes a while to end.
  const rest = async () => {
    for (let wait = 0; wait < 100 && workers() > atRest; ++wait) await page.waitForTimeout(100);
    assert.equal(workers(), atRest);
  };
  const run = bench(page).getByRole("button", { name: "Run bench", exact: true });
  await run.click();
  await benchSays(page, "1 of ");
  await stop(bench(page));
  await benchSays(page, "Stopped.");
  await run.waitFor();
  assert.equal(await rows(page).filter({ hasText: "measured here" }).count(), 1);
  await rest();
  await run.click();
  await benchSays(page, "1 of ");
  assert.ok(workers() > atRest);
  await role(page, "button", "Sample").click();
  await done(page);
  await run.waitFor();
  await rest();
  // And a sample that runs is stopped by a bench.
  await role(page, "button", "More settings").click();
  await role(page, "spinbutton", "Steps").fill("64");
  await role(page, "combobox", "Speed").selectOption("1 a sec.");
  await role(page, "button", "Sample").click();
  await until(page, { state: "running" });
  await page.waitForFunction(() => Number(document.querySelector("#stage").dataset.step) >= 1);
  await run.click();
  await until(page, { state: "paused" });
  await page.keyboard.press("Escape");
  await run.waitFor();
});

test("reports that are dropped or opened join the table; what is none is refused in one sentence", async () => {
  const { page } = await visit(quick);
  await done(page);
  const name = await page.locator("#model").inputValue();
  await rows(page).first().waitFor();
  const shipped = await rows(page).count();
  assert.equal(await rows(page).filter({ hasText: "shipped" }).count(), shipped);
  const good = reportOf("Abacus <img src=x onerror=alert(1)> & sons");
  await drop(page, [["good.json", JSON.stringify(good)]]);
  await rows(page).filter({ hasText: "Abacus" }).first().waitFor();
  assert.equal(await rows(page).count(), shipped + 2);
  const row = rows(page).filter({ hasText: "Abacus" }).filter({ hasText: "forward" });
  assert.match(await row.textContent(), /sse9, f32, 3 threads.*Abacus <img src=x onerror=alert\(1\)> & sons.*opened, 2026-01-02.*12\.3 ms.*11\.1 to 13\.6/);
  assert.equal(await row.locator("svg[aria-hidden=true] rect").count(), 1);
  const text = JSON.stringify(good);
  const broken = [
    "", "null", "[]", "{", "[".repeat(1e5), text.slice(0, 150), JSON.stringify({ ...good, program: "other" }), JSON.stringify(reportOf("x", [])),
    JSON.stringify(reportOf("evil\u202ename")), JSON.stringify(reportOf("x".repeat(500))), JSON.stringify(reportOf(7)),
    JSON.stringify(reportOf("x", [{ ...timing("forward", "a", 1, 5), median_ms: "5" }])),
    JSON.stringify(reportOf("x", [{ ...timing("forward", "a", 1, 5), median_ms: 1e30 }])),
    JSON.stringify(reportOf("x", [{ ...timing("forward", "a", 1, 5), threads: 1.5 }])),
    JSON.stringify(reportOf("x", [timing("forward", "a", 1, 5), timing("forward", "a", 1, 6)])),
    JSON.stringify({ ...good, machine: "this" }), " ".repeat(2 ** 20 + 1),
  ];
  for (const [index, content] of broken.entries()) {
    await drop(page, [[`broken-${index}.json`, content]]);
    await page.waitForFunction((begin) => document.querySelector("#bench-alert-text").textContent.startsWith(begin), `broken-${index}.json is no report Folio can read: `);
    assert.match(await page.getByRole("alert").textContent(), /: [^\n]+\.$/);
    assert.equal(await rows(page).count(), shipped + 2, content.slice(0, 100));
  }
  const chooser = page.waitForEvent("filechooser");
  await role(page, "button", "Open reports").click();
  await (await chooser).setFiles({ name: "other.json", mimeType: "application/json", buffer: Buffer.from(JSON.stringify(reportOf("Slide rule"))) });
  await rows(page).filter({ hasText: "Slide rule" }).first().waitFor();
  assert.equal(await page.getByRole("alert").count(), 0);
  // The weights have stayed what they were.
  assert.equal(await page.locator("#model").inputValue(), name);
  assert.equal(await stage(page).getAttribute("data-state"), "done");
});

test("colophon and facts name the kernels that run, and why", async () => {
  const { page } = await visit(`${quick}&room=bench`, {
    prepare: (page) => page.addInitScript(() => {
      window.told = [];
      window.Worker = class extends Worker {
        constructor(...given) {
          super(...given);
          window.engine = this;
          this.addEventListener("message", ({ data }) => ["loaded", "kernels-settled"].includes(data.type) && window.told.push(data));
        }
      };
    }),
  });
  await done(page);
  // Five passes of each set are enough; a sample here has eight.
  await role(page, "textbox", "Prompt").fill("JULIET:");
  await role(page, "button", "Sample").click();
  await page.waitForFunction(() => window.told.at(-1).description.settled);
  await done(page);
  const told = await page.evaluate(() => window.told);
  const { choice, kernels } = told.at(-1).description;
  assert.deepEqual(told.map(({ type }) => type), choice.length > 1 ? ["loaded", "kernels-settled"] : ["loaded"]);
  assert.equal(told[0].description.settled, choice.length === 1);
  const facts = page.locator("#bench-facts dd").first(), colophon = page.locator("#colophon");
  const plainly = (name) => name.replaceAll("_", " ");
  assert.match(await colophon.textContent(), new RegExp(`run here with the ${plainly(kernels)} kernels on `));
  assert.ok((await facts.textContent()).startsWith(`${plainly(kernels)}: `));
  const tell = (changes) => page.evaluate((changes) => {
    const description = { ...window.told[0].description, ...changes };
    window.engine.dispatchEvent(new MessageEvent("message", { data: { type: "kernels-settled", description } }));
  }, changes);
  for (const [changes, colophonSays, factsSay] of [
    [{ settled: true, kernels: "b_2", choice: ["a", "b_2"], sets: ["a", "b_2", "c"] }, /with the b 2 kernels on/, /^b 2: the fastest here .* of 2 that .*\(a, b 2\)$/],
    [{ settled: false, kernels: "a", choice: ["a", "b_2"], sets: ["a", "b_2", "c"] }, /with whichever of 2 sets/, /^the first passes show .*: a, b 2$/],
    [{ settled: true, kernels: "c", choice: ["c"], sets: ["c"] }, /with the c kernels on/, /^c: the only set/],
    [{ settled: true, kernels: "a", choice: ["a"], sets: ["a", "c"] }, /with the a kernels on/, /^a: the first choice of 2/],
    [{ settled: true, kernels: "c", choice: ["c"], sets: ["a", "c"] }, /with the c kernels on/, /^c: on trial a better set gave other answers/],
  ]) {
    await tell(changes);
    assert.match(await colophon.textContent(), colophonSays);
    assert.match(await facts.textContent(), factsSay);
  }
});

test("the bench says how this browser runs, isolated or not, at a phone's width too", async () => {
  for (const server of [isolated, plain]) {
    const { page } = await visit(`${quick}&room=bench`, { server, viewport: { width: 320, height: 700 } });
    await done(page);
    await rows(page).first().waitFor();
    const facts = await page.locator("#bench-facts").textContent();
    assert.match(facts, /Kernels(wasm[^:]*|the first passes [^:]*): /);
    assert.match(facts, server === isolated ? /Isolationisolated/ : /Isolationnot isolated.*Threads1 of/);
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth), 0);
  }
});

test("all cores can be had where the server does not isolate the page: when asked for, and with the sample kept", async () => {
  const { page } = await visit(quick, { server: plain });
  await done(page);
  const text = await verse(page);
  await role(page, "slider", "Step").fill("5");
  const sheet = await role(page, "textbox", "Text").inputValue();
  assert.equal(await page.evaluate(async () => (await navigator.serviceWorker.getRegistrations()).length), 0);
  await Promise.all([page.waitForEvent("load"), role(page, "button", "Use all cores").click()]);
  await until(page, { state: "paused", source: "live", step: "5" });
  assert.equal(await page.evaluate(() => crossOriginIsolated), true);
  assert.match(await page.locator("#bench-facts").textContent(), /Isolationisolated/);
  assert.equal(await role(page, "button", "Use all cores").count(), 0);
  const cores = await page.evaluate(() => navigator.hardwareConcurrency);
  assert.equal(await page.locator("#threads").inputValue(), String(Math.min(16, cores)));
  assert.equal(await role(page, "textbox", "Text").inputValue(), sheet);
  await hurry(page);
  await role(page, "button", "Play").click();
  await done(page);
  assert.equal(await verse(page), text);
  // It stays so, also for a visitor who comes again.
  await page.goto(plain.address);
  assert.equal(await page.evaluate(() => crossOriginIsolated), true);
  const { page: served } = await visit(quick, { server: isolated });
  assert.equal(await role(served, "button", "Use all cores").count(), 0);
});

test("a phone's width is enough", async () => {
  const { page } = await visit(`${quick}&length=256&step=4&char=40`, { viewport: { width: 375, height: 800 }, hasTouch: true, isMobile: true });
  await until(page, { state: "paused", step: "4" });
  const overflow = (page) => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.equal(await overflow(page), 0);
  const { page: narrow } = await visit("", { viewport: { width: 320, height: 700 } });
  await role(narrow, "button", "More settings").click();
  assert.equal(await overflow(narrow), 0);
  const biography = role(page, "region", "Biography");
  await biography.getByRole("button", { name: "Close" }).click();
  await page.locator("#text").tap({ position: { x: 60, y: 40 } });
  await biography.getByText(/row 2, column \d/).waitFor();
});

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
