/** Sessions of a guarded program: the answer, or nothing but that it is withheld; parties and messages the same in both cases. */
import { rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Failure, RefusedError } from '../../common/errors.ts';
import { integersOf, interpret } from '../../export/clear.ts';
import { decode, fromNumbers, toBigInts, type Words } from '../../ring/index.ts';
import { HEADER_BYTES } from '../../runtime/channel.ts';
import { maskSource, seededEntropy, seededKeys, SYSTEM_ENTROPY } from '../../runtime/keys.ts';
import { runInMemory, splitModel, tapeOf } from '../../runtime/memory.ts';
import { converse, QUESTION, readBundles, recorder, REFERENCE, type Bundles } from '../support/conversation.ts'; // prettier-ignore
import { exportSmall, FAR, farToken, SMALL_LABELS, type SmallExport } from '../support/small-program.ts';

const far = { ids: [2, FAR, 7, 8, 3], types: [0, 0, 0, 0, 0] };

let small: SmallExport;
let plain: SmallExport;
let bundles: Bundles;
beforeAll(async () => {
  small = await exportSmall(1, SMALL_LABELS, { guarded: true, change: farToken });
  plain = await exportSmall(1, SMALL_LABELS, { change: farToken });
  bundles = await readBundles(small.dir);
});
afterAll(async () => {
  for (const { dir } of [small, plain]) await rm(dirname(dir), { recursive: true, force: true });
});

const sizes = () => recorder((message) => message.length);

describe('a guarded program', () => {
  it('answers as the clear interpreter does, bit for bit', async () => {
    const rounding = new Map<string, Words>();
    const { answer } = await converse(bundles, { entropy: seededEntropy('guard'), rounding });
    if (answer instanceof Failure) throw answer;
    const [k0, k1] = seededKeys('guard', REFERENCE);
    const tape = tapeOf(small.program, rounding, [maskSource(k0), maskSource(k1)]);
    const clear = interpret(
      small.program,
      integersOf(small.program, small.tensors),
      [{ ids: [...QUESTION.ids], types: [...QUESTION.types] }],
      tape,
    );
    expect(answer.logits).toEqual([...decode(clear, 14)]);
  });

  it('withholds an answer whose value left its range, and says what to ask of the provider', async () => {
    for (let i = 0; i < 5; i++) {
      const { answer, parties } = await converse(bundles, { entropy: SYSTEM_ENTROPY, question: far });
      expect(answer).toBeInstanceOf(RefusedError);
      expect((answer as Failure).message).toBe(
        'the answer was withheld: an intermediate value left the range this model was calibrated for',
      );
      expect((answer as Failure).hint).toMatch(/provider/);
      // The parties served a session like any other.
      for (const party of parties) expect(party).not.toBeInstanceOf(Failure);
    }
  });

  it('sends messages of the same sizes, answered or not, in as many rounds as without guards', async () => {
    const [given, withheld] = [sizes(), sizes()];
    const a = await converse(bundles, { faults: given.faults, entropy: SYSTEM_ENTROPY });
    const b = await converse(bundles, { faults: withheld.faults, entropy: SYSTEM_ENTROPY, question: far });
    expect([a.answer instanceof Failure, b.answer instanceof Failure]).toEqual([false, true]);
    expect([...withheld.seen]).toEqual([...given.seen]);
    const unguarded = await converse(await readBundles(plain.dir), { entropy: SYSTEM_ENTROPY });
    const rounds = ({ parties }: typeof a) => parties.map((p) => (p instanceof Failure ? p : p.rounds));
    expect(rounds(a)).toEqual(rounds(unguarded));
    // 16 bytes a text more than the answer's own
    const out = (seen: typeof given.seen) => seen.get('party 0 > client')!.at(-1)! - HEADER_BYTES;
    const bare = sizes();
    await converse(await readBundles(plain.dir), { faults: bare.faults, entropy: SYSTEM_ENTROPY });
    expect(out(given.seen)).toBe(out(bare.seen) + 16);
  });

  it('without its guard the same text is answered at random', async () => {
    const model = splitModel(plain.program, (name) => fromNumbers(plain.tensors.get(name)!.data, plain.program.tensors[name]!.n), 3); // prettier-ignore
    const runs = await Promise.all([0, 1, 2, 3].map((seed) => runInMemory(model, [far], seed)));
    expect(new Set(runs.map(({ logits }) => toBigInts(logits).join())).size).toBeGreaterThan(1);
  });
});
