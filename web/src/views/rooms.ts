/** The rooms of the page: the sheet, and those below it. */
import { prefersStillness } from "../features";
import { byId } from "./dom";

const below = ["race", "bench", "story"];

export class Rooms {
  constructor() {
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

  enter(room: string): void {
    const behavior = prefersStillness.matches ? "auto" : "smooth";
    if (room === "sheet") return scrollTo({ top: 0, behavior });
    byId(room).scrollIntoView({ behavior });
    byId(`${room}-start`).focus({ preventScroll: true });
  }

  private mark(room: string): void {
    for (const link of document.querySelectorAll<HTMLElement>("nav [data-room]"))
      if (link.dataset.room === room) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
  }
}
