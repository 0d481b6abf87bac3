/** The page: its views, the engine behind them, and the parts that bring the two together, wired to one another. */
import { EngineHost } from "./engine/host";
import type { Address, Show } from "./page/address";
import { Display } from "./page/display";
import { Editing } from "./page/editing";
import { cameBackTheSame } from "./page/edits";
import { Exporter } from "./page/exporter";
import { hasSimd } from "./page/features";
import type { Lane } from "./page/lanes";
import { Life } from "./page/life";
import { Links } from "./page/links";
import { Narrator } from "./page/narrator";
import { Player } from "./page/player";
import { fetchRecord } from "./page/record";
import { keepPage } from "./page/storage";
import { Sampling } from "./page/sampling";
import { Selection } from "./page/selection";
import { Session } from "./page/session";
import { SheetState } from "./page/sheet_state";
import { StoryVisit } from "./page/story_visit";
import { Takeover } from "./page/takeover";
import { processes } from "./processes";
import { Announcer } from "./views/announcer";
import { Bench } from "./views/bench";
import { Biography } from "./views/biography";
import { Candidates } from "./views/candidates";
import { Controls } from "./views/controls";
import { byId, Radios, StopButton } from "./views/dom";
import { Library } from "./views/library";
import { Race } from "./views/race";
import { Rooms } from "./views/rooms";
import { SaveMenu } from "./views/save";
import { Sheet, type ChooseBy } from "./views/sheet";
import { SheetFrame } from "./views/sheet_frame";
import { listenForShortcuts, type Shortcuts } from "./views/shortcuts";
import { StatusBar } from "./views/status_bar";
import { Stored } from "./views/stored";
import { Story } from "./views/story";
import { ThemeToggle } from "./views/theme";
import { Timeline } from "./views/timeline";
import { Toolbar } from "./views/toolbar";
import { Verification } from "./views/verification";
import type { Views } from "./views/views";

class Page implements Views {
  private engine = new EngineHost((outOfMemory) => this.restarted(outOfMemory), () => {
    this.library.describe();
    this.bench.showFacts();
  }, (bytes, total) => this.statusBar.progress(bytes, total));
  private state = new SheetState(() => this.display.refresh());
  private session = new Session(this.engine, {
    changed: (lane) => this.laneChanged(lane),
    failed: (sentence) => this.sampling.fail(sentence),
    proofreaderMissing: (lane, damaged) => this.sampling.proofreaderMissing(lane.request, damaged, () => this.sampling.retry(lane)),
    dropped: (name) => this.statusBar.say(`Lane ${name} made room for the new one.`),
  });

  // ---- the views

  readonly announcer = new Announcer();
  readonly statusBar = new StatusBar(this.announcer);
  readonly library = new Library(this.engine, this.statusBar, {
    loaded: (changed) => void this.loaded(changed),
    changed: () => this.libraryChanged(),
    reports: (files) => {
      this.rooms.enter("bench");
      void this.bench.open(files);
    },
  });
  readonly candidates = new Candidates(this.engine, {
    show: (request) => this.sampling.showCandidate(request),
    changed: () => this.display.refresh(),
    failed: (sentence) => this.sampling.fail(sentence),
    proofreaderMissing: (request, damaged) => this.sampling.proofreaderMissing(request, damaged, () => this.sampling.sample()),
  });
  private rooms = new Rooms();
  private race = new Race(this.engine, this.announcer, {
    begins: () => this.sampling.rest(),
    request: () => (this.controls.defaults && !this.controls.refuse() ? this.controls.request() : undefined),
  });
  private bench = new Bench(this.engine, this.announcer, { begins: () => this.sampling.rest(), reloads: () => this.links.keepForReload("bench") });
  private verification = new Verification(this.engine, this.announcer, () => this.sampling.rest());
  private theme = new ThemeToggle(() => {
    this.sheet.resize();
    this.story.redraw();
    this.race.redraw();
  });
  readonly sheet = new Sheet({
    choose: (choice) => this.selection.choose(choice),
    paint: (positions, erases) => this.selection.paint(positions, erases),
    painted: () => this.selection.sayChosen(),
    generation: () => this.life.step(),
    pin: (position) => this.selection.pin(position),
    hover: (position) => this.selection.hover(position),
    put: (position, text) => this.editing.put(position, text),
    open: (choice) => this.editing.open(choice),
    noiseAgain: () => this.editing.noiseAgain(),
    leave: () => this.clear(),
  });
  readonly sheetFrame = new SheetFrame();
  readonly toolbar = new Toolbar(this.sheet, {
    noiseAgain: () => this.editing.noiseAgain(),
    keep: () => this.editing.keep(),
    release: () => this.editing.openChosen(),
    copy: () => this.exporter.copyChosen(),
  });
  readonly timeline = new Timeline({ step: (step) => this.player.scrub(step), lane: (name) => this.editing.showLane(name) });
  readonly biography = new Biography({
    take: (position, step, character) => void this.editing.take(position, step, character),
    close: (byKey) => {
      // A tap shall not raise a keyboard.
      if (byKey) this.sheet.focus();
      this.selection.pin(-1);
    },
  });
  readonly controls = new Controls({
    sample: () => this.sampling.sample(),
    noiseText: () => this.sampling.noiseText(),
    process: (kind) => this.library.switchTo(kind),
    changed: () => {
      this.statusBar.makeRoom();
      this.display.refresh();
    },
    preset: () => this.sampling.sample(),
    speed: (value) => (this.player.speed = value),
    proofreads: () => this.library.sayProofreader(),
  });
  readonly sampleButton = new StopButton(byId("sample"), "Sample", () => this.sampling.sample(), () => this.sampling.stop());
  readonly lifeButton = new StopButton(byId("run-life"), "Run life", () => this.life.run(), () => this.life.stop());
  private shows = new Radios<Show>(byId("show"), (show) => this.setShow(show));
  readonly story = new Story({
    goTo: (share) => this.storyVisit.goTo(share),
    goBy: (steps) => this.storyVisit.goBy(steps),
    show: (show) => this.storyVisit.show(show),
    switchTo: (kind) => this.library.switchTo(kind),
    copyCommand: () => this.exporter.copyCommand(),
    leave: () => this.storyVisit.leave(),
  });

  // ---- the parts that bring them together; `this` stands for the views that each of them names

  private narrator = new Narrator(this.state, this.session, this);
  private player = new Player(this.state, this.session, this.narrator, {
    wanted: () => this.sampling.resume(),
    holds: () => this.takeover.holds(),
    rested: () => this.links.replaceSoon(),
    ended: () => this.ended(),
  });
  private takeover = new Takeover(this.state, this.session, this.player, (verdict) => this.bench.setSelfTest(verdict));
  private links = new Links(this.state, this.engine, this, {
    apply: (address) => this.apply(address),
    unreadable: (keys) => this.sampling.sayUnreadable(keys),
    answer: (address) => this.sampling.answer(address),
    isRunning: () => this.display.mode === "running",
  });
  private sampling = new Sampling(this.state, this.engine, this.session, this.player, this.takeover, this.links, this.narrator, this);
  private selection = new Selection(this.state, this.player, this.narrator, this, () => this.display.showBiography());
  private editing = new Editing(this.state, this.engine, this.session, this.player, this.selection, this);
  private life = new Life(this.state, this.session, this.player, this.selection, this.editing, this);
  private storyVisit = new StoryVisit(this.state, this.player, (show) => this.setShow(show));
  private display = new Display(this.state, this.engine, this.session, this.player, this.sampling, this.editing, this.links, this);
  private exporter = new Exporter(this.state, this.links, this.statusBar, () => this.display.picture());
  private recordShown: Promise<void> | undefined;

  constructor() {
    this.shows.offer([["ink", "Ink"], ["doubt", "Doubt"], ["order", "Order"]], "ink");
    new Radios<ChooseBy>(byId("choose-by"), (by) => this.chooseBy(by))
      .offer([["range", "Range"], ["words", "Words"], ["lines", "Lines"], ["brush", "Brush"], ["life", "Life"]], "range");
    new Radios(byId("radius"), (radius) => (this.sheet.brush.radius = Number(radius))).offer([["1", "1"], ["2", "2"], ["3", "3"]], "2");
    new SaveMenu((kind) => this.exporter.save(kind));
    new Stored(this.announcer);
    this.controls.setSpeed(this.player.speed);
    const on = (id: string, act: () => void) => byId(id).addEventListener("click", act);
    on("play", () => this.player.toggle());
    on("fork", () => void this.editing.fork());
    on("let-go", () => this.editing.openAllKept());
    on("compare", () => {
      this.state.comparing = !this.state.comparing;
      this.display.refresh();
    });
    on("copy-link", () => this.exporter.copyLink());
    on("copy-command", () => this.exporter.copyCommand());
    byId("guesses").addEventListener("change", () => this.display.refresh());
    addEventListener("resize", () => this.display.refreshSoon());
    document.addEventListener("visibilitychange", () => !document.hidden && this.sheet.redraw());
    listenForShortcuts(this.shortcuts);
  }

  async start(): Promise<void> {
    document.documentElement.classList.add("started");
    this.links.read();
    const { asked } = this.links;
    // Nothing moves when the sample comes.
    if (asked) this.controls.set(asked.request);
    if (hasSimd()) this.sheet.expect(asked?.request.length);
    byId<HTMLButtonElement>("sample").disabled = !hasSimd();
    // The weights have the longer way.
    const visiting = this.library.visit(asked);
    this.recordShown = this.showRecord();
    await visiting;
    await Promise.all([this.bench.fetchShipped(), this.verification.fetchPublished()]);
    await keepPage(() => this.statusBar.say("A new version of this page is here.", { label: "Load it", apply: () => this.reload() }));
  }

  private reload(): void {
    this.links.keepForReload();
    location.reload();
  }

  private async showRecord(): Promise<void> {
    const recording = await fetchRecord().catch(() => undefined);
    if (recording) {
      this.controls.setRecorded(recording, this.links.asked);
      this.takeover.show(recording);
    }
    this.display.refresh();
  }

  private async loaded(changed: boolean): Promise<void> {
    await this.recordShown;
    this.sampling.modelLoaded(changed);
    // A bench that was waited for goes before all of that.
    this.bench.loaded();
  }

  private libraryChanged(): void {
    const { library } = this;
    this.controls.offerProcesses(library.kinds, library.kind);
    this.controls.offerProofreader(library.proofreader?.name);
    this.race.offer(library.raceEntries, library.raceNeeds);
    this.verification.offer(library.available);
    this.story.compare(library.schedule);
    if (library.failed) this.sheet.expect(undefined);
    this.display.refresh();
  }

  /** The engine has stopped, and may have been replaced. */
  private restarted(outOfMemory: boolean): void {
    this.player.pause();
    this.library.restarted(outOfMemory);
    if (this.sampling.queued && this.engine.description) this.sampling.sample();
    this.display.refresh();
  }

  private laneChanged(lane: Lane): void {
    const { player, state } = this;
    this.takeover.laneChanged(lane);
    this.sampling.laneChanged(lane);
    if (lane !== state.lane) return;
    player.laneChanged(lane);
    const isStopped = !lane.computing && !lane.finished && state.step === lane.head && !this.session.pendingActs;
    // While weights load, the new engine takes up what the old one left.
    if (isStopped && !this.library.loading) player.halt();
    this.narrator.sayIfSlow();
    if (lane.computing && !lane.finished) this.display.refreshSoon();
    else this.display.refresh();
  }

  private ended(): void {
    const { lane } = this.state;
    if (lane?.live) this.links.replaceSoon();
    if (lane && this.player.following && cameBackTheSame(lane)) this.statusBar.say("The same letters came back; with more of How far back others may.");
    this.takeover.passOn();
  }

  private apply({ theme, show, room }: Address): void {
    if (theme) this.theme.applyOnce(theme);
    if (show) this.setShow(show);
    if (room) this.rooms.enter(room, true);
  }

  private setShow(show: Show): void {
    this.state.show = show;
    this.shows.select(show);
    this.display.refresh();
  }

  private chooseBy(by: ChooseBy): void {
    this.life.stop();
    this.sheet.chooseBy = by;
    byId("radius").classList.toggle("absent", by !== "brush");
    byId("run-life").classList.toggle("absent", by !== "life");
    if (by === "life" && !this.state.chosen) this.life.step();
    this.display.refresh();
  }

  private clear(): void {
    if (this.player.stepper) return this.life.stop();
    if (this.selection.clear() || this.bench.stop() || this.verification.stop() || this.race.stop()) return;
    if (this.display.mode === "running") this.sampling.stop();
  }

  private get shortcuts(): Shortcuts {
    const { editing, player, sampling, state } = this;
    return {
      play: () => player.toggle(),
      step: (by) => player.scrub(state.step + by),
      sample: () => sampling.sample(),
      noise: () => editing.noiseAgain(),
      keep: () => editing.keep(),
      fork: () => void editing.fork(),
      pinBiography: () => this.selection.pinClosest(),
      nextLane: () => editing.showNextLane(),
      toggleDoubt: () => this.setShow(state.show === "doubt" ? "ink" : "doubt"),
      switchTo: (index) => this.library.switchTo(processes[index]?.kind),
      clear: () => this.clear(),
      help: () => this.controls.showShortcuts(),
    };
  }
}

void new Page().start();
