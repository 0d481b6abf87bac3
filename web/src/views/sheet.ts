/**
 * The sheet: a canvas for ink, a transparent textarea over it for meaning (caret, selection, reading aloud), and, once
 * the sample rests, real text in verse.
 */
import { positionsOf, type Choice, type Stretch } from "../page/edits";
import { Brush, type Point } from "./brush";
import { prefersReducedMotion } from "../page/features";
import { CONDITIONED, type Frame } from "../engine/protocol";
import { byId, html } from "./dom";
import { drawCell, drawGliding, fitCanvas, readPalette, type Cell, type Look, type Palette } from "./ink";
import { columns, looksOf, type Picture } from "./looks";

export type ChooseBy = "range" | "words" | "lines" | "brush" | "life";

export interface SheetEvents {
  choose(choice: Choice | undefined): void;
  /** Adds positions to the choice, or takes them away. */
  paint(positions: number[], erases: boolean): void;
  /** A stroke has ended. */
  painted(): void;
  /** The next generation is asked for. */
  generation(): void;
  pin(position: number): void;
  hover(position: number): void;
  /** Writes a text typed from a position on; returns how many positions it takes. */
  put(position: number, text: string): number;
  open(choice: Choice): void;
  noiseAgain(): void;
  leave(): void;
}

const dryingTime = 550;
const growingTime = 280;
const restTime = 900;
const glideTime = 700;

export class Sheet {
  readonly brush = new Brush((event) => this.cellAt(event), () => this.looks.length, (positions, erases) => this.events.paint(positions, erases));
  private by: ChooseBy = "range";
  private stage = byId("stage");
  private sheet = byId("sheet");
  private canvas = byId<HTMLCanvasElement>("ink");
  private text = byId<HTMLTextAreaElement>("text");
  private verse = byId("verse");
  private verseText = html("div");
  private mirror = byId<HTMLCanvasElement>("mirror");
  private mirrorInView = false;
  private palette: Palette = readPalette();
  private cell: Cell = { width: 22, height: 35, size: 19.5 };
  private picture: Picture | undefined;
  private frame: Frame | undefined;
  private looks: Look[] = [];
  private rows = 8;
  private expected: number | undefined;
  private driesFrom: number[] = [];
  private growsFrom: { size: number; time: number }[] = [];
  private animateFrom = -Infinity;
  private pending = 0;
  private settled = false;
  private settleTimer = 0;
  private pointerInside = false;
  private dragFrom = -1;
  private dragged = false;
  private byTouch = false;

  constructor(private events: SheetEvents) {
    this.verse.append(this.verseText);
    for (const id of ["still", "printed"]) byId(id).remove();
    this.listenToText();
    this.listenToPointer();
    this.listenToVerse();
    document.addEventListener("selectionchange", () => this.readSelection());
    new ResizeObserver(() => this.resize()).observe(this.sheet);
    new IntersectionObserver(([{ isIntersecting }]) => {
      this.mirrorInView = isIntersecting;
      this.redraw();
    }).observe(this.mirror);
    this.resize();
  }

  /** After a change of theme, zoom or width. */
  resize(): void {
    this.palette = readPalette();
    const { width } = this.sheet.getBoundingClientRect();
    const style = getComputedStyle(this.text);
    this.cell = { width: width / columns, height: parseFloat(style.lineHeight), size: parseFloat(style.fontSize) };
    const context = this.canvas.getContext("2d")!;
    context.font = `${this.cell.size}px ${this.palette.mono}`;
    this.sheet.style.setProperty("--advance", `${context.measureText("m").width}px`);
    if (!this.verse.hidden) this.layVerse();
    this.redraw();
  }

  /** Keeps room for a sample of this length, which is to come; what stands there meanwhile is cut to it. */
  expect(length: number | undefined): void {
    this.expected = length;
    if (length) this.setRows(length);
    if (this.picture) this.show(this.picture);
  }

  set chooseBy(by: ChooseBy) {
    this.by = this.sheet.dataset.by = by;
    // A long press shall select no word, nor a tap raise a keyboard.
    this.text.ontouchstart = by === "brush" ? (event) => event.preventDefault() : null;
    if (this.paints) {
      this.select(undefined);
      this.unsettle();
    } else this.scheduleSettling();
  }

  /** True where positions are chosen one by one, and not by the textarea's selection. */
  get paints(): boolean {
    return this.by === "brush" || this.by === "life";
  }

  private setRows(length: number): void {
    this.rows = Math.ceil(length / columns);
    document.documentElement.style.setProperty("--rows", String(this.rows));
  }

  show(picture: Picture): void {
    const before = this.picture;
    const { lane, step } = picture;
    const frame = lane.frames[step];
    const stepsOn = before?.lane === lane && step === before.step + 1 && !prefersReducedMotion.matches;
    const now = performance.now();
    if (lane.live) this.expected = undefined;
    const looks = looksOf(picture).slice(0, this.expected);
    if (looks.length !== this.looks.length) {
      this.looks = [];
      this.setRows(this.expected ?? looks.length);
    }
    looks.forEach((look, position) => {
      const old = this.looks[position];
      if (stepsOn && old?.wet && !look.wet && look.size === 1) this.driesFrom[position] = this.animateFrom = now;
      else if (!stepsOn && before?.step !== step) this.driesFrom[position] = -Infinity;
      if (stepsOn && old && old.size !== look.size) {
        this.growsFrom[position] = { size: old.sign === "\u00b7" ? 0.5 : old.size, time: now };
        this.animateFrom = now;
      }
      if (!stepsOn) this.growsFrom[position] = { size: look.size, time: -Infinity };
    });
    this.looks = looks;
    this.picture = picture;
    const moved = !before || before.step !== step || before.show !== picture.show || !sameText(this.frame, frame);
    this.frame = frame;
    if (frame.done && picture.step === lane.head && looks.length === frame.length) {
      if (moved || this.verse.hidden) this.fillVerse();
    } else {
      this.verse.hidden = true;
    }
    if (moved || picture.moving) this.unsettle();
    if (!this.settled) this.scheduleSettling();
    if (!(picture.moving && document.activeElement === this.text)) this.writeText();
    this.redraw();
  }

  redraw(): void {
    if (!this.pending) this.pending = requestAnimationFrame((time) => this.draw(time));
  }

  focus(): void {
    this.text.focus({ preventScroll: true });
  }

  /** Chooses in the textarea, so that the two never differ. */
  select(choice: Stretch | undefined): void {
    if (choice) this.text.setSelectionRange(this.offset(choice.from), this.offset(choice.to) + 1);
    else {
      this.text.setSelectionRange(this.text.selectionEnd, this.text.selectionEnd);
      // Elsewhere it may be the caret of the field that has the focus.
      const selection = getSelection();
      if (selection && this.verseText.contains(selection.anchorNode)) selection.removeAllRanges();
    }
  }

  /** The rectangle of a position on the page. */
  rectangle(position: number): DOMRect {
    if (this.settled) return this.verseRange(position).getBoundingClientRect();
    const { left, top } = this.sheet.getBoundingClientRect();
    const { width, height } = this.cell;
    return new DOMRect(left + (position % columns) * width, top + Math.floor(position / columns) * height, width, height);
  }

  // ---- drawing

  private draw(time: number): void {
    this.pending = 0;
    const { width, height } = this.cell;
    // Without its style sheet the page has no cells.
    if (!this.picture || !(width * height > 0)) return;
    const context = fitCanvas(this.canvas, columns * width, this.rows * height);
    context.clearRect(0, 0, columns * width, this.rows * height);
    this.looks.forEach((look, position) => {
      const grown = Math.min(1, Math.max(0, (time - (this.growsFrom[position]?.time ?? -Infinity)) / growingTime));
      const from = this.growsFrom[position]?.size ?? look.size;
      const dryness = Math.min(1, Math.max(0, (time - (this.driesFrom[position] ?? -Infinity)) / dryingTime));
      drawCell(context, look, (position % columns) * width, Math.floor(position / columns) * height, this.cell, this.palette,
        from + (look.size - from) * grown, dryness);
    });
    this.reflect();
    if (time < this.animateFrom + dryingTime) this.redraw();
  }

  /** The story's small copy of the sheet. */
  private reflect(): void {
    const { width } = this.mirror.getBoundingClientRect();
    if (!width) return;
    const inner = width - 16;
    const height = (inner * this.canvas.height) / this.canvas.width;
    const context = fitCanvas(this.mirror, inner, height);
    if (!this.mirrorInView) return;
    context.clearRect(0, 0, inner, height);
    context.drawImage(this.canvas, 0, 0, inner, height);
  }

  // ---- verse

  private fillVerse(): void {
    const { lane, step } = this.picture!;
    const { id, flags } = lane.frames[step];
    const lines = [html("span", { class: "line" })];
    let run: Node | undefined;
    let given = false;
    id.forEach((letter, position) => {
      const character = lane.vocabulary.character(letter);
      const mine = (flags[position] & CONDITIONED) !== 0;
      if (!run || mine !== given) {
        run = mine ? html("span", { class: "given" }) : document.createTextNode("");
        lines[lines.length - 1].append(run);
      }
      given = mine;
      run.textContent += character;
      if (character !== "\n") return;
      lines.push(html("span", { class: "line" }));
      run = undefined;
    });
    this.verseText.replaceChildren(...lines);
    this.verse.hidden = false;
    this.verse.classList.add("aside");
    this.layVerse();
  }

  /**
   * The largest letters, from 12 px on, with which the box holds all lines; past that it scrolls inside. Long lines are wrapped, but
   * not where a little smaller letters spare it.
   */
  private layVerse(): void {
    const { width, height } = this.sheet.getBoundingClientRect();
    const [largest, widestPitch] = width < 500 ? [17, 25] : [23, 36];
    const set = (size: number, pitch: number) => {
      this.verse.style.setProperty("--verse-size", `${size}px`);
      this.verse.style.setProperty("--verse-pitch", `${pitch}px`);
      return this.verseText.getBoundingClientRect().height;
    };
    const closest = (size: number) => size / 0.82;
    let size = 12;
    for (let more = 8; more >= 0.5; more /= 2)
      if (size + more <= largest && set(size + more, closest(size + more)) <= height) size += more;
    const unwrapped = Math.floor(2 * this.unwrappedSize(width - 8)) / 2;
    if (unwrapped >= 0.85 * size) size = Math.min(size, unwrapped);
    const lines = Math.max(1, Math.round(set(size, widestPitch) / widestPitch));
    set(size, Math.max(closest(size), Math.min(widestPitch, height / lines)));
    this.letScroll();
  }

  /** Size of letters with which the longest line is so wide. */
  private unwrappedSize(width: number): number {
    const context = this.canvas.getContext("2d")!;
    context.font = `100px ${this.palette.serif}`;
    const lines = this.verseText.textContent!.split("\n");
    return (100 * width) / Math.max(1, ...lines.map((line) => context.measureText(line).width));
  }

  /** Makes verse that scrolls reachable by the keyboard. */
  private letScroll(): void {
    if (this.settled && this.verse.scrollHeight > this.verse.clientHeight) this.verse.tabIndex = 0;
    else this.verse.removeAttribute("tabindex");
  }

  private verseRange(position: number): Range {
    const range = document.createRange();
    let rest = position;
    const walker = document.createTreeWalker(this.verseText, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const characters = [...(node as Text).data];
      if (rest < characters.length) {
        const start = characters.slice(0, rest).join("").length;
        range.setStart(node, start);
        range.setEnd(node, start + characters[rest].length);
        break;
      }
      rest -= characters.length;
    }
    return range;
  }

  /** The position of a caret in the verse's text. */
  private positionInVerse(node: Node, offset: number): number {
    const before = document.createRange();
    before.setStart(this.verseText, 0);
    before.setEnd(node, offset);
    return [...before.toString()].length;
  }

  private scheduleSettling(): void {
    clearTimeout(this.settleTimer);
    if (this.verse.hidden || this.settled) return;
    this.settleTimer = window.setTimeout(() => {
      const picture = this.picture;
      const busy = this.paints || this.pointerInside || this.stage.contains(document.activeElement) || !picture || picture.chosen ||
        picture.show !== "ink" || picture.compared || picture.moving;
      if (!busy && !this.verse.hidden) this.settle();
    }, prefersReducedMotion.matches ? 0 : restTime);
  }

  private settle(): void {
    const { width, height } = this.cell;
    const box = this.canvas.getBoundingClientRect();
    const size = parseFloat(getComputedStyle(this.verse).fontSize);
    const context = this.canvas.getContext("2d")!;
    context.font = `${size}px ${this.palette.serif}`;
    const ascent = context.measureText("x").fontBoundingBoxAscent;
    const goals = this.looks.map((_, position) => {
      const { left, top } = this.verseRange(position).getBoundingClientRect();
      return { x: left - box.left, y: top - box.top + ascent, size };
    });
    const start = performance.now();
    this.settled = true;
    const glide = (time: number) => {
      if (!this.settled) return;
      const share = prefersReducedMotion.matches ? 1 : Math.min(1, Math.max(0, (time - start) / glideTime));
      const way = 1 - (1 - share) ** 3;
      const drawing = fitCanvas(this.canvas, columns * width, this.rows * height);
      drawing.clearRect(0, 0, box.width, box.height);
      this.looks.forEach((look, position) =>
        drawGliding(drawing, look, (position % columns) * width, Math.floor(position / columns) * height, this.cell, this.palette, goals[position], way));
      this.reflect();
      if (share < 1) requestAnimationFrame(glide);
      else {
        this.verse.classList.remove("aside");
        this.sheet.classList.add("settled");
        this.letScroll();
      }
    };
    cancelAnimationFrame(this.pending);
    this.pending = 0;
    requestAnimationFrame(glide);
  }

  private unsettle(): void {
    if (!this.settled) return;
    this.settled = false;
    this.sheet.classList.remove("settled");
    this.verse.classList.add("aside");
    this.letScroll();
    this.redraw();
  }

  private listenToVerse(): void {
    /** The nearest letter of the line: a finger needs more room than a letter takes. */
    const positionAt = (event: MouseEvent): number => {
      const [box, text] = [this.verse.getBoundingClientRect(), this.verseText.getBoundingClientRect()];
      const x = within(event.clientX, Math.max(box.left, text.left), Math.min(box.right, text.right));
      const y = within(event.clientY, Math.max(box.top, text.top), Math.min(box.bottom, text.bottom));
      const old = document as Document & { caretRangeFromPoint?(x: number, y: number): Range | null };
      const caret = document.caretPositionFromPoint?.(x, y);
      const range = caret ? undefined : old.caretRangeFromPoint?.(x, y);
      const node = caret?.offsetNode ?? range?.startContainer;
      if (!node || !this.verseText.contains(node)) return -1;
      const position = this.positionInVerse(node, caret?.offset ?? range!.startOffset);
      const distance = (candidate: number) => {
        const { left, right, top, bottom } = this.verseRange(candidate).getBoundingClientRect();
        return 1e4 * Math.max(0, top - y, y - bottom) + Math.max(0, left - x, x - right);
      };
      const near = [position - 1, position].filter((candidate) => candidate >= 0 && candidate < this.looks.length);
      return near.sort((a, b) => distance(a) - distance(b))[0] ?? -1;
    };
    this.verse.addEventListener("pointermove", (event) => {
      if (event.pointerType === "mouse" && this.settled) this.events.hover(positionAt(event));
    });
    // A browser might add the wraps and blocks to what is copied.
    this.verse.addEventListener("copy", (event) => {
      if (!this.picture?.chosen) return;
      event.preventDefault();
      event.clipboardData?.setData("text/plain", this.picture.lane.chosenText(this.picture.step, "_", this.picture.chosen));
    });
    this.verse.addEventListener("click", (event) => {
      const position = positionAt(event);
      if (!this.settled || position < 0 || !getSelection()?.isCollapsed) return;
      // The grid opens under the pointer, with the caret at the letter that was pointed at.
      this.unsettle();
      this.text.setSelectionRange(this.offset(position), this.offset(position));
      if ((event as PointerEvent).pointerType !== "touch") this.focus();
      this.tap(position);
    });
  }

  // ---- the textarea

  private offset(position: number): number {
    return position + Math.floor(position / columns);
  }

  /** The position at or after an offset in the textarea. */
  private position(offset: number): number {
    const row = Math.floor(offset / (columns + 1));
    return row * columns + Math.min(columns, offset % (columns + 1));
  }

  private writeText(): void {
    const { lane, step } = this.picture!;
    let value = "";
    lane.letters(step).subarray(0, this.expected).forEach((id, position) => {
      if (position && position % columns === 0) value += "\n";
      const character = lane.vocabulary.character(id);
      value += id < 0 ? "_" : character === "\n" ? "\u21b5" : character.length === 1 ? character : "\ufffd";
    });
    if (value === this.text.value) return;
    const { selectionStart, selectionEnd, selectionDirection } = this.text;
    this.text.value = value;
    this.text.setSelectionRange(selectionStart, selectionEnd, selectionDirection);
  }

  /** A textarea cannot be typed in until there is a model to answer. */
  set typable(yes: boolean) {
    this.text.readOnly = !yes;
  }

  private choice(): Choice | undefined {
    if (this.paints) return this.picture?.chosen;
    const { selectionStart, selectionEnd } = this.text;
    if (selectionStart === selectionEnd) return undefined;
    const choice = { from: this.position(selectionStart), to: Math.min(this.looks.length, this.position(selectionEnd)) - 1 };
    if (choice.from > choice.to) return undefined;
    // A finger drags the browser's own handles, letter by letter.
    return positionsOf(this.byTouch ? this.widened(choice) : choice);
  }

  private readSelection(): void {
    if (this.paints) return;
    if (document.activeElement === this.text) {
      if (this.dragFrom < 0) this.events.choose(this.choice());
      return;
    }
    const selection = getSelection();
    if (!this.settled || !selection?.rangeCount) return;
    const range = selection.getRangeAt(0);
    if (!this.verseText.contains(range.startContainer) || !this.verseText.contains(range.endContainer)) return;
    const from = this.positionInVerse(range.startContainer, range.startOffset);
    const to = this.positionInVerse(range.endContainer, range.endOffset) - 1;
    this.events.choose(from <= to ? positionsOf(this.widened({ from, to })) : undefined);
  }

  private listenToText(): void {
    const { text } = this;
    let composing = false;
    const type = (data: string) => {
      const start = this.position(text.selectionStart);
      const next = start + this.events.put(start, data.replace(/\r\n?/g, "\n").replace(/\u21b5/g, "\n"));
      text.setSelectionRange(this.offset(next), this.offset(next));
    };
    const erase = (backwards: boolean) => {
      const choice = this.choice();
      if (choice) this.events.open(choice);
      const at = this.position(text.selectionStart) - (backwards ? 1 : 0);
      if (!choice && at >= 0 && at < this.looks.length) {
        this.events.open([at]);
        text.setSelectionRange(this.offset(at), this.offset(at));
      }
    };
    text.addEventListener("beforeinput", (event) => {
      if (composing || event.inputType === "insertCompositionText") return;
      event.preventDefault();
      if (event.inputType === "insertLineBreak" || event.inputType === "insertParagraph") type("\n");
      else if (event.inputType.startsWith("insert")) type(event.data ?? event.dataTransfer?.getData("text/plain") ?? "");
      else if (event.inputType.startsWith("delete")) erase(event.inputType.endsWith("Backward"));
    });
    let start = 0;
    text.addEventListener("compositionstart", () => {
      composing = true;
      start = text.selectionStart;
    });
    text.addEventListener("compositionend", (event) => {
      composing = false;
      if (this.picture) this.writeText();
      text.setSelectionRange(start, start);
      type(event.data);
    });
    this.listenToClipboard(erase);
    this.listenToKeys();
  }

  /** The textarea's own text has row ends and signs for line ends; what is taken away is the sample's. */
  private listenToClipboard(erase: (backwards: boolean) => void): void {
    const { text } = this;
    for (const kind of ["copy", "cut"] as const)
      text.addEventListener(kind, (event) => {
        const choice = this.choice();
        if (!choice || !this.picture) return;
        event.preventDefault();
        event.clipboardData?.setData("text/plain", this.picture.lane.chosenText(this.picture.step, "_", choice));
        if (kind === "cut") erase(false);
      });
  }

  private listenToKeys(): void {
    const { text } = this;
    text.addEventListener("keydown", (event) => {
      if (event.isComposing) return;
      if (event.key === "Escape") {
        this.events.leave();
        text.blur();
      } else if (event.key === "Enter") {
        event.preventDefault();
        if (event.ctrlKey || event.metaKey) this.events.noiseAgain();
        else if (this.by === "life") this.events.generation();
        else this.events.pin(this.caret);
      } else if (event.key === " " && this.paints) {
        event.preventDefault();
        this.paintAtCaret();
      }
    });
    text.addEventListener("focus", () => {
      this.unsettle();
      if (!this.paints) this.events.choose(this.choice());
    });
    this.stage.addEventListener("focusout", () => this.scheduleSettling());
  }

  private get caret(): number {
    return Math.min(this.looks.length - 1, this.position(this.text.selectionStart));
  }

  /** Chooses what is under the brush, or lets it go. */
  private paintAtCaret(): void {
    const { caret, brush } = this;
    const positions = this.by === "life" ? [caret] : brush.around(caret % columns, Math.floor(caret / columns));
    this.events.paint(positions, this.picture?.chosen?.includes(caret) ?? false);
    this.events.painted();
  }

  // ---- the pointer

  private cellAt(event: MouseEvent): Point {
    const { left, top } = this.sheet.getBoundingClientRect();
    return [Math.floor((event.clientX - left) / this.cell.width), Math.floor((event.clientY - top) / this.cell.height)];
  }

  private positionAt(event: MouseEvent): number {
    const [column, row] = this.cellAt(event);
    return Math.min(this.looks.length - 1, Math.max(0, row) * columns + Math.min(columns - 1, Math.max(0, column)));
  }

  private widened({ from, to }: Stretch): Stretch {
    if (this.by === "range" || !this.picture) return { from, to };
    const { lane, step } = this.picture;
    const letters = lane.letters(step);
    const ends = (position: number) => {
      const character = lane.vocabulary.character(letters[position]);
      return character === "\n" || (this.by === "words" && character === " ");
    };
    while (from > 0 && !ends(from - 1)) --from;
    while (to < this.looks.length - 1 && !ends(to) && !ends(to + 1)) ++to;
    return { from, to };
  }

  private listenToPointer(): void {
    const { text } = this;
    text.addEventListener("pointerdown", (event) => {
      this.byTouch = event.pointerType === "touch";
      if (this.by === "brush") return this.beginStroke(event);
      if (event.pointerType !== "mouse" || event.button !== 0 || !this.picture) return;
      event.preventDefault();
      if (this.by === "life") return this.putCaret(this.positionAt(event));
      this.dragFrom = this.positionAt(event);
      this.dragged = false;
      text.setPointerCapture(event.pointerId);
      this.focus();
      const at = this.offset(this.dragFrom);
      if (event.shiftKey) text.setSelectionRange(Math.min(at, text.selectionStart), Math.max(at + 1, text.selectionEnd));
      else text.setSelectionRange(at, at);
      this.dragged = event.shiftKey;
      if (this.by !== "range") this.drag(this.dragFrom);
    });
    // The mouse's own idea of a selection must not override ours; nor shall a tap raise a keyboard.
    text.addEventListener("mousedown", (event) => {
      if (this.positionAt(event) !== this.picture?.pinned || this.dragFrom >= 0) event.preventDefault();
    });
    text.addEventListener("pointermove", (event) => {
      if (this.brush.isDown && event.isPrimary) return this.brush.move(event);
      if (event.pointerType !== "mouse") return;
      const position = this.positionAt(event);
      if (this.dragFrom < 0) this.events.hover(position);
      else if (position !== this.dragFrom || this.dragged) this.drag(position);
    });
    text.addEventListener("pointerup", ({ isPrimary }) => {
      if (isPrimary) this.endStroke();
      if (this.dragFrom < 0) return;
      const position = this.dragFrom;
      this.dragFrom = -1;
      if (this.dragged) this.events.choose(this.choice());
      else {
        this.events.choose(this.choice());
        this.events.pin(position);
      }
    });
    text.addEventListener("pointercancel", () => {
      this.dragFrom = -1;
      this.endStroke();
    });
    text.addEventListener("contextmenu", (event) => this.by === "brush" && event.preventDefault());
    text.addEventListener("click", (event) => {
      if (this.by === "life") this.events.generation();
      else if (this.by !== "brush" && (event as PointerEvent).pointerType === "touch" && document.activeElement !== text) this.tap(this.positionAt(event));
    });
    this.stage.addEventListener("pointerenter", (event) => (this.pointerInside = event.pointerType === "mouse"));
    this.stage.addEventListener("pointerleave", () => {
      this.pointerInside = false;
      this.events.hover(-1);
      this.scheduleSettling();
    });
  }

  private beginStroke(event: PointerEvent): void {
    if (!this.picture || !this.brush.begin(event)) return;
    event.preventDefault();
    this.text.setPointerCapture(event.pointerId);
    if (!this.byTouch) this.putCaret(this.positionAt(event));
  }

  private endStroke(): void {
    if (!this.brush.isDown) return;
    this.brush.end();
    this.events.painted();
  }

  private putCaret(position: number): void {
    this.focus();
    this.text.setSelectionRange(this.offset(position), this.offset(position));
  }

  /** Tells the life of a letter, or chooses the word or line that it belongs to. */
  private tap(position: number): void {
    if (this.by === "range") return this.events.pin(position);
    const choice = this.widened({ from: position, to: position });
    this.select(choice);
    this.events.choose(positionsOf(choice));
  }

  private drag(to: number): void {
    this.dragged = true;
    const choice = this.widened({ from: Math.min(this.dragFrom, to), to: Math.max(this.dragFrom, to) });
    this.select(choice);
    this.events.choose(positionsOf(choice));
  }
}

/** The nearest number between two others. */
function within(value: number, least: number, most: number): number {
  return Math.max(least + 1, Math.min(most - 1, value));
}

function sameText(a: Frame | undefined, b: Frame): boolean {
  return a === b || (a !== undefined && a.length === b.length &&
    a.id.every((id, position) => id === b.id[position] && a.flags[position] === b.flags[position]));
}
