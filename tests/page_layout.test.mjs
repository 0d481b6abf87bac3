// Layout, focus, contrast and speed of the built page in Chromium: node --test tests/page_layout.test.mjs
//   FOLIO_PAGE, FOLIO_CHROMIUM   as in page.test.mjs
import assert from "node:assert/strict";
import { test } from "node:test";
import { done, fork, quick, role, shifts, sizes, until, visit } from "./page_layout_support.mjs";

for (const size of Object.keys(sizes))
  test(`nothing moves at start and while a sample runs: first visit, ${size}`, async () => {
    const page = await visit("", { size });
    await page.waitForSelector("#stage[data-source=live]", { timeout: 60000 });
    await page.locator("#speed").selectOption("as it comes");
    await done(page);
    assert.deepEqual(await shifts(page), []);
  });

const link = "#v=1&prompt=ROMEO%3A%0AWhat%20noise&seed=7&steps=8";
for (const size of Object.keys(sizes))
  test(`nothing moves when the sample of a link comes, whatever its length: ${size}`, async () => {
    // Weights that come late leave time for what is shown meanwhile.
    const prepare = (page) => page.route("**/*.safetensors*", async (route) => {
      await page.waitForFunction(() => Number(document.querySelector("#stage").dataset.step) >= 2);
      await route.continue().catch(() => {});
    });
    for (const rest of ["&length=1024&step=1", "&length=64&show=doubt&nonsense=1"]) {
      const page = await visit(link + rest, { size, prepare });
      await page.waitForSelector("#stage[data-source=live]:is([data-state=done], [data-state=paused])", { timeout: 60000 });
      assert.deepEqual(await shifts(page), [], rest);
      await page.context().close();
    }
  });

for (const size of Object.keys(sizes))
  test(`nothing moves for a note, an estimate or a lane: ${size}`, async () => {
    const page = await visit(quick, { size });
    await done(page);
    await role(page, "button", "Copy link").click();
    await page.locator("#note:has-text('The link is copied.')").waitFor();
    await role(page, "textbox", "Prompt").fill("\u00e9");
    await role(page, "button", "Sample").click();
    await page.locator("#alert").waitFor();
    await role(page, "textbox", "Prompt").fill("ROMEO:");
    // As if a pass were slow.
    for (const words of ["about 7 s", "about 120 s", ""]) await page.locator("#estimate").evaluate((estimate, words) => (estimate.textContent = words), words);
    await fork(page, 8);
    await role(page, "slider", "Step").fill("1");
    assert.deepEqual(await shifts(page), []);
  });
