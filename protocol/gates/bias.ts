/**
 * x + s with a static tensor s held as additive shares: one value per column, per position of a text, or per head.
 *
 * [x + s]_i = [x]_i + [s]_i.
 * Source: masked-suite design, section 2 (biases are static additive shares); specification program.py (`bias`).
 * Precondition: n ≤ ring of x, n ≤ ring of s. Error: none. Cost: none.
 */
import { add, addCols, addRows, concatWords, slice, zeros, type Words } from '../../ring/index.ts';
import {
  LOCAL,
  fixedCols,
  kinds,
  longest,
  refuse,
  ringFits,
  scaleIs,
  shapeIs,
  share,
  shareWire,
  tensorIs,
  opensNothing,
} from '../check.ts';
import type { GateDefinition } from '../gate.ts';
import { byRow, reduce } from '../layout.ts';
import type { BiasGate, Resolved, TensorSpec } from '../program.ts';
import type { Dims } from '../shape.ts';

function plusTensor(gate: Resolved<BiasGate>, x: Words, s: Words, spec: TensorSpec, dims: Dims): Words {
  switch (gate.along) {
    case 'cols':
      return addCols(x, s);
    case 'position':
      return add(x, concatWords(dims.lengths.map((L) => slice(s, 0, L * spec.cols))));
    case 'head': {
      const perRow = dims.lengths.flatMap((L) =>
        Array.from({ length: dims.heads }, (_, h) => addRows(zeros(s.n, L), slice(s, h, h + 1), L)),
      );
      return byRow(addRows, x, concatWords(perRow), gate.shape, dims);
    }
  }
}

export const bias: GateDefinition<BiasGate> = {
  op: 'bias',
  type(gate, inputs, tensor, dims) {
    const [x] = kinds(gate, inputs, ['share']);
    const spec = tensor(gate.tensor);
    ringFits(gate, x.n, 'its input');
    ringFits(gate, spec.n, `tensor ${gate.tensor}`);
    shapeIs(gate, 'output', gate.shape, x.shape);
    scaleIs(gate, x.f);
    if (gate.along === 'head') {
      shapeIs(gate, 'input', x.shape, { rows: 'head', cols: x.shape.cols });
      tensorIs(gate, gate.tensor, spec, 'share', 1, dims.heads);
    } else {
      const cols = fixedCols(gate, x.shape);
      tensorIs(gate, gate.tensor, spec, 'share', gate.along === 'cols' ? 1 : spec.rows, cols);
      if (gate.along === 'position') {
        shapeIs(gate, 'input', x.shape, { rows: 'token', cols });
        if (spec.rows < longest(dims))
          refuse(
            gate,
            `tensor ${gate.tensor} has ${spec.rows} positions for ${longest(dims)} tokens`,
            'shorten the text',
          );
      }
    }
    return shareWire(gate);
  },
  ...LOCAL,
  party: opensNothing((gate, inputs, context) => {
    const s = context.share(gate.tensor, gate.n);
    const spec = context.tensor(gate.tensor);
    return { kind: 'share', x: plusTensor(gate, reduce(share(inputs[0]), gate.n), s, spec, context.dims) };
  }),
  clear(gate, [x], context) {
    const s = context.weight(gate.tensor, gate.n);
    return { x: plusTensor(gate, reduce(x!.x, gate.n), s, context.tensor(gate.tensor), context.dims) };
  },
};
