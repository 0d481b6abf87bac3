/** The report that the bench and `folio bench --json` write alike. The reader asks what native/bench_report.cpp asks. */
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

type Fields = Record<string, unknown>;

function fieldsOf(value: unknown, place: string): Fields {
  if (value === undefined || value === null) return {};
  if (typeof value !== "object" || Array.isArray(value)) throw new Error(`${place} is no object`);
  return value as Fields;
}

/** What does not show has no place in a name. */
function checkText(fields: Fields, key: string, place: string): void {
  const value = fields[key] ?? "";
  if (typeof value !== "string") throw new Error(`${key} of ${place} is no text`);
  if ([...value].length > 120 || /[\p{C}\p{Zl}\p{Zp}]/u.test(value))
    throw new Error(`${key} of ${place} is too long or holds characters that do not show`);
}

function checkCount(fields: Fields, key: string, place: string, least = 0, most = 1e12): void {
  const value = fields[key] ?? 0;
  if (!Number.isInteger(value) || (value as number) < least || (value as number) > most)
    throw new Error(`${key} of ${place} is no whole number from ${least} to ${most}`);
}

function checkMeasure(fields: Fields, key: string, place: string, most: number): void {
  const value = fields[key];
  if (typeof value !== "number" || !(value > 0 && value <= most)) throw new Error(`${key} of ${place} must be a number above 0, and at most ${most}`);
}

/** What tells a row of a report from the others. */
export function workOf({ task, kernels, products, threads }: Timing): string {
  return [task, kernels, products, threads === 1 ? "1 thread" : `${threads} threads`].filter(Boolean).join(", ");
}

function checkRow(value: unknown, place: string): Timing {
  const fields = fieldsOf(value, place);
  for (const key of ["task", "kernels", "products"]) checkText(fields, key, place);
  checkCount(fields, "threads", place, 1, 1 << 20);
  checkCount(fields, "repetitions", place, 1);
  for (const key of ["median_ms", "lower_quartile_ms", "upper_quartile_ms"]) checkMeasure(fields, key, place, 1e9);
  checkMeasure(fields, "chars_per_s", place, 1e15);
  const row = fields as unknown as Timing;
  if (!row.task) throw new Error(`${place} names no task`);
  if (row.lower_quartile_ms > row.median_ms || row.median_ms > row.upper_quartile_ms) throw new Error(`the median of ${place} does not lie between its quartiles`);
  return row;
}

/** Throws an Error with the end of a sentence where the text is no report. */
export function readReport(text: string): Report {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw new Error("it is not valid JSON");
  }
  const whole = "the report";
  const fields = fieldsOf(parsed, whole);
  const { program, results } = fields;
  if (program !== "folio" || !Array.isArray(results) || !results.length) throw new Error("it is not what folio bench --json writes");
  const machine = fieldsOf(fields.machine, "machine");
  for (const key of ["processor", "browser"]) checkText(machine, key, "machine");
  for (const key of ["cores", "memory_mib"]) checkCount(machine, key, "machine");
  for (const key of ["version", "date"]) checkText(fields, key, whole);
  for (const key of ["parameters", "length", "sampling_steps", "training_batch"]) checkCount(fields, key, whole);
  const { passed } = fieldsOf(fields.self_check, "self_check");
  if (passed !== undefined && typeof passed !== "boolean") throw new Error("its self-check neither passed nor failed");
  const rows = new Set<string>();
  results.forEach((value, index) => {
    const work = workOf(checkRow(value, `row ${index + 1}`));
    if (rows.has(work)) throw new Error(`it has the row ${work} twice`);
    rows.add(work);
  });
  return { ...(fields as unknown as Report), machine };
}
