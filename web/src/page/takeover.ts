/** The recorded sample, and the live one that takes its place in mid-sentence: two views of one text, compared as they go. */
import type { Lane, Vocabulary } from "./lanes";
import type { Request } from "../engine/protocol";
import { isSame, recordedFrames, type Recording } from "./record";
import type { Session } from "./session";

/** Passes that are made to compare them, even where the record has been read to its end. */
const fewestPasses = 8;

export class Relay {
  /** What waits to take over. */
  private twin: Lane | undefined;
  private compared: Lane | undefined;
  private first = 0;
  private next = 0;
  private exact = false;
  private agrees = true;

  /** `tell` hears how the comparison ended, in words. */
  constructor(private session: Session, private recording: Recording, private tell: (verdict: string) => void) {}

  get record(): Lane {
    return this.recording.lane;
  }

  /** Those of the model that made the record. */
  get defaults(): Request {
    return this.recording.defaults;
  }

  get waiting(): boolean {
    return this.twin !== undefined;
  }

  /**
   * Weights are here. Those that made the record go on from the step on show, since its states are theirs; others begin
   * anew, and might still write the same.
   */
  begin(version: string | undefined, vocabulary: Vocabulary, step: number): void {
    const { record, recording } = this;
    this.exact = recording.weights !== undefined && recording.weights === version;
    record.states = this.exact ? recordedFrames(record).map((bytes) => ({ bytes, recorded: true })) : [];
    const from = Math.max(0, Math.min(step, record.head - fewestPasses));
    this.agrees = true;
    this.first = this.next = this.exact ? from + 1 : 0;
    this.twin = this.compared = this.exact ? this.session.follow(record, from) : this.session.sample(record.request, vocabulary, record.process);
  }

  /** The record stays what is on show. */
  drop(): void {
    this.twin = undefined;
  }

  /** A lane has changed. */
  heard(lane: Lane): void {
    if (lane === this.compared && this.agrees) this.compare(lane);
    if (lane === this.twin && !lane.computing && !lane.finished) this.twin = undefined;
  }

  /** Whether the record must wait at a step, because the next one will be a live one. */
  holds(step: number): boolean {
    return this.exact && this.agrees && this.twin?.head === step;
  }

  /** The live lane, once it can go on from a step. */
  takeOver(step: number): Lane | undefined {
    const { twin } = this;
    if (!twin || !this.agrees || !(twin.head > step || (twin.finished && twin.head === step))) return undefined;
    this.twin = undefined;
    return twin;
  }

  /** A live lane that says something else than the record, to be shown from its beginning. */
  get other(): Lane | undefined {
    return this.agrees ? undefined : this.twin;
  }

  private compare(lane: Lane): void {
    for (; this.agrees && this.next <= lane.head && !lane.edits.length; ++this.next)
      this.agrees = isSame(lane.frames[this.next], this.record.frames[this.next], this.exact);
    const steps = this.next - this.first;
    if (this.exact && !this.agrees) {
      this.tell(`FAILED: step ${this.next - 1} of the recorded sample comes out otherwise here`);
      if (lane !== this.twin) return;
      // Its beginning is the record's, so it would be nobody's text.
      this.twin = undefined;
      this.twin = this.session.sample(this.record.request, this.record.vocabulary, this.record.process);
    } else if (this.exact && !lane.computing && steps > 0)
      this.tell(`passed: ${steps === 1 ? "one step" : `${steps} steps`} of the recorded sample came out the same here, bit for bit`);
  }
}
