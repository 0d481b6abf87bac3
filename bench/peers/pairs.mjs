// Comparisons in pairs, A B A B ..., so that a machine's changing mood meets both alike.

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
}

/** Runs each of `contenders` (functions that resolve to milliseconds) in turn, `rounds` times; milliseconds by contender. */
export async function takeTurns(contenders, rounds) {
  const times = contenders.map(() => []);
  for (let round = 0; round < rounds; ++round) {
    for (const [i, contender] of contenders.entries()) times[i].push(await contender());
  }
  return times;
}

export const tableHead = "| work | threads | Folio | ms | peer | ms | peer / Folio |\n|---|---|---|---|---|---|---|";

/** A row of the table: medians, and the median of the ratios of neighbours. */
export function tableRow({ work, threads, folio, peer }) {
  const ratio = median(peer.times.map((time, i) => time / folio.times[i]));
  return `| ${work} | ${threads} | ${folio.name} | ${median(folio.times).toFixed(1)} | ${peer.name} | ${median(peer.times).toFixed(1)} | ${ratio.toFixed(2)} |`;
}
