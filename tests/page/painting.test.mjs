// Brush and Life: positions that are chosen one by one, and what can be done to them: node --test tests/page/painting.test.mjs
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { drawn, fromWeb, revisit, shifts } from "./layout_support.mjs";
import { copied, done, hurry, quick, role, sameTrace, stage, stop, until, verse, web, written } from "./support.mjs";

const length96 = quick.replace("length=64", "length=96");
const toolbar = (page) => role(page, "toolbar", "Chosen text");
const by = (page, name) => role(page, "radio", name).check({ force: true });
const radius = (page, cells) => role(page.locator("#radius"), "radio", String(cells)).check({ force: true });
const chosen = (page, count) => toolbar(page).getByText(count === 1 ? "1 character" : `${count} characters`, { exact: true }).waitFor();
const nothingChosen = (page) => page.waitForSelector("#toolbar", { state: "hidden" });
const says = (page, words) => page.waitForFunction((text) => document.querySelector("#note:not([hidden])")?.textContent.includes(text), words);
const command = (page) => page.locator("#command").textContent();

/** The middle of a cell on the screen. */
async function cells(page) {
  const { x, y, width, height } = await page.locator("#sheet").boundingBox();
  const rows = await page.evaluate(() => Number(document.documentElement.style.getPropertyValue("--rows")));
  return (column, row) => [x + ((column + 0.5) * width) / 32, y + ((row + 0.5) * height) / rows];
}

/** A stroke of the mouse, from cell to cell in single moves. */
async function stroke(page, points, button = "left") {
  const at = await cells(page);
  await page.mouse.move(...at(...points[0]));
  await page.mouse.down({ button });
  for (const point of points.slice(1)) await page.mouse.move(...at(...point));
  await page.mouse.up({ button });
}

/** The positions that a command's edits noise after a step. */
function noised(words, step) {
  return [...words.matchAll(/--edit (\d+):noise:(\d+)-(\d+)/g)].filter(([, at]) => Number(at) === step)
    .flatMap(([, , from, to]) => Array.from({ length: to - from + 1 }, (_, index) => Number(from) + index));
}

/** A finished sample on a page whose frames come as they are computed. */
async function finished(hash) {
  const page = await revisit(hash);
  await hurry(page);
  await done(page);
  return page;
}

const step = async (page) => Number(await stage(page).getAttribute("data-step"));
const beyond = (page, last) => page.waitForFunction((last) => Number(document.querySelector("#stage").dataset.step) > last, last);

/** Noises what is chosen again, to the end. */
async function noiseAgain(page) {
  const last = await step(page);
  await toolbar(page).getByRole("button", { name: "Noise again" }).click();
  await beyond(page, last);
  await done(page);
}

/** Runs the game for some steps, at a pace at which it can be stopped before it ends, and has the sampler fill what is open then. */
async function live(page, steps) {
  const last = await step(page);
  await page.locator("#speed").selectOption("4");
  await role(page, "button", "Run life").click();
  await beyond(page, last + steps - 1);
  await stop(page.locator(".opts"));
  await until(page, { state: "paused" });
  await hurry(page);
  await role(page, "button", "Play").click();
  await done(page);
}

/** The page's link and its command give the text that is on show. */
async function sameText(page) {
  const text = await verse(page);
  assert.equal((await written(page)) ?? text, text);
  const link = new URL(await copied(page, "Copy link")).hash;
  const end = await step(page);
  await revisit(link);
  await hurry(page);
  await until(page, { state: "done", step: end });
  assert.equal(await verse(page), text);
}

let parts;
before(async () => {
  const names = ["page/edits", "page/life", "views/brush", "engine/protocol"];
  const { outputFiles } = await fromWeb("esbuild").build({
    stdin: { contents: names.map((name) => `export * from "./src/${name}.ts";`).join(""), resolveDir: web }, bundle: true, format: "esm", write: false,
  });
  parts = await import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].text).toString("base64")}`);
});

test("a brush has one, nine or fifteen cells, fewer at the sheet's edges, and a quick stroke has no holes", () => {
  const painted = new Set();
  const brush = new parts.Brush(({ cell }) => cell, () => 96, (positions) => positions.forEach((position) => painted.add(position)));
  for (const [radius, inside, corner] of [[1, 1, 1], [2, 9, 4], [3, 15, 6]]) {
    brush.radius = radius;
    assert.deepEqual([brush.around(10, 1).length, brush.around(0, 0).length], [inside, corner]);
  }
  brush.radius = 1;
  const event = (cell, before = []) => ({ cell, isPrimary: true, buttons: 1, getCoalescedEvents: () => before.map((cell) => ({ cell })) });
  assert.ok(brush.begin(event([2, 0])));
  brush.move(event([30, 2], [[16, 2]]));
  assert.deepEqual([...new Set([...painted].map((position) => position % 32))].sort((a, b) => a - b), Array.from({ length: 29 }, (_, index) => index + 2));
  assert.ok(painted.has(64 + 23));
  brush.end();
  assert.ok(!brush.isDown);
  // The right button, a pen's barrel and its other end erase; the middle button and a second finger do nothing.
  const acts = [];
  const strokes = new parts.Brush(({ cell }) => cell, () => 96, (_, erases) => acts.push(erases));
  for (const buttons of [1, 2, 32, 4]) strokes.begin({ ...event([0, 0]), buttons });
  strokes.begin({ ...event([0, 0]), isPrimary: false });
  assert.deepEqual(acts, [false, true, true]);
});

test("generations follow Conway's rules on a torus, and the first one depends on the seed", () => {
  const { nextGeneration, firstGeneration } = parts;
  assert.deepEqual(nextGeneration([33, 34, 35], 256), [2, 34, 66]);
  // Across the edges, a glider comes back where it began.
  const glider = [1, 34, 64, 65, 66];
  let cells = glider;
  for (let generation = 0; generation < 4 * 32; ++generation) cells = nextGeneration(cells, 1024);
  assert.deepEqual(cells, glider);
  assert.deepEqual(nextGeneration([0], 256), []);
  assert.ok(Math.max(...nextGeneration(firstGeneration("7", 70), 70)) < 70);
  const share = firstGeneration("7", 1024).length / 1024;
  assert.ok(share > 0.28 && share < 0.39, String(share));
  assert.deepEqual(firstGeneration("7", 256), firstGeneration("7", 256));
  assert.notDeepEqual(firstGeneration("7", 256), firstGeneration("8", 256));
});

test("noise reaches all that is chosen with few edits, and a share of it is the share of the whole", () => {
  const { noisingEdits, REVEALED, CONDITIONED } = parts;
  // Positions 2 and 3 are open, 6 is given.
  const flags = Array.from({ length: 40 }, (_, position) => (position === 2 || position === 3 ? 0 : position === 6 ? REVEALED | CONDITIONED : REVEALED));
  const lane = (changesAll) => ({ frames: [{ flags }], process: { changesAll } });
  const choice = [0, 1, 4, 5, 7, 10];
  assert.deepEqual(noisingEdits(lane(false), 0, choice, 100), ["noise:0-7", "noise:10-10"]);
  assert.deepEqual(noisingEdits(lane(true), 0, choice, 100), ["noise:0-1", "noise:4-7", "noise:10-10"]);
  assert.deepEqual(noisingEdits(lane(true), 0, choice, 40), ["noise:0-1:40", "noise:4-7:40", "noise:10-10:40"]);
  assert.deepEqual(noisingEdits(lane(false), 0, [2, 3, 6], 100), []);
  assert.deepEqual(noisingEdits(lane(false), 0, [0, 1, 2], 50), ["noise:0-2:50"]);
  const apart = Array.from({ length: 10 }, (_, index) => 10 + 3 * index);
  assert.equal(noisingEdits(lane(false), 0, apart, 30).length, 3);
});

test("painted letters are noised again, the right button erases, and link and command give the same text", async () => {
  const page = await finished(length96);
  const text = await verse(page);
  await by(page, "Brush");
  await radius(page, 1);
  await stroke(page, [[8, 0], [20, 2], [30, 0]]);
  await chosen(page, 23);
  await page.evaluate(() => addEventListener("contextmenu", (event) => (window.menu = !event.defaultPrevented)));
  await radius(page, 2);
  await stroke(page, [[20, 2]], "right");
  await chosen(page, 20);
  assert.equal(await page.evaluate(() => window.menu), false);
  await noiseAgain(page);
  const positions = noised(await command(page), 8);
  assert.equal(positions.length, 20);
  const after = await verse(page);
  assert.deepEqual([...after].flatMap((character, position) => (character === text[position] || positions.includes(position) ? [] : [position])), []);
  await sameText(page);
});

test("Brush and Life can be used with keys alone", async () => {
  const page = await finished(length96);
  const text = await verse(page);
  // Nothing is said before the end of a sample.
  await page.waitForFunction(() => document.querySelector("#status").textContent.startsWith("Finished."));
  await by(page, "Brush");
  await radius(page, 2);
  await page.locator("#text").focus();
  await page.keyboard.press("Control+Home");
  await page.keyboard.press("ArrowDown");
  for (let press = 0; press < 5; ++press) await page.keyboard.press("ArrowRight");
  await page.keyboard.press("Space");
  await chosen(page, 9);
  await page.keyboard.press("Control+C");
  const rows = [4, 36, 68].map((from) => text.slice(from, from + 3));
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), rows.map((row, at) => (at < 2 && !row.endsWith("\n") ? `${row}\n` : row)).join(""));
  await page.keyboard.press("Space");
  await nothingChosen(page);
  await page.keyboard.press("Space");
  await page.keyboard.press("Escape");
  await nothingChosen(page);
  await page.locator("#text").focus();
  await page.keyboard.press("Space");
  // Where colours are forced the text has no marks for what is painted; the drawing has.
  await page.emulateMedia({ forcedColors: "active" });
  assert.equal(await page.locator("#ink").isVisible(), true);
  assert.match(await page.locator("#text").evaluate((text) => getComputedStyle(text).color), /, 0\)$/);
  await page.emulateMedia({ forcedColors: null });
  await page.waitForFunction(() => document.querySelector("#status").textContent === "Chosen: 9 characters.");
  await page.keyboard.press("Delete");
  await page.waitForFunction(() => [37, 70].every((at) => document.querySelector("#text").value.slice(at, at + 3) === "___"));
  await chosen(page, 9);

  await page.keyboard.press("Escape");
  await by(page, "Life");
  await page.keyboard.press("Escape");
  await nothingChosen(page);
  await page.locator("#text").focus();
  for (let press = 0; press < 3; ++press) {
    await page.keyboard.press("Space");
    await page.keyboard.press("ArrowRight");
  }
  await chosen(page, 3);
  await page.keyboard.press("Enter");
  // Three in a row of three rows: on so low a torus all three columns are full.
  await chosen(page, parts.nextGeneration([37, 38, 39], 96).length);
});

test("touch paints with Brush alone, where it neither scrolls nor raises a keyboard", async () => {
  const page = await finished(quick.replace("length=64", "length=256"));
  const session = await page.context().newCDPSession(page);
  await session.send("Emulation.setTouchEmulationEnabled", { enabled: true });
  const touchAction = () => page.locator("#text").evaluate((text) => getComputedStyle(text).touchAction);
  const swipe = async (points) => {
    const at = await cells(page);
    const point = ([column, row]) => [{ x: at(column, row)[0], y: at(column, row)[1] }];
    await session.send("Input.dispatchTouchEvent", { type: "touchStart", touchPoints: point(points[0]) });
    for (const next of points.slice(1)) await session.send("Input.dispatchTouchEvent", { type: "touchMove", touchPoints: point(next) });
    await session.send("Input.dispatchTouchEvent", { type: "touchEnd", touchPoints: [] });
  };
  await page.setViewportSize({ width: 390, height: 500 });
  await page.locator("#theme").focus();
  assert.equal(await touchAction(), "pan-y");
  await by(page, "Brush");
  await radius(page, 1);
  assert.equal(await touchAction(), "none");
  await page.evaluate(() => scrollTo({ top: 100, behavior: "instant" }));
  await swipe([[16, 7], [16, 4], [16, 1]]);
  await chosen(page, 7);
  await swipe([[2, 2], [12, 2]]);
  await chosen(page, 18);
  assert.equal(await page.evaluate(() => scrollY), 100);
  assert.notEqual(await page.evaluate(() => document.activeElement.id), "text");
  await by(page, "Range");
  assert.equal(await touchAction(), "pan-y");
  await session.send("Emulation.setTouchEmulationEnabled", { enabled: false });
  await session.detach();
});

test("a click makes a generation; Run life noises one after each pass until it is stopped, and link and command give the same text", async () => {
  const page = await finished(length96);
  await by(page, "Life");
  const first = parts.firstGeneration("7", 96);
  await chosen(page, first.length);
  const second = parts.nextGeneration(first, 96);
  const at = await cells(page);
  await page.mouse.click(...at(3, 1));
  await chosen(page, second.length);
  await live(page, 3);
  assert.equal(await role(page, "radio", "B").isChecked(), true);
  let cells_ = second;
  const words = await command(page);
  for (let at = 8; at < 11; ++at) {
    const positions = noised(words, at);
    // Those before the prompt's end are given.
    if (at === 8) assert.deepEqual(cells_.filter((cell) => cell >= 6 && !positions.includes(cell)), []);
    assert.ok(positions.length);
    cells_ = parts.nextGeneration(cells_, 96);
  }
  await sameTrace(page);
  await sameText(page);
});

test("the game ends by itself where it dies or stands still, and the sampler fills what is open", async () => {
  const page = await finished(length96);
  await by(page, "Brush");
  await radius(page, 1);
  for (const [cells, words] of [[[[9, 1]], "Life has died out after 1 generation."], [[[9, 1], [10, 1], [10, 2], [9, 2]], "Life stands still after 1 generation."]]) {
    await by(page, "Brush");
    await page.keyboard.press("Escape");
    await stroke(page, cells);
    await chosen(page, cells.length);
    await by(page, "Life");
    await role(page, "button", "Run life").click();
    await says(page, words);
    await done(page);
    assert.match(await command(page), new RegExp(cells.length > 1 ? "--edit \\d+:noise:41-42 --edit \\d+:noise:73-74$" : "--edit 8:noise:41-41$"));
  }
});

test("painted places are kept and released, and what is kept of the prompt is out of noise's reach", async () => {
  const page = await finished(length96);
  await by(page, "Brush");
  await radius(page, 1);
  await stroke(page, [[0, 0], [4, 0]]);
  await toolbar(page).getByRole("button", { name: "Noise again" }).click();
  await says(page, "These letters are kept; press Release first, then noise can reach them.");
  await page.keyboard.press("Escape");
  await stroke(page, [[10, 0], [10, 2]]);
  await role(page, "button", "Keep").click();
  await page.getByText("Kept: 3 letters.").waitFor();
  assert.match(await command(page), /--edit 8:keep:10-10 --edit 8:keep:42-42 --edit 8:keep:74-74$/);
  await role(page, "button", "Release").click();
  await page.waitForFunction(() => [10, 43, 76].every((at) => document.querySelector("#text").value[at] === "_"));
});

for (const [process, weights] of [["Gaussian", "gaussian-small"], ["left to right", "gpt-small"]])
  test(`what is painted and what lives gives the same text from link and command: ${process}`, async () => {
    const page = await finished(`#v=1&weights=${weights}&prompt=ROMEO%3A&length=96&seed=7&steps=6`);
    await by(page, "Brush");
    await stroke(page, [[8, 0], [12, 1]]);
    await role(page, "slider", "How far back").fill("60");
    await noiseAgain(page);
    await by(page, "Life");
    await live(page, 2);
    await sameText(page);
  });

test("nothing moves when the way of choosing changes or places are painted, from 320 px on; a long sheet keeps its toolbar in view", async () => {
  const page = await finished("#v=1&prompt=ROMEO%3A&length=512&seed=7&steps=2");
  for (const width of [1280, 640, 390, 320]) {
    await page.setViewportSize({ width, height: 800 });
    await drawn(page);
    await page.evaluate(() => document.querySelector(".opts").scrollIntoView({ block: "end" }));
    await drawn(page);
    const before = (await shifts(page)).length;
    const controls = () => page.evaluate(() => [...document.querySelectorAll(".opts label, .opts button, #play, #sheet")].map((box) => Math.round(box.getBoundingClientRect().y)));
    const places = await controls();
    for (const name of ["Brush", "Life", "Range", "Brush"]) {
      await by(page, name);
      await drawn(page);
      assert.deepEqual(await controls(), places, `${name} at ${width} px`);
    }
    await stroke(page, [[28, 14], [31, 15]]);
    await toolbar(page).waitFor();
    const { x, y, width: wide, height } = await page.locator("#toolbar").boundingBox();
    assert.ok(x >= 0 && x + wide <= width && y >= 0 && y + height <= 800, `${x},${y} at ${width} px`);
    const targets = await page.locator("#radius label").evaluateAll((labels) => labels.map((label) => label.getBoundingClientRect().width));
    assert.ok(Math.min(...targets) >= 24, `${targets} at ${width} px`);
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), width);
    await page.keyboard.press("Escape");
    await by(page, "Range");
    assert.deepEqual((await shifts(page)).slice(before), []);
  }
});
