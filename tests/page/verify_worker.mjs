// In a browser's worker, beside the modules and the shipped weights: the published texts in every module, on one thread and on two,
// under each kernel set, by the code of the page's Bench. in_browsers.mjs bundles this, and hears of it at REPORTS.
import { verify } from "../../web/src/engine/verify";
import published from "../../weights/verify.json";

const sources = {};
for (const name of Object.keys(published.weights))
  sources[name] = new File([await (await fetch(`${name}.safetensors`)).arrayBuffer()], name);

const reports = {};
for (const module of ["relaxed", "plain"]) {
  if (module === "plain") WebAssembly.validate = () => false; // so a browser without relaxed SIMD says
  const texts = [];
  const hear = (message) => message.type === "verified" && texts.push(message.text);
  reports[module] = { texts };
  await verify(new URL(".", self.location.href).href, published.samples, sources, 2, hear).catch((error) => (reports[module].failure = String(error)));
}
await fetch(REPORTS, { method: "POST", mode: "no-cors", body: JSON.stringify(reports) });
