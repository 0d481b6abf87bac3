// Keys, focus, the timeline, the story and a phone's width: node --test tests/page/navigation.test.mjs
import assert from "node:assert/strict";
import { test } from "node:test";
import { choose, done, quick, revisit, role, stage, turned, until, visit } from "./support.mjs";

test("the slider shows any step without computing", async () => {
  const { page } = await revisit(quick);
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

test("everything can be done by keyboard, and every tab stop is visible and named", async () => {
  const { page } = await revisit(quick);
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

test("the story puts step and Show back when it is left", async () => {
  const { page } = await revisit(`${quick}&step=3`);
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

test("the story compares the two noise schedules and switches the sheet to another process", async () => {
  const { page } = await revisit(`${quick}&room=story`);
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

test("the page works at a phone's width", async () => {
  const { page } = await visit(`${quick}&length=256&step=4&char=40`, { viewport: { width: 375, height: 800 }, hasTouch: true, isMobile: true });
  await until(page, { state: "paused", step: "4" });
  const overflow = (page) => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.equal(await overflow(page), 0);
  const { page: narrow } = await revisit(quick);
  await narrow.setViewportSize({ width: 320, height: 700 });
  await role(narrow, "button", "More settings").click();
  assert.equal(await overflow(narrow), 0);
  const biography = role(page, "region", "Biography");
  await biography.getByRole("button", { name: "Close" }).click();
  await page.locator("#text").tap({ position: { x: 60, y: 40 } });
  await biography.getByText(/row 2, column \d/).waitFor();
});
