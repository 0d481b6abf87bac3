// Calls of `folio bench --json`.
import { execFileSync } from "node:child_process";

/** The rows of the report that a program prints; what it says on stderr is shown where it fails. */
export function resultsOf(program, given, environment = {}) {
  const report = execFileSync(program, given, { encoding: "utf8", stdio: "pipe", env: { ...process.env, ...environment } });
  return JSON.parse(report).results;
}
