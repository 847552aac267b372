/**
 * Scores plus one word per key and head: (head, keys) + (token, heads)ᵀ, the shift c_h λ_h μ_j of 2Quad where lengths are hidden.
 * Source: specification program.py (`t = s + c`). Precondition: n ≤ both rings, one scale. Error: none. Cost: none.
 */
import { add, concatWords, gather, type Words } from '../../ring/index.ts';
import { LOCAL, kinds, opensNothing, ringFits, scaleIs, shapeIs, share, shareWire } from '../check.ts';
import type { GateDefinition } from '../gate.ts';
import { reduce } from '../layout.ts';
import type { AddKeysGate, Resolved } from '../program.ts';
import { blocks, type Dims } from '../shape.ts';

/** c_(j, h) at every (h, i, j). */
function spread(gate: Resolved<AddKeysGate>, c: Words, dims: Dims): Words {
  let token = 0;
  const parts = blocks(gate.shape, dims).map(({ rows, cols }) => {
    const each = rows / dims.heads;
    const index = new Uint32Array(rows * cols);
    for (let row = 0, at = 0; row < rows; row++)
      for (let j = 0; j < cols; j++) index[at++] = (token + j) * dims.heads + Math.floor(row / each);
    token += cols;
    return gather(c, index);
  });
  return concatWords(parts);
}

const sum = (gate: Resolved<AddKeysGate>, s: Words, c: Words, dims: Dims): Words =>
  add(reduce(s, gate.n), spread(gate, reduce(c, gate.n), dims));

export const addKeys: GateDefinition<AddKeysGate> = {
  op: 'addKeys',
  type(gate, inputs, _tensor, dims) {
    const [s, c] = kinds(gate, inputs, ['share', 'share']);
    for (const input of [s, c]) {
      ringFits(gate, input.n, 'an input');
      scaleIs(gate, input.f);
    }
    shapeIs(gate, 'output', gate.shape, s.shape);
    shapeIs(gate, 'scores', s.shape, { rows: s.shape.rows === 'headText' ? 'headText' : 'head', cols: 'keys' });
    shapeIs(gate, 'shifts', c.shape, { rows: 'token', cols: dims.heads });
    return shareWire(gate);
  },
  ...LOCAL,
  party: opensNothing((gate, [s, c], { dims }) => ({ kind: 'share', x: sum(gate, share(s), share(c), dims) })),
  clear: (gate, [s, c], { dims }) => ({ x: sum(gate, s!.x, c!.x, dims) }),
};
