/** The report that the bench and `folio bench --json` write alike; bench/report.schema.json says for both what is valid. */
import { $defs, properties, required, type } from "../../../bench/report.schema.json";
import type { BenchSetting, Timing } from "../engine/protocol";

export interface Report extends Partial<BenchSetting> {
  program: "folio";
  version?: string;
  machine: { processor?: string; browser?: string; cores?: number; memory_mib?: number };
  date?: string;
  threads?: number;
  results: Timing[];
  memory_mib?: number;
}

export const largestReport = 1 << 20;

/** What the schema uses of JSON Schema, as native/report/json_schema.h has it. */
interface Rule {
  $ref?: string; const?: unknown; type?: string; required?: string[]; properties?: Record<string, Rule>;
  items?: Rule; minItems?: number; minimum?: number; exclusiveMinimum?: number; maximum?: number; minLength?: number; maxLength?: number;
}

/** The root of the schema, without what only its readers need. */
const root = { type, required, properties } as Rule;
const definitions = $defs as Record<string, Rule>;

const unprintable = /[\p{C}\p{Zl}\p{Zp}]/u;

/** Throws an Error with a clause at the first violation. A null counts as a key that is left out. */
function check(value: unknown, rule: Rule, path: string): void {
  const refuse = (why: string): never => { throw new Error(`${path || "it"} ${why}`); };
  if (rule.$ref) return check(value, definitions[rule.$ref.replace("#/$defs/", "")]!, path);
  const { type, minimum = -Infinity, exclusiveMinimum = -Infinity, maximum = Infinity, minLength = 0, maxLength = Infinity } = rule;
  if ("const" in rule) {
    if (value !== rule.const) refuse(`is not ${JSON.stringify(rule.const)}`);
  } else if (type === "object") {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return refuse("is no object");
    const fields = value as Record<string, unknown>, pathOf = (key: string) => (path ? `${path}.${key}` : key);
    for (const key of rule.required ?? []) if ((fields[key] ?? null) === null) throw new Error(`${pathOf(key)} is missing`);
    for (const [key, member] of Object.entries(rule.properties!)) if ((fields[key] ?? null) !== null) check(fields[key], member, pathOf(key));
  } else if (type === "array") {
    if (!Array.isArray(value) || value.length < (rule.minItems ?? 0)) return refuse("is no list, or too short");
    value.forEach((item, index) => check(item, rule.items!, `${path}[${index}]`));
  } else if (type === "string") {
    if (typeof value !== "string") return refuse("is no text");
    if ([...value].length > maxLength || unprintable.test(value)) refuse("is too long or holds characters that do not show");
    if (value.length < minLength) refuse("is empty");
  } else if (type === "boolean") {
    if (typeof value !== "boolean") refuse("is neither true nor false");
  } else if (typeof value !== "number" || !(value >= minimum && value > exclusiveMinimum && value <= maximum) || (type === "integer" && !Number.isInteger(value))) {
    refuse(type === "integer" ? `must be a whole number from ${minimum} to ${maximum}` : `must be a number above ${exclusiveMinimum}, and at most ${maximum}`);
  }
}

/** The key by which a row of a report differs from the others. */
function workOf({ task, kernels, products, threads }: Timing): string {
  return [task, kernels, products, threads === 1 ? "1 thread" : `${threads} threads`].filter(Boolean).join(", ");
}

/** Throws an Error with the end of a sentence where the text is no report. */
export function readReport(text: string): Report {
  let report: Report;
  try {
    report = JSON.parse(text) as Report;
  } catch {
    throw new Error("it is not valid JSON");
  }
  check(report, root, "");
  const rows = new Set<string>();
  for (const row of report.results) {
    const work = workOf(row);
    if (row.lower_quartile_ms > row.median_ms || row.median_ms > row.upper_quartile_ms) throw new Error(`the median of ${work} does not lie between its quartiles`);
    if (rows.has(work)) throw new Error(`it has the row ${work} twice`);
    rows.add(work);
  }
  return { ...report, machine: report.machine ?? {} };
}
