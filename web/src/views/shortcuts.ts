/** Single keys outside text fields. The sheet has keys of its own. */
import { byId } from "./dom";

export type Act = "play" | "back" | "on" | "back ten" | "on ten" | "first" | "last" | "sample" | "noise" | "keep" | "fork" |
  "biography" | "lane" | "doubt" | "first process" | "second process" | "third process" | "clear" | "help";

const acts: Record<string, Act> = {
  " ": "play", ArrowLeft: "back", ArrowRight: "on", Home: "first", End: "last", s: "sample", n: "noise", k: "keep", f: "fork",
  b: "biography", l: "lane", d: "doubt", 1: "first process", 2: "second process", 3: "third process", Escape: "clear", "?": "help",
};

/** Keys that a focused control needs for itself. */
function belongsTo(target: Element, key: string): boolean {
  if (target.matches("textarea, select, input:not([type=radio], [type=checkbox], [type=range])")) return true;
  if (key === " " || key === "Enter") return target.matches("button, a, input");
  return key.startsWith("Arrow") || key === "Home" || key === "End" ? target.matches("input, [role=toolbar] *") : false;
}

export function listenForShortcuts(act: (act: Act) => void): void {
  const enabled = byId<HTMLInputElement>("shortcuts");
  document.addEventListener("keydown", (event) => {
    if (!enabled.checked || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const target = event.target as Element;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (target !== document.body && belongsTo(target, key)) return;
    let chosen: Act | undefined = acts[key];
    if (event.shiftKey && chosen === "back") chosen = "back ten";
    if (event.shiftKey && chosen === "on") chosen = "on ten";
    if (!chosen) return;
    event.preventDefault();
    if (!event.repeat || key.startsWith("Arrow")) act(chosen);
  });
}
