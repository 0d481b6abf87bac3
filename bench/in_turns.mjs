// Two commands of `folio bench` in turns, A B A B ..., so that changes of the machine's clock affect both alike: two settings, or the
// programs of two builds. For each row that both reports have: medians, and the median of the ratios of neighbours.
//   node bench/in_turns.mjs [--rounds N] 'COMMAND A' 'COMMAND B'
//   --rounds   turns of each   (14)
// A command is a line for the shell without --json, such as 'FOLIO_KERNELS=avx2 build/release/folio bench --task forward'.
import { parseArgs } from "node:util";
import { resultsOf } from "./peers/folio_bench.mjs";
import { median, takeTurns } from "./peers/pairs.mjs";

const { values: options, positionals: commands } = parseArgs({
  options: { rounds: { type: "string", default: "14" } }, allowPositionals: true });
if (commands.length !== 2) throw new Error("Give two commands of folio bench, each as one word.");

const workOf = ({ task, kernels, products, threads }) => [task, kernels ?? "-", products ?? "-", threads].join(" | ");
const runs = await takeTurns(commands.map((command) => () => new Map(resultsOf("sh", ["-c", `${command} --json`]).map((row) =>
  [workOf(row), row.median_ms]))), Number(options.rounds));

commands.forEach((command, i) => console.log(`${"AB"[i]}: ${command}`));
console.log("\n| task | kernels | products | threads | A ms | B ms | A / B |\n|---|---|---|---|---|---|---|");
const [ofA, ofB] = runs;
for (const work of ofA[0].keys()) {
  if (!ofB[0].has(work)) continue;
  const [a, b] = runs.map((reports) => reports.map((report) => report.get(work)));
  console.log(`| ${work} | ${median(a).toPrecision(4)} | ${median(b).toPrecision(4)} | ${median(a.map((ms, i) => ms / b[i])).toFixed(3)} |`);
}
