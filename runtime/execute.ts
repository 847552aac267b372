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
import { add, Holders, packedBytes, packInto, recycle, Region, storageOf, unpack, type Words } from '../ring/index.ts';
import type { AheadWork } from './ahead.ts';

/** Sends this party's message of a round (counted from 0) and returns the other party's, which must have the same length. */
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
  const done = gates.map(() => false);
  const readers = gates.map(() => 0);
  for (const gate of gates) for (const wire of gate.in) readers[wire]!++;
  readers[program.output]!++;
  for (const wire of program.guard ?? []) readers[wire]!++;

  let waiting: Waiting[] = [];
  let unstarted = gates.map((_, index) => index);
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
    done[index] = true;
    values[index] = value;
    if (!watched) {
      const kept = storageOf(value);
      holders.hold(kept);
      regions[index]!.release(kept);
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
    const later: number[] = [];
    for (const index of unstarted) {
      const gate = gates[index]!;
      if (!gate.in.every((wire) => done[wire])) {
        later.push(index);
        continue;
      }
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
    unstarted = later;
    if (waiting.length === 0) break;

    waiting.sort((a, b) => a.index - b.index);
    const received = await exchange(rounds, packed(waiting.map(({ opening }) => opening.x)));
    const resumed = waiting;
    waiting = [];
    let at = 0;
    const sums = resumed.map(({ index, opening: { n, x } }) => {
      const bytes = packedBytes(n, x.length);
      const part = received.subarray(at, at + bytes);
      const [theirs, sum] = regions[index]!.run(() => {
        const words = readWords(part, n, x.length, gates[index]!.name);
        return [words, add(x, words)] as const;
      });
      at += bytes;
      openedBits += n * x.length;
      options.opened?.({ round: rounds, gate: gates[index]!.name, sent: x, received: theirs, sum });
      return sum;
    });
    if (at !== received.length) throw outOfStep(`round ${rounds} has ${received.length} bytes, expected ${at}`);
    rounds++;
    resumed.forEach(({ index, coroutine }, i) => {
      advance(
        regions[index]!.run(() => coroutine.next(sums[i]!)),
        index,
        coroutine,
      );
    });
  }
  if (unstarted.length > 0) throw new Error('a program that has passed its checks always finishes');
  const flags = (program.guard ?? []).map((wire) => bits(values[wire]));
  return { output: values[program.output]!, flags, rounds, openedBits };
}

/** The openings of a round, one after the other, each on a byte boundary. */
function packed(openings: readonly Words[]): Uint8Array {
  const sizes = openings.map((x) => packedBytes(x.n, x.length));
  const message = new Uint8Array(sizes.reduce((sum, size) => sum + size, 0));
  let at = 0;
  openings.forEach((x, i) => packInto(x, message.subarray(at, (at += sizes[i]!))));
  return message;
}

const outOfStep = (what: string): PeerError =>
  new PeerError(`the other party is out of step: ${what}`, 'give both parties the bundles of one export');

function readWords(bytes: Uint8Array, n: number, length: number, gate: string): Words {
  try {
    return unpack(bytes, n, length);
  } catch {
    throw outOfStep(`the words of gate ${gate} do not have ${n} bits`);
  }
}
