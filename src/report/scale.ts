/** Maps values to 0 … 1, with ticks at round numbers. A linear scale begins at 0. */

export interface Axis {
  readonly label: string;
  readonly unit: string;
  readonly scale: "linear" | "log";
}

const MOST_TICKS = 6;

export class Scale {
  readonly ticks: readonly number[];
  private readonly least: number;
  private readonly most: number;

  constructor(
    private readonly kind: Axis["scale"],
    values: readonly number[],
  ) {
    const largest = Math.max(...values, 0) || 1;
    if (kind === "linear") {
      const step = niceStep(largest / MOST_TICKS);
      this.least = 0;
      this.most = Math.ceil(largest / step) * step;
      this.ticks = Array.from({ length: Math.round(this.most / step) + 1 }, (_, i) => i * step);
    } else {
      const smallest = Math.min(...values.filter((value) => value > 0), largest);
      const candidates = logTicks(Math.floor(Math.log10(smallest)), Math.ceil(Math.log10(largest)));
      this.least = candidates.findLast((tick) => tick <= smallest) ?? smallest;
      this.most = candidates.find((tick) => tick >= largest && tick > this.least) ?? largest;
      const within = candidates.filter((tick) => tick >= this.least && tick <= this.most);
      const decades = within.filter((tick) => isDecade(tick));
      this.ticks = within.length >= 2 * MOST_TICKS ? decades : within;
    }
  }

  place(value: number): number {
    if (this.kind === "linear") return value / this.most;
    const span = Math.log10(this.most / this.least);
    return span > 0 ? Math.max(0, Math.log10(value / this.least) / span) : 0.5;
  }
}

function logTicks(from: number, to: number): number[] {
  const ticks: number[] = [];
  for (let power = from; power <= to; power++)
    for (const digit of [1, 2, 5]) ticks.push(Number(`${digit}e${power}`));
  return ticks;
}

const isDecade = (tick: number) => Number.isInteger(Number(Math.log10(tick).toFixed(9)));

/** Rounds up to 1, 2 or 5 times a power of ten. */
function niceStep(atLeast: number): number {
  const power = 10 ** Math.floor(Math.log10(atLeast));
  const factor = [1, 2, 5, 10].find((digit) => digit * power >= atLeast) ?? 10;
  return Number((factor * power).toPrecision(1));
}

export function showTick(value: number): string {
  return Number(value.toPrecision(4)).toLocaleString("en-US", { maximumFractionDigits: 6 });
}

export const nameOf = ({ label, unit }: Axis) => (unit === "" ? label : `${label}, ${unit}`);
