// Proofreading, and prompts with open gaps: node --test tests/page/proofreading.test.mjs
import assert from "node:assert/strict";
import {  test } from "node:test";
import {
  choose, copied, done, folio, gate, hurry, quick, revisit, role, sameTrace, save, shipped, stage, stepsOf, stop, turned, until, verse,
  visit, written,
} from "./support.mjs";

const proofread = "#v=2&prompt=ROMEO%3A&length=96&seed=7&sampler=spread&steps=12&temperature=1&proofread=gpt-small&rounds=2&proofread-share=0.2";

test("in a proofread sample what is struck out is shown; link and command give the same text", async () => {
  const { page } = await revisit(quick.replace("length=64", "length=96"));
  await done(page);
  await hurry(page);
  await role(page, "button", "More settings").click();
  const { bytes } = (await shipped("weights/index.json")).find(({ name }) => name === "gpt-small");
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
  // The first proofreading comes behind the last pass.
  const scored = stepsOf(await save(page, "trace")).filter((line) => "proofread_nll" in line).map(({ step }) => step);
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
  await revisit(link);
  await hurry(page);
  await done(page);
  assert.equal(await verse(page), text);
});

test("a proofread sample can be continued and edited at any step of a round", async () => {
  const gaussian = proofread.replace("sampler=spread&steps=12&temperature=1", "weights=gaussian-small&sampler=ddpm&steps=12&temperature=0.8");
  for (const hash of [proofread, gaussian]) {
    const { page } = await revisit(hash);
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

test("the proofreader's weights are fetched with progress; where they cannot be, a sentence says so and nothing is lost", async () => {
  let failing = true;
  const weights = gate();
  const { page, requests } = await visit(quick, {
    mayFail: true,
    prepare: (page) => page.route("**/gpt-small.safetensors*", (route) => (failing ? route.abort() : weights.hold(route))),
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
  weights.open();
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
  const { page } = await revisit(quick);
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

test("open gaps of a link are filled and proofread; those that cannot be filled are refused", async () => {
  const { page } = await revisit("#v=2&weights=gaussian-small&text=To%20be%2C%20or%20%7B3-4%7D%20to%20be&seed=5&sampler=ddpm&steps=8&temperature=0.8&proofread=gpt-small&rounds=1&proofread-share=0.2");
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
