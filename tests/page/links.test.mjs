// Links and command lines: what they say, and that they write the same text: node --test tests/page/links.test.mjs
import assert from "node:assert/strict";
import {  test } from "node:test";
import {
  copied, defaultsOf, done, folio, hurry, isolated, plain, quick, revisit, role, shell, until, verse, visit, withoutProgram, written,
} from "./support.mjs";

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

test("a link and the command it gives write the same text, byte for byte", { skip: withoutProgram }, async () => {
  const written = [];
  for (const server of [isolated, plain]) {
    const { page } = await revisit("#v=1&seed=9&length=16&steps=1", { server });
    for (const [seed, link] of links.entries()) {
      await page.evaluate((hash) => (location.hash = hash), `#${link.startsWith("v=") ? "" : "v=1&"}${link}&seed=${1000 + seed}`);
      await page.waitForFunction((name) => document.querySelector("#signature").textContent === name, `Seed ${1000 + seed}`);
      await hurry(page);
      await done(page);
      assert.doesNotMatch(await page.locator("#note").textContent(), /could not be read/, link);
      const command = await copied(page, "Copy command line");
      written[seed] ??= { command, text: shell(`${command} --threads 2`) };
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

test("everything a link says wrongly is named, and the rest applies", async () => {
  const unreadable = [
    ["sampler=foo&top-k=1.5", "top-k, sampler"], ["length=0&top-p=7&seed=18446744073709551616", "length, top-p, seed"],
    [`prompt=${"a".repeat(3000)}`, "prompt"], [`prompt=${"a".repeat(51)}&tau=sure`, "tau, prompt"], ["prompt=%FF%FE", "prompt"],
    ["text=%00%01", "text"], ["edit=2:put:3:\u00e9", "edit"], ["edit=2:open:9-4", "edit"], ["edit=2:keep:4-50", "edit"],
  ];
  const { page } = await revisit("#v=1&steps=3&length=50");
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

test("a link of v=1 gives the text for which it was written, and what is written is v=2 with sampler, steps and temperature", async () => {
  const old = {
    "masked-small": ["confidence", "ROMEO:\nAo, I'll be mine tenour  a mh a ollow \nrowns, and ploved to the noble burther,\nSee speak "],
    "gaussian-small": ["ddpm", "ROMEO:\nThen, dear moon, mittle to us, noo words,\nsZould must her wonder bleastes Here is\nin seea"],
    "gpt-small": ["left-to-right", "ROMEO:\nDidst thou proceed the arm of his eyes?\n\nJULIET:\nSwillst thou not meet the sup within thi"],
  };
  for (const [weights, [sampler, text]] of Object.entries(old)) {
    const { page } = await revisit(`#v=1&weights=${weights}&prompt=ROMEO%3A&length=96&seed=7`);
    await hurry(page);
    await done(page);
    assert.equal(await verse(page), text, weights);
    if (weights !== "gpt-small")
      assert.equal(folio("sample", "--weights", `weights/${weights}.safetensors`, "--prompt", "ROMEO:", "--length", "96", "--seed", "7", "--sampler", sampler,
        "--steps", "64", "--temperature", "0.8") ?? `${text}\n`, `${text}\n`);
    const link = new URL(await copied(page, "Copy link")).hash;
    assert.match(link, new RegExp(`^#v=2&(weights=[a-z-]+&)?prompt=ROMEO%3A&length=96&seed=7&sampler=${sampler}&steps=64&temperature=0\\.8$`));
    const { page: other } = await revisit(link);
    await hurry(other);
    await done(other);
    assert.equal(await verse(other), text, link);
  }
});

test("a link without a version takes the defaults of today, and an unknown version is named", async () => {
  for (const version of ["", "v=3&"]) {
    const { page } = await revisit(`#${version}prompt=ROMEO%3A&length=64`);
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
