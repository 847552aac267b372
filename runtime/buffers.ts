/**
 * Buffers of messages, used again without the garbage collector: a session moves hundreds of megabytes in messages of megabytes,
 * and every 64 MB of fresh buffers cost a collection of the whole heap. Sizes are rounded up so that sessions of other lengths fit.
 */

import { hasKernels, kernels } from '../ring/index.ts';

/** Smaller buffers are the collector's. */
const LEAST_BYTES = 4096;
/** Bytes kept, more than a session reads ahead; what comes beyond is freed at once: the collector is slow to notice memory outside its heap. */
const KEPT_BYTES = 512 * 2 ** 20;

/** By capacity, the one used last at the end. */
const kept = new Map<number, Uint8Array[]>();
let keptBytes = 0;
/** Buffers that are lent: nothing else is ever taken back, and nothing twice. */
const lent = new WeakSet<ArrayBufferLike>();
let poison = false;

/** `bytes` rounded up by at most an eighth. */
function capacity(bytes: number): number {
  const step = 2 ** Math.max(0, 28 - Math.clz32(bytes));
  return Math.ceil(bytes / step) * step;
}

/** A buffer of any content. */
export function lend(bytes: number): Uint8Array {
  if (bytes < (poison ? 1 : LEAST_BYTES)) return new Uint8Array(bytes);
  const size = capacity(bytes);
  const ready = kept.get(size);
  const whole = ready?.pop() ?? new Uint8Array(Buffer.allocUnsafeSlow(size).buffer);
  if (ready !== undefined) {
    if (ready.length === 0) kept.delete(size);
    keptBytes -= size;
  }
  lent.add(whole.buffer);
  return whole.subarray(0, bytes);
}

/** Takes back what `lend` gave, or a part of it, when nobody will read any of it again; anything else is left alone. */
export function giveBack(part: Uint8Array): void {
  if (!lent.delete(part.buffer)) return;
  const whole = new Uint8Array(part.buffer);
  if (poison) whole.fill(0xa5);
  const size = whole.length;
  const same = kept.get(size) ?? [];
  kept.delete(size);
  kept.set(size, [...same, whole]);
  keptBytes += size;
  // What has not been asked for longest goes first: lengths that nobody sends any more.
  for (const [oldest, buffers] of kept) {
    if (keptBytes <= KEPT_BYTES) break;
    const unused = buffers.pop();
    keptBytes -= oldest;
    if (unused !== undefined && hasKernels()) kernels().detach?.(unused.buffer);
    if (buffers.length === 0) kept.delete(oldest);
  }
}

/** Tests: buffers of any size are lent, and overwritten as soon as they are given back, so that whoever still reads one shows. */
export function poisonGivenBack(on: boolean): void {
  poison = on;
}
