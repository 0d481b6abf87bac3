/** The views by the names under which the parts of the page get those that they speak to. */
import type { Announcer } from "./announcer";
import type { Biography } from "./biography";
import type { Candidates } from "./candidates";
import type { Controls } from "./controls";
import type { StopButton } from "./dom";
import type { Library } from "./library";
import type { Sheet } from "./sheet";
import type { SheetFrame } from "./sheet_frame";
import type { StatusBar } from "./status_bar";
import type { Story } from "./story";
import type { Timeline } from "./timeline";
import type { Toolbar } from "./toolbar";

export interface Views {
  announcer: Announcer;
  biography: Biography;
  candidates: Candidates;
  controls: Controls;
  library: Library;
  lifeButton: StopButton;
  sampleButton: StopButton;
  sheet: Sheet;
  sheetFrame: SheetFrame;
  statusBar: StatusBar;
  story: Story;
  timeline: Timeline;
  toolbar: Toolbar;
}
