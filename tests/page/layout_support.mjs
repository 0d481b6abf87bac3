// What the tests of the page's layout have besides support.mjs: sizes of windows, and visits that watch what moves.
import { role, sharing, twoFrames as drawn, visit as visitPage } from "./support.mjs";

export { done, fromWeb, quick, role, twoFrames as drawn, until, web } from "./support.mjs";
export const sizes = {
  desktop: { width: 1440, height: 900 }, tablet: { width: 820, height: 1180 }, phone: { width: 390, height: 844 }, narrow: { width: 320, height: 700 },
};

/** As the first script: keeps every layout shift, also those that follow an act of the visitor, with what moved. */
function watchShifts() {
  window.shifts = [];
  const name = (node) => node?.id || node?.parentElement?.id || node?.className || `${node?.nodeName} ${node?.textContent.slice(0, 40)}`;
  window.shiftObserver = new PerformanceObserver((list) => window.takeShifts(list.getEntries()));
  window.takeShifts = (entries) => {
    for (const { value, sources } of entries)
      window.shifts.push({
        value, moved: sources.map(({ node, previousRect: a, currentRect: b }) =>
          `${name(node)} from ${Math.round(a.x)},${Math.round(a.y)} to ${Math.round(b.x)},${Math.round(b.y)}`),
      });
  };
  window.shiftObserver.observe({ type: "layout-shift", buffered: true });
}

const visitShared = sharing((page) => page.addInitScript(watchShifts));
/** A visitor who has been here before (support.mjs), at a desktop's size. */
export const revisit = async (hash) => (await visitShared(hash)).page;

/** A fresh visitor; `size` is one of `sizes`, or a viewport. */
export async function visit(hash = "", { size = "desktop", prepare, ...options } = {}) {
  const viewport = sizes[size] ?? size;
  const small = viewport.width <= 600;
  const { page } = await visitPage(hash, {
    viewport, hasTouch: small, isMobile: small, ...options,
    prepare: async (page) => {
      if (options.javaScriptEnabled !== false) await page.addInitScript(watchShifts);
      if (prepare) await prepare(page);
    },
  });
  return page;
}

/** All that has moved so far. */
export async function shifts(page) {
  await drawn(page);
  return page.evaluate(() => {
    window.takeShifts(window.shiftObserver.takeRecords());
    return window.shifts;
  });
}

/** Forks the sample at different steps until there are so many lanes. */
export async function fork(page, lanes) {
  for (let count = 2; count <= lanes; ++count) {
    if (count > 2) await page.locator("#lane input").first().check({ force: true });
    await page.locator("#step").fill(String(count));
    await role(page, "button", "Fork here").click();
    await page.waitForFunction((count) => document.querySelectorAll("#lane input").length === count, count);
  }
}
