// Layout, focus, contrast and speed of the built page in Chromium: node --test tests/page_layout.test.mjs
//   FOLIO_PAGE, FOLIO_CHROMIUM   as in page.test.mjs
import assert from "node:assert/strict";
import { test } from "node:test";
import { done, fork, quick, role, shifts, sizes, visit } from "./page_layout_support.mjs";

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

test("a long line goes on with a hanging indent, in large letters, and every letter is found where it stands", async () => {
  const words = "the quality of mercy is not strained it droppeth as the gentle rain from heaven";
  for (const [size, least] of [["desktop", 21], ["phone", 14], ["narrow", 12.5]]) {
    const page = await visit(`#v=1&prompt=${encodeURIComponent(`ROMEO:\n${words}\nA `)}&length=96&seed=7&steps=4`, { size });
    await page.locator(".settled").waitFor({ timeout: 60000 });
    const verse = page.getByRole("article", { name: "Verse" });
    const text = await verse.evaluate((article) => article.textContent);
    assert.ok(text.startsWith(`ROMEO:\n${words}\nA `));
    const { letters, left, scrolls } = await verse.evaluate((article) => {
      const line = article.querySelectorAll(".line")[1];
      const range = document.createRange();
      range.selectNodeContents(line);
      const rows = new Map();
      for (const { left, top, width } of range.getClientRects()) if (width > 1) rows.set(Math.round(top), Math.min(left, rows.get(Math.round(top)) ?? Infinity));
      return {
        letters: parseFloat(getComputedStyle(article).fontSize), left: [...rows.values()],
        scrolls: article.scrollWidth > article.clientWidth,
      };
    });
    assert.ok(left.length > 1, `${size}: the line is wrapped`);
    assert.ok(left.slice(1).every((at) => at > left[0] + 10), `${size}: ${left}`);
    assert.ok(letters >= least, `${size}: letters of ${letters} px`);
    assert.equal(scrolls, false, size);
    // The letter under the pointer is the one whose life is told.
    const at = text.indexOf("heaven");
    const { x, y } = await verse.evaluate((article, at) => {
      const walker = document.createTreeWalker(article, NodeFilter.SHOW_TEXT);
      let node = walker.nextNode();
      for (; at >= node.data.length; node = walker.nextNode()) at -= node.data.length;
      const range = document.createRange();
      range.setStart(node, at);
      range.setEnd(node, at + 1);
      const box = range.getBoundingClientRect();
      return { x: box.x + box.width / 2, y: box.y + box.height / 2 };
    }, at);
    await (size === "desktop" ? page.mouse.click(x, y) : page.touchscreen.tap(x, y));
    await page.locator("#biography").getByText(`row ${Math.floor(at / 32) + 1}, column ${(at % 32) + 1}`).waitFor();
    await page.context().close();
  }
});

test("verse that is longer than its box can be scrolled by the keyboard, and is copied as it was written", async () => {
  const page = await visit(`#v=1&prompt=${encodeURIComponent("A\n".repeat(40))}&length=96&seed=7&steps=4`, { size: "phone" });
  await page.locator(".settled").waitFor({ timeout: 60000 });
  const verse = page.getByRole("article", { name: "Verse" });
  assert.ok(await verse.evaluate((article) => article.scrollHeight > article.clientHeight));
  await verse.focus();
  await page.keyboard.press("ArrowDown");
  await page.waitForFunction(() => document.querySelector("#verse").scrollTop > 0);
  const text = await verse.evaluate((article) => article.textContent);
  await verse.evaluate((article) => getSelection().selectAllChildren(article.firstElementChild));
  await page.locator("#toolbar").waitFor();
  await page.keyboard.press("Control+c");
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), text);
});

test("without its script, or where that does not come, the page has verse, a sentence and the story, and nothing that seems to work", async () => {
  const broken = (answer) => ({ mayFail: true, prepare: (page) => page.route("**/main.js", (route) => route.fulfill(answer)) });
  for (const [name, size, options] of [
    ["scripting off", "desktop", { javaScriptEnabled: false }], ["scripting off", "narrow", { javaScriptEnabled: false }],
    ["missing", "desktop", broken({ status: 404, body: "" })], ["of the wrong type", "phone", broken({ contentType: "text/plain", body: "1" })],
  ]) {
    const page = await visit("", { size, ...options });
    const html = page.locator("body");
    const sentence = html.getByText("The page’s script does not run");
    await sentence.waitFor({ timeout: 20000 });
    const verse = page.locator(".verse:visible");
    assert.equal(await verse.count(), 1, name);
    assert.match(await verse.innerText(), /^ROMEO:\n/);
    const box = await verse.boundingBox();
    const lines = await verse.locator(".line").last().boundingBox();
    assert.ok(lines.y + lines.height <= box.y + box.height + 1, `${name}, ${size}: the verse ends at ${lines.y + lines.height}, its box at ${box.y + box.height}`);
    assert.ok(await page.getByText("Every sheet begins as dots").isVisible(), name);
    for (const dead of ["button:enabled", "input", "select", "textarea:not(#text)", "nav", "a:not(.mark)[href]", "#run-head"])
      assert.deepEqual(await page.locator(`${dead} >> visible=true`).evaluateAll((found) => found.map(({ outerHTML }) => outerHTML.slice(0, 80))), [], `${name}: ${dead}`);
    await page.context().close();
  }
});
