/** The few helpers that the views share. Styles are set through the object model alone: the policy forbids attributes. */

export function byId<T extends Element = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`#${id} is missing`);
  return found as unknown as T;
}

type Attributes = Record<string, string | number | boolean | ((event: Event) => void)>;

function fill<T extends Element>(element: T, attributes: Attributes, children: (Node | string)[]): T {
  for (const [name, value] of Object.entries(attributes))
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== false) element.setAttribute(name, value === true ? "" : String(value));
  element.append(...children);
  return element;
}

export function html<K extends keyof HTMLElementTagNameMap>(
  tag: K, attributes: Attributes = {}, ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  return fill(document.createElement(tag), attributes, children);
}

export function svg<K extends keyof SVGElementTagNameMap>(
  tag: K, attributes: Attributes = {}, ...children: (Node | string)[]
): SVGElementTagNameMap[K] {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

/** A row of radio buttons; `select` marks one without telling `onChoose`. */
export class Radios<T extends string> {
  private inputs = new Map<T, HTMLInputElement>();

  constructor(private group: HTMLElement, private onChoose: (value: T) => void) {}

  offer(choices: readonly (readonly [T, string])[], selected: T): void {
    // The focus stays where it is.
    if (choices.map(([value]) => value).join() === [...this.inputs.keys()].join()) return this.select(selected);
    for (const input of this.inputs.values()) input.parentElement?.remove();
    this.inputs.clear();
    for (const [value, label] of choices) {
      const input = html("input", { type: "radio", name: this.group.id, change: () => this.onChoose(value) });
      this.inputs.set(value, input);
      this.group.append(html("label", {}, input, label));
    }
    this.select(selected);
  }

  /** Hides a choice that is not allowed; it keeps its room. */
  allow(value: T, allowed: boolean): void {
    const input = this.inputs.get(value);
    if (!input) return;
    input.disabled = !allowed;
    input.parentElement!.classList.toggle("absent", !allowed);
  }

  select(value: T): void {
    const input = this.inputs.get(value);
    if (input) input.checked = true;
  }
}

/** Milliseconds. */
const turningTime = 500;

/**
 * A button that begins something and reads `Stop` while that goes on. One that has just turned into `Stop` takes no press: it was
 * meant for what the button said before, as the second one of a double click is.
 */
export class StopButton {
  private stops = false;
  private turned = -Infinity;

  constructor(private button: HTMLElement, private name: string, begin: () => void, stop: () => void) {
    button.addEventListener("click", ({ timeStamp }) => {
      if (!this.stops) begin();
      else if (timeStamp > this.turned + turningTime) stop();
    });
  }

  show(stops: boolean): void {
    if (stops === this.stops) return;
    this.stops = stops;
    if (!stops) return void (this.button.textContent = this.name);
    // It cannot be read before it is drawn, which on a busy device takes a while.
    this.turned = Infinity;
    requestAnimationFrame(() => requestAnimationFrame((time) => (this.turned = time)));
    this.button.textContent = "Stop";
  }
}

/** A character as the page writes it where white space must be seen. */
export function sign(character: string): string {
  return character === "\n" ? "\u21b5" : character === " " ? "\u2423" : character;
}

export function spoken(character: string): string {
  return character === "\n" ? "line end" : character === " " ? "space" : character;
}
