/** The page: what is on show, and how the views, the lanes and the engine come together. */
import { commandLine, readAddress, requestOf, sameRequest, suit, unnamed, writeAddress, type Address, type Show } from "./page/address";
import { cameBackTheSame, keepingEdits, openingEdits, whyNotNoised, type Choice } from "./page/edits";
import { EngineHost, sentenceOfLost } from "./engine/host";
import { hasSimd, isPhone, prefersStillness } from "./page/features";
import { escapeBraces, hasOpenGap } from "./page/gaps";
import { Vocabulary, type Lane } from "./page/lanes";
import { processes, processOf, type Process } from "./processes";
import { GIVEN, type Request } from "./engine/protocol";
import { fetchRecord } from "./page/record";
import { Relay } from "./page/takeover";
import { Session } from "./page/session";
import { traceOf } from "./page/trace";
import { plainText, whyUnknown } from "./page/typography";
import { Announcer } from "./views/announcer";
import { Bench } from "./views/bench";
import { Biography, closestCall } from "./views/biography";
import { Candidates } from "./views/candidates";
import { Controls } from "./views/controls";
import { byId, Radios, StopButton } from "./views/dom";
import { Leaf, type Remedy } from "./views/leaf";
import { Library } from "./views/library";
import { Race } from "./views/race";
import { Rooms } from "./views/rooms";
import { download, imageOf, SaveMenu, type SaveKind } from "./views/save";
import { lookOfAll, type Picture } from "./views/looks";
import { Sheet, type ChooseBy } from "./views/sheet";
import { listenForShortcuts, type Act } from "./views/shortcuts";
import { stepOfShare, Story } from "./views/story";
import { ThemeToggle } from "./views/theme";
import { otherLane, Timeline } from "./views/timeline";
import { Toolbar } from "./views/toolbar";

type State = "recorded" | "loading" | "running" | "paused" | "done" | "error";

/** In milliseconds, a pass of a slow device; told by several passes, since any one may have had to wait. */
const slowPass = 400;
const fewestPasses = 5;
const readingTime = 5000;

class Page {
  // What is on show.
  private lane: Lane | undefined;
  private step = 0;
  private playing = false;
  /** True where what plays is new, false where it was computed before and is played again. */
  private following = true;
  private perSecond = 8;
  private showing: Show = "ink";
  private chosen: Choice | undefined;
  private pinned = -1;
  private hovered = -1;
  private comparing = false;
  // What is waited for.
  private relay: Relay | undefined;
  private defaults: Request | undefined;
  private coming: Lane | undefined;
  /** Whether the visitor asked for it here, not by an address: then it gets an address of its own. */
  private comingAsked = false;
  /** True where other weights than its address names have made what is on show, or make what comes; then that address is kept. */
  private substitutes = false;
  /** The address that it answers. */
  private comingFor: Address | undefined;
  private beginAgain = () => {};
  /** The same of the candidates that are coming. */
  private fillingAsked = true;
  private relayTimer = 0;
  private recordShown: Promise<void> | undefined;
  private touched = false;
  private queued = false;
  /** True once the page knows the model: a little later than the engine. */
  private ready = false;
  /** What the address asks for; it is answered once, and again when the weights that it names are opened. */
  private asked: Address | undefined;
  private answeredBy: string | undefined;
  private goal: number | undefined;
  private slowSaid = false;
  private timer = 0;
  private lastTick = 0;
  private lastQuarter = 0;
  /** The verse that has been read out last of this sample. */
  private told = "";
  private beforeStory: { lane: Lane | undefined; step: number; show: Show } | undefined;
  private addressTimer = 0;
  private refreshTimer = 0;

  private engine = new EngineHost((outOfMemory) => this.restarted(outOfMemory), () => {
    this.library.describe();
    this.bench.showFacts();
  }, (bytes, total) => this.leaf.progress(bytes, total));
  private session = new Session(this.engine, {
    changed: (lane) => this.laneChanged(lane),
    failed: (sentence) => this.fail(sentence),
    proofreaderMissing: (lane, damaged) => this.proofreaderMissing(damaged, () => (lane.head < 0 ? this.beginAgain() : this.play())),
    dropped: (name) => this.leaf.say(`Lane ${name} made room for the new one.`),
  });

  private announcer = new Announcer();
  private leaf = new Leaf(this.announcer);
  private library = new Library(this.engine, this.leaf, {
    loaded: (changed) => void this.loaded(changed),
    changed: () => {
      this.controls.offerProcesses(this.library.kinds, this.library.kind);
      this.controls.offerProofreader(this.library.proofreader?.name);
      this.race.offer(this.library.racers);
      this.story.compare(this.library.schedule);
      if (this.library.failed) this.sheet.expect(undefined);
      this.refresh();
    },
    reports: (files) => {
      this.rooms.enter("bench");
      void this.bench.open(files);
    },
  });
  private candidates = new Candidates(this.engine, {
    show: (request) => {
      this.begin(request, undefined, this.fillingAsked);
      this.fillingAsked = true;
    },
    changed: () => this.refresh(),
    failed: (sentence) => this.fail(sentence),
    proofreaderMissing: (damaged) => this.proofreaderMissing(damaged, () => this.sample()),
  });
  private rooms = new Rooms();
  private race = new Race(this.engine, this.announcer, {
    begins: () => this.rest(),
    request: () => (this.defaults && !this.controls.refuse() ? this.controls.request() : undefined),
  });
  private bench = new Bench(this.engine, this.announcer, { begins: () => this.rest(), reloads: () => this.keepForReload() });
  private theme = new ThemeToggle(() => {
    this.sheet.resize();
    this.story.redraw();
    this.race.redraw();
  });
  private sheet = new Sheet({
    choose: (choice) => this.choose(choice),
    pin: (place) => this.pin(place),
    hover: (place) => this.hover(place),
    put: (place, text) => this.put(place, text),
    open: ({ from, to }) => void this.act([`open:${from}-${to}`], "in place unless finished", false),
    noiseAgain: () => this.noiseAgain(),
    leave: () => this.clear(),
  });
  private toolbar = new Toolbar(this.sheet, {
    noiseAgain: () => this.noiseAgain(),
    keep: () => this.keep(),
    release: () => this.actOnChosen("open", "in place unless finished", false),
    copy: () => this.copyChosen(),
  });
  private timeline = new Timeline({
    step: (step) => this.scrub(step),
    lane: (name) => this.openLane(name),
  });
  private biography = new Biography({
    take: (place, step, character) => void this.take(place, step, character),
    close: (byKey) => {
      // A tap shall not raise a keyboard.
      if (byKey) this.sheet.focus();
      this.pin(-1);
    },
  });
  private controls = new Controls({
    sample: () => this.sample(),
    noiseText: () => this.noiseText(),
    process: (kind) => this.library.turnTo(kind),
    changed: () => {
      this.leaf.giveWay();
      this.refresh();
    },
    preset: () => this.sample(),
    speed: (value) => this.setSpeed(Number(value)),
    proofreads: () => this.sayProofreader(),
  });
  private sampleButton = new StopButton(byId("sample"), "Sample", () => this.sample(), () => this.stop());
  private shows = new Radios<Show>(byId("show"), (show) => this.setShow(show));
  private story = new Story({
    goTo: (share) => this.lane && this.visit(share === 0 ? 1 : stepOfShare(share, this.lane.steps)),
    goBy: (steps) => this.visit(this.step + steps),
    show: (show) => {
      this.rememberSheet();
      this.setShow(show);
    },
    turnTo: (kind) => this.library.turnTo(kind),
    copyCommand: () => this.copy(this.command(), "The command line is copied."),
    leave: () => this.leaveStory(),
  });

  constructor() {
    this.shows.offer([["ink", "Ink"], ["doubt", "Doubt"], ["order", "Order"]], "ink");
    new Radios<ChooseBy>(byId("choose-by"), (by) => (this.sheet.chooseBy = by))
      .offer([["range", "Range"], ["words", "Words"], ["lines", "Lines"]], "range");
    new SaveMenu((kind) => this.save(kind));
    this.controls.setSpeed(String(this.perSecond));
    const on = (id: string, act: () => void) => byId(id).addEventListener("click", act);
    on("play", () => this.togglePlay());
    on("fork", () => this.fork());
    on("let-go", () => void this.act(openingEdits(this.keptPlaces), "in place unless finished", false));
    on("compare", () => {
      this.comparing = !this.comparing;
      this.refresh();
    });
    on("copy-link", () => this.copyLink());
    on("copy-command", () => this.copy(this.command(), "The command line is copied."));
    byId("guesses").addEventListener("change", () => this.refresh());
    addEventListener("resize", () => this.refreshSoon());
    addEventListener("popstate", () => this.followAddress());
    document.addEventListener("visibilitychange", () => !document.hidden && this.sheet.redraw());
    listenForShortcuts((act) => this.shortcut(act));
  }

  async start(): Promise<void> {
    document.documentElement.classList.add("started");
    this.readAddress();
    // Nothing moves when the sample comes.
    if (this.asked) this.controls.set(this.asked.request);
    if (hasSimd()) this.sheet.expect(this.asked?.request.length);
    byId<HTMLButtonElement>("sample").disabled = !hasSimd();
    // The weights have the longer way.
    const visiting = this.library.visit(this.asked);
    this.recordShown = this.showRecord();
    await visiting;
    await this.bench.fetchShipped();
  }

  private async showRecord(): Promise<void> {
    const recording = await fetchRecord().catch(() => undefined);
    if (recording) {
      this.relay = new Relay(this.session, recording, (verdict) => this.bench.tell(verdict));
      this.defaults ??= recording.defaults;
      this.controls.setModel(this.defaults, [recording.lane.request.sampler], recording.lane.process, recording.lane.vocabulary);
      this.controls.set(this.asked ? { ...unnamed(this.asked, this.defaults, recording.lane.process), ...this.asked.request } : recording.lane.request);
      this.session.show(recording.lane);
      this.lane = recording.lane;
      this.step = prefersStillness.matches ? recording.lane.head : 0;
      if (!prefersStillness.matches) this.play();
    }
    this.refresh();
  }

  // ---- weights

  private async loaded(changed: boolean): Promise<void> {
    await this.recordShown;
    this.ready = true;
    const { defaults, samplers } = this.engine.description!;
    const before = this.defaults;
    this.defaults = defaults;
    // Its list is of what another model wrote.
    if (changed) this.candidates.clear();
    this.controls.setModel(defaults, samplers, this.process, new Vocabulary(this.engine.description!.vocab));
    this.controls.offerProcesses(this.library.kinds, this.library.kind);
    if (!before) this.controls.set(defaults);
    this.sheet.typable = true;
    const name = this.library.name!;
    const due = this.answeredBy === undefined || (this.asked?.weights === name && this.answeredBy !== name);
    if (this.queued) {
      // What the visitor asks for goes before what the address did.
      this.answeredBy = name;
      this.sample();
    } else if (this.asked && due) this.answer(this.asked);
    else if (!this.relay) this.begin(this.controls.request());
    else if (this.lane?.live && changed) {
      // What was on the sheet was another model's: the same request, by this one.
      const { edit: _, ...request } = this.lane.request;
      this.begin(suit(request, before ?? defaults, this.engine.description!, this.process));
    } else if (this.lane?.live) {
      if (this.playing) this.session.goOn(this.lane);
    } else if (this.lane === this.relay.record) this.beginRelay();
    // A bench that was waited for goes before all of that.
    this.bench.loaded();
  }

  /** Of the model that is here. */
  private get process(): Process {
    return processOf(this.engine.description!.process.kind)!;
  }

  /** Makes the sample that an address asks for. */
  private answer(asked: Address): void {
    this.answeredBy = this.library.name;
    const description = this.engine.description!;
    const { request, unreadable } = requestOf(asked, description, this.process, this.engine.proofreaders.map(({ name }) => name));
    const { text, mark = "_" } = request;
    if (text !== undefined && hasOpenGap(text)) {
      // Such a text is a prompt.
      this.controls.set({ ...request, prompt: text.replaceAll(mark, new Vocabulary(description.vocab).mark) });
      this.fill(this.controls.request(), false);
    } else {
      const candidate = this.candidates.listed(request);
      // What was typed while the weights came stays for the next sample.
      if (!this.controls.edited) this.controls.set((candidate && this.candidates.asked) ?? request);
      this.begin(candidate ?? request, asked);
    }
    if (unreadable.length) this.sayUnreadable([...asked.unreadable, ...unreadable]);
  }

  private restarted(outOfMemory: boolean): void {
    this.pause();
    this.library.restarted(outOfMemory);
    if (this.queued && this.engine.description) this.sample();
    this.refresh();
  }

  // ---- lanes and frames

  private laneChanged(lane: Lane): void {
    this.relay?.heard(lane);
    this.passOn();
    if (lane === this.coming) this.receive(lane);
    if (lane !== this.lane) return;
    if (this.goal !== undefined) {
      this.step = Math.min(this.goal, lane.head);
      if (this.step === this.goal || lane.finished) {
        this.goal = undefined;
        this.pause();
      }
    } else if (this.playing) {
      if (prefersStillness.matches && lane.finished && lane.computing) this.step = lane.head;
      this.schedule();
    }
    // While weights load, the new engine takes up what the old one left.
    if (!lane.computing && !lane.finished && this.step === lane.head && !this.library.loading && !this.session.acting) this.playing = false;
    this.sayIfSlow();
    if (lane.computing && !lane.finished) this.refreshSoon();
    else this.refresh();
  }

  /** Frames may come faster than they can be drawn. */
  private refreshSoon(): void {
    this.refreshTimer ||= window.setTimeout(() => this.refresh(), 16);
  }

  /** The first frame of a new sample, or its end without one: then what stood on the sheet stays. */
  private receive(lane: Lane): void {
    if (lane.head < 0 && lane.computing) return;
    this.coming = undefined;
    if (lane.head < 0) {
      // Other weights have come before it could begin: then they make it.
      if (this.library.loading && this.comingAsked) this.queued = true;
      else if (this.library.loading && this.comingFor === this.asked) this.answeredBy = undefined;
      this.playing = false;
      return this.refresh();
    }
    this.session.show(lane);
    this.lane = lane;
    this.step = 0;
    this.following = true;
    const address = this.address(lane, lane.request.edit ?? [], undefined);
    if (this.comingAsked && address !== location.hash) history.pushState(null, "", address);
    this.lastTick = performance.now();
  }

  private beginRelay(): void {
    const { relay, process } = this;
    const { description, weights } = this.engine;
    // A model of another process has no part in the record.
    if (relay && process !== relay.record.process) return this.begin(suit(relay.record.request, relay.defaults, description!, process));
    relay?.begin(weights!.version, new Vocabulary(description!.vocab), this.step);
    // A step that was due has to wait for its live one.
    this.schedule();
  }

  /** The record hands over to the live sample; to one that says something else, only when the record has been read. */
  private passOn(): void {
    const { relay } = this;
    if (!relay?.waiting) return;
    if (this.lane !== relay.record) return relay.drop();
    const show = (live: Lane) => {
      relay.drop();
      this.session.replace(relay.record, live);
      this.lane = live;
      this.following = true;
    };
    const live = relay.takeOver(this.step);
    if (live) {
      show(live);
      this.refresh();
    } else if (relay.other && !this.touched && this.step === relay.record.head && !this.playing && !prefersStillness.matches)
      this.relayTimer ||= window.setTimeout(() => {
        if (this.lane !== relay.record || this.touched || !relay.other) return;
        show(relay.other);
        this.step = 0;
        this.play();
      }, readingTime);
    this.schedule();
  }

  private begin(request: Request, address?: Address, asked = false): void {
    if (!this.engine.description) return;
    this.queued = false;
    this.candidates.follow(request);
    this.beginAgain = () => this.begin(request, address, asked);
    this.resetForSample();
    this.pinned = address?.char ?? -1;
    // The old sheet stays until the first frame of the new one is there.
    this.coming = this.session.sample(request, new Vocabulary(this.engine.description.vocab), this.process);
    this.comingAsked = asked;
    this.comingFor = address;
    this.substitutes = address?.weights !== undefined && address.weights !== this.library.name;
    // Nobody asks any more for what the address names.
    if (asked) this.library.wanted = undefined;
    this.goal = address?.step;
    this.playing = true;
    this.refresh();
  }

  /** Ends what was said and done about the sample before. */
  private resetForSample(): void {
    this.controls.seedTyped = false;
    this.leaf.recover();
    if (this.slowSaid) this.leaf.hush();
    this.slowSaid = false;
    this.lastQuarter = 0;
    this.told = "";
    this.relay?.drop();
    this.comparing = false;
    if (this.chosen) this.sheet.select(undefined);
    this.choose(undefined);
    clearTimeout(this.timer);
    this.announcer.hush();
    this.announcer.say("Sampling begins.");
    // A run that still goes ends in this call, and its end must not be taken for one of the new sample.
    this.coming = this.goal = undefined;
    this.playing = false;
  }

  private sample(): void {
    if (!hasSimd()) return;
    if (this.defaults && this.controls.refuse()) {
      this.queued = false;
      this.leaf.giveWay();
      this.announcer.say(this.controls.complaint);
      return this.refresh();
    }
    this.queued = !this.ready || !this.engine.description;
    if (this.queued) {
      this.leaf.say("Will start when the weights are here.", undefined, () => this.queued);
      return this.refresh();
    }
    // It keeps the letters that are still being put.
    if (this.session.acting) return void this.session.afterActs().then(() => this.sample());
    const refusal = this.controls.refusePrompt();
    if (refusal) return this.fail(refusal);
    const request = this.controls.request();
    if (hasOpenGap(request.prompt)) return this.fill(request, true);
    const { lane } = this;
    const kept = lane?.live ? lane.keptText(this.step, this.candidates.isFromPrompt(lane.request)) : undefined;
    if (kept !== undefined) {
      // What the visitor fixed stays, so the sample fills what lies between.
      const { mark } = lane!.vocabulary;
      const given = [...request.prompt];
      const places = Array.from({ length: Math.max(request.length, given.length) }, (_, place) => given[place] ?? kept[place] ?? mark);
      request.text = escapeBraces(places.join(""));
      if (mark !== "_") request.mark = mark;
    }
    this.renewSeed(request);
    this.begin(request, undefined, true);
  }

  /** Fills a prompt that has open gaps; what comes of it gets an address of its own where the visitor asked for it here. */
  private fill(request: Request, asked: boolean): void {
    if (this.process.inOrder) return this.fail("Open gaps need a masked or a Gaussian model; one that writes from left to right has none to fill.");
    this.renewSeed(request);
    this.fillingAsked = asked;
    this.resetForSample();
    this.candidates.fill(request, new Vocabulary(this.engine.description!.vocab));
  }

  /** Draws a new seed where the request on the sheet is asked for again, unless the visitor has typed the seed. */
  private renewSeed(request: Request): void {
    const { lane } = this;
    if (!lane?.finished || lane.edits.length || this.controls.seedTyped) return;
    if (!sameRequest(this.candidates.asked ?? lane.request, request)) return;
    this.controls.newSeed();
    request.seed = this.controls.request().seed;
  }

  /** The finished text goes into noise, step by step, and comes back as another: by a seed of its own, as of pure noise nothing but the seed is left. */
  private noiseText(): void {
    const { lane } = this;
    if (!lane?.finished) return this.leaf.say("Only a finished text can go into noise.");
    if (!this.engine.description) return this.leaf.say("Noise needs the weights, and they are not here yet.");
    this.controls.newSeed();
    if (this.controls.refuse()) return;
    this.begin({ ...this.controls.request(), prompt: "", length: lane.frames[0].length, "from-text": lane.text(lane.head, "") }, undefined, true);
  }

  private stop(): void {
    this.coming = this.goal = undefined;
    this.session.stop();
    this.pause();
  }

  /** Before a bench: nothing runs beside it, nor begins by itself. */
  private rest(): void {
    this.relay?.drop();
    this.queued = false;
    this.stop();
  }

  // ---- playing

  private play(): void {
    this.playing = true;
    // What is being done to the sheet comes first; the last of it plays on.
    if (this.session.acting) return this.refresh();
    this.following = !this.lane?.finished;
    this.lastTick = performance.now();
    if (this.lane?.live && !this.coming) this.session.goOn(this.lane);
    else if (this.engine.description && this.lane === this.relay?.record && !this.relay?.waiting) this.beginRelay();
    this.schedule();
    this.refresh();
  }

  private pause(): void {
    this.playing = false;
    clearTimeout(this.timer);
    this.refresh();
    this.replaceAddress();
  }

  private togglePlay(): void {
    this.touched = true;
    if (!this.lane) return;
    if (this.playing) return this.pause();
    if (this.lane.finished && this.step === this.lane.head) this.step = 0;
    this.play();
  }

  /** The next step as soon as it is due and there; computing never waits for it. */
  private schedule(): void {
    clearTimeout(this.timer);
    const { lane } = this;
    if (!this.playing || !lane || this.coming || this.goal !== undefined) return;
    if (this.step >= lane.head) {
      if (lane.finished) this.end();
      return;
    }
    if (lane === this.relay?.record && this.relay.holds(this.step)) return;
    // Asked for stillness, a sample is shown when it is finished; a replay goes in slow cuts.
    if (prefersStillness.matches && lane.computing) return;
    const rate = prefersStillness.matches ? 1 : this.perSecond;
    const due = rate === 0 ? 0 : this.lastTick + 1000 / rate - performance.now();
    this.timer = window.setTimeout(() => {
      this.lastTick = performance.now();
      this.step = rate === 0 && lane.live && this.following ? lane.head : Math.min(lane.head, this.step + 1);
      this.refresh();
      this.sayQuarter();
      this.sayStruckOut();
      this.schedule();
    }, Math.max(rate === 0 ? 16 : 0, due));
  }

  private end(): void {
    const { lane } = this;
    if (!lane) return;
    this.playing = false;
    this.refresh();
    if (this.touched || lane.live) {
      const verse = lane.text(this.step, "_");
      this.announcer.say(verse === this.told ? "Finished." : `Finished. ${verse}`, true);
      this.told = verse;
    }
    if (lane.live) this.replaceAddress();
    if (this.following && cameBackTheSame(lane)) this.leaf.say("The same letters came back; with more of How far back others may.");
    this.passOn();
  }

  private scrub(step: number): void {
    if (!this.lane) return;
    this.touched = true;
    this.goal = undefined;
    if (this.playing) {
      this.playing = false;
      clearTimeout(this.timer);
    }
    this.announcer.hush();
    this.step = Math.max(0, Math.min(this.lane.head, step));
    this.refresh();
    if (this.lane.live) this.replaceAddress();
  }

  private setSpeed(perSecond: number): void {
    this.perSecond = perSecond;
    this.schedule();
  }

  private sayQuarter(): void {
    if (!this.lane?.live) return;
    const frame = this.lane.frames[this.step];
    const quarter = Math.floor((4 * this.lane.standing(this.step)) / frame.length);
    if (quarter > this.lastQuarter && quarter < 4)
      this.announcer.say(`${["", "A quarter", "Half", "Three quarters"][quarter]} of the letters are ${this.lane.process.fixed}.`);
    this.lastQuarter = quarter;
  }

  private sayStruckOut(): void {
    const { lane, step } = this;
    if (!lane?.frames[step].proofreadNll) return;
    const count = lane.frames[step].id.reduce((sum, _, place) => sum + (lane.struckOut(place, step) ? 1 : 0), 0);
    this.announcer.say(count === 1 ? "The proofreader strikes out a letter." : `The proofreader strikes out ${count} letters.`);
  }

  private sayProofreader(): void {
    const shelf = this.library.proofreader;
    if (shelf) this.leaf.say(`Proofreading loads ${shelf.name}, ${(shelf.bytes / 1e6).toFixed(1)} MB.`);
  }

  private sayIfSlow(): void {
    const { milliseconds } = this.session;
    const { length, prompt, steps } = this.controls.request();
    const { inOrder } = this.lane?.process ?? {};
    const passes = inOrder ? length - [...prompt].length : steps;
    byId("estimate").textContent = milliseconds * passes > 3000 ? `about ${Math.round((milliseconds * passes) / 1000)} s` : "";
    if (this.slowSaid || milliseconds < slowPass || !this.lane?.computing || this.lane.head - this.lane.from < fewestPasses) return;
    this.slowSaid = true;
    this.leaf.say(`This device takes ${(milliseconds / 1000).toFixed(1)} s a pass.`,
      inOrder ? undefined : { label: "Use Quick", apply: () => this.controls.choose("quick") }, () => this.session.milliseconds >= slowPass);
  }

  // ---- choosing and editing

  private choose(choice: Choice | undefined): void {
    if (choice?.from === this.chosen?.from && choice?.to === this.chosen?.to) return;
    this.chosen = choice;
    if (choice && this.playing) this.pause();
    this.refresh();
  }

  private pin(place: number): void {
    this.pinned = place === this.pinned ? -1 : place;
    this.touched = true;
    if (this.pinned >= 0 && this.lane) {
      const { process } = this.lane;
      const letter = this.lane.vocabulary.character(this.lane.letters(this.step)[place]);
      const fixedAt = this.lane.fixedAt(place, this.step);
      const given = this.lane.frames[this.step].flags[place] & GIVEN;
      this.announcer.say(fixedAt === undefined ? `Biography of an ${process.open} place.`
        : `Biography of ${letter === "\n" ? "a line end" : letter === " " ? "a space" : letter}, ${given ? "given by you" : `${process.fixed} at step ${fixedAt}`}.`);
    }
    this.refresh();
  }

  /** The biography that stands in the margin by itself, for good; or the end of the one that does. */
  private pinClosest(): void {
    const place = this.pinned >= 0 || !this.lane ? this.pinned : closestCall(this.lane, this.step);
    if (place >= 0) this.pin(place);
    else this.leaf.say("No letter has a biography yet; go on a few steps first.");
  }

  private hover(place: number): void {
    if (place === this.hovered || isPhone.matches) return;
    this.hovered = place;
    this.showBiography();
  }

  private clear(): void {
    if (this.chosen || this.pinned >= 0) {
      this.sheet.select(undefined);
      this.chosen = undefined;
      this.pinned = -1;
      this.refresh();
    } else if (!this.bench.stop() && !this.race.stop() && this.state === "running") this.stop();
  }

  /** Edits at the step on show. */
  private async act(edits: string[], how: "in place" | "in place unless finished" | "in a fork", goOn: boolean): Promise<void> {
    this.touched = true;
    if (!this.engine.description || !this.lane) return this.leaf.say("A recorded sample cannot be changed: the weights are not here yet.");
    if (this.coming) return this.leaf.say("A new sample is on its way; stop it first to change this one.");
    this.leaf.recover();
    if (this.playing) this.pause();
    const before = this.lane.parent;
    this.showLane(await this.session.act(this.lane, this.step, edits, how, goOn), before, goOn);
  }

  private showLane(lane: Lane, before: Lane | undefined, goOn: boolean): void {
    this.lane = lane;
    this.step = Math.min(lane.head, Math.max(lane.from, Math.min(this.step, lane.head)));
    if (lane.parent !== before) this.announcer.say(`Lane ${lane.name} from step ${lane.from}.`);
    // Play may have been pressed meanwhile.
    if (goOn || this.playing) this.play();
    else this.pause();
  }

  private actOnChosen(verb: "noise" | "keep" | "open", how: "in place" | "in place unless finished" | "in a fork", goOn: boolean, suffix = ""): void {
    if (!this.chosen) return;
    const { from, to } = this.chosen;
    if (goOn) {
      this.sheet.select(undefined);
      this.chosen = undefined;
    }
    void this.act([`${verb}:${from}-${to}${suffix}`], how, goOn);
  }

  private noiseAgain(): void {
    if (!this.chosen || !this.lane) return this.sayNothingChosen();
    const reason = whyNotNoised(this.lane, this.step, this.chosen);
    if (reason) return this.leaf.say(reason);
    this.actOnChosen("noise", "in a fork", true, this.toolbar.percent === 100 ? "" : `:${this.toolbar.percent}`);
  }

  private sayNothingChosen(): void {
    this.leaf.say("Choose letters first: drag over them, or hold Shift and press the arrow keys on the sheet.");
  }

  /** The places whose letters the next sample keeps. */
  private get keptPlaces(): number[] {
    const { lane } = this;
    return lane?.live ? lane.keptPlaces(this.step, this.candidates.isFromPrompt(lane.request)) : [];
  }

  private keep(): void {
    if (!this.chosen || !this.lane) return this.sayNothingChosen();
    const edits = keepingEdits(this.lane, this.step, this.chosen);
    if (edits) void this.act(edits, "in place", false);
    else this.leaf.say("Only letters that stand can be kept; these places are still open.");
  }

  private put(place: number, text: string): number {
    if (!this.lane) return 0;
    const { vocabulary, frames } = this.lane;
    const plain = plainText(text, vocabulary);
    const refusal = whyUnknown(plain, vocabulary);
    const characters = refusal ? [] : [...plain].slice(0, frames[this.step].length - place);
    if (refusal) this.leaf.say(refusal);
    else if (characters.length) void this.act(characters.map((character, index) => `put:${place + index}:${character}`), "in place unless finished", false);
    return characters.length;
  }

  private async take(place: number, step: number, character: string): Promise<void> {
    if (!this.lane) return;
    this.scrub(step);
    await this.act([`put:${place}:${character}`], "in place unless finished", true);
  }

  private async fork(): Promise<void> {
    if (!this.lane || !this.engine.description) return this.leaf.say("A fork needs the weights, and they are not here yet.");
    await this.act([], "in a fork", false);
  }

  private openLane(name: string): void {
    const lane = this.session.lanes.find((candidate) => candidate.name === name);
    if (!lane) return;
    this.lane = lane;
    this.step = Math.min(this.step, lane.head);
    this.pause();
  }

  private nextLane(): void {
    const { lanes } = this.session;
    if (lanes.length < 2) return this.leaf.say("There is one lane only; Fork here opens another.");
    if (this.lane) this.openLane(lanes[(lanes.indexOf(this.lane) + 1) % lanes.length].name);
  }

  // ---- taking away

  private copyChosen(): void {
    if (!this.chosen || !this.lane) return;
    this.copy(this.lane.text(this.step, "_", this.chosen), "The chosen text is copied.");
  }

  private async copy(text: string, done: string): Promise<void> {
    try {
      await navigator.clipboard.writeText(text);
      this.leaf.say(done);
    } catch {
      this.leaf.say(`This browser does not let the page copy; here it is: ${text}`, undefined, () => true);
    }
  }

  private copyLink(): void {
    if (!this.lane) return;
    void this.copy(new URL(this.currentAddress(), location.href).href, "The link is copied.");
  }

  private command(): string {
    const defaults = this.defaults;
    if (!this.lane || !defaults) return "";
    const { request, process } = this.lane;
    const proofreader = this.engine.proofreaders.find(({ name }) => name === request.proofread);
    return commandLine(request, allEdits(this.lane), process, defaults, this.library.path, proofreader && `weights/${proofreader.file}`);
  }

  private save(kind: SaveKind): void {
    if (!this.lane) return;
    const name = `folio-${this.lane.request.seed}`;
    const link = new URL(this.currentAddress(), location.href).href;
    if (kind === "text") download(`${name}.txt`, "text/plain", this.lane.text(this.step, "_"));
    if (kind === "trace") download(`${name}.jsonl`, "application/jsonl", traceOf(this.lane));
    if (kind === "image") download(`${name}.svg`, "image/svg+xml", imageOf(lookOfAll(this.picture()), link, this.lane.text(this.step, "_")));
  }

  // ---- the address

  private readAddress(): void {
    const address = readAddress(location.hash);
    this.asked = undefined;
    if (!address) return;
    if (address.theme) this.theme.wearOnce(address.theme);
    if (address.show) this.setShow(address.show);
    if (address.room) this.rooms.enter(address.room, true);
    if (address.unreadable.length) this.sayUnreadable(address.unreadable);
    if (Object.keys(address.request).length || address.weights !== undefined || address.step !== undefined) {
      this.asked = address;
      this.answeredBy = undefined;
      this.controls.edited = false;
    }
  }

  private sayUnreadable(keys: readonly string[]): void {
    this.leaf.say(`Part of this link could not be read: ${keys.join(", ")}.`);
  }

  /** Back, forward, or a link typed over the present one. */
  private followAddress(): void {
    this.readAddress();
    if (!this.asked || !this.engine.description) return;
    if (this.asked.weights === this.library.nameInLinks) this.answer(this.asked);
    else void this.library.visit(this.asked);
  }

  private address({ request, process }: Lane, edits: readonly string[], step: number | undefined): string {
    return writeAddress(request, edits, process, {
      weights: this.library.nameInLinks, step, show: this.showing,
      char: this.pinned >= 0 ? this.pinned : undefined,
    });
  }

  private currentAddress(): string {
    const { lane } = this;
    if (!lane) return location.hash;
    return this.address(lane, allEdits(lane), this.step === lane.head && lane.finished ? undefined : this.step);
  }

  private replaceAddress(): void {
    clearTimeout(this.addressTimer);
    this.addressTimer = window.setTimeout(() => {
      if (this.lane?.live && !this.substitutes && this.state !== "running") history.replaceState(null, "", this.currentAddress());
    }, 300);
  }

  /** The same weights make the same of an address, so this is all that has to be kept. */
  private keepForReload(): void {
    clearTimeout(this.addressTimer);
    history.replaceState(null, "", `${this.currentAddress() || "#"}&room=bench`);
  }

  // ---- the story

  /** A link of the story moves the sheet, which comes back to where it was when the story is left. */
  private visit(step: number): void {
    if (!this.lane) return;
    this.rememberSheet();
    this.scrub(step);
  }

  private rememberSheet(): void {
    this.beforeStory ??= { lane: this.lane, step: this.step, show: this.showing };
  }

  private leaveStory(): void {
    const before = this.beforeStory;
    this.beforeStory = undefined;
    if (!before) return;
    this.setShow(before.show);
    if (before.lane === this.lane) this.scrub(before.step);
  }

  // ---- showing

  private setShow(show: Show): void {
    this.showing = show;
    this.shows.select(show);
    this.refresh();
  }

  private fail(sentence: string, remedy?: Remedy): void {
    this.leaf.fail(sentence, remedy);
    this.playing = false;
    this.refresh();
  }

  private proofreaderMissing(damaged: boolean, again: () => void): void {
    const apply = () => {
      this.leaf.recover();
      again();
    };
    this.fail(sentenceOfLost("The weights of the proofreader", damaged), { label: "Try again", apply });
  }

  private shortcut(act: Act): void {
    const acts: Record<Act, () => void> = {
      play: () => this.togglePlay(),
      back: () => this.scrub(this.step - 1), on: () => this.scrub(this.step + 1),
      "back ten": () => this.scrub(this.step - 10), "on ten": () => this.scrub(this.step + 10),
      first: () => this.scrub(0), last: () => this.scrub(Infinity),
      sample: () => this.sample(), noise: () => this.noiseAgain(), keep: () => this.keep(), fork: () => void this.fork(),
      biography: () => this.pinClosest(),
      lane: () => this.nextLane(),
      doubt: () => this.setShow(this.showing === "doubt" ? "ink" : "doubt"),
      "first process": () => this.library.turnTo(processes[0].kind),
      "second process": () => this.library.turnTo(processes[1].kind),
      "third process": () => this.library.turnTo(processes[2].kind),
      clear: () => this.clear(),
      help: () => {
        this.controls.unfold(true);
        byId("shortcut-list").scrollIntoView({ block: "nearest" });
      },
    };
    acts[act]();
  }

  private get state(): State {
    const { lane } = this;
    if (this.coming || this.candidates.running || (lane?.live && (this.playing || (lane.computing && this.goal !== undefined)))) return "running";
    if (this.queued || (!lane && this.library.loading)) return "loading";
    if (!lane) return this.library.failed ? "error" : "loading";
    if (this.library.failed && this.leaf.failing && hasSimd()) return "error";
    if (!lane.live) return "recorded";
    return lane.finished && this.step === lane.head ? "done" : "paused";
  }

  private closest(): number {
    const atEnd = this.lane?.finished && this.step === this.lane.head;
    return this.lane && this.step >= 1 && !atEnd ? closestCall(this.lane, this.step) : -1;
  }

  private picture(): Picture {
    const lane = this.lane!;
    return {
      lane, step: this.step, show: this.showing, guesses: byId<HTMLInputElement>("guesses").checked,
      chosen: this.chosen, pinned: this.pinned,
      closest: this.pinned < 0 && this.hovered < 0 && !isPhone.matches ? this.closest() : -1,
      compared: this.comparing ? otherLane(this.session.lanes, lane) : undefined,
      moving: this.state === "running" || this.playing,
    };
  }

  private refresh(): void {
    clearTimeout(this.refreshTimer);
    this.refreshTimer = 0;
    const { lane, state } = this;
    const { stage } = this.leaf;
    this.leaf.review();
    stage.dataset.state = state;
    stage.setAttribute("aria-busy", String(state === "running"));
    this.sampleButton.show(state === "running");
    if (!lane || !lane.frames[this.step]) return;
    stage.dataset.source = lane.live ? "live" : "recorded";
    // What is said of the sheet is said of the process that made it.
    for (const words of document.querySelectorAll<HTMLElement>("[data-process]")) words.hidden = !words.dataset.process!.split(" ").includes(lane.process.kind);
    stage.dataset.step = String(this.step);
    const play = byId("play");
    play.setAttribute("aria-label", this.playing ? "Pause" : "Play");
    byId("play-sign").setAttribute("d", this.playing ? "M4 2h3.4v14H4zM10.6 2H14v14h-3.4z" : "M4.5 1.5 16 9 4.5 16.5z");
    const picture = this.picture();
    this.sheet.show(picture);
    this.leaf.show(lane, this.step, this.showing, this.candidates.progress);
    this.timeline.show(this.session.lanes, lane, this.step, picture.compared);
    this.toolbar.show(lane, this.step, this.chosen);
    this.story.nameSteps(lane.steps);
    byId("command").textContent = this.command();
    const kept = this.keptPlaces.length;
    byId("kept").hidden = !kept;
    byId("kept-count").textContent = kept === 1 ? "Kept: 1 letter." : `Kept: ${kept} letters.`;
    this.showBiography();
  }

  private showBiography(): void {
    const { lane } = this;
    if (!lane?.frames[this.step]) return;
    const pinned = this.pinned >= 0 && this.pinned < lane.frames[this.step].length;
    const automatic = !pinned && this.hovered < 0;
    const place = this.hovered >= 0 ? this.hovered : pinned ? this.pinned : isPhone.matches ? -1 : closestCall(lane, this.step);
    this.biography.show(lane, this.step, place, pinned, automatic, this.engine.description !== undefined);
  }
}

function allEdits(lane: Lane): string[] {
  return [...(lane.request.edit ?? []), ...lane.edits];
}

void new Page().start();
