// Choosing, noising, keeping, typing and taking letters; saving what comes of it: node --test tests/page/editing.test.mjs
import assert from "node:assert/strict";
import {  test } from "node:test";
import {
  choose, copied, done, hurry, quick, revisit, role, sameTrace, save, stage, stepsOf, until, verse,
} from "./support.mjs";

test("letters are noised again in a lane of their own; link and command name the edit and give the same text", async () => {
  const { page } = await revisit(quick);
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

  const command = await copied(page, "Copy command line");
  assert.match(command, /^folio sample --weights weights\/masked-.*\.safetensors --prompt ROMEO: --length 64 --seed 7 --sampler confidence --steps 8 --temperature 0\.8 --edit 8:noise:40-49$/);
  const link = await copied(page, "Copy link");
  const step = await stage(page).getAttribute("data-step");
  await role(page, "radio", "A").check({ force: true });
  assert.equal(await verse(page), before);
  await role(page, "radio", "B").check({ force: true });
  await role(page, "button", "Compare with A").click();
  assert.equal(await role(page, "button", "Compare with A").getAttribute("aria-pressed"), "true");
  await revisit(new URL(link).hash);
  await until(page, { state: "done", step });
  assert.equal(await verse(page), after);
});

test("typing fixes letters, and a sample fills what lies between", async () => {
  const { page } = await revisit(quick);
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
  const { page } = await revisit(`${quick}&edit=100:noise:20-29`);
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

test("letters can be kept and released, which opens their positions", async () => {
  const { page } = await revisit(quick);
  await done(page);
  await choose(page, 10, 14);
  await page.getByRole("button", { name: "Keep", exact: true }).click();
  await page.getByRole("button", { name: "Release", exact: true }).click();
  await page.waitForFunction(() => document.querySelector("#text").value.slice(10, 15) === "_____");
  await until(page, { state: "paused" });
});

test("another letter can be taken instead, in a lane of its own", async () => {
  const { page } = await revisit(`${quick}&char=30`);
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

test("the focus goes to the sheet when the toolbar is hidden", async () => {
  const { page } = await revisit(quick);
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

test("a click ends the selection", async () => {
  const { page } = await revisit(quick);
  await done(page);
  await choose(page, 10, 14);
  // As slow as a hand: the browser tells of the new selection before the button is up.
  await page.locator("#text").click({ position: { x: 60, y: 40 }, delay: 200 });
  await page.waitForSelector("#toolbar[hidden]", { state: "attached" });
  await role(page, "region", "Biography").getByText(/row 2, column 3/).waitFor();
});

test("copy and cut take the sample's own letters", async () => {
  const { page } = await revisit(quick);
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

test("text, trace and picture can be saved", async () => {
  const { page } = await revisit(quick);
  await done(page);
  assert.equal(await save(page, "text"), await verse(page));
  const trace = stepsOf(await save(page, "trace"));
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

test("a finished sample settles into verse in which letters can be selected", async () => {
  const { page } = await revisit(quick);
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

test("a biography says how the position was chosen and how the letter was drawn", async () => {
  const { page } = await revisit(`${quick.replace("sampler", "")}&sampler=spread&char=30`);
  await done(page);
  const biography = await role(page, "region", "Biography").textContent();
  assert.match(biography, /The sampler took this place as the most confident of its stretch of open ones\. The letter was drawn at temperature 0\.8: at temperature 1 the network gave it (< )?\d\.\d\d\./);
  await role(page, "button", "More settings").click();
  assert.match(await page.locator("#sampler-help").textContent(), /^spread: .*far apart\.$/);
});
