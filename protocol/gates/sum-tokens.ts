/**
 * Sums over the tokens of every text: (token, C) → (text, C). Where lengths are hidden, of rows that are 0 for padding: the number
 * of real tokens, the sum of the keys.
 * Source: own; masked-suite design, section 3. Precondition: n ≤ ring of x. Error: none. Cost: none.
 */
import { concatWords, slice, sumCols, type Words } from '../../ring/index.ts';
import { LOCAL, fixedCols, kinds, opensNothing, ringFits, scaleIs, shapeIs, share, shareWire } from '../check.ts';
import type { GateDefinition } from '../gate.ts';
import { reduce } from '../layout.ts';
import type { Resolved, SumTokensGate } from '../program.ts';
import { blocks, type Dims } from '../shape.ts';

function total(gate: Resolved<SumTokensGate>, given: Words, dims: Dims): Words {
  const x = reduce(given, gate.n);
  const texts = blocks(gate.inShapes[0]!, dims);
  return concatWords(texts.map(({ offset, rows, cols }) => sumCols(slice(x, offset, offset + rows * cols), cols)));
}

export const sumTokens: GateDefinition<SumTokensGate> = {
  op: 'sumTokens',
  type(gate, inputs) {
    const [x] = kinds(gate, inputs, ['share']);
    const cols = fixedCols(gate, x.shape);
    ringFits(gate, x.n, 'its input');
    shapeIs(gate, 'input', x.shape, { rows: 'token', cols });
    shapeIs(gate, 'output', gate.shape, { rows: 'text', cols });
    scaleIs(gate, x.f);
    return shareWire(gate);
  },
  ...LOCAL,
  party: opensNothing((gate, [x], { dims }) => ({ kind: 'share', x: total(gate, share(x), dims) })),
  clear: (gate, [x], { dims }) => ({ x: total(gate, x!.x, dims) }),
};
