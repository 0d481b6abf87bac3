/** One strip: letters fixed at each step, the doubt that is left, the step on show; lanes below it where it forks. */
import { summarize, type Lane } from "../page/lanes";
import { byId, Radios, svg } from "./dom";

export interface TimelineEvents {
  step(step: number): void;
  lane(name: string): void;
}

/** Pixels from the top to the first lane's line. Several lanes share the room of the words below a single one. */
const baseOf = (lanes: number) => (lanes > 1 ? 28 : 44);
const gapOf = (lanes: number) => (lanes > 1 ? Math.min(8, 16 / (lanes - 1)) : 0);

export class Timeline {
  private plot = byId<SVGSVGElement>("plot");
  private track = byId("track");
  private slider = byId<HTMLInputElement>("step");
  private strip = byId("lanes");
  private compare = byId<HTMLButtonElement>("compare");
  private radios: Radios<string>;
  private drawn = "";
  private head = svg("line", { class: "head", y1: 2 });
  private knob = svg("circle", { class: "knob", r: 5.5 });
  private word = svg("text");
  private bars: SVGRectElement[] = [];
  private pastDoubt = svg("polyline", { class: "doubt past" });
  private points: string[] = [];

  constructor(events: TimelineEvents) {
    this.radios = new Radios(byId("lane"), (name) => events.lane(name));
    this.slider.addEventListener("input", () => events.step(Number(this.slider.value)));
    // Page keys jump by ten, as Shift and an arrow do elsewhere.
    this.slider.addEventListener("keydown", (event) => {
      const by = { PageUp: 10, PageDown: -10 }[event.key] ?? (event.shiftKey ? { ArrowRight: 10, ArrowLeft: -10 }[event.key] : undefined);
      if (by === undefined) return;
      event.preventDefault();
      events.step(Number(this.slider.value) + by);
    });
    new ResizeObserver(() => (this.drawn = "")).observe(this.track);
  }

  show(lanes: readonly Lane[], lane: Lane, step: number, comparing: Lane | undefined): void {
    const steps = Math.max(1, lane.steps);
    this.slider.max = String(steps);
    this.slider.value = String(step);
    this.slider.setAttribute("aria-valuetext", `Step ${step} of ${steps}, ${lane.countStanding(step)} of ${lane.frames[step].length} characters ${lane.process.fixed}`);
    this.showLanes(lanes, lane, comparing);
    const width = this.track.clientWidth || 600;
    const longest = Math.max(1, ...lanes.map((other) => other.steps));
    const x = (at: number) => (at / longest) * width;
    const state = [width, lane.name, lane.frames.length, lanes.map((other) => other.name + other.steps)].join();
    if (state !== this.drawn) this.draw(lanes, lane, x, longest, width);
    this.drawn = state;
    const low = baseOf(lanes.length) + lanes.indexOf(lane) * gapOf(lanes.length);
    this.head.setAttribute("x1", String(x(step)));
    this.head.setAttribute("x2", String(x(step)));
    this.head.setAttribute("y2", String(low));
    this.knob.setAttribute("cx", String(x(step)));
    this.knob.setAttribute("cy", String(low));
    this.bars.forEach((bar, index) => bar.classList.toggle("past", index < step));
    this.pastDoubt.setAttribute("points", this.points.slice(0, step + 1).join(" "));
    this.placeWord(x(step));
  }

  /** The word keeps out of the head's way. */
  private placeWord(head: number): void {
    const spots = [0.3, 0.6].map((share) => (this.points[Math.round((this.points.length - 1) * share)] ?? "0,0").split(",").map(Number));
    const spot = spots.find(([x]) => head < x || head > x + 50);
    this.word.textContent = spot && this.points.length > 9 ? "doubt" : "";
    if (!spot) return;
    const [x, y] = spot;
    this.word.setAttribute("x", String(x + 6));
    this.word.setAttribute("y", String(y < 17 ? y + 15 : y - 6));
  }

  private showLanes(lanes: readonly Lane[], lane: Lane, comparing: Lane | undefined): void {
    this.strip.hidden = lanes.length < 2;
    const names = lanes.map(({ name }) => name);
    this.radios.offer(names.map((name) => [name, name] as const), lane.name);
    const other = comparing ?? otherLane(lanes, lane);
    this.compare.hidden = !other;
    this.compare.textContent = `Compare with ${other?.name ?? ""}`;
    this.compare.setAttribute("aria-pressed", String(comparing !== undefined));
  }

  private draw(lanes: readonly Lane[], lane: Lane, x: (at: number) => number, longest: number, width: number): void {
    const summaries = lane.frames.map((_, at) => summarize(lane, at));
    const most = Math.max(10, ...summaries.map(({ changed }) => changed));
    const [base, gap] = [baseOf(lanes.length), gapOf(lanes.length)];
    const tallest = base - 14;
    const barWidth = Math.max(1, (width / longest) * 0.56);
    this.bars = summaries.slice(1).map(({ changed }, index) => {
      const height = (changed / most) * tallest;
      return svg("rect", { class: "bar", x: x(index + 0.5) - barWidth / 2, y: base - height, width: barWidth, height });
    });
    const doubtY = (at: number) => base - 2 - summaries[at].doubt * (base - 2);
    this.points = summaries.map((_, at) => `${x(at).toFixed(1)},${doubtY(at).toFixed(1)}`);
    const paths = lanes.map((other, index) => {
      const y = base + index * gap;
      const parent = other.parent ? lanes.indexOf(other.parent) : -1;
      const start = Math.max(0, parent) * gap + base;
      const path = parent < 0 ? `M${x(other.from)},${y}H${x(other.steps)}`
        : `M${x(other.from)},${start}c7,0 4,${y - start} 13,${y - start}H${Math.max(x(other.from) + 13, x(other.steps))}`;
      return svg("path", { class: other === lane ? "lane on" : "lane", d: path });
    });
    const texts: SVGTextElement[] = [];
    const label = (text: string, atX: number, y: number, anchor: string) =>
      texts.push(svg("text", { x: atX, y, "text-anchor": anchor }, text));
    // Where there are several, the row of lanes stands there.
    if (lanes.length === 1) {
      const { begins, bars } = lane.process;
      const fitting = [bars, bars.replace(" at each step", ""), ""].find((words) => width > 7 * (words.length + 2 * begins.length + 4)) ?? "";
      label(lane.request["from-text"] === undefined ? begins : "text", 0, 66, "start");
      label(fitting, width / 2, 66, "middle");
      label("text", width, 66, "end");
    }
    this.plot.replaceChildren(...this.bars, svg("polyline", { class: "doubt", points: this.points.join(" ") }), this.pastDoubt,
      this.word, ...texts, ...paths, this.head, this.knob);
  }
}

/** The lane one would compare with: the one it forked from, else the first other one. */
export function otherLane(lanes: readonly Lane[], lane: Lane): Lane | undefined {
  return lane.parent && lanes.includes(lane.parent) ? lane.parent : lanes.find((other) => other !== lane);
}
