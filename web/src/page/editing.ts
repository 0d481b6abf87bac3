/** Acts of the visitor on the text: each edits the lane on show at the step on show, or a fork of it. */
import type { EngineHost } from "../engine/host";
import type { Views } from "../views/views";
import { keepingEdits, noisingEdits, openingEdits, whyNotNoised, type Choice } from "./edits";
import type { Lane } from "./lanes";
import type { Player } from "./player";
import type { Selection } from "./selection";
import type { EditMode, Session } from "./session";
import type { SheetState } from "./sheet_state";
import { plainText, whyUnknown } from "./typography";

export class Editing {
  constructor(
    private state: SheetState, private engine: EngineHost, private session: Session, private player: Player, private selection: Selection,
    private views: Pick<Views, "announcer" | "candidates" | "statusBar" | "toolbar">,
  ) {}

  /** Positions whose letters the next sample keeps. */
  get keptPositions(): number[] {
    const { lane, step } = this.state;
    return lane?.live ? lane.keptPositions(step, this.views.candidates.isFromPrompt(lane.request)) : [];
  }

  noiseAgain(): void {
    const { lane, step, chosen } = this.state;
    if (!chosen || !lane) return this.sayNothingChosen();
    const reason = whyNotNoised(lane, step, chosen);
    if (reason) return this.views.statusBar.say(reason);
    const edits = noisingEdits(lane, step, chosen, this.views.toolbar.percent);
    this.selection.unchoose();
    void this.act(edits, "in a fork", true);
  }

  keep(): void {
    const { lane, step, chosen } = this.state;
    if (!chosen || !lane) return this.sayNothingChosen();
    const edits = keepingEdits(lane, step, chosen);
    if (edits) void this.act(edits, "in place", false);
    else this.views.statusBar.say("Only letters that stand can be kept; these places are still open.");
  }

  open(choice: Choice): void {
    void this.act(openingEdits(choice), "in place unless finished", false);
  }

  openChosen(): void {
    if (this.state.chosen) this.open(this.state.chosen);
  }

  openAllKept(): void {
    this.open(this.keptPositions);
  }

  /** Writes a text from a position on; returns how many positions it takes. */
  put(position: number, text: string): number {
    const { lane, step } = this.state;
    if (!lane) return 0;
    const { vocabulary, frames } = lane;
    const plain = plainText(text, vocabulary);
    const refusal = whyUnknown(plain, vocabulary);
    const characters = refusal ? [] : [...plain].slice(0, frames[step].length - position);
    if (refusal) this.views.statusBar.say(refusal);
    else if (characters.length) void this.act(characters.map((character, index) => `put:${position + index}:${character}`), "in place unless finished", false);
    return characters.length;
  }

  /** Goes back to a step and takes another letter there. */
  async take(position: number, step: number, character: string): Promise<void> {
    if (!this.state.lane) return;
    this.player.scrub(step);
    await this.act([`put:${position}:${character}`], "in place unless finished", true);
  }

  async fork(): Promise<void> {
    if (!this.state.lane || !this.engine.description) return this.views.statusBar.say("A fork needs the weights, and they are not here yet.");
    await this.act([], "in a fork", false);
  }

  showLane(name: string): void {
    const lane = this.session.lanes.find((candidate) => candidate.name === name);
    if (!lane) return;
    this.state.lane = lane;
    this.state.step = Math.min(this.state.step, lane.head);
    this.player.pause();
  }

  showNextLane(): void {
    const { lanes } = this.session;
    const { lane } = this.state;
    if (lanes.length < 2) return this.views.statusBar.say("There is one lane only; Fork here opens another.");
    if (lane) this.showLane(lanes[(lanes.indexOf(lane) + 1) % lanes.length].name);
  }

  /** The lane on show, ready to be changed; undefined, after saying why, where it cannot be. */
  begin(): Lane | undefined {
    const { state, player } = this;
    const { statusBar } = this.views;
    state.touched = true;
    if (!this.engine.description || !state.lane) statusBar.say("A recorded sample cannot be changed: the weights are not here yet.");
    else if (state.pending) statusBar.say("A new sample is on its way; stop it first to change this one.");
    else {
      statusBar.clearAlert();
      if (player.playing) player.pause();
      return state.lane;
    }
    return undefined;
  }

  /** Shows the lane that has the edits; `before` is the parent of the one that was asked. */
  follow(lane: Lane, before: Lane | undefined): void {
    const { state } = this;
    state.lane = lane;
    state.step = Math.min(lane.head, Math.max(lane.from, state.step));
    if (lane.parent !== before) this.views.announcer.say(`Lane ${lane.name} from step ${lane.from}.`);
  }

  private async act(edits: string[], how: EditMode, goOn: boolean): Promise<void> {
    const { player } = this;
    const lane = this.begin();
    if (!lane) return;
    const before = lane.parent;
    this.follow(await this.session.act(lane, this.state.step, edits, how, goOn), before);
    // Play may have been pressed meanwhile.
    if (goOn || player.playing) player.play();
    else player.pause();
  }

  private sayNothingChosen(): void {
    this.views.statusBar.say("Choose letters first: drag over them, or hold Shift and press the arrow keys on the sheet.");
  }
}
