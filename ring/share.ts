/** Additive shares in two: x = x_0 + x_1 mod 2^n. */
import { add, sub } from './arith.ts';
import type { Words } from './words.ts';

/** Party 1's share (the correction) of x where party 0's is `pad`. */
export const split = (x: Words, pad: Words): Words => sub(x, pad);

export const join = (share0: Words, share1: Words): Words => add(share0, share1);
