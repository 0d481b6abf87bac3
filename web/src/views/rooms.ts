/** The rooms of the page: the sheet, and those below it. */
import { prefersReducedMotion } from "../page/features";
import { byId } from "./dom";

const below = ["race", "bench", "story"];

/** Events by which the visitor moves on. */
const moves = ["wheel", "touchstart", "pointerdown", "keydown"] as const;

export class Rooms {
  /** The room entered last, until the visitor moves on: what grows or shrinks above must not push it away, nor end the way there. */
  private entered: string | undefined;
  /** True until the way to it has come to an end. */
  private onTheWay = false;
  /** Of the document, when it was observed last. */
  private height = 0;

  constructor() {
    for (const move of moves) addEventListener(move, () => (this.entered = undefined), { capture: true, passive: true });
    new ResizeObserver(() => {
      this.height = document.documentElement.scrollHeight;
      if (this.entered) this.scroll(this.entered, "instant");
    }).observe(document.body);
    addEventListener("scrollend", () => this.arrive());
    for (const link of document.querySelectorAll<HTMLAnchorElement>("[data-room]")) {
      if (!link.hasAttribute("href")) link.href = `#room=${link.dataset.room}`;
      link.addEventListener("click", (event) => {
        event.preventDefault();
        this.enter(link.dataset.room!);
      });
    }
    // The room below the sheet that begins or goes on a fifth of the window down is the current one, else the sheet itself.
    const seen = new Set<string>();
    const middle = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries)
        if (isIntersecting) seen.add(target.id);
        else seen.delete(target.id);
      this.mark(below.find((room) => seen.has(room)) ?? "sheet");
    }, { rootMargin: "-19% 0px -80% 0px" });
    for (const room of below) middle.observe(byId(room));
  }

  /** `atOnce`: by an address, where there is no way to be seen. */
  enter(room: string, atOnce = false): void {
    [this.entered, this.onTheWay] = [room, true];
    this.scroll(room, atOnce || prefersReducedMotion.matches ? "instant" : "smooth");
    if (room !== "sheet") byId(`${room}-start`).focus({ preventScroll: true });
  }

  private arrive(): void {
    const { entered } = this;
    // A document that has just grown or shrunk may have scrolled by itself; its observer, which comes later, mends that.
    if (document.documentElement.scrollHeight !== this.height) return;
    if (!entered || this.isAt(entered)) this.onTheWay = false;
    // Where the way broke off, the rest of it is a jump; a visitor who has moved the scroll bar has gone elsewhere.
    else if (this.onTheWay) this.scroll(entered, "instant");
    else this.entered = undefined;
  }

  private isAt(room: string): boolean {
    const { scrollHeight, clientHeight } = document.documentElement;
    const top = room === "sheet" ? scrollY : byId(room).getBoundingClientRect().top;
    return Math.abs(top) < 2 || (top > 0 && scrollY + clientHeight > scrollHeight - 2);
  }

  private scroll(room: string, behavior: ScrollBehavior): void {
    if (room === "sheet") scrollTo({ top: 0, behavior });
    else byId(room).scrollIntoView({ behavior });
  }

  private mark(room: string): void {
    for (const link of document.querySelectorAll<HTMLElement>("nav [data-room]"))
      if (link.dataset.room === room) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
  }
}
