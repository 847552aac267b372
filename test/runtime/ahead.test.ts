/** Work done ahead beside the run it is for: the values are those of a run without it, whatever has been given back meanwhile. */
import { describe, expect, it } from 'vitest';
import { CounterRandom } from '../../common/random.ts';
import type { Gate, Program } from '../../protocol/program.ts';
import { slots, wrap, type Words } from '../../ring/index.ts';
import { AheadWork } from '../../runtime/ahead.ts';
import { partyContext, staticData } from '../../runtime/context.ts';
import { execute } from '../../runtime/execute.ts';
import { smallProgram } from '../support/small-program.ts';

/** The small classifier as an export has its head: the operand is opened whole, then its first rows are taken. */
function openedBeforeFirst(): Program {
  const program = smallProgram();
  const [first, open] = ['cls', 'E_cls'].map((name) => program.gates.findIndex((gate) => gate.name === name));
  const gates = program.gates.map((gate, index): Gate => {
    if (index === first)
      return { ...program.gates[open!]!, in: gate.in, shape: { ...gate.shape, rows: 'token' } } as Gate;
    if (index === open) return { ...program.gates[first!]!, in: [first!] } as Gate;
    return gate;
  });
  return { ...program, gates };
}

/** Words named by numbers: the same name gives the same words. */
function words(seed: string, n: number, length: number): Words {
  const random = new CounterRandom(
    [...seed].reduce((sum, char) => (sum * 31 + char.charCodeAt(0)) >>> 0, 7),
    0,
  );
  const data = new Uint32Array(length * slots(n));
  for (let i = 0; i < length; i++) data[i * slots(n)] = random.int(2 ** Math.min(n, 16));
  return wrap(n, data);
}

async function run(program: Program, work: boolean): Promise<Uint32Array> {
  const of = (name: string, part: string): Words => {
    const { n, rows, cols } = program.tensors[name]!;
    return words(`${name} ${part}`, n, rows * cols);
  };
  const data = staticData({
    party: 0,
    program,
    weight: (name) => ({ F: of(name, 'F'), V: of(name, 'V') }),
    share: (name) => of(name, 'share'),
  });
  const context = partyContext(0, program, {
    dims: { lengths: [5, 7], heads: program.heads },
    data,
    masks: (gate, kind, n, length, into, from = 0) => {
      const all = words(`${gate} ${kind}`, n, length);
      if (into === undefined) return all;
      into.data.set(all.data.subarray(from * slots(n), from * slots(n) + into.data.length));
      return into;
    },
    client: (name) => {
      const emb = program.gates[0]!;
      if (emb.op !== 'embedding' || typeof emb.n !== 'number') throw new Error('the first gate embeds');
      return words(name, emb.n, 12 * (name === 'E1' ? program.tensors[emb.tensor]!.rows : emb.split));
    },
  });
  // Never run by itself: every step is taken as late as it may be.
  const ahead = work ? { ahead: new AheadWork(program, context) } : {};
  const { output } = await execute(program, context, async (_, message) => new Uint8Array(message.length), ahead);
  if (output.kind !== 'share') throw new Error('the output is shares');
  return output.x.data;
}

describe('work ahead', () => {
  for (const [name, program] of [
    ['a head that opens the first rows', smallProgram()],
    ['a head that takes the first rows of what is opened', openedBeforeFirst()],
  ] as const)
    it(`${name}: the same output as without`, async () => {
      expect([...(await run(program, true))]).toEqual([...(await run(program, false))]);
    });
});
