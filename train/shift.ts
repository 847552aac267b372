/** The shift c of 2Quad, one per layer and head, so that 2Quad resembles the teacher's softmax most. */
import type { Encoding } from '../data/tokenizer.ts';
import { makeBatches } from '../data/batch.ts';
import { bertFeeds, bertGraph } from '../engine/bert.ts';
import type { Engine } from '../engine/engine.ts';
import { Graph, type Node } from '../engine/graph/index.ts';
import type { ModelConfig } from '../model/config.ts';
import { parameterShapes } from '../model/names.ts';
import type { Tensors } from './predict.ts';

/** Candidates from 1/8 to 128 by factors of √2; the best is refined between its neighbours. */
const GRID = Array.from({ length: 21 }, (_, i) => 2 ** (i / 2 - 3));
const GOLDEN = (Math.sqrt(5) - 1) / 2;
const REFINEMENTS = 16;
/** Score rows looked at per head. */
const ROWS = 512;

/**
 * Mean over rows of KL(softmax(s) ‖ 2Quad(s)) = Σ p·(log p − log q), q = (x + c)²/Σ(x + c)², where x is s, or s − its row
 * mean if `centred`. Each row holds the scores of one query over its real keys.
 */
export function shiftDivergence(rows: readonly ArrayLike<number>[], centred: boolean, c: number): number {
  let total = 0;
  for (const row of rows) {
    const n = row.length;
    let top = -Infinity;
    let mean = 0;
    for (let i = 0; i < n; i++) {
      top = Math.max(top, row[i]!);
      mean += row[i]! / n;
    }
    const offset = centred ? c - mean : c;
    let mass = 0;
    let squares = 0;
    let weighted = 0;
    for (let i = 0; i < n; i++) {
      const s = row[i]!;
      const e = Math.exp(s - top);
      const x = s + offset;
      mass += e;
      squares += x * x;
      // A key exactly at the root has q = 0; the floor keeps one such key from hiding all others.
      weighted += e * (s - top - 2 * Math.log(Math.max(Math.abs(x), 1e-9)));
    }
    total += weighted / mass - Math.log(mass) + Math.log(squares);
  }
  return total / rows.length;
}

/** The c > 0 of least divergence: a grid, then golden-section search between the neighbours of its best point. */
export function bestShift(rows: readonly ArrayLike<number>[], centred: boolean): number {
  const loss = (c: number): number => shiftDivergence(rows, centred, c);
  const losses = GRID.map(loss);
  const best = losses.indexOf(Math.min(...losses));
  let low = GRID[Math.max(0, best - 1)]!;
  let high = GRID[Math.min(GRID.length - 1, best + 1)]!;
  let left = high - GOLDEN * (high - low);
  let right = low + GOLDEN * (high - low);
  let lossLeft = loss(left);
  let lossRight = loss(right);
  for (let i = 0; i < REFINEMENTS; i++) {
    if (lossLeft <= lossRight) {
      [high, right, lossRight] = [right, left, lossLeft];
      left = high - GOLDEN * (high - low);
      lossLeft = loss(left);
    } else {
      [low, left, lossLeft] = [left, right, lossRight];
      right = low + GOLDEN * (high - low);
      lossRight = loss(right);
    }
  }
  const [c, refined] = lossLeft <= lossRight ? [left, lossLeft] : [right, lossRight];
  return refined <= losses[best]! ? c : GRID[best]!;
}

/** Per layer (outer) and head (inner), from the teacher's own scores on `encodings`. */
export async function chooseShifts(
  teacher: { readonly config: ModelConfig; readonly tensors: Tensors },
  encodings: readonly Encoding[],
  engine: Engine,
  options: { readonly centred: boolean; readonly padId: number },
): Promise<number[][]> {
  const { config } = teacher;
  const heads = config.num_attention_heads;
  const graph = new Graph();
  const shapes = parameterShapes(config);
  const { ops } = bertGraph(config, { graph, parameter: (name) => graph.parameter(name, shapes.get(name)!) });
  const names = Array.from({ length: config.num_hidden_layers }, (_, l) => `scores.${l}`);
  const outputs = Object.fromEntries(names.map((name) => [name, ops.probes.get(name)!] as [string, Node]));
  const state = engine.createState(teacher.tensors);
  const executable = await engine.compile(graph, outputs, state);
  try {
    const rows = names.map(() => Array.from({ length: heads }, () => [] as Float32Array[]));
    const tokens = encodings.reduce((sum, e) => sum + e.ids.length, 0);
    const stride = Math.max(1, Math.floor(tokens / ROWS));
    let row = 0;
    for (const batch of makeBatches(encodings, { batchSize: 32, seed: 0, shuffle: false, padId: options.padId })) {
      const results = await executable.run(bertFeeds(batch));
      const taken: [text: number, query: number, keys: number][] = [];
      batch.index.forEach((i, text) => {
        const keys = encodings[i]!.ids.length;
        for (let query = 0; query < keys; query++) if (row++ % stride === 0) taken.push([text, query, keys]);
      });
      names.forEach((name, l) => {
        const data = results[name]!.data as Float32Array;
        for (const [text, query, keys] of taken) {
          for (let h = 0; h < heads; h++) {
            const at = ((text * heads + h) * batch.length + query) * batch.length;
            rows[l]![h]!.push(data.slice(at, at + keys));
          }
        }
      });
    }
    return rows.map((layer) => layer.map((head) => Number(bestShift(head, options.centred).toPrecision(6))));
  } finally {
    await executable.release();
    state.release();
  }
}
