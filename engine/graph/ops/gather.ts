/** Table look-up, and its gradient without atomics: the same bits whatever the number of equal ids. */
import type { Node, Op } from '../node.ts';
import { product, showShape, type Dim, type Shape } from '../shape.ts';
import { equal, mul, sub } from './arithmetic.ts';
import { cast } from './select.ts';
import { reshape } from './layout.ts';
import { part } from './composite.ts';
import { matmul } from './matmul.ts';

/** Tables up to this many rows get a dense selection matrix of all their rows. */
const SMALL_TABLE = 64;

const gatherOp: Op = {
  name: 'gather',
  emit: (e, _n, inputs) => e.node('Gather', inputs, { int: { axis: 0 } }),
  gradient: ({ inputs: [table, ids], attributes }, g) => {
    const [rows, ...row] = table!.shape as number[];
    const count = product(...ids!.shape);
    const flatIds = reshape(ids!, [1, count]);
    const flat = reshape(g, [count, product(...row)]);
    const ignore = attributes['ignore'] as number;
    const kept = (wanted: Node): Node => sub(1, cast(equal(reshape(wanted, [wanted.shape[0]!, 1]), ignore), 'float32'));
    if (rows! <= SMALL_TABLE) {
      const all = ids!.graph.constant(
        Array.from({ length: rows! }, (_, i) => i),
        [rows!],
        'int64',
      );
      const chosen = cast(equal(reshape(all, [rows!, 1]), flatIds), 'float32');
      return [reshape(matmul(ignore < 0 ? chosen : mul(chosen, kept(all)), flat), table!.shape), undefined];
    }
    const { wanted, place } = unique(ids!, count);
    const sums = segmentSum(flat, place, wanted);
    const values = ignore < 0 ? sums : mul(sums, kept(wanted));
    return [scatterRows(wanted, reshape(values, [wanted.shape[0]!, ...row]), table!.shape), undefined];
  },
};
/** Rows of a table (N, ...) by int64 ids of any shape: (ids..., ...). The row `ignore` gets gradient 0. */
export function gather(table: Node, ids: Node, ignore?: number): Node {
  if (ids.dtype !== 'int64') throw new Error(`gather: ids are ${ids.dtype}, not int64`);
  if (typeof table.shape[0] !== 'number')
    throw new Error(`gather: the table ${showShape(table.shape)} has no fixed number of rows`);
  return table.graph.create(gatherOp, [table, ids], { ignore: ignore ?? -1 }, table.dtype, [
    ...ids.shape,
    ...table.shape.slice(1),
  ]);
}

const uniqueOp: Op = {
  name: 'unique',
  emit: (e, _n, x) => {
    const [values, first, place] = e.nodes('Unique', x, 3, { int: { sorted: 1 } });
    return [values!, place!, first!];
  },
};
/** The distinct ids in ascending order (U), and where among them each id stands (`count`). U is known only at run time. */
function unique(ids: Node, count: Dim): { readonly wanted: Node; readonly place: Node } {
  const wanted = ids.graph.create(uniqueOp, [ids], {}, 'int64', [`U${ids.id}`]);
  return { wanted, place: part(wanted, 1, [count], 'int64') };
}

const segmentSumOp: Op = {
  name: 'segmentSum',
  emit: (e, node, [rows, place]) => {
    const first = e.outputs(node.inputs[2]!)[2]!;
    const sums = e.node('Gather', [rows!, first], { int: { axis: 0 } });
    // Most rows are the first at their place. The others: those t for which first[place[t]] is not t.
    const all = e.node('Range', [e.constant('int64', [], [0]), e.node('Squeeze', [e.node('Shape', [place!])]), e.constant('int64', [], [1])]); // prettier-ignore
    const again = e.node('Not', [e.node('Equal', [e.node('Gather', [first, place!]), all])]);
    const others = e.node('Squeeze', [e.node('NonZero', [again]), e.constant('int64', [1], [0])]);
    const added = e.node('Gather', [rows!, others], { int: { axis: 0 } });
    const column = e.node('Unsqueeze', [e.node('Gather', [place!, others]), e.constant('int64', [1], [1])]);
    const index = e.node('Expand', [column, e.node('Shape', [added])]);
    // One thread adds them in their order, element by element; ScatterND with this reduction would let threads race.
    return e.node('ScatterElements', [sums, index, added], { int: { axis: 0 }, string: { reduction: 'add' } });
  },
};
/** Sums of the rows (T, width) that stand at the same place (T): (U, width), one for each of `wanted` (U). */
const segmentSum = (rows: Node, place: Node, wanted: Node): Node =>
  rows.graph.create(segmentSumOp, [rows, place, wanted], {}, rows.dtype, [wanted.shape[0]!, rows.shape[1]!]);

export const scatterRowsOp: Op = {
  name: 'scatterRows',
  emit: (e, node, [ids, rows]) => {
    const zeros = e.node('ConstantOfShape', [e.lengths(node.shape)]);
    return e.node('ScatterND', [zeros, e.node('Unsqueeze', [ids!, e.constant('int64', [1], [1])]), rows!]);
  },
};
/** Zeros of `shape` with `rows` put at distinct ids; the optimiser looks inside to touch those rows alone. */
export const scatterRows = (ids: Node, rows: Node, shape: Shape): Node =>
  ids.graph.create(scatterRowsOp, [ids, rows], {}, rows.dtype, shape);

const putRowsOp: Op = {
  name: 'putRows',
  emit: (e, _n, [table, ids, rows]) =>
    e.node('ScatterND', [table!, e.node('Unsqueeze', [ids!, e.constant('int64', [1], [1])]), rows!]),
};
/** The table with the rows at distinct ids replaced. Not differentiable. */
export const putRows = (table: Node, ids: Node, rows: Node): Node =>
  table.graph.create(putRowsOp, [table, ids, rows], {}, table.dtype, table.shape);

const arangeOp: Op = {
  name: 'arange',
  emit: (e, node) => {
    const length = e.node('Squeeze', [e.lengths(node.shape)]);
    return e.node('Range', [e.constant('int64', [], [0]), length, e.constant('int64', [], [1])]);
  },
};
/** int64 0, 1, …, length − 1. */
export const arange = (like: Node, length: Dim): Node => like.graph.create(arangeOp, [], {}, 'int64', [length]);
