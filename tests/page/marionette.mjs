// Firefox as it is, steered by its own protocol, Marionette.
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

/** Milliseconds until a browser must have begun, and until a script must have ended: a busy machine takes minutes. */
const longest = 300000;

/** Starts a browser with a fresh profile, which has no network from the moment on that this resolves unless it is `online`; `preferences` by their names. */
export async function startFirefox(path, { online = false, preferences = {} } = {}) {
  const profile = await mkdtemp(join(tmpdir(), "folio-firefox-"));
  const all = { "marionette.port": 0, "browser.shell.checkDefaultBrowser": false, ...preferences };
  await writeFile(join(profile, "user.js"), Object.entries(all).map((pair) => `user_pref(${pair.map((part) => JSON.stringify(part)).join(", ")});\n`).join(""));
  const browser = spawn(path, ["--headless", "--no-remote", "--profile", profile, "--marionette", "--remote-allow-system-access", "about:blank"], { stdio: "ignore" });
  const gone = new Promise((resolve) => browser.once("close", resolve));
  const end = async () => {
    browser.kill();
    await gone;
    await rm(profile, { recursive: true, maxRetries: 10 });
  };
  try {
    return await steer(await portOf(profile), end, online);
  } catch (error) {
    await end();
    throw error;
  }
}

/** The port at which the browser listens, which it writes into its profile. */
async function portOf(profile) {
  for (const begin = Date.now(); Date.now() < begin + longest; await pause(200)) {
    const port = Number(await readFile(join(profile, "MarionetteActivePort"), "utf8").catch(() => ""));
    if (port) return port;
  }
  throw new Error("Firefox does not begin.");
}

async function steer(port, end, online) {
  const socket = connect(port, "127.0.0.1");
  const waiting = new Map();
  let received = Buffer.alloc(0);
  // A message is the number of its bytes, a colon, and [1, id, error, result].
  const take = () => {
    const colon = received.indexOf(":");
    const stop = colon + 1 + Number(received.subarray(0, Math.max(0, colon)));
    if (colon < 0 || received.length < stop) return false;
    const [, id, error, result] = [JSON.parse(received.subarray(colon + 1, stop))].flat();
    received = received.subarray(stop);
    if (error) waiting.get(id)?.reject(new Error(error.message));
    else waiting.get(id)?.resolve(result);
    return true;
  };
  socket.on("data", (bytes) => {
    received = Buffer.concat([received, bytes]);
    while (take());
  });
  socket.on("close", () => waiting.forEach(({ reject }) => reject(new Error("Firefox has ended."))));
  const send = (name, parameters = {}) => new Promise((resolve, reject) => {
    const id = waiting.size + 1;
    waiting.set(id, { resolve, reject });
    const message = JSON.stringify([0, id, name, parameters]);
    socket.write(`${Buffer.byteLength(message)}:${message}`);
  });
  /** As the browser itself, which may do anything. */
  const inBrowser = async (script) => {
    await send("Marionette:SetContext", { value: "chrome" });
    const { value } = await send("WebDriver:ExecuteScript", { script, args: [] });
    await send("Marionette:SetContext", { value: "content" });
    return value;
  };
  await send("WebDriver:NewSession", { capabilities: { alwaysMatch: { timeouts: { script: longest, pageLoad: longest } } } });
  await inBrowser(`Services.io.offline = ${!online}; Services.console.reset();`);
  return {
    end: () => (socket.destroy(), end()),
    goTo: (url) => send("WebDriver:Navigate", { url }),
    /** Runs an async function in the page; resolves to what it returns. */
    async run(body, ...args) {
      const script = `const [done] = [...arguments].slice(-1); (${body})(...[...arguments].slice(0, -1)).then((value) => done({ value }), (error) => done({ error: String(error) }));`;
      const { value: { value, error } } = await send("WebDriver:ExecuteAsyncScript", { script, args });
      if (error) throw new Error(error);
      return value;
    },
    /** Chooses a file in a field. */
    async chooseFile(selector, file) {
      const { value } = await send("WebDriver:FindElement", { using: "css selector", value: selector });
      await send("WebDriver:ElementSendKeys", { id: Object.values(value)[0], text: file });
    },
    /** The errors and warnings that a file and what it has started have caused. */
    complaints: async (url) => (await inBrowser(`return Services.console.getMessageArray().filter((message) => message instanceof Ci.nsIScriptError)
      .map(({ sourceName, errorMessage }) => sourceName + ": " + errorMessage)`)).filter((words) => words.startsWith(url) || words.startsWith("blob:")),
  };
}
