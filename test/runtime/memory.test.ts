/** The three roles in one process against the clear interpreter, cost declarations against counts, and one gate's start order. */
import { describe, expect, it } from 'vitest';
import { interpret, integersOf } from '../../export/clear.ts';
import { programCost } from '../../protocol/cost.ts';
import { equal, fromNumbers, toBigInts } from '../../ring/index.ts';
import { runInMemory, splitModel } from '../../runtime/memory.ts';
import { smallProgram, smallTensors } from '../support/small-program.ts';

const program = smallProgram();
const tensors = smallTensors(program, 7);
const integers = (name: string) => fromNumbers(tensors.get(name)!.data, program.tensors[name]!.n);
const model = splitModel(program, integers, 3);
const texts = [
  { ids: [2, 7, 8, 3], types: [0, 0, 0, 0] },
  { ids: [2, 6, 20, 10, 11, 9, 3, 22, 23, 3], types: [0, 0, 0, 0, 0, 0, 0, 1, 1, 1] },
];

describe('all roles in memory', () => {
  it.each([[[0]], [[1]], [[0, 1]]])('texts %j: logits of the clear interpreter, bit for bit', async (which) => {
    const chosen = which.map((i) => texts[i]!);
    for (let seed = 0; seed < 5; seed++) {
      const run = await runInMemory(model, chosen, seed);
      const clear = interpret(program, integersOf(program, tensors), chosen, run.tape);
      expect(toBigInts(run.logits)).toEqual(toBigInts(clear));
    }
  });

  it('is told apart by one rounding word of the tape', async () => {
    const run = await runInMemory(model, texts, 1);
    const tape = { ...run.tape, rounding: (...args: Parameters<typeof run.tape.rounding>) => {
      const u = run.tape.rounding(...args);
      return args[0].name === 't' ? { ...u, data: u.data.map((w) => (w + 512) % 1024) } : u;
    } }; // prettier-ignore
    expect(equal(interpret(program, integersOf(program, tensors), texts, tape), run.logits)).toBe(false);
  });

  it('counts what the gates declare', async () => {
    for (const chosen of [[texts[0]!], [texts[1]!], texts]) {
      const run = await runInMemory(model, chosen, 5);
      const { total } = programCost(program, { lengths: chosen.map((t) => t.ids.length), heads: program.heads });
      expect([run.rounds, run.openedBits, run.dealtBits]).toEqual([total.rounds, total.openedBits, total.dealtBits]);
    }
  });

  it('repeats with the seed and differs without', async () => {
    const hex = async (seed: number, index = 0) =>
      Buffer.from((await runInMemory(model, texts, seed, index)).transcript).toString('hex');
    expect(await hex(1)).toBe(await hex(1));
    expect(await hex(1)).not.toBe(await hex(2));
    expect(await hex(1)).not.toBe(await hex(1, 1));
  });

  it('opens everything that is ready in one round, in the order of the gates', async () => {
    const run = await runInMemory(model, texts, 1);
    const rounds = Array.from({ length: run.rounds }, (_, r) =>
      run.opened.filter((o) => o.round === r).map((o) => o.gate),
    );
    expect(rounds).toEqual([['emb'], ['E_x'], ['v', 'g'], ['E_cls']]);
  });
});
