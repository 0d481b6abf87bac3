// The race and the bench: node --test tests/page/race.test.mjs
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import {
  defaultsOf, done, folio, hurry, isolated, plain, quick, race, raceSays, revisit, role, shipped, stage, stop, until, verse, visit,
  withoutProgram, workersEnd,
} from "./support.mjs";

test("a race runs one model of each process, replays them on one clock and names no winner", async () => {
  const { page } = await revisit(`${quick.replace("length=64", "length=96")}&room=race`);
  await done(page);
  await page.waitForSelector("nav [data-room=race][aria-current=page]");
  const entries = await shipped("weights/index.json");
  const racers = ["masked-small", "gaussian-small", "gpt-small"].map((name) => entries.find((entry) => entry.name === name));
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
  if (!withoutProgram)
    for (const [at, { name }] of racers.entries()) {
      const options = ["sample", "--weights", `weights/${name}.safetensors`, "--prompt", "ROMEO:", "--length", "96", "--seed", "7"];
      assert.equal(texts[at], folio(...options).slice(0, -1), name);
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

test("a race can be stopped, and its errors are said in one sentence", async () => {
  let failing = true;
  const { page } = await visit(quick, { mayFail: true, prepare: (page) => page.route("**/gpt-small.safetensors*", (route) => (failing ? route.abort() : route.continue())) });
  await done(page);
  const atRest = page.workers().length;
  await race(page).getByRole("button", { name: "Run race", exact: true }).click();
  await raceSays(page, "Masked, 1 of 3: pass ");
  await stop(race(page));
  await raceSays(page, "Stopped.");
  await workersEnd(page, atRest);
  await race(page).getByRole("button", { name: "Run race", exact: true }).click();
  await race(page).getByRole("alert").waitFor({ timeout: 120000 });
  assert.equal(await race(page).getByRole("alert").textContent(), "The weights of gpt-small did not arrive.");
  failing = false;
  await role(page, "textbox", "Prompt").fill("Rom\u00e9o");
  await race(page).getByRole("button", { name: "Run race", exact: true }).click();
  await page.waitForFunction(() => document.querySelector("#race-alert-text").textContent.includes("\u00e9"));
  assert.match(await race(page).getByRole("alert").textContent(), /^The race stopped: [^\n]+\.$/);
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
  const { page } = await revisit(quick);
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
  const { page } = await revisit(quick);
  await done(page);
  const atRest = page.workers().length;
  const run = bench(page).getByRole("button", { name: "Run bench", exact: true });
  await run.click();
  await benchSays(page, "1 of ");
  await stop(bench(page));
  await benchSays(page, "Stopped.");
  await run.waitFor();
  assert.equal(await rows(page).filter({ hasText: "measured here" }).count(), 1);
  await workersEnd(page, atRest);
  await run.click();
  await benchSays(page, "1 of ");
  assert.ok(page.workers().length > atRest);
  await role(page, "button", "Sample").click();
  await done(page);
  await run.waitFor();
  await workersEnd(page, atRest);
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

test("reports that are dropped or opened join the table; other files are refused in one sentence", async () => {
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

test("the bench says how this browser runs, isolated or not, also at a phone's width", async () => {
  for (const server of [isolated, plain]) {
    const { page } = await revisit(`${quick}&room=bench`, { server });
    await page.setViewportSize({ width: 320, height: 700 });
    await done(page);
    await rows(page).first().waitFor();
    const facts = await page.locator("#bench-facts").textContent();
    assert.match(facts, /Kernels(wasm[^:]*|the first passes [^:]*): /);
    assert.match(facts, server === isolated ? /Isolationisolated/ : /Isolationnot isolated.*Threads1 of/);
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth), 0);
  }
});

const verification = (page) => role(page, "region", "Verification");
const verificationSays = (page, words) => page.waitForFunction((text) => document.querySelector("#verify-state").textContent.startsWith(text), words, { timeout: 400000 });
/** The cells of a table, row by row. */
const cells = (page, table) => role(page, "table", table).locator("tbody tr").evaluateAll((rows) => rows.map((row) => [...row.cells].map((cell) => cell.innerText)));
const published = JSON.parse(await readFile(new URL("../../weights/verify.json", import.meta.url), "utf8"));

test("the published texts come out of every kernel set, on one thread and on all, with a tick and words beside each", async () => {
  const { page } = await revisit(`${quick}&room=bench`);
  await done(page);
  const { samples, measured, hash } = published;
  assert.deepEqual(await cells(page, "Verified texts"), samples.map(({ name, hash }) => [name, hash, "not checked yet"]));
  assert.deepEqual((await cells(page, "Targets")).map((row) => row[1]), measured.map(() => hash));
  const megabytes = (await shipped("weights/index.json")).filter(({ name }) => published.weights[name]).reduce((sum, { bytes }) => sum + bytes, 0) / 1e6;
  assert.equal(await page.locator("#verify-state").textContent(), `${megabytes.toFixed(1)} MB of weights`);
  await role(page, "button", "Verify").click();
  assert.equal(await verification(page).getAttribute("aria-busy"), "true");
  await verificationSays(page, "Finished: ");
  assert.equal(await verification(page).getAttribute("aria-busy"), "false");
  const cores = Math.min(16, await page.evaluate(() => navigator.hardwareConcurrency));
  const runs = ["wasm relaxed", "wasm relaxed i16", "wasm"];
  const names = (cores > 1 ? [`${cores} threads`, "1 thread"] : ["1 thread"]).flatMap((threads) => runs.map((run) => `this browser: ${run}, ${threads}`));
  assert.equal(await page.locator("#verify-state").textContent(), `Finished: all ${samples.length} texts are the published ones, under each of ${names.length} kernel sets and numbers of threads.`);
  assert.deepEqual(await cells(page, "Verified texts"), samples.map(({ name, hash }) => [name, hash, `\u2713 published, ${names.length} times`]));
  assert.deepEqual((await cells(page, "Targets")).slice(measured.length), names.map((name) => [name, hash, "you, now: \u2713 published"]));
});

test("a text that differs is said, and one whose weights the page lacks; a verification can be stopped", async () => {
  const entries = await shipped("weights/index.json");
  const article = entries.find(({ name }) => name === "gaussian-article-small");
  // The weights of one model under the name of another.
  const changed = entries.filter(({ name }) => name !== "gpt-small").map((entry) => (entry.name === "gaussian-small" ? { ...article, name: entry.name } : entry));
  const { page } = await visit(`${quick}&room=bench`, { server: plain, prepare: (page) => page.route("**/weights/index.json?*", (route) => route.fulfill({ json: changed })) });
  await done(page);
  const atRest = page.workers().length;
  const checked = published.samples.filter(({ weights, request }) => ![weights, request.proofread].includes("gpt-small"));
  await role(page, "button", "Verify").click();
  await verificationSays(page, "1 of ");
  await stop(verification(page));
  await verificationSays(page, "Stopped.");
  await role(page, "button", "Verify").waitFor();
  await workersEnd(page, atRest);
  assert.ok((await cells(page, "Verified texts"))[0][2].startsWith("\u2713 published"));
  await role(page, "button", "Verify").click();
  const differing = checked.filter(({ weights }) => weights === "gaussian-small");
  await verificationSays(page, `Finished: ${differing.length} of ${checked.length} texts DIFFER from what is published.`);
  const verdicts = new Map((await cells(page, "Verified texts")).map(([name, , verdict]) => [name, verdict]));
  for (const sample of published.samples) {
    const verdict = verdicts.get(sample.name);
    if (differing.includes(sample)) assert.equal(verdict, "DIFFERS: the page has other weights, gaussian-small");
    else if (checked.includes(sample)) assert.equal(verdict, "\u2713 published, 3 times");
    else assert.equal(verdict, "not checked: the page has no gpt-small");
  }
  // A hash of all needs all.
  assert.equal((await cells(page, "Targets")).length, published.measured.length);
});

test("where the server does not isolate the page, all cores can be used on request, and the sample is kept", async () => {
  const { page } = await visit(quick, { server: plain, stores: true });
  await done(page);
  const text = await verse(page);
  await role(page, "slider", "Step").fill("5");
  const sheet = await role(page, "textbox", "Text").inputValue();
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
  const { page: served } = await revisit(quick);
  assert.equal(await role(served, "button", "Use all cores").count(), 0);
});
