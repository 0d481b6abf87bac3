/** The lanes of one visit and what is done to them; it knows the engine, and nothing of the page. */
import type { EngineHost } from "../engine/host";
import { Lane, laneName } from "./lanes";
import type { Frame, GoOn, Request } from "../engine/protocol";

export interface SessionEvents {
  /** A frame came, or a run ended. */
  changed(lane: Lane): void;
  failed(sentence: string): void;
  /** A run could not begin, for want of the weights that proofread. */
  proofreaderMissing(lane: Lane, damaged: boolean): void;
  /** A lane had to make room. */
  dropped(name: string): void;
}

/** The conditions under which an act edits the lane itself; otherwise it forks it. */
export type EditMode = "in place" | "in place unless finished" | "in a fork";

const mostLanes = 8;
const mostTimes = 9;

export class Session {
  lanes: Lane[] = [];
  /** Milliseconds of the last passes. */
  private times: number[] = [];
  private opened = 0;
  /** Acts happen one after another: each needs the state that the one before left. */
  private queue: Promise<unknown> = Promise.resolve();
  /** Number of acts that have not ended. */
  pendingActs = 0;
  /** The forks that they have made, by the lane that was forked. */
  private forks = new Map<Lane, Lane>();

  constructor(private engine: EngineHost, private events: SessionEvents) {}

  /** Milliseconds of a pass: the median of the last ones, 0 before the first. */
  get milliseconds(): number {
    const sorted = [...this.times].sort((a, b) => a - b);
    return sorted[sorted.length >> 1] ?? 0;
  }

  /** Shows this lane alone on the timeline. */
  show(lane: Lane): void {
    this.lanes = [lane];
    this.opened = 1;
  }

  /** Computes a request while the lanes on show stay: it may be refused. */
  sample(request: Request, vocabulary: Lane["vocabulary"], process: Lane["process"]): Lane {
    const lane = new Lane("A", request, vocabulary, process, true);
    this.compute(lane, 0, [], true);
    return lane;
  }

  /** Computes how a lane goes on from a step of which it has the state, while the lanes on show stay. */
  follow(lane: Lane, step: number): Lane {
    const live = new Lane(lane.name, lane.request, lane.vocabulary, lane.process, true);
    live.frames = lane.frames.slice(0, step + 1);
    live.states = lane.states.slice(0, step + 1);
    this.compute(live, step, [], true);
    return live;
  }

  replace(old: Lane, by: Lane): void {
    this.lanes = this.lanes.map((lane) => (lane === old ? by : lane));
  }

  /** A lane of its own from `step` on, with the same letters up to there. */
  fork(lane: Lane, step: number): Lane {
    const keeps = (edit: string) => Number(edit.split(":")[0]) <= step;
    const { edit: planned, ...rest } = lane.request;
    const request: Request = planned ? { ...rest, edit: editsBehind(planned, lane.frames.map(({ editsApplied }) => editsApplied), step) } : rest;
    if (this.lanes.length >= mostLanes) {
      const oldest = this.lanes.find((other) => other !== lane)!;
      this.lanes = this.lanes.filter((other) => other !== oldest);
      this.events.dropped(oldest.name);
    }
    const fork = new Lane(laneName(this.opened++), request, lane.vocabulary, lane.process, true, lane.edits.filter(keeps), lane, step);
    this.lanes.push(fork);
    return fork;
  }

  /**
   * Edits a lane at a step: in place at the head of a live lane, as far as `how` allows that, else in a fork. Acts that were asked
   * of one lane and step, while the first of them was under way, have one fork. Resolves to the lane that has the edits, once its
   * frame is there.
   */
  act(asked: Lane, step: number, edits: string[], how: EditMode, goOn: GoOn): Promise<Lane> {
    ++this.pendingActs;
    const act = this.queue.then(async () => {
      const before = this.forks.get(asked);
      const lane = before?.from === step ? before : asked;
      const fresh = lane.parent !== undefined && lane.head === lane.from;
      const allowed = fresh || how === "in place" || (how === "in place unless finished" && !lane.finished);
      const target = lane.live && step === lane.head && allowed ? lane : this.fork(lane, step);
      if (target !== lane) this.forks.set(asked, target);
      await this.compute(target, step, edits, goOn);
      return target;
    }).finally(() => {
      if (--this.pendingActs === 0) this.forks.clear();
    });
    this.queue = act.catch(() => undefined);
    return act;
  }

  /** Resolves when nothing is being done to a lane any more. */
  async afterPendingActs(): Promise<void> {
    while (this.pendingActs) await this.queue;
  }

  /** Goes on from the head of a lane that was stopped. */
  goOn(lane: Lane): void {
    if (!lane.finished && !lane.computing) void this.compute(lane, lane.head, [], true);
  }

  stop(): void {
    this.engine.stop();
  }

  /** Resolves when the first frame is there, or when the run ends, where it does not go on from there or has none. */
  private compute(lane: Lane, from: number, edits: string[], goOn: GoOn): Promise<void> {
    return new Promise((resolve) => {
      const { states, request } = lane;
      let held = from;
      while (held > 0 && !states[held]) --held;
      this.engine.run({
        request, from, edits, goOn, held,
        state: states[held] ?? null,
        onFrame: (frame, state, milliseconds) => {
          if (milliseconds) this.times = [milliseconds, ...this.times].slice(0, mostTimes);
          const before = lane.frames[Math.max(from, frame.step - 1)];
          if (before) carryOverPredictions(frame, before);
          // What is edited by hand no pass can bring back.
          const edited = frame.step === from && edits.length > 0;
          if (edited) lane.edits.push(...edits.splice(0).map((edit) => `${from}:${edit}`));
          // The next single pass goes on from this one.
          lane.add(frame, state, edited || goOn === "once");
          this.events.changed(lane);
          if (goOn === true) resolve();
        },
        onProofreaderMissing: (damaged) => this.events.proofreaderMissing(lane, damaged),
        onFailure: (sentence) => this.events.failed(sentence),
        onEnd: () => {
          lane.computing = false;
          this.events.changed(lane);
          resolve();
        },
      });
      lane.computing = true;
    });
  }
}

/**
 * The planned edits that a lane has behind it at a step, each with the step at which it was made: those planned for later
 * than the text was finished were made then.
 */
function editsBehind(planned: readonly string[], made: readonly number[], step: number): string[] {
  const stepOf = (edit: string) => Number(edit.split(":")[0]);
  return [...planned].sort((a, b) => stepOf(a) - stepOf(b)).slice(0, made[step]).map((edit, index) =>
    edit.replace(/^\d+/, String(made.findIndex((count) => count > index))));
}

/** A restored sampler has forgotten what passes and proofreader have said before; the page has not. */
function carryOverPredictions(frame: Frame, before: Frame): void {
  if (frame.step === before.step) frame.proofreadNll ??= before.proofreadNll;
  for (let position = 0; position < frame.length; ++position) {
    if (frame.topProbability[4 * position] > 0) continue;
    frame.entropy[position] = before.entropy[position];
    for (let at = 4 * position; at < 4 * position + 4; ++at) {
      frame.topId[at] = before.topId[at];
      frame.topProbability[at] = before.topProbability[at];
    }
  }
}
