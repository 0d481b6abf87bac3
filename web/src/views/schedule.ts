/** The story's slider of noise: what the article's schedule and ours leave of a line at a time, both in closed form. */
import { byId } from "./dom";
import { drawCell, fitCanvas, plain, readPalette } from "./ink";
import { columns } from "./looks";

const line = "To be, or not to be: that is the";
/** Letters that stand for noise: any would do. */
const noise = "qvMwh;LfRkyoBdmn,ZgsAeTiuFcPlxWr";
const characters = 65;

/** The share of the signal's power that 128 steps leave whose beta rises evenly from 1e-4 to 0.02. */
function article(time: number): number {
  const steps = 128;
  let left = 1;
  for (let step = 0; step < Math.round(time * steps); ++step) left *= 1 - (1e-4 + ((0.02 - 1e-4) * step) / (steps - 1));
  return left;
}

/** The same share by -log SNR at evenly spaced times, interpolated linearly. */
function warped(knots: readonly number[], time: number): number {
  const at = time * (knots.length - 1);
  const below = Math.min(Math.floor(at), knots.length - 2);
  const negativeLogSnr = knots[below] + (at - below) * (knots[below + 1] - knots[below]);
  return 1 / (1 + Math.exp(negativeLogSnr));
}

/** The standard normal distribution, to 1e-7 (Abramowitz and Stegun 26.2.17). */
function normal(z: number): number {
  const t = 1 / (1 + 0.2316419 * Math.abs(z));
  const tail = (Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI)) *
    t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
  return z > 0 ? 1 - tail : tail;
}

/** Share of letters that stay the largest of their row's numbers: the integral of phi(z - alpha / sigma) Phi(z)^64. */
function readable(power: number): number {
  const shift = Math.sqrt(power / Math.max(1e-9, 1 - power));
  if (shift > 20) return 1;
  const width = 0.05;
  let sum = 0;
  for (let z = -9; z < 9; z += width) sum += (Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI)) * normal(z + shift) ** (characters - 1);
  return Math.min(1, sum * width);
}

export class Schedule {
  private slider = byId<HTMLInputElement>("noise-time");
  private knots: readonly number[] | undefined;

  constructor() {
    this.slider.addEventListener("input", () => this.draw());
    new ResizeObserver(() => this.draw()).observe(byId("article-line"));
  }

  /** Ours, where there is a model that has it. */
  compare(knots: readonly number[] | undefined): void {
    this.knots = knots;
    byId("our-schedule").hidden = !knots;
    this.draw();
  }

  draw(): void {
    const time = Number(this.slider.value) / 100;
    this.slider.setAttribute("aria-valuetext", `${this.slider.value} percent of the way into noise`);
    this.drawLine("article", article(time));
    if (this.knots) this.drawLine("our", warped(this.knots, time));
  }

  private drawLine(name: "article" | "our", power: number): void {
    const hundredths = Math.round(100 * readable(power));
    const percent = power < 0.0995 ? (100 * power).toFixed(1) : Math.round(100 * power);
    byId(`${name}-left`).textContent = `${percent} % of the power, ${hundredths} of 100 letters legible by themselves`;
    const canvas = byId<HTMLCanvasElement>(`${name}-line`);
    const width = canvas.clientWidth / columns;
    if (!width) return;
    const cell = { width, height: Math.round(width * 1.7), size: width * 1.2 };
    const context = fitCanvas(canvas, canvas.clientWidth, cell.height);
    context.clearRect(0, 0, canvas.clientWidth, cell.height);
    const palette = readPalette();
    [...line].forEach((sign, position) => {
      const layers = [{ sign: noise[position], opacity: 0.6 * (1 - power) }, { sign, opacity: power }];
      drawCell(context, { ...plain, layers }, position * width, 0, cell, palette);
    });
  }
}
