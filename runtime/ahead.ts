/**
 * A party's work that needs no value: masks and their products with the weights, about half of all its products. Done in program
 * order while the party waits, before the client's message has come and between the rounds.
 */
import type { Ahead, PartyContext } from '../protocol/gate.ts';
import type { Program } from '../protocol/program.ts';
import { resolve } from '../protocol/resolve.ts';
import { definitionOf } from '../protocol/suite/masked.ts';
import { Region, storageOf } from '../ring/index.ts';

/** Bytes of finished work a session holds before it pauses. */
export const AHEAD_BYTES = 96 * 2 ** 20;

interface Step {
  readonly index: number;
  readonly inputs: readonly number[];
  readonly run: () => Ahead;
}

/** Work on masks and weights that needs no value, done while the party waits. */
export class AheadWork {
  readonly #steps: Step[];
  /** Kept until the gate itself and every reader that works ahead have had it. */
  readonly #made = new Map<number, Ahead>();
  readonly #taken = new Set<number>();
  readonly #readers = new Map<number, number>();
  readonly #budget: number;
  #next = 0;
  #bytes = 0;
  #stopped = false;
  #room: (() => void) | undefined;

  constructor(program: Program, context: PartyContext, budget = AHEAD_BYTES) {
    this.#budget = budget;
    const gates = resolve(program, context.dims);
    this.#steps = gates.flatMap((gate, index) => {
      const { ahead } = definitionOf(gate);
      if (ahead === undefined) return [];
      for (const wire of gate.in) this.#readers.set(wire, (this.#readers.get(wire) ?? 0) + 1);
      return [{ index, inputs: gate.in, run: () => ahead(gate, gate.in.map((wire) => this.#made.get(wire)), context) }]; // prettier-ignore
    });
  }

  /** Works through all steps, one a turn of the event loop, until done or stopped. */
  async run(): Promise<void> {
    while (!this.#stopped && this.#next < this.#steps.length) {
      if (this.#bytes > this.#budget) {
        await new Promise<void>((done) => (this.#room = done));
        this.#room = undefined;
        continue;
      }
      this.#step();
      await new Promise((done) => setImmediate(done));
    }
  }

  /** The gate's work, done now if it was not; undefined for a gate that has none. */
  take(index: number): Ahead | undefined {
    while (this.#next < this.#steps.length && this.#steps[this.#next]!.index <= index) this.#step();
    const made = this.#made.get(index);
    if (made === undefined) return undefined;
    this.#taken.add(index);
    this.#release(index);
    if (this.#bytes <= this.#budget) this.#room?.();
    return made;
  }

  /** Whether gates that read this one's work have still to work ahead: until then its storage must not be used again. */
  held(index: number): boolean {
    return this.#made.has(index);
  }

  stop(): void {
    this.#stopped = true;
    this.#made.clear();
    this.#room?.();
  }

  #step(): void {
    const { index, inputs, run } = this.#steps[this.#next++]!;
    const region = new Region();
    const made = region.run(run);
    region.release(storageOf(made));
    this.#made.set(index, made);
    this.#bytes += size(made);
    for (const wire of inputs) {
      this.#readers.set(wire, this.#readers.get(wire)! - 1);
      this.#release(wire);
    }
  }

  #release(index: number): void {
    if (!this.#taken.has(index) || (this.#readers.get(index) ?? 0) > 0) return;
    const made = this.#made.get(index);
    if (made === undefined) return;
    this.#made.delete(index);
    this.#bytes -= size(made);
  }
}

const size = (made: Ahead): number => Object.values(made).reduce((sum, words) => sum + words.data.byteLength, 0);
