/** The brush: strokes over cells without holes, however quick the pointer is. */
import { columns } from "./looks";

/** A cell's column and row; it need not lie on the sheet. */
export type Point = readonly [column: number, row: number];

/** Buttons that erase: the right one, a pen's barrel and its other end. */
const erasers = 2 | 32;

export class Brush {
  /** In cells, of 1: the cell alone. */
  radius = 2;
  private last: Point | undefined;
  private erases = false;

  /** `cellAt`: the cell under the pointer. `paint` adds positions to the choice or takes them away. */
  constructor(private cellAt: (event: MouseEvent) => Point, private length: () => number, private paint: (positions: number[], erases: boolean) => void) {}

  get isDown(): boolean {
    return this.last !== undefined;
  }

  /** Begins a stroke. True where this pointer makes one. */
  begin(event: PointerEvent): boolean {
    if (!event.isPrimary || !(event.buttons & (1 | erasers))) return false;
    this.erases = (event.buttons & erasers) !== 0;
    this.last = this.cellAt(event);
    this.strokeTo([this.last]);
    return true;
  }

  move(event: PointerEvent): void {
    this.strokeTo([...(event.getCoalescedEvents?.() ?? []), event].map(this.cellAt));
  }

  end(): void {
    this.last = undefined;
  }

  private strokeTo(points: readonly Point[]): void {
    const positions = new Set<number>();
    for (const [column, row] of points) {
      const [x, y] = this.last!;
      const way = Math.max(1, Math.abs(column - x), Math.abs(row - y));
      for (let at = 0; at <= way; ++at)
        for (const position of this.around(Math.round(x + ((column - x) * at) / way), Math.round(y + ((row - y) * at) / way))) positions.add(position);
      this.last = [column, row];
    }
    this.paint([...positions], this.erases);
  }

  /** The positions under the brush: about a circle of cells that are higher than wide. */
  around(column: number, row: number): number[] {
    const positions: number[] = [];
    const reach = this.radius - 1;
    for (let y = row - reach; y <= row + reach; ++y)
      for (let x = Math.max(0, column - reach); x <= Math.min(columns - 1, column + reach); ++x) {
        const position = y * columns + x;
        if ((x - column) ** 2 + 2.5 * (y - row) ** 2 < this.radius ** 2 && position >= 0 && position < this.length()) positions.push(position);
      }
    return positions;
  }
}
