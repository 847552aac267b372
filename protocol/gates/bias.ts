/**
 * x + s with a static tensor s held as additive shares: one value per column, per position of a text, or per head.
 *
 * [x + s]_i = [x]_i + [s]_i. With a `factor` it is s·F(L) that is added, by a local truncation of the share (see `lengthScale`).
 * Source: masked-suite design, section 2 (biases are static additive shares); specification program.py (`bias`).
 * Precondition: n ≤ ring of x, n ≤ ring of s; with a factor, n and the bits it drops ≤ ring of s.
 * Error: none; with a factor, one truncation. Cost: none.
 */
import {
  add, addCols, addRows, concatWords, resize, roundingWord, scale, slice, truncateReduce, zeros, type Words,
} from '../../ring/index.ts'; // prettier-ignore
import {
  LOCAL,
  fixedCols,
  kinds,
  longest,
  need,
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
import { blocks, type Dims } from '../shape.ts';
import { checkFactor, lengthFraction, mostDropped } from './length-scale.ts';
import { clearTruncate } from './truncate.ts';

/** s F for every text, one word per head each, with the bits still to be dropped; the share itself without a factor. */
function perText(gate: Resolved<BiasGate>, s: Words, dims: Dims): { readonly z: Words; readonly drop: number }[] {
  const { factor } = gate;
  return dims.lengths.map((L) => {
    if (factor === undefined) return { z: reduce(s, gate.n), drop: 0 };
    const { by, drop } = lengthFraction(L, factor);
    return { z: scale(reduce(s, gate.n + drop), by), drop };
  });
}

/** Adds one word per head and text to the rows of that head. */
function plusHeads(gate: Resolved<BiasGate>, x: Words, heads: readonly Words[], dims: Dims): Words {
  const perRow = blocks(gate.shape, dims).flatMap(({ rows }, b) => {
    const each = rows / dims.heads;
    return Array.from({ length: dims.heads }, (_, h) => addRows(zeros(gate.n, each), slice(heads[b]!, h, h + 1), each));
  });
  return byRow(addRows, x, concatWords(perRow), gate.shape, dims);
}

const dropped = (gate: Resolved<BiasGate>): number => (gate.factor === undefined ? 0 : mostDropped(gate.factor));

function plusTensor(gate: Resolved<BiasGate>, x: Words, s: Words, spec: TensorSpec, dims: Dims): Words {
  if (gate.along === 'cols') return addCols(x, s);
  return add(x, concatWords(dims.lengths.map((L) => slice(s, 0, L * spec.cols))));
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
      shapeIs(gate, 'input', x.shape, { rows: x.shape.rows === 'headText' ? 'headText' : 'head', cols: x.shape.cols });
      tensorIs(gate, gate.tensor, spec, 'share', 1, dims.heads);
      if (gate.factor !== undefined) {
        checkFactor(gate, gate.factor, dims);
        need(
          gate,
          gate.n + dropped(gate) <= spec.n,
          `ring ${gate.n} and ${dropped(gate)} bits of its factor are above ring ${spec.n} of tensor ${gate.tensor}`,
          'share the tensor in a larger ring',
        );
      }
    } else {
      need(gate, gate.factor === undefined, `a factor along ${gate.along}`, 'scale by the length along heads only');
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
  error: (gate) => (gate.factor === undefined ? 0 : 1),
  party: opensNothing((gate, inputs, context) => {
    const { dims, party } = context;
    const x = reduce(share(inputs[0]), gate.n);
    const s = context.share(gate.tensor, gate.n + dropped(gate));
    if (gate.along !== 'head') return { kind: 'share', x: plusTensor(gate, x, s, context.tensor(gate.tensor), dims) };
    const parts = perText(gate, s, dims);
    const largest = Math.max(...parts.map(({ drop }) => drop));
    if (party === 1 && largest > 0)
      context.rounding?.(gate, concatWords(parts.map(({ z, drop }) => resize(roundingWord(z, drop), largest))));
    const heads = parts.map(({ z, drop }) => (drop === 0 ? z : truncateReduce(party, z, drop)));
    return { kind: 'share', x: plusHeads(gate, x, heads, dims) };
  }),
  clear(gate, [z], context) {
    const { dims } = context;
    const x = reduce(z!.x, gate.n);
    const s = context.weight(gate.tensor, gate.n + dropped(gate));
    if (gate.along !== 'head') return { x: plusTensor(gate, x, s, context.tensor(gate.tensor), dims) };
    const parts = perText(gate, s, dims);
    const largest = Math.max(...parts.map(({ drop }) => drop));
    const u = largest > 0 ? context.rounding(gate, largest, dims.heads * dims.lengths.length) : undefined;
    const heads = parts.map(({ z: scaled, drop }, b) => {
      if (drop === 0 || u === undefined) return scaled;
      return clearTruncate(scaled, resize(slice(u, b * dims.heads, (b + 1) * dims.heads), drop), drop);
    });
    return { x: plusHeads(gate, x, heads, dims) };
  },
};
