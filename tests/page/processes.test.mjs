// The three processes: each with its own options, words and edits: node --test tests/page/processes.test.mjs
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import {  test } from "node:test";
import {
  choose, copied, done, hurry, openWeights, quick, revisit, role, sameTrace, save, shell, shipped, stage, top, turned, until,
  verse, visit, withoutProgram, written,
} from "./support.mjs";

const gpt = join(top, "tests/golden/exact-gpt.safetensors");

/** The command that the page gives, and the text it writes among the golden weights; false where there is no program. */
async function commanded(page) {
  const command = await copied(page, "Copy command line");
  const golden = command.replace("weights/gpt-golden", "exact-gpt");
  return { command, text: !withoutProgram && shell(golden, dirname(gpt)).slice(0, -1) };
}

const offered = (page, name) => role(page, "radiogroup", name).getByRole("radio").evaluateAll((inputs) => inputs.map((input) => input.parentElement.textContent));
const gaussian = "#v=1&weights=gaussian-small&prompt=ROMEO%3A&length=64&seed=7&steps=24&sampler=ddim";

test("a model that writes from left to right is shown as one: its own options, words and text", async () => {
  const { page } = await revisit(quick);
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
  const [entry] = await shipped("weights/index.json");
  await role(page, "combobox", "Model").selectOption(entry.name);
  await page.waitForFunction(() => document.querySelector(".runhead").innerText.startsWith("Masked diffusion"));
  await done(page);
  assert.equal(await page.getByRole("alert").count(), 0);
  assert.equal(await role(page, "combobox", "Sampler").inputValue(), "spread");
  assert.ok(await role(page, "spinbutton", "Steps").isVisible());
  assert.ok(await role(page, "radio", "Masked").isChecked());
  assert.match(await page.locator(".lede:visible").textContent(), /characters of noise/);
});

test("from left to right, edits, links and commands tell the same story", async () => {
  const { page } = await revisit(quick);
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
  const link = await copied(page, "Copy link");
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

test("an autoregressive model can be shipped with the page; options of a link that it lacks are left out", async () => {
  const [entry] = await shipped("weights/index.json");
  const bytes = await readFile(gpt);
  const version = createHash("sha256").update(bytes).digest("hex").slice(0, 16);
  const entries = [entry, { name: "gpt-golden", file: "gpt-golden.safetensors", process: "ar", bytes: bytes.length, version, card: "" }];
  const prepare = async (page) => {
    await page.route("**/weights/index.json?*", (route) => route.fulfill({ json: entries }));
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

test("processes are switched by control and by key, each with its own options, words and presets", async () => {
  const { page } = await revisit(quick);
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

test("where the weights of another process cannot be fetched, the process stays as it is", async () => {
  const { page } = await visit(quick, { mayFail: true, prepare: (page) => page.route("**/gaussian-small.safetensors*", (route) => route.abort()) });
  await done(page);
  const text = await verse(page);
  await role(page, "radio", "Gaussian").check({ force: true });
  await page.getByText("The weights did not arrive.").waitFor();
  assert.ok(await role(page, "radio", "Masked").isChecked());
  assert.equal(await verse(page), text);
});

test("Gaussian diffusion: letters settle, the timeline counts changes, biographies have curves", async () => {
  const { page } = await revisit(`${gaussian}&char=30`);
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
  const { page } = await revisit(gaussian);
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
  const link = await copied(page, "Copy link");
  const { page: other } = await revisit(new URL(link).hash);
  await done(other);
  assert.equal(await verse(other), text);
});

test("a finished text goes into noise and comes back as another", async () => {
  for (const [hash, process] of [[quick, "masked"], [gaussian.replace("steps=24", "steps=8"), "gaussian"]]) {
    const { page } = await revisit(hash);
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
  const { page } = await revisit("#v=1&length=32&steps=4&from-text=caf%C3%A9");
  await done(page);
  assert.equal((await page.locator("#note").textContent()).trim(), "Part of this link could not be read: from-text.");
  await page.evaluate(() => (location.hash = "#v=1&weights=gpt-small&length=32&from-text=To%20be"));
  await turned(page, "Left to right");
  await done(page);
  assert.equal((await page.locator("#note").textContent()).trim(), "Part of this link could not be read: from-text.");
});

test("a Gaussian sample that stops early says how many passes it saved", async () => {
  const { page } = await revisit("#v=2&weights=gaussian-small&prompt=ROMEO%3A&length=64&seed=7&sampler=ddpm&steps=64&temperature=0.1&stop-stable=3");
  await hurry(page);
  await done(page);
  const [, made, saved] = /^(\d+) steps, (\d+) saved$/.exec(await page.locator("#run-count").textContent());
  assert.ok(Number(saved) >= 1);
  assert.equal(Number(made) + Number(saved), 64);
  const command = await copied(page, "Copy command line");
  if (withoutProgram) return;
  assert.equal(shell(`${command} 2>/dev/null`), `${await verse(page)}\n`);
  assert.match(shell(`${command} 2>&1 >/dev/null`), new RegExp(`\\b${saved} passes`));
});
