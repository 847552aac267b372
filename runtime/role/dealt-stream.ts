/** Party 1's end of the dealing: reads ahead up to a budget and tells when the words of a gate are there. From the assistant, or its own disk. */
import type { Failure } from '../../common/errors.ts';
import { PeerError } from '../../common/errors.ts';
import type { Program } from '../../protocol/program.ts';
import { programCost } from '../../protocol/cost.ts';
import type { Dims } from '../../protocol/shape.ts';
import { correctionLimit, Corrections } from '../deal.ts';

/** Packed corrections a session holds before it stops reading, unless a gate waits for more. */
export const READ_AHEAD_BYTES = 96 * 2 ** 20;

/** Where corrections come from, gate by gate: the next message, of at most `limit` bytes. */
export type DealSource = (limit: number) => Promise<Uint8Array>;

/** Party 1's end of the dealing: reads ahead within a limit and tells which gates may start. */
export class DealtStream {
  readonly stock = new Corrections();
  /** Resolves when all has been read. */
  readonly complete: Promise<void>;
  readonly #dealt: ReadonlySet<number>;
  readonly #arrived = new Set<number>();
  #failure: Failure | undefined;
  #waiting: { gate: number; resolve: () => void; reject: (error: Failure) => void } | undefined;
  #room: (() => void) | undefined;

  constructor(next: DealSource, program: Program, dims: Dims, budget = READ_AHEAD_BYTES) {
    const expected = programCost(program, dims)
      .gates.map(({ cost }, gate) => ({ gate, limit: correctionLimit(cost.dealtBits), dealt: cost.dealtBits > 0 }))
      .filter(({ dealt }) => dealt);
    this.#dealt = new Set(expected.map(({ gate }) => gate));
    this.complete = this.#read(next, expected, budget);
    this.complete.catch((error: Failure) => {
      this.#failure = error;
      this.#waiting?.reject(error);
      this.#waiting = undefined;
    });
  }

  /** Resolves when the corrections of `gate` are in the stock. */
  ready(gate: number): Promise<void> | undefined {
    if (!this.#dealt.has(gate) || this.#arrived.has(gate)) return undefined;
    if (this.#failure) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      this.#waiting = { gate, resolve, reject };
      this.#room?.();
    });
  }

  async #read(next: DealSource, expected: readonly { gate: number; limit: number }[], budget: number): Promise<void> {
    for (const { gate, limit } of expected) {
      while (this.stock.bytes > budget && this.#waiting === undefined) {
        // A gate that takes its words may make room: looked at again when the next one waits, at the latest.
        await new Promise<void>((resolve) => (this.#room = resolve));
        this.#room = undefined;
      }
      if (this.stock.put(await next(limit)) !== gate) {
        throw new PeerError('the assistant dealt out of order', 'give all roles the bundles of one export');
      }
      this.#arrived.add(gate);
      if (this.#waiting?.gate === gate) {
        const { resolve } = this.#waiting;
        this.#waiting = undefined;
        resolve();
      }
    }
  }
}
