/**
 * Truncate-reduce: shares of z modulo 2^m become shares of z / 2^f modulo 2^(m − f), locally.
 *
 * [z']_0 = (z_0 mod 2^m) >> f, [z']_1 = −((−z_1 mod 2^m) >> f). With u = −z_1 mod 2^f the result is ⌊(z + u) / 2^f⌋ exactly:
 * the wrap of the shares is a multiple of 2^(m − f), which is 0 in the smaller ring, so there is no wrap failure.
 * Source: masked-suite design, section 1, with the rule of the specification (ring.py `truncate_reduce`).
 * Precondition: 0 ≤ f < m. Error: below one unit of the last place, unbiased; multiples of 2^f are exact. Cost: none.
 */
import { add, resize, roundingWord, shiftRight, truncateReduce, type Words } from '../../ring/index.ts';
import { LOCAL, kinds, need, shapeIs, share, shareWire, opensNothing } from '../check.ts';
import type { GateDefinition } from '../gate.ts';
import type { TruncateGate } from '../program.ts';

/** ⌊(z + u) / 2^by⌋ modulo 2^(z.n − by), any representative of z. */
export const clearTruncate = (z: Words, u: Words, by: number): Words => shiftRight(add(z, resize(u, z.n)), by);

export const truncate: GateDefinition<TruncateGate> = {
  op: 'truncate',
  type(gate, inputs) {
    const [z] = kinds(gate, inputs, ['share']);
    need(
      gate,
      gate.by >= 0 && gate.by < z.n,
      `truncation by ${gate.by} in ring ${z.n}`,
      'compute the product in a larger ring',
    );
    need(
      gate,
      gate.n === z.n - gate.by,
      `ring ${gate.n} is not ring ${z.n} of its input − ${gate.by}`,
      `declare ring ${z.n - gate.by}`,
    );
    shapeIs(gate, 'output', gate.shape, z.shape);
    return shareWire(gate);
  },
  ...LOCAL,
  error: (gate) => (gate.by === 0 ? 0 : 1),
  party: opensNothing((gate, inputs, context) => {
    const z = share(inputs[0]);
    if (gate.by === 0) return { kind: 'share', x: z };
    if (context.party === 1) context.rounding?.(gate, roundingWord(z, gate.by));
    return { kind: 'share', x: truncateReduce(context.party, z, gate.by) };
  }),
  clear(gate, [z], context) {
    if (gate.by === 0) return { x: z!.x };
    return { x: clearTruncate(z!.x, context.rounding(gate, gate.by, z!.x.length), gate.by) };
  },
};
