import { CounterRandom } from '../common/random.ts';
import type { Encoding, Padded } from './tokenizer.ts';
import { padEncodings } from './tokenizer.ts';

/** A padded batch (B = `batch`, L = `length`) and which encodings stand in its rows. */
export interface Batch extends Padded {
  readonly index: readonly number[];
}

export interface BatchOptions {
  /** Most rows a batch. */
  readonly batchSize: number;
  /** Names the order; used only with `shuffle`. For another order each epoch, give another seed each epoch. */
  readonly seed: number;
  /** For training: batches of like lengths drawn at random, in random order. Without it: by length, shortest first. */
  readonly shuffle: boolean;
  /** Id of the padding token; 0 if absent, as in BERT's vocabularies. */
  readonly padId?: number;
}

/** Batches' worth of examples that are sorted by length together: large enough for little padding, small enough to mix. */
const POOL = 50;

/**
 * Every encoding once, in batches of similar length padded to their longest. At most one batch is
 * short. Equal arguments give equal batches.
 */
export function makeBatches(encodings: readonly Encoding[], options: BatchOptions): Batch[] {
  return batchIndices(
    encodings.map((encoding) => encoding.ids.length),
    options,
  ).map((index) => ({
    index,
    ...padEncodings(
      index.map((i) => encodings[i]!),
      undefined,
      options.padId ?? 0,
    ),
  }));
}

/** Which examples, of the given lengths, stand together in a batch. */
function batchIndices(lengths: readonly number[], { batchSize, seed, shuffle }: BatchOptions): number[][] {
  if (!Number.isInteger(batchSize) || batchSize < 1)
    throw new Error(`batch size ${batchSize} is not a positive integer`);
  const order = lengths.map((_, i) => i);
  const byLength = (a: number, b: number): number => lengths[a]! - lengths[b]!;
  if (!shuffle) return chunks(order.toSorted(byLength), batchSize);
  const random = new CounterRandom(seed, 'batches');
  const pools = chunks(random.shuffle(order), POOL * batchSize);
  return random.shuffle(pools.flatMap((pool) => chunks(pool.toSorted(byLength), batchSize)));
}

function chunks(items: readonly number[], size: number): number[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, i) => items.slice(i * size, (i + 1) * size));
}
