/** Single keys outside text fields. The sheet has keys of its own. */
import { byId } from "./dom";

/** The actions of keys. */
export interface Shortcuts {
  play(): void;
  /** Goes so many steps on, -Infinity: to the first one. */
  step(by: number): void;
  sample(): void;
  noise(): void;
  keep(): void;
  fork(): void;
  pinBiography(): void;
  nextLane(): void;
  toggleDoubt(): void;
  /** Switches to another process, by its index. */
  switchTo(index: number): void;
  clear(): void;
  help(): void;
}

/** The act of a key; undefined where it has none. */
function actOf(key: string, shift: boolean, to: Shortcuts): (() => void) | undefined {
  if (/^[1-9]$/.test(key)) return () => to.switchTo(Number(key) - 1);
  const far = shift ? 10 : 1;
  const acts: Record<string, () => void> = {
    " ": to.play, ArrowLeft: () => to.step(-far), ArrowRight: () => to.step(far), Home: () => to.step(-Infinity), End: () => to.step(Infinity),
    s: to.sample, n: to.noise, k: to.keep, f: to.fork, b: to.pinBiography, l: to.nextLane, d: to.toggleDoubt, Escape: to.clear, "?": to.help,
  };
  return Object.hasOwn(acts, key) ? acts[key] : undefined;
}

/** Keys that a focused control needs for itself. */
function belongsTo(target: Element, key: string): boolean {
  if (target.matches("textarea, select, input:not([type=radio], [type=checkbox], [type=range])")) return true;
  if (key === " " || key === "Enter") return target.matches("button, a, input");
  return key.startsWith("Arrow") || key === "Home" || key === "End" ? target.matches("input, [role=toolbar] *") : false;
}

export function listenForShortcuts(shortcuts: Shortcuts): void {
  const enabled = byId<HTMLInputElement>("shortcuts");
  document.addEventListener("keydown", (event) => {
    if (!enabled.checked || event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const target = event.target as Element;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (target !== document.body && belongsTo(target, key)) return;
    const act = actOf(key, event.shiftKey, shortcuts);
    if (!act) return;
    event.preventDefault();
    if (!event.repeat || key.startsWith("Arrow")) act();
  });
}
