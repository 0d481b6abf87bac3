/** Conway's Game of Life on the sheet, a torus of 32 columns: the chosen positions are its cells, and each pass noises them again. */
import { columns } from "../views/looks";
import type { Views } from "../views/views";
import type { Editing } from "./editing";
import { noisingEdits, type Choice } from "./edits";
import type { Lane } from "./lanes";
import type { Player } from "./player";
import type { Selection } from "./selection";
import type { EditMode, Session } from "./session";
import type { SheetState } from "./sheet_state";

/** What is still alive after so many generations mostly goes round in circles. */
const mostGenerations = 64;
/** Each edit takes about 25 characters of a link. */
const mostEdits = 2000;

export function nextGeneration(cells: Choice, length: number): number[] {
  const size = Math.ceil(length / columns) * columns;
  const neighbours = new Uint8Array(size);
  for (const cell of cells)
    for (let row = -1; row <= 1; ++row)
      for (let column = -1; column <= 1; ++column) {
        const across = (cell + column + columns) % columns;
        if (row || column) ++neighbours[(cell - (cell % columns) + row * columns + size + across) % size];
      }
  const alive = new Set(cells);
  return [...neighbours.keys()].filter((cell) => cell < length && (neighbours[cell] === 3 || (neighbours[cell] === 2 && alive.has(cell))));
}

/** A third of all positions, scattered by the seed. */
export function firstGeneration(seed: string, length: number): number[] {
  const scatter = (hash: number, value: number) => {
    const mixed = Math.imul(hash ^ value, 0x2c1b3c6d);
    return Math.imul(mixed ^ (mixed >>> 15), 0x297a2d39);
  };
  const start = [...seed].reduce((hash, digit) => scatter(hash, Number(digit) + 1), length);
  return Array.from({ length }, (_, position) => position).filter((position) => (scatter(start, position + 1) >>> 8) % 3 === 0);
}

export class Life {
  private generation = 0;
  private how: EditMode = "in a fork";
  /** True while a pass is made. */
  private busy = false;

  constructor(
    private state: SheetState, private session: Session, private player: Player, private selection: Selection, private editing: Editing,
    private views: Pick<Views, "statusBar" | "toolbar">,
  ) {}

  /** Chooses the next generation; where nothing is chosen, the first. */
  step(): void {
    const { lane, step, chosen } = this.state;
    if (!lane) return;
    const { length } = lane.frames[step];
    const cells = chosen ? nextGeneration(chosen, length) : firstGeneration(lane.request.seed, length);
    this.selection.choose(cells.length ? cells : undefined);
    this.selection.sayChosen();
  }

  /** Noises what is chosen, then a generation after each pass, in a fork. */
  run(): void {
    if (!this.editing.begin()) return;
    if (!this.state.chosen) this.step();
    this.generation = 0;
    this.how = "in a fork";
    this.player.stepper = () => void this.pass();
    void this.pass();
    this.state.refresh();
  }

  stop(): void {
    if (this.player.stepper) this.player.pause();
  }

  private async pass(): Promise<void> {
    const { state, player } = this;
    const { lane, step } = state;
    if (this.busy || !lane) return;
    const edits = this.nextEdits(lane, step);
    if (typeof edits === "string") return this.rest(edits);
    this.busy = true;
    const target = await this.session.act(lane, step, edits, this.how, "once").finally(() => (this.busy = false));
    this.how = "in place";
    // It may have been stopped meanwhile.
    if (!player.stepper) return;
    if (target !== lane) this.editing.follow(target, lane.parent);
    player.playing = true;
    state.refresh();
    player.schedule();
  }

  /** The edits of the next generation that noise reaches, or how the game ends. */
  private nextEdits(lane: Lane, step: number): string[] | string {
    const { state } = this;
    for (; this.generation < mostGenerations; ++this.generation) {
      if (!state.chosen) return "has nothing to live on";
      if (this.generation > 0) {
        const cells = nextGeneration(state.chosen, lane.frames[step].length);
        if (String(cells) === String(state.chosen)) return "stands still";
        state.chosen = cells.length ? cells : undefined;
        if (!state.chosen) return "has died out";
      }
      const edits = noisingEdits(lane, step, state.chosen, this.views.toolbar.percent);
      if ((lane.request.edit ?? []).length + lane.edits.length + edits.length > mostEdits) return "ends, since a link holds no more edits,";
      if (!edits.length && lane.finished) continue;
      ++this.generation;
      return edits;
    }
    return "ends";
  }

  /** The sampler goes on without the game. */
  private rest(how: string): void {
    this.player.stepper = undefined;
    this.player.play();
    this.views.statusBar.say(`Life ${how} after ${this.generation === 1 ? "1 generation" : `${this.generation} generations`}.`);
  }
}
