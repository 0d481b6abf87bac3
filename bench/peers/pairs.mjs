// Comparisons in pairs, A B A B ..., so that changes of the machine's clock affect both alike.

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

export const tableHead = "| work | threads | Folio | ms | peer | ms | peer / Folio | of the best |\n|---|---|---|---|---|---|---|---|";

/** A row of the table: medians, the median of the ratios of neighbours, and the ratio of the shortest times. */
function tableRow({ work, threads, folio, peer }) {
  const ratio = median(peer.times.map((time, i) => time / folio.times[i]));
  const best = Math.min(...peer.times) / Math.min(...folio.times);
  const cells = [work, threads, `${folio.name} ${folio.products}`, median(folio.times).toFixed(1), `${peer.name} ${peer.products}`,
    median(peer.times).toFixed(1), ratio.toFixed(2), best.toFixed(2)];
  return `| ${cells.join(" | ")} |`;
}

/** The rows of each of `folio` beside `peers` (all of them { name, products, times }) in f32, and where it is int8 beside both kinds. */
export function tableRows({ work, threads, folio, peers }) {
  const pairs = folio.flatMap((ours) => peers.map((peer) => ({ work, threads, folio: ours, peer })));
  return pairs.filter(({ folio: ours, peer }) => ours.products === "int8" || peer.products === "f32").map(tableRow);
}
