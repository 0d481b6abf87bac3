/** Takes what is on show away: to the clipboard, or as a file. */
import { download, imageOf, type SaveKind } from "../views/save";
import { looksOf, type Picture } from "../views/looks";
import type { StatusBar } from "../views/status_bar";
import type { Links } from "./links";
import type { SheetState } from "./sheet_state";
import { traceOf } from "./trace";

/** Characters that every program takes in a link. */
const longLink = 8000;

export class Exporter {
  constructor(private state: SheetState, private links: Links, private statusBar: StatusBar, private picture: () => Picture) {}

  copyChosen(): void {
    const { lane, step, chosen } = this.state;
    if (chosen && lane) void this.copy(lane.chosenText(step, "_", chosen), "The chosen text is copied.");
  }

  copyLink(): void {
    const { currentUrl } = this.links;
    const { length } = currentUrl;
    if (this.state.lane)
      void this.copy(currentUrl, length > longLink ? `The link is copied; of its ${length} characters some programs may cut off the last.` : "The link is copied.");
  }

  copyCommand(): void {
    void this.copy(this.links.command, "The command line is copied.");
  }

  save(kind: SaveKind): void {
    const { lane, step } = this.state;
    if (!lane) return;
    const name = `folio-${lane.request.seed}`;
    if (kind === "text") download(`${name}.txt`, "text/plain", lane.text(step, "_"));
    if (kind === "trace") download(`${name}.jsonl`, "application/jsonl", traceOf(lane));
    if (kind === "image") download(`${name}.svg`, "image/svg+xml", imageOf(looksOf(this.picture()), this.links.currentUrl, lane.text(step, "_")));
  }

  private async copy(text: string, done: string): Promise<void> {
    try {
      await navigator.clipboard.writeText(text);
      this.statusBar.say(done);
    } catch {
      this.statusBar.say(`This browser does not let the page copy; here it is: ${text}`, undefined, () => true);
    }
  }
}
