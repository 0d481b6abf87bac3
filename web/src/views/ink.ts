/** Drawing of a position in each of its states on a canvas. It knows nothing of where the states come from. */

export interface Look {
  /** The character in the cell; "" for none. */
  sign: string;
  /** Letters drawn over one another instead of the sign alone, each as opaque as it is likely. */
  layers: readonly { sign: string; opacity: number }[];
  /** Share of the full size. */
  size: number;
  ink: "ink" | "soft" | "edge" | "guess" | "near" | "sheet" | "red";
  /** Just fixed: a struck block. */
  wet: boolean;
  /** Fixed by the visitor: bold, on a rule. */
  given: boolean;
  /** Noised again: a hatch until it is fixed. */
  hatched: boolean;
  /** Struck out by the proofreader in this very step. */
  struckOut: boolean;
  /** Here the next letter will be written. */
  caret: boolean;
  /** 0 none, then the four steps of doubt. */
  ground: number;
  chosen: boolean;
  /** By `beside`: the neighbours that are chosen too. */
  chosenBeside: readonly boolean[];
  /** A frame around the position whose biography is shown: 1 if the page picked it, 2 if the visitor did. */
  frame: 0 | 1 | 2;
  /** Other than in the lane compared with. */
  differs: boolean;
}

/** Columns and rows to the neighbours of a cell: above, right of, below and left of it, then the corners between two of these. */
export const beside = [[0, -1], [1, 0], [0, 1], [-1, 0], [1, -1], [1, 1], [-1, 1], [-1, -1]] as const;

export const plain: Look = {
  sign: "", layers: [], size: 1, ink: "ink", wet: false, given: false, hatched: false, struckOut: false, caret: false, ground: 0,
  chosen: false, chosenBeside: [], frame: 0, differs: false,
};

export interface Palette {
  ink: string;
  soft: string;
  edge: string;
  guess: string;
  near: string;
  sheet: string;
  red: string;
  wash: string;
  grounds: string[];
  mono: string;
  serif: string;
}

function mix(a: string, b: string, share: number): string {
  const parts = (colour: string) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  const other = parts(b);
  return `rgb(${parts(a).map((value, index) => Math.round(value * share + other[index] * (1 - share))).join(" ")})`;
}

export function readPalette(): Palette {
  const style = getComputedStyle(document.documentElement);
  const read = (name: string) => style.getPropertyValue(`--${name}`).trim();
  return {
    ink: read("ink"), soft: read("soft"), edge: read("edge"), guess: read("guess"),
    near: mix(read("guess"), read("ink"), 0.72),
    sheet: read("sheet"), red: read("red"), wash: read("wash"),
    grounds: ["transparent", read("doubt1"), read("doubt2"), read("doubt3"), read("doubt4")],
    mono: read("mono"), serif: read("serif"),
  };
}

export interface Cell {
  width: number;
  height: number;
  /** Size of the letters in pixels. */
  size: number;
}

/** Distance from the middle of a line to the base line of its letters, as a share of their size. */
const baseline = new Map<string, number>();
function toBaseline(context: CanvasRenderingContext2D, family: string): number {
  let share = baseline.get(family);
  if (share === undefined) {
    context.font = `100px ${family}`;
    const { fontBoundingBoxAscent, fontBoundingBoxDescent } = context.measureText("x");
    share = (fontBoundingBoxAscent - fontBoundingBoxDescent) / 200;
    baseline.set(family, share);
  }
  return share;
}

/** Size of a line end's arrow, as a share of a letter's. */
export const lineEnd = 0.8;

/** Visible layers of a cell, the most likely last; white space has none. */
export function layersOf({ layers, sign }: Look): Look["layers"] {
  return (layers.length ? layers : [{ sign, opacity: 1 }]).filter((layer) => layer.opacity > 0.05 && layer.sign.trim());
}

/** Share of a struck block's ground that is left when its letter turns to ink: on more of it the letter could not be read. */
const dryingFrom = 0.45;

/** A cell to be drawn in, in pixels of the canvas. */
interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
  /** Distance of grounds and blocks from the upper and lower edge. */
  inset: number;
}

/** `dryness`: 0 the block has just been struck, 1 its ground is gone. `size` may lag behind the look's own. */
export function drawCell(
  context: CanvasRenderingContext2D, look: Look, x: number, y: number, cell: Cell, palette: Palette,
  size = look.size, dryness = 1,
): void {
  const { width, height } = cell;
  const box: Box = { x, y, width, height, inset: height < 30 ? 2 : 3 };
  const wetness = look.wet ? 1 : dryingFrom * (1 - dryness);
  drawGround(context, look, box, palette, wetness);
  drawMarks(context, look, box, palette);
  for (const layer of layersOf(look)) drawLetter(context, look, layer, box, cell.size, palette, size, wetness > 0);
  context.globalAlpha = 1;
  if (look.struckOut) {
    context.fillStyle = palette.red;
    context.fillRect(x + box.inset, y + height / 2, width - 2 * box.inset, 2);
  }
  if (look.frame) drawFrame(context, look.frame, box, palette.red);
}

function drawGround(context: CanvasRenderingContext2D, look: Look, { x, y, width, height, inset }: Box, palette: Palette, wetness: number): void {
  if (look.ground || look.chosen) {
    context.fillStyle = look.chosen ? palette.wash : palette.grounds[look.ground];
    const [above, , below] = look.chosenBeside;
    context.fillRect(x, above ? y : y + inset, width, height - (above ? 0 : inset) - (below ? 0 : inset));
  }
  if (wetness > 0 && !look.chosen) {
    context.globalAlpha = wetness;
    context.fillStyle = palette.red;
    context.fillRect(x + 1, y + inset + 1, width - 2, height - 2 * inset - 2);
    context.globalAlpha = 1;
  }
  if (look.hatched) hatch(context, x, y + inset, width, height - 2 * inset, palette.red);
}

function drawMarks(context: CanvasRenderingContext2D, look: Look, { x, y, width, height, inset }: Box, palette: Palette): void {
  const fill = (colour: string, left: number, top: number, wide: number, high: number) => {
    context.fillStyle = colour;
    context.fillRect(x + left, y + top, wide, high);
  };
  if (look.caret) fill(palette.red, 1, inset + 1, 2, height - 2 * inset - 2);
  if (look.given) fill(palette.ink, 0, height - inset - 4, width, 2);
  if (look.differs) for (let dot = 1; dot < width - 1; dot += 4) fill(palette.ink, dot, height - inset - 3, 2, 1.5);
  if (look.chosen) outline(look.chosenBeside, inset, width, height, (...box) => fill(palette.red, ...box));
}

/** The edges of a chosen cell on which the choice ends; where only its corner does, lines of two neighbours are joined. */
function outline(chosen: readonly boolean[], inset: number, width: number, height: number, fill: (x: number, y: number, wide: number, high: number) => void): void {
  const line = 1.5;
  const [above, right, below, left, ...corners] = chosen;
  const [top, bottom] = [above ? 0 : inset, height - (below ? 0 : inset)];
  const [east, south] = [width - line, height - inset - line];
  if (!above) fill(0, inset, width, line);
  if (!right) fill(east, top, line, bottom - top);
  if (!below) fill(0, south, width, line);
  if (!left) fill(0, top, line, bottom - top);
  [[above, right, east, 0], [below, right, east, south], [below, left, 0, south], [above, left, 0, 0]].forEach(([a, b, x, y], corner) => {
    if (a && b && !corners[corner]) fill(x as number, y as number, line, inset + line);
  });
}

function drawLetter(
  context: CanvasRenderingContext2D, look: Look, { sign, opacity }: Look["layers"][number], { x, y, width, height }: Box, fullSize: number,
  palette: Palette, size: number, isWet: boolean,
): void {
  const pixels = fullSize * (sign === "\u21b5" ? Math.min(size, lineEnd) : size);
  const drop = toBaseline(context, palette.mono) * pixels;
  context.font = `${look.given ? "700 " : ""}${pixels}px ${palette.mono}`;
  context.textAlign = "center";
  if (look.hatched) {
    // The hatch keeps away from the letter.
    context.strokeStyle = look.chosen ? palette.wash : palette.sheet;
    context.lineWidth = 5;
    context.lineJoin = "round";
    context.strokeText(sign, x + width / 2, y + height / 2 + drop);
  }
  context.fillStyle = palette[look.ink === "soft" && isWet ? "ink" : look.ink];
  context.globalAlpha = opacity;
  context.fillText(sign, x + width / 2, y + height / 2 + drop);
}

function drawFrame(context: CanvasRenderingContext2D, line: number, { x, y, width, height, inset }: Box, red: string): void {
  context.strokeStyle = red;
  context.lineWidth = line;
  context.strokeRect(x + 1 + line / 2, y + inset - 1 + line / 2, width - 2 - line, height - 2 * inset + 2 - line);
}

function hatch(context: CanvasRenderingContext2D, x: number, y: number, width: number, height: number, red: string): void {
  const pitch = 7;
  context.save();
  context.beginPath();
  context.rect(x, y, width, height);
  context.clip();
  context.beginPath();
  // Lines x + y = a multiple of the pitch, so that neighbours' hatches meet.
  for (let sum = Math.ceil((x + y) / pitch) * pitch; sum < x + y + width + height; sum += pitch) {
    context.moveTo(sum - y, y);
    context.lineTo(sum - y - height, y + height);
  }
  context.globalAlpha = 0.42;
  context.strokeStyle = red;
  context.lineWidth = 1;
  context.stroke();
  context.restore();
}

/** Draws a letter between its cell (`way` 0) and its place in the verse (1). */
export function drawGliding(
  context: CanvasRenderingContext2D, look: Look, x: number, y: number, cell: Cell, palette: Palette,
  goal: { x: number; y: number; size: number }, way: number,
): void {
  if (!look.sign.trim()) return;
  const startsAt = { x: x + cell.width * 0.23, y: y + cell.height / 2 + toBaseline(context, palette.mono) * cell.size };
  const size = cell.size + (goal.size - cell.size) * way;
  context.textAlign = "left";
  context.fillStyle = palette.ink;
  // A line end has nothing to become.
  context.globalAlpha = look.sign === "\u21b5" ? Math.max(0, 1 - 2 * way) : 1;
  context.font = `${size}px ${palette.serif}`;
  context.fillText(look.sign, startsAt.x + (goal.x - startsAt.x) * way, startsAt.y + (goal.y - startsAt.y) * way);
  context.globalAlpha = 1;
}

/** Makes the canvas as sharp as the screen; returns its context, scaled to CSS pixels. */
export function fitCanvas(canvas: HTMLCanvasElement, width: number, height: number): CanvasRenderingContext2D {
  const density = Math.max(1, devicePixelRatio);
  const [w, h] = [Math.round(width * density), Math.round(height * density)];
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
  }
  const context = canvas.getContext("2d")!;
  context.setTransform(w / width, 0, 0, h / height, 0, 0);
  return context;
}
