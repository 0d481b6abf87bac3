/** The library of the single file, which has one model inside. The other weights that it lists are there once the visitor has opened them. */
import { addFile, hasFile } from "../engine/assets.single";
import type { WeightsEntry } from "../engine/host";
import { digest } from "../engine/weights";
import { Library as PageLibrary } from "./library";
import type { Remedy } from "./status_bar";

function nameOf({ file }: WeightsEntry): string {
  return `weights/${file}`;
}

function isHere(entry: WeightsEntry): boolean {
  return hasFile(nameOf(entry));
}

/** The sentence that asks for weights, and says for what they are needed. */
function requestFor(entries: readonly WeightsEntry[], purpose = ""): string {
  return `This file has only the masked model: ${purpose}open ${entries.map(({ file }) => file).join(" and ")} with Open weights, or drop ${entries.length > 1 ? "them" : "it"} here.`;
}

export class Library extends PageLibrary {
  /** Goes on with the weights that are to proofread, by their name, once they are here. */
  private awaited: { name: string; goOn: () => void } | undefined;
  private remedy: Remedy = { label: "Open weights", apply: () => this.file.click() };

  constructor(...given: ConstructorParameters<typeof PageLibrary>) {
    super(...given);
    this.file.multiple = true;
  }

  protected override entryOf(wanted: string | undefined): WeightsEntry | undefined {
    const entry = super.entryOf(wanted);
    return entry && isHere(entry) ? entry : undefined;
  }

  override get available(): readonly WeightsEntry[] {
    return this.entries.filter(isHere);
  }

  override get raceEntries(): WeightsEntry[] {
    return super.raceEntries.filter(isHere);
  }

  override get raceNeeds(): string {
    return this.raceEntries.length > 1 ? "" : requestFor(super.raceEntries.filter((entry) => !isHere(entry)), "for a race, ");
  }

  override sayProofreader(): void {
    const { proofreader } = this;
    if (!proofreader || isHere(proofreader)) return;
    this.expect(proofreader, () => {});
    this.statusBar.say(requestFor([proofreader], "to proofread, "), this.remedy);
  }

  override missingProofreader(name: string, damaged: boolean, again: () => void): [string, Remedy] {
    const entry = this.entries.find((other) => other.name === name);
    if (!entry || isHere(entry)) return super.missingProofreader(name, damaged, again);
    this.expect(entry, () => this.statusBar.failing && again());
    return [requestFor([entry], "to proofread, "), this.remedy];
  }

  private expect({ name }: WeightsEntry, goOn: () => void): void {
    this.awaited = { name, goOn };
  }

  /** Weights that are not here are asked for. */
  protected override take(entry: WeightsEntry): Promise<void> {
    this.awaited = undefined;
    if (isHere(entry)) return super.take(entry);
    this.statusBar.fail(requestFor([entry]), this.remedy);
    this.offer();
    this.events.changed();
    return Promise.resolve();
  }

  /** Files that are listed weights stay here; one that is to proofread does that, and another is loaded. */
  protected override async open(files: readonly File[]): Promise<void> {
    const found: WeightsEntry[] = [];
    for (const file of files) {
      const entry = await this.recognize(file);
      if (!entry) continue;
      addFile(nameOf(entry), file);
      found.push(entry);
    }
    if (!found.length) return super.open(files);
    const { awaited } = this;
    if (!found.some(({ name }) => name === awaited?.name)) return this.take(found[0]);
    this.awaited = undefined;
    this.statusBar.say(`${awaited!.name} is here, and can proofread.`);
    awaited!.goOn();
    this.events.changed();
  }

  /** The listed weights that a file is. */
  private async recognize(file: File): Promise<WeightsEntry | undefined> {
    const entries = this.entries.filter(({ bytes }) => bytes === file.size);
    if (!entries.length) return undefined;
    const version = await file.arrayBuffer().then(digest, () => "");
    return entries.find((entry) => [undefined, entry.version].includes(version));
  }
}
