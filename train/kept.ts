/** The best checkpoints of a run as model folders of their own, beside the one that is chosen. */
import { readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';

/** Beside each kept model: which it is and what was measured of it. */
export const MEASURED = 'measured.json';

export interface Measured {
  readonly stage: string;
  readonly step: number;
  /** The metric by which the best are told. */
  readonly value: number;
  /** On dev data, each with `dev.` before its name. */
  readonly metrics: Readonly<Record<string, number>>;
}

/** `step-120`; of a run of several stages `stage-2-step-120`. */
const nameOf = (index: number, stages: number, step: number): string =>
  `${stages > 1 ? `stage-${index + 1}-` : ''}step-${step}`;

/** Place along the run, of a name. */
const order = (name: string): number => {
  const [, stage = '1', step] = /^(?:stage-(\d+)-)?step-(\d+)$/.exec(name)!;
  return Number(stage) * 2 ** 32 + Number(step);
};

/** Keeps the best `count` models in a folder; of equally good ones those that have seen more data. */
export class KeptModels {
  readonly #folder: string;
  readonly #count: number;
  readonly #stages: number;

  /** `stages` of the run. */
  constructor(folder: string, count: number, stages: number) {
    this.#folder = folder;
    this.#count = count;
    this.#stages = stages;
  }

  /**
   * Writes the model of a checkpoint by `save`, which is to write a folder whole or not at all, if it is among the best; then
   * removes the one it displaces. A checkpoint met a second time, by a run that goes on from before it, takes its own place.
   */
  async offer(index: number, measured: Measured, save: (folder: string, text: string) => Promise<void>): Promise<void> {
    const name = nameOf(index, this.#stages, measured.step);
    const others: { name: string; value: number }[] = [];
    for (const other of await readdir(this.#folder).catch(() => [])) {
      if (other === name || other.startsWith('.')) continue;
      const { value } = JSON.parse(await readFile(join(this.#folder, other, MEASURED), 'utf8')) as Measured;
      others.push({ name: other, value });
    }
    const ranked = [...others, { name, value: measured.value }].toSorted(
      (a, b) => b.value - a.value || order(b.name) - order(a.name),
    );
    const kept = ranked.slice(0, this.#count);
    if (kept.some((one) => one.name === name)) {
      await save(join(this.#folder, name), `${JSON.stringify(measured, null, 2)}\n`);
    }
    for (const out of ranked.slice(this.#count).filter((one) => one.name !== name)) {
      // Renamed first: a process killed while it removes leaves no half of a model.
      const hidden = join(this.#folder, `.${out.name}`);
      await rename(join(this.#folder, out.name), hidden);
      await rm(hidden, { recursive: true });
    }
  }
}
