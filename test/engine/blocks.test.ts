import { expect, it } from 'vitest';
import { float32 } from '../../engine/engine.ts';
import { Graph, linear, matmul } from '../../engine/graph/index.ts';
import { ENGINES } from '../support/engines.ts';

/** Small whole numbers, so that sums are exact in any order. */
const whole = (n: number, step: number): Float32Array =>
  Float32Array.from({ length: n }, (_, i) => ((i * step) % 7) - 3);

// Products of many rows are cut into blocks of 512 and more: none, one, two of 768, four of 512, and 1,023 rows, which no
// power of two divides.
it.each([1, 100, 512, 1023, 1536, 2048])(
  'products of %i rows, however they are cut, are those of every row',
  async (rows) => {
    const [inner, outer] = [64, 64];
    const graph = new Graph();
    const x = graph.input('x', 'float32', ['T', inner]);
    const w = graph.parameter('w', [outer, inner]);
    const outputs = {
      plain: matmul(x, w),
      transposed: matmul(x, w, { transposeB: true }),
      linear: linear(x, w, graph.parameter('b', [outer])),
    };
    const [xs, ws, bs] = [whole(rows * inner, 5), whole(outer * inner, 3), whole(outer, 2)];
    const expected = { plain: [] as number[], transposed: [] as number[], linear: [] as number[] };
    for (let r = 0; r < rows; r++)
      for (let c = 0; c < outer; c++) {
        let [plain, transposed] = [0, 0];
        for (let k = 0; k < inner; k++) {
          plain += xs[r * inner + k]! * ws[k * outer + c]!;
          transposed += xs[r * inner + k]! * ws[c * inner + k]!;
        }
        expected.plain.push(plain);
        expected.transposed.push(transposed);
        expected.linear.push(transposed + bs[c]!);
      }
    for (const engine of ENGINES) {
      const executable = await engine.compile(graph, outputs);
      const result = await executable.run({
        x: float32([rows, inner], xs),
        w: float32([outer, inner], ws),
        b: float32([outer], bs),
      });
      await executable.release();
      for (const name of ['plain', 'transposed', 'linear'] as const) {
        expect(result[name]!.shape).toEqual([rows, outer]);
        expect([...(result[name]!.data as Float32Array)], `${engine.name}, ${name}`).toEqual(expected[name]);
      }
    }
  },
);
