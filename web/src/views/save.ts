/** Saving of the sample: as text, as a trace of its steps, or as a picture. */
import { byId, html } from "./dom";
import { layersOf, lineEnd, readPalette, type Look } from "./ink";
import { columns } from "./looks";

export type SaveKind = "text" | "trace" | "image";

export class SaveMenu {
  private button = byId("save");
  private list = byId("save-list");

  constructor(onSave: (kind: SaveKind) => void) {
    this.button.addEventListener("click", () => this.unfold(this.list.hidden === true));
    this.list.addEventListener("click", ({ target }) => {
      const kind = (target as HTMLElement).dataset.save as SaveKind | undefined;
      if (!kind) return;
      onSave(kind);
      this.unfold(false);
      this.button.focus();
    });
    const around = this.button.parentElement!;
    around.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || this.list.hidden) return;
      event.stopPropagation();
      this.unfold(false);
      this.button.focus();
    });
    around.addEventListener("focusout", ({ relatedTarget }) => {
      if (relatedTarget && !around.contains(relatedTarget as Node)) this.unfold(false);
    });
  }

  private unfold(open: boolean): void {
    this.list.hidden = !open;
    this.button.setAttribute("aria-expanded", String(open));
  }
}

export function download(name: string, type: string, content: string): void {
  const address = URL.createObjectURL(new Blob([content], { type }));
  html("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

/** The sheet as it stands, with the address of its state among the metadata. */
export function imageOf(looks: readonly Look[], address: string, words: string): string {
  const palette = readPalette();
  const [width, height, size, border] = [22, 35, 19.5, 24];
  const rows = Math.ceil(looks.length / columns);
  const escape = (text: string) => text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
  const cells = looks.map((look, position) => {
    const x = border + (position % columns) * width;
    const y = border + Math.floor(position / columns) * height;
    const rect = (fill: string, inset: number) =>
      `<rect x="${x + inset - 3}" y="${y + inset}" width="${width - 2 * inset + 6}" height="${height - 2 * inset}" fill="${fill}"/>`;
    let cell = "";
    if (look.ground) cell += rect(palette.grounds[look.ground], 3);
    if (look.chosen) cell += rect(palette.wash, 3);
    if (look.wet) cell += rect(palette.red, 4);
    if (look.caret) cell += `<path d="M${x + 2} ${y + 4}v${height - 8}" stroke="${palette.red}" stroke-width="2"/>`;
    if (look.given) cell += `<path d="M${x} ${y + height - 6}h${width}" stroke="${palette.ink}" stroke-width="2"/>`;
    for (const { sign, opacity } of layersOf(look)) {
      const pixels = size * (sign === "\u21b5" ? lineEnd : look.size);
      cell += `<text x="${x + width / 2}" y="${y + height / 2 + pixels * 0.35}" font-size="${pixels.toFixed(1)}" fill="${palette[look.ink]}"` +
        `${look.given ? ' font-weight="700"' : ""}${opacity < 1 ? ` opacity="${opacity.toFixed(2)}"` : ""}>${escape(sign)}</text>`;
    }
    if (look.struckOut) cell += `<path d="M${x + 3} ${y + height / 2 + 1}h${width - 6}" stroke="${palette.red}" stroke-width="2"/>`;
    return cell;
  });
  const [w, h] = [columns * width + 2 * border, rows * height + 2 * border];
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${w} ${h}" width="${w}" height="${h}">\n` +
    `<title>${escape(words)}</title>\n<metadata>${escape(address)}</metadata>\n` +
    `<rect width="${w}" height="${h}" fill="${palette.sheet}"/>\n` +
    `<g font-family="${escape(palette.mono)}" text-anchor="middle">\n${cells.filter(Boolean).join("\n")}\n</g>\n</svg>\n`;
}
