/**
 * One party's run of a program. Gates are coroutines; all whose inputs are ready advance until each waits for an opening;
 * all openings of a round travel as one message; so the number of messages is the depth of the program.
 */
import { PeerError } from '../common/errors.ts';
import type { Ahead, Opening, PartyContext, PartyValue } from '../protocol/gate.ts';
import type { Program, Resolved } from '../protocol/program.ts';
import { bits } from '../protocol/check.ts';
import { resolve } from '../protocol/resolve.ts';
import { definitionOf } from '../protocol/suite/masked.ts';
import {
  Holders,
  packedBytes,
  packInto,
  recycle,
  Region,
  storageOf,
  unpack,
  unpackAdd,
  type Words,
} from '../ring/index.ts';
import type { AheadWork } from './ahead.ts';
import { giveBack, lend } from './buffers.ts';

/**
 * Sends this party's message of a round (counted from 0) and returns the other party's, which must have the same length. Once it
 * has resolved, nobody reads `message` again; what it returns may be a lent buffer.
 */
export type Exchange = (round: number, message: Uint8Array) => Promise<Uint8Array>;

/** One value opened in a round: both halves and their sum modulo 2^n. */
export interface Opened {
  readonly round: number;
  readonly gate: string;
  readonly sent: Words;
  readonly received: Words;
  readonly sum: Words;
}

export interface ExecuteOptions {
  /** Resolves when the correction words of a gate are there: party 1 never starts a gate before. */
  readonly ready?: (gate: number) => Promise<void> | undefined;
  /** Work done before and beside the run. */
  readonly ahead?: AheadWork;
  /** Sees every opening (transcripts of deterministic runs and tests). */
  readonly opened?: (opened: Opened) => void;
  /** Sees every finished wire (tests). */
  readonly wire?: (gate: Resolved, value: PartyValue) => void;
}

export interface Execution {
  readonly output: PartyValue;
  /** XOR shares of the wires of `program.guard`, in its order. */
  readonly flags: readonly Words[];
  readonly rounds: number;
  /** Bits this party sent: Σ n · words, without the padding of the last byte of an opening. */
  readonly openedBits: number;
}

interface Waiting {
  readonly index: number;
  readonly coroutine: Generator<Opening, PartyValue, Words>;
  opening: Opening;
}

/**
 * Runs all gates of `program` as the party of `context`.
 * @throws PeerError where a message of the other party has another length, or words with non-zero padding
 */
export async function execute(
  program: Program,
  context: PartyContext,
  exchange: Exchange,
  options: ExecuteOptions = {},
): Promise<Execution> {
  const gates = resolve(program, context.dims);
  const values: (PartyValue | undefined)[] = gates.map(() => undefined);
  const readers = gates.map(() => 0);
  /** Gates that wait for a wire, and how many wires a gate waits for. */
  const awaiting = gates.map((): number[] => []);
  const missing = gates.map((gate) => gate.in.length);
  gates.forEach((gate, index) => {
    for (const wire of gate.in) {
      readers[wire]!++;
      awaiting[wire]!.push(index);
    }
  });
  readers[program.output]!++;
  for (const wire of program.guard ?? []) readers[wire]!++;

  let waiting: Waiting[] = [];
  const startable = new Smallest(gates.flatMap((gate, index) => (gate.in.length === 0 ? [index] : [])));
  let finished = 0;
  let rounds = 0;
  let openedBits = 0;

  // Whoever watches may keep what it is shown.
  const watched = options.wire !== undefined || options.opened !== undefined || context.rounding !== undefined;
  const holders = new Holders();
  const aheads: (Ahead | undefined)[] = [];
  const regions = gates.map(() => new Region());
  const free = (wire: number): void => {
    const value = values[wire];
    values[wire] = undefined;
    if (value !== undefined && !watched) holders.drop(storageOf(value));
  };
  const finish = (index: number, value: PartyValue): void => {
    const gate = gates[index]!;
    options.wire?.(gate, value);
    finished++;
    values[index] = value;
    for (const next of awaiting[index]!) if (--missing[next]! === 0) startable.add(next);
    if (!watched) {
      const kept = storageOf(value);
      holders.hold(kept);
      regions[index]!.release(kept);
      // What its readers have still to work ahead from is left to the collector, if it is not in the value.
      if (options.ahead?.held(index) !== true)
        for (const data of storageOf(aheads[index] ?? {})) if (!kept.has(data)) recycle(data);
    }
    if ((readers[index] ?? 0) === 0) free(index);
    for (const wire of gate.in) if (--readers[wire]! === 0) free(wire);
  };
  const advance = (step: IteratorResult<Opening, PartyValue>, index: number, coroutine: Waiting['coroutine']): void => {
    if (step.done) finish(index, step.value);
    else waiting.push({ index, coroutine, opening: step.value });
  };

  for (;;) {
    for (let index = startable.take(); index !== undefined; index = startable.take()) {
      const gate = gates[index]!;
      await options.ready?.(index);
      const inputs = gate.in.map((wire) => values[wire]!);
      aheads[index] = options.ahead?.take(index);
      const coroutine = definitionOf(gate).party(gate, inputs, context, aheads[index]);
      advance(
        regions[index]!.run(() => coroutine.next()),
        index,
        coroutine,
      );
    }
    if (waiting.length === 0) break;

    waiting.sort((a, b) => a.index - b.index);
    const message = packed(waiting.map(({ opening }) => opening.x));
    const received = await exchange(rounds, message);
    giveBack(message);
    const resumed = waiting;
    waiting = [];
    let at = 0;
    const sums = resumed.map(({ index, opening: { n, x } }) => {
      const bytes = packedBytes(n, x.length);
      const part = received.subarray(at, at + bytes);
      const { name } = gates[index]!;
      const sum = regions[index]!.run(() => addReceived(part, x, name));
      at += bytes;
      openedBits += n * x.length;
      options.opened?.({ round: rounds, gate: name, sent: x, received: unpack(part, n, x.length), sum });
      return sum;
    });
    if (at !== received.length) throw outOfStep(`round ${rounds} has ${received.length} bytes, expected ${at}`);
    giveBack(received);
    rounds++;
    resumed.forEach(({ index, coroutine }, i) => {
      advance(
        regions[index]!.run(() => coroutine.next(sums[i]!)),
        index,
        coroutine,
      );
    });
  }
  if (finished < gates.length) throw new Error('a program that has passed its checks always finishes');
  const flags = (program.guard ?? []).map((wire) => bits(values[wire]));
  return { output: values[program.output]!, flags, rounds, openedBits };
}

/** Gate numbers to be taken smallest first: both parties start gates in one order, and close to the order of the program. */
class Smallest {
  /** Descending. */
  readonly #numbers: number[];

  constructor(ascending: readonly number[]) {
    this.#numbers = ascending.toReversed();
  }

  add(number: number): void {
    let at = this.#numbers.length;
    while (at > 0 && this.#numbers[at - 1]! < number) at--;
    this.#numbers.splice(at, 0, number);
  }

  take(): number | undefined {
    return this.#numbers.pop();
  }
}

/** The openings of a round, one after the other, each on a byte boundary. */
function packed(openings: readonly Words[]): Uint8Array {
  const sizes = openings.map((x) => packedBytes(x.n, x.length));
  const message = lend(sizes.reduce((sum, size) => sum + size, 0));
  let at = 0;
  openings.forEach((x, i) => packInto(x, message.subarray(at, (at += sizes[i]!))));
  return message;
}

const outOfStep = (what: string): PeerError =>
  new PeerError(`the other party is out of step: ${what}`, 'give both parties the bundles of one export');

/** Own words plus those received, which must have the ring of the own ones. */
function addReceived(bytes: Uint8Array, own: Words, gate: string): Words {
  try {
    return unpackAdd(bytes, own);
  } catch {
    throw outOfStep(`the words of gate ${gate} do not have ${own.n} bits`);
  }
}
