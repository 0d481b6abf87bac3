/** Begins samples: those that the visitor or an address asks for, and those that new weights call for. */
import type { EngineHost } from "../engine/host";
import type { Request } from "../engine/protocol";
import { processOf, type Process } from "../processes";
import type { Views } from "../views/views";
import type { Remedy } from "../views/status_bar";
import { requestOf, sameRequest, adaptRequest, type Address } from "./address";
import { hasSimd } from "./features";
import { escapeBraces, hasOpenGap } from "./gaps";
import { Vocabulary, type Lane } from "./lanes";
import type { Links } from "./links";
import type { Narrator } from "./narrator";
import type { Player } from "./player";
import type { Session } from "./session";
import type { SheetState } from "./sheet_state";
import type { Takeover } from "./takeover";

/** The origin of a request: the visitor, an address, or neither where new weights repeat one. */
interface Origin {
  /** Asked for on the page: it gets an address of its own. */
  byVisitor?: boolean;
  address?: Address | undefined;
}

export class Sampling {
  /** True where a sample was asked for that begins when the weights are here. */
  queued = false;
  /** True once the page knows the model: a little later than the engine. */
  private ready = false;
  /** The origins of the pending sample, and of the candidates that are coming. */
  private origin: Origin = {};
  private fillOrigin: Origin = { byVisitor: true };
  /** Begins the last sample again. */
  private repeat = () => {};

  constructor(
    private state: SheetState, private engine: EngineHost, private session: Session, private player: Player, private takeover: Takeover,
    private links: Links, private narrator: Narrator,
    private views: Pick<Views, "announcer" | "candidates" | "controls" | "library" | "sheet" | "statusBar">,
  ) {}

  private get vocabulary(): Vocabulary {
    return new Vocabulary(this.engine.description!.vocab);
  }

  /** The process of the model in use. */
  private get process(): Process {
    return processOf(this.engine.description!.process.kind)!;
  }

  /** Weights have come, and are shown something to do; `changed` if they are others than before. */
  modelLoaded(changed: boolean): void {
    const { candidates, controls, library, sheet } = this.views;
    const { lane } = this.state;
    const description = this.engine.description!;
    const { defaults, samplers } = description;
    this.ready = true;
    const before = controls.defaults;
    // Its list is of what another model wrote.
    if (changed) candidates.clear();
    controls.setModel(defaults, samplers, this.process, this.vocabulary);
    controls.offerProcesses(library.kinds, library.kind);
    if (!before) controls.set(defaults);
    sheet.typable = true;
    const { due } = this.links;
    if (this.queued) {
      // What the visitor asks for goes before what the address did.
      this.links.answeredBy = library.name;
      this.sample();
    } else if (due) this.answer(due);
    else if (!this.takeover.record) this.begin(controls.request());
    else if (lane?.live && changed) {
      // What was on the sheet was another model's: the same request, by this one.
      const { edit: _, ...request } = lane.request;
      this.begin(adaptRequest(request, before ?? defaults, description, this.process));
    } else if (lane?.live) {
      if (this.player.playing) this.session.goOn(lane);
    } else if (lane === this.takeover.record) this.goLive();
  }

  /** Makes the sample that an address asks for. */
  answer(address: Address): void {
    const { candidates, controls, library } = this.views;
    this.links.answeredBy = library.name;
    const { request, unreadable } = requestOf(address, this.engine.description!, this.process, this.engine.proofreaders.map(({ name }) => name));
    const { text, mark = "_" } = request;
    if (text !== undefined && hasOpenGap(text)) {
      // Such a text is a prompt.
      controls.set({ ...request, prompt: text.replaceAll(mark, this.vocabulary.mark) });
      this.fill(controls.request(), {});
    } else {
      const candidate = candidates.listed(request);
      // What was typed while the weights came stays for the next sample.
      if (!controls.edited) controls.set((candidate && candidates.asked) ?? request);
      this.begin(candidate ?? request, { address });
    }
    if (unreadable.length) this.sayUnreadable([...address.unreadable, ...unreadable]);
  }

  sayUnreadable(keys: readonly string[]): void {
    this.views.statusBar.say(`Part of this link could not be read: ${keys.join(", ")}.`);
  }

  /** The visitor asks for a sample of what the controls say. */
  sample(): void {
    const { announcer, controls, statusBar } = this.views;
    if (!hasSimd()) return;
    if (controls.defaults && controls.refuse()) {
      this.queued = false;
      statusBar.makeRoom();
      announcer.say(controls.complaint);
      return this.state.refresh();
    }
    this.queued = !this.ready || !this.engine.description;
    if (this.queued) {
      statusBar.say("Will start when the weights are here.", undefined, () => this.queued);
      return this.state.refresh();
    }
    // It keeps the letters that are still being put.
    if (this.session.pendingActs) return void this.session.afterPendingActs().then(() => this.sample());
    const refusal = controls.refusePrompt();
    if (refusal) return this.fail(refusal);
    const request = controls.request();
    if (hasOpenGap(request.prompt)) return this.fill(request, { byVisitor: true });
    this.addKeptText(request);
    this.renewSeed(request);
    this.begin(request, { byVisitor: true });
  }

  /** Noises the finished text step by step, and samples another from there: by a new seed, since pure noise depends on the seed alone. */
  noiseText(): void {
    const { controls, statusBar } = this.views;
    const { lane } = this.state;
    if (!lane?.finished) return statusBar.say("Only a finished text can go into noise.");
    if (!this.engine.description) return statusBar.say("Noise needs the weights, and they are not here yet.");
    controls.newSeed();
    if (controls.refuse()) return;
    this.begin({ ...controls.request(), prompt: "", length: lane.frames[0].length, "from-text": lane.text(lane.head, "") }, { byVisitor: true });
  }

  /** A filled candidate is shown, as a sample like any other. */
  showCandidate(request: Request): void {
    this.begin(request, this.fillOrigin);
    this.fillOrigin = { byVisitor: true };
  }

  /** Has the lane on show computed further; a record, by the live lane that takes over. */
  resume(): void {
    const { lane, pending } = this.state;
    if (lane?.live && !pending) this.session.goOn(lane);
    else if (this.engine.description && lane && lane === this.takeover.record && !this.takeover.waiting) this.goLive();
  }

  stop(): void {
    this.state.pending = this.player.goal = undefined;
    this.session.stop();
    this.player.pause();
  }

  /** Stops everything before a bench or a race, which run alone. */
  rest(): void {
    this.takeover.drop();
    this.queued = false;
    this.stop();
  }

  fail(sentence: string, remedy?: Remedy): void {
    this.views.statusBar.fail(sentence, remedy);
    this.player.halt();
    this.state.refresh();
  }

  /** `again` does what could not begin. */
  proofreaderMissing({ proofread }: Request, damaged: boolean, again: () => void): void {
    this.fail(...this.views.library.missingProofreader(proofread!, damaged, () => {
      this.views.statusBar.clearAlert();
      again();
    }));
  }

  /** Has a lane computed whose run could not begin. */
  retry(lane: Lane): void {
    if (lane.head < 0) this.repeat();
    else this.player.play();
  }

  /** The first frame of a new sample, or its end without one: then what stood on the sheet stays. */
  laneChanged(lane: Lane): void {
    const { links, player, state } = this;
    const { loading } = this.views.library;
    if (lane !== state.pending || (lane.head < 0 && lane.computing)) return;
    state.pending = undefined;
    if (lane.head < 0) {
      // Other weights have come before it could begin: then they make it.
      if (loading && this.origin.byVisitor) this.queued = true;
      else if (loading && this.origin.address === links.asked) links.answeredBy = undefined;
      player.halt();
      return state.refresh();
    }
    this.session.show(lane);
    player.begin(lane);
    if (this.origin.byVisitor) links.push(lane);
  }

  private begin(request: Request, origin: Origin = {}): void {
    const { candidates, library, statusBar } = this.views;
    const { address, byVisitor } = origin;
    if (!this.engine.description) return;
    this.queued = false;
    candidates.follow(request);
    this.repeat = () => this.begin(request, origin);
    this.reset();
    this.state.pinned = address?.char ?? -1;
    // The old sheet stays until the first frame of the new one is there.
    this.state.pending = this.session.sample(request, this.vocabulary, this.process);
    this.origin = origin;
    this.links.substitutes = address?.weights !== undefined && address.weights !== library.name;
    // The weights that the address names are no longer asked for, nor are those that did not come.
    if (byVisitor) {
      library.requestedName = undefined;
      statusBar.clearAlert();
    }
    this.player.goal = address?.step;
    this.player.playing = true;
    this.state.refresh();
  }

  /** Has the record go on live; a model of another process, which has no part in it, begins its request anew. */
  private goLive(): void {
    const { record, defaults } = this.takeover;
    if (record && this.process !== record.process) this.begin(adaptRequest(record.request, defaults!, this.engine.description!, this.process));
    else this.takeover.begin(this.engine.weights!, this.vocabulary);
  }

  /** Fills a prompt that has open gaps. */
  private fill(request: Request, origin: Origin): void {
    const { refusesGaps } = this.process;
    if (refusesGaps) return this.fail(refusesGaps);
    this.renewSeed(request);
    this.fillOrigin = origin;
    this.reset();
    this.views.candidates.fill(request, this.vocabulary);
  }

  /** Ends what was said and done about the sample before. */
  private reset(): void {
    const { controls, sheet } = this.views;
    const { player, state } = this;
    controls.seedTyped = false;
    this.takeover.drop();
    state.comparing = false;
    if (state.chosen) sheet.select(undefined);
    state.chosen = undefined;
    this.narrator.begin();
    // A run that still goes ends with this one's beginning, and its end must not be taken for one of the new sample.
    state.pending = player.goal = undefined;
    player.halt();
  }

  /** Adds the letters that the visitor fixed, so that the sample fills the rest. */
  private addKeptText(request: Request): void {
    const { lane, step } = this.state;
    const kept = lane?.live ? lane.keptText(step, this.views.candidates.isFromPrompt(lane.request)) : undefined;
    if (kept === undefined) return;
    const { mark } = lane!.vocabulary;
    const given = [...request.prompt];
    const positions = Array.from({ length: Math.max(request.length, given.length) }, (_, position) => given[position] ?? kept[position] ?? mark);
    request.text = escapeBraces(positions.join(""));
    if (mark !== "_") request.mark = mark;
  }

  /** Draws a new seed where the request on the sheet is asked for again, unless the visitor has typed the seed. */
  private renewSeed(request: Request): void {
    const { candidates, controls } = this.views;
    const { lane } = this.state;
    if (!lane?.finished || lane.edits.length || controls.seedTyped) return;
    if (!sameRequest(candidates.asked ?? lane.request, request)) return;
    controls.newSeed();
    request.seed = controls.request().seed;
  }
}
