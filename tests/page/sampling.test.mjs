// Samples: seeds, prompts, stopping and going on, refusals: node --test tests/page/sampling.test.mjs
import assert from "node:assert/strict";
import {  test } from "node:test";
import { done, hurry, isolated, plain, quick, revisit, role, seen, stage, stop, until, verse, watch } from "./support.mjs";

test("a sample begins with its prompt; the same seed gives the same text, another seed another", async () => {
  const { page } = await revisit(quick);
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

test("a finished sample that is asked for again gets a new seed, by button and by key", async () => {
  const { page } = await revisit(quick);
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

test("of samples asked for in quick succession the last one is made, and plays", async () => {
  const { page } = await revisit(quick);
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
  const { page } = await revisit("#v=1&length=256&steps=256&sampler=confidence&step=1");
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

test("the text is the same on several threads and on one", async () => {
  const texts = [];
  for (const server of [isolated, plain]) {
    const { page } = await revisit(quick, { server });
    await done(page);
    assert.equal(await page.evaluate(() => crossOriginIsolated), server === isolated);
    texts.push(await verse(page));
  }
  assert.equal(texts[0], texts[1]);
});

test("a field with an invalid value is marked and named, and nothing is sampled", async () => {
  const { page } = await revisit("#v=1&length=64&steps=8");
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

test("an empty address leaves the sample as it is", async () => {
  const { page } = await revisit(quick);
  await done(page);
  await hurry(page);
  await role(page, "textbox", "Prompt").fill("JULIET:");
  await role(page, "button", "Sample").click();
  await done(page);
  await role(page, "link", "Folio").click();
  await page.evaluate(() => new Promise((followed) => {
    addEventListener("popstate", () => setTimeout(followed), { once: true });
    location.hash = "";
  }));
  await done(page);
  assert.ok((await verse(page)).startsWith("JULIET:"));
});

test("the status region announces the end, with the verse", async () => {
  const { page } = await revisit(quick);
  await page.waitForFunction(() => document.querySelector("[role=status]").textContent.startsWith("Finished. ROMEO:"), null, { timeout: 60000 });
});

test("a broken weights file is refused in a sentence, and the model before stays in use", async () => {
  const { page } = await revisit(quick);
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

test("an unknown character in the prompt is named, and the sheet stays", async () => {
  const { page } = await revisit(quick);
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
  const { page } = await revisit(quick);
  await done(page);
  await page.keyboard.press("f");
  await page.waitForFunction(() => document.querySelectorAll("#lane input").length === 2);
  await page.waitForURL(/#v=2/);
  const address = page.url();
  await role(page, "textbox", "Prompt").fill("Rom\u00e9o");
  await role(page, "button", "Sample").click();
  await page.getByRole("alert").waitFor();
  await done(page);
  assert.equal(await page.locator("#lane input").count(), 2);
  assert.equal(page.url(), address);
});
