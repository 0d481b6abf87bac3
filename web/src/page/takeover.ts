/** The recorded sample, and the live one that takes its place in mid-sentence: two views of one text, compared as they go. */
import type { Weights } from "../engine/host";
import type { Request } from "../engine/protocol";
import { prefersReducedMotion } from "./features";
import type { Lane, Vocabulary } from "./lanes";
import type { Player } from "./player";
import { framesAgree, recordedSteps, type Recording } from "./record";
import type { Session } from "./session";
import type { SheetState } from "./sheet_state";

/** Passes that are made to compare them, even where the record has been read to its end. */
const fewestPasses = 8;
/** Milliseconds that a record stays after its end before another text replaces it. */
const readingTime = 5000;

export class Takeover {
  private recording: Recording | undefined;
  /** The lane that waits to take over. */
  private live: Lane | undefined;
  private compared: Lane | undefined;
  private first = 0;
  private next = 0;
  /** True where the weights in use made the record, so that its states are theirs. */
  private exact = false;
  private agrees = true;
  private timer = 0;

  /** `tell` hears how the comparison ended, in words. */
  constructor(private state: SheetState, private session: Session, private player: Player, private tell: (verdict: string) => void) {}

  get record(): Lane | undefined {
    return this.recording?.lane;
  }

  /** The defaults of the model that made the record. */
  get defaults(): Request | undefined {
    return this.recording?.defaults;
  }

  get waiting(): boolean {
    return this.live !== undefined;
  }

  /** Shows a record, until a live lane takes over. */
  show(recording: Recording): void {
    this.recording = recording;
    this.session.show(recording.lane);
    this.state.lane = recording.lane;
    this.state.step = prefersReducedMotion.matches ? recording.lane.head : 0;
    if (!prefersReducedMotion.matches) this.player.play();
  }

  /**
   * Weights are here. Those that made the record go on from the step on show, since its states are theirs; others begin
   * anew, and might still write the same.
   */
  begin({ version }: Weights, vocabulary: Vocabulary): void {
    const { record, recording } = this;
    if (!record) return;
    this.exact = recording!.weights !== undefined && recording!.weights === version;
    record.states = this.exact ? recordedSteps(record) : [];
    const from = Math.max(0, Math.min(this.state.step, record.head - fewestPasses));
    this.agrees = true;
    this.first = this.next = this.exact ? from + 1 : 0;
    this.live = this.compared = this.exact ? this.session.follow(record, from) : this.session.sample(record.request, vocabulary, record.process);
    // A step that was due has to wait for its live one.
    this.player.schedule();
  }

  /** The record stays what is on show. */
  drop(): void {
    this.live = undefined;
  }

  laneChanged(lane: Lane): void {
    if (lane === this.compared && this.agrees) this.compare(lane);
    if (lane === this.live && !lane.computing && !lane.finished) this.live = undefined;
    this.passOn();
  }

  /** True while the record must wait at the step on show, because the next one will be a live one. */
  holds(): boolean {
    const { lane, step } = this.state;
    return lane === this.record && this.exact && this.agrees && this.live?.head === step;
  }

  /** Hands over to the live lane where that can go on; to one that says something else, only when the record has been read. */
  passOn(): void {
    const { state, player, live, record } = this;
    if (!live || !record) return;
    if (state.lane !== record) return this.drop();
    if (this.agrees && (live.head > state.step || (live.finished && live.head === state.step))) {
      this.replaceRecord(live);
      state.refresh();
    } else if (!this.agrees && !state.touched && state.step === record.head && !player.playing && !prefersReducedMotion.matches)
      this.timer ||= window.setTimeout(() => this.showOther(), readingTime);
    player.schedule();
  }

  private showOther(): void {
    if (this.state.lane !== this.record || this.state.touched || this.agrees || !this.live) return;
    this.replaceRecord(this.live);
    this.state.step = 0;
    this.player.play();
  }

  private replaceRecord(live: Lane): void {
    this.drop();
    this.session.replace(this.record!, live);
    this.player.follow(live);
  }

  private compare(lane: Lane): void {
    const record = this.record!;
    for (; this.agrees && this.next <= lane.head && !lane.edits.length; ++this.next)
      this.agrees = framesAgree(lane.frames[this.next], record.frames[this.next], this.exact);
    const steps = this.next - this.first;
    if (this.exact && !this.agrees) {
      this.tell(`FAILED: step ${this.next - 1} of the recorded sample comes out otherwise here`);
      if (lane !== this.live) return;
      // Its beginning is the record's, so the whole would be no sample at all.
      this.live = undefined;
      this.live = this.session.sample(record.request, record.vocabulary, record.process);
    } else if (this.exact && !lane.computing && steps > 0)
      this.tell(`passed: ${steps === 1 ? "one step" : `${steps} steps`} of the recorded sample came out the same here, bit for bit`);
  }
}
