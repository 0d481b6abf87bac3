/** The fixed set of texts by which targets are compared, in the worker: under every kernel set, on one thread and on all. */
import type { Engine, FromWorker, Request, SampleToVerify, Source } from "./protocol";
import { instantiate } from "./wasm";
import { digest, read } from "./weights";

export async function verify(base: string, samples: SampleToVerify[], sources: Record<string, Source>, most: number, tell: (message: FromWorker) => void): Promise<void> {
  const files: Record<string, ArrayBuffer> = {};
  for (const [name, source] of Object.entries(sources)) files[name] = (await read(source, () => {})).file;
  const widths = most > 1 ? [most, 1] : [1];
  for (const width of widths) {
    const engine = await instantiate({ base, threads: width });
    try {
      engine.load(files[samples[0].weights]);
      const { sets, threads } = engine.describe();
      for (const kernels of sets) {
        engine.use(kernels);
        const write = writerOf(engine, files);
        for (const sample of samples) {
          const hash = (await digest(new TextEncoder().encode(write(sample))))!;
          tell({ type: "verified", text: { kernels, threads, name: sample.name, hash }, count: samples.length * sets.length * widths.length });
        }
      }
      // Helpers could not be started, so this was the one thread already.
      if (threads === 1) break;
    } finally {
      engine.end();
    }
  }
  tell({ type: "verify ends" });
}

/** Gives the texts of samples, of which those of one model come together; the engine takes its kernels anew. */
function writerOf(engine: Engine, files: Record<string, ArrayBuffer>): (sample: SampleToVerify) => string {
  let model: string, reader: string;
  let characters: string[];
  return ({ weights, request }) => {
    if (weights !== model) {
      engine.load(files[(model = weights)]);
      characters = [...engine.describe().vocab];
    }
    const { proofread } = request;
    if (proofread && proofread !== reader) engine.loadProofreader(files[(reader = proofread)]);
    engine.start(request as Request);
    while (engine.step());
    return Array.from(engine.frame().id, (id) => characters[id]).join("");
  };
}
