/** The address bar: what it asks of the page, and how the page keeps it up to date with what is on show. */
import type { EngineHost } from "../engine/host";
import type { Views } from "../views/views";
import { commandLine, readAddress, writeAddress, type Address } from "./address";
import type { Lane } from "./lanes";
import type { SheetState } from "./sheet_state";

/** Milliseconds that a step must be on show to get an address. */
const restTime = 300;

export interface LinksEvents {
  /** Theme, show and room of an address, whether or not it asks for a sample. */
  apply(address: Address): void;
  unreadable(keys: readonly string[]): void;
  /** A sample is asked for by an address, which the model in use can answer. */
  answer(address: Address): void;
  isRunning(): boolean;
}

export class Links {
  /** The address that asks for a sample; it is answered once, and again when the weights that it names are opened. */
  asked: Address | undefined;
  /** The weights that have answered it. */
  answeredBy: string | undefined;
  /** True where other weights than its address names have made what is on show, or make what comes; then that address is kept. */
  substitutes = false;
  private timer = 0;

  constructor(private state: SheetState, private engine: EngineHost, private views: Pick<Views, "controls" | "library">,
    private events: LinksEvents) {
    addEventListener("popstate", () => this.follow());
  }

  read(): void {
    const address = readAddress(location.hash);
    this.asked = undefined;
    if (!address) return;
    this.events.apply(address);
    if (address.unreadable.length) this.events.unreadable(address.unreadable);
    if (Object.keys(address.request).length || address.weights !== undefined || address.step !== undefined) {
      this.asked = address;
      this.answeredBy = undefined;
      this.views.controls.edited = false;
    }
  }

  /** The address that the weights in use have yet to answer. */
  get due(): Address | undefined {
    const { asked, answeredBy } = this;
    return answeredBy === undefined || (asked?.weights === this.views.library.name && answeredBy !== this.views.library.name) ? asked : undefined;
  }

  /** The address of what is on show. */
  get current(): string {
    const { lane, step } = this.state;
    if (!lane) return location.hash;
    return this.addressOf(lane, allEdits(lane), step === lane.head && lane.finished ? undefined : step);
  }

  get currentUrl(): string {
    return new URL(this.current, location.href).href;
  }

  /** The command line that makes what is on show. */
  get command(): string {
    const { lane } = this.state;
    const { defaults } = this.views.controls;
    if (!lane || !defaults) return "";
    const { request, process } = lane;
    const proofreader = this.engine.proofreaders.find(({ name }) => name === request.proofread);
    return commandLine(request, allEdits(lane), process, defaults, this.views.library.path, proofreader && `weights/${proofreader.file}`);
  }

  /** Gives a new sample an address of its own, unless it has that already. */
  push(lane: Lane): void {
    const address = this.addressOf(lane, lane.request.edit ?? [], undefined);
    if (address !== location.hash) history.pushState(null, "", address);
  }

  /** Names what is on show, once that is at rest. */
  replaceSoon(): void {
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => {
      if (this.state.lane?.live && !this.substitutes && !this.events.isRunning()) history.replaceState(null, "", this.current);
    }, restTime);
  }

  /** Keeps what is on show for when the page is loaded again: the same weights make the same of an address. */
  keepForReload(room = ""): void {
    clearTimeout(this.timer);
    history.replaceState(null, "", `${this.current || "#"}${room && `&room=${room}`}`);
  }

  /** Back, forward, or a link typed over the present one. */
  private follow(): void {
    this.read();
    if (!this.asked || !this.engine.description) return;
    if (this.asked.weights === this.views.library.nameInLinks) this.events.answer(this.asked);
    else void this.views.library.visit(this.asked);
  }

  private addressOf({ request, process }: Lane, edits: readonly string[], step: number | undefined): string {
    const { show, pinned } = this.state;
    return writeAddress(request, edits, process, {
      weights: this.views.library.nameInLinks, step, show, char: pinned >= 0 ? pinned : undefined,
    });
  }
}

function allEdits(lane: Lane): string[] {
  return [...(lane.request.edit ?? []), ...lane.edits];
}
