/**
 * Storage of words, used again without the garbage collector. A gate's step makes dozens of arrays of megabytes that die with it;
 * left to the collector they cost more time than the arithmetic. All storage made within a region goes back to a pool when the
 * region is released, except what is said to live on, which `recycle` gives back later. Outside any region nothing changes.
 */

import { kernels } from './kernels/kernels.ts';

/** Smaller arrays are the collector's. */
const LEAST_LIMBS = 1024;
/** Bytes the pool holds; beyond them the sizes not used for longest are freed. */
const POOL_BYTES = 192 * 2 ** 20;

/** By size, the one used last at the end. */
const pool = new Map<number, Uint32Array[]>();
let pooled = 0;
/** Storage that came from within a region and has not gone back: nothing else can be recycled, and nothing twice. */
const lent = new WeakSet<Uint32Array>();
let current: Region | undefined;
let poison = false;

/** Limbs of any content, for kernels that write them all. */
export function limbs(count: number): Uint32Array {
  if (current === undefined || count < (poison ? 1 : LEAST_LIMBS)) return new Uint32Array(count);
  const same = pool.get(count);
  const ready = same?.pop();
  if (same?.length === 0) pool.delete(count);
  if (ready !== undefined) pooled -= ready.byteLength;
  const data = ready ?? new Uint32Array(count);
  lent.add(data);
  current.made.push(data);
  return data;
}

/** Gives storage back that nobody will read again. Storage from outside regions is left alone. */
export function recycle(data: Uint32Array): void {
  if (!lent.delete(data)) return;
  if (poison) data.fill(0xdeadbeef);
  pooled += data.byteLength;
  const same = pool.get(data.length) ?? [];
  pool.delete(data.length);
  pool.set(data.length, same);
  same.push(data);
  for (const [size, arrays] of pool) {
    for (let array; pooled > POOL_BYTES && (array = arrays.pop()) !== undefined;) {
      pooled -= array.byteLength;
      // The collector would come too late: it does not see how much memory its small objects hold.
      kernels().detach?.(array.buffer);
    }
    if (pooled <= POOL_BYTES) break;
    pool.delete(size);
  }
}

/** The storage made by one piece of work, to be recycled together: one a gate. */
export class Region {
  /** For `limbs`. */
  readonly made: Uint32Array[] = [];

  /** Storage made by `work`, which must be synchronous, belongs to this region. */
  run<T>(work: () => T): T {
    const before = current;
    // oxlint-disable-next-line typescript/no-this-alias
    current = this;
    try {
      return work();
    } finally {
      current = before;
    }
  }

  /** Recycles all but what lives on. */
  release(kept: ReadonlySet<Uint32Array>): void {
    for (const data of this.made) if (!kept.has(data)) recycle(data);
    this.made.length = 0;
  }
}

/** Makes something that outlives the region under way, such as an entry of a cache. */
export function outside<T>(make: () => T): T {
  const before = current;
  current = undefined;
  try {
    return make();
  } finally {
    current = before;
  }
}

/** Tests: recycled storage, of any size, is overwritten at once, so that whoever still reads it shows. */
export function poisonRecycled(on: boolean): void {
  poison = on;
}

/** How many holders the storage of words has; recycles it with the last. */
export class Holders {
  readonly #count = new Map<Uint32Array, number>();

  hold(storage: Iterable<Uint32Array>): void {
    for (const data of storage) this.#count.set(data, (this.#count.get(data) ?? 0) + 1);
  }

  drop(storage: Iterable<Uint32Array>): void {
    for (const data of storage) {
      const left = this.#count.get(data)! - 1;
      if (left > 0) this.#count.set(data, left);
      else {
        this.#count.delete(data);
        recycle(data);
      }
    }
  }
}

/** The storage of a record's words. */
export function storageOf(value: object): Set<Uint32Array> {
  const found = new Set<Uint32Array>();
  for (const field of Object.values(value) as unknown[])
    if (field !== null && typeof field === 'object' && 'data' in field && field.data instanceof Uint32Array)
      found.add(field.data);
  return found;
}
