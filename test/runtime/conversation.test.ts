/** Who sends what to whom in a small program, as a text reviewed in every change; and what each role learns of a failure. */
import { readFileSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Failure, PeerError, RefusedError } from '../../common/errors.ts';
import { interpret, integersOf } from '../../export/clear.ts';
import { decode, type Words } from '../../ring/index.ts';
import { FRAME, HEADER_BYTES } from '../../runtime/channel.ts';
import { maskSource, seededEntropy, seededKeys, SYSTEM_ENTROPY } from '../../runtime/keys.ts';
import { tapeOf } from '../../runtime/memory.ts';
import { converse, QUESTION, readBundles, recorder, REFERENCE, type Bundles } from '../support/conversation.ts';
import { exportSmall, type SmallExport } from '../support/small-program.ts';

const TRANSCRIPT = join(import.meta.dirname, 'transcripts/small.txt');
const NAMES = new Map(Object.entries(FRAME).map(([name, code]) => [code as number, name]));

let small: SmallExport;
let bundles: Bundles;
beforeAll(async () => {
  small = await exportSmall(1);
  bundles = await readBundles(small.dir);
});
afterAll(() => rm(dirname(small.dir), { recursive: true, force: true }));

it('who sends what to whom', async () => {
  const { seen, faults } = recorder((message) => message);
  const { answer } = await converse(bundles, { faults });
  expect(answer).not.toBeInstanceOf(Failure);
  const line = (m: Uint8Array): string => `  ${NAMES.get(m[4]!)!.padEnd(7)} ${m.length - HEADER_BYTES}`;
  const text = [...seen].map(([direction, messages]) => [direction, ...messages.map(line)].join('\n')).join('\n\n');
  const actual = `One text of ${QUESTION.ids.length} tokens: messages by direction, payload bytes.\n\n${text}\n`;
  // UPDATE_TRANSCRIPTS=1 rewrites the file; the difference is for a reviewer.
  if (process.env['UPDATE_TRANSCRIPTS'] === '1') writeFileSync(TRANSCRIPT, actual);
  expect(actual).toBe(readFileSync(TRANSCRIPT, 'utf8'));
});

it.each([
  ['one text', { ids: [2, 6, 7, 8, 3], types: [0, 0, 0, 0, 0] }],
  ['a pair', { ids: [2, 6, 3, 7, 3], types: [0, 0, 0, 1, 1] }],
  ['the same tokens as one text', { ids: [2, 6, 3, 7, 3], types: [0, 0, 0, 0, 0] }],
])('the client gets the logits of the clear interpreter, bit for bit: %s', async (_, question) => {
  const rounding = new Map<string, Words>();
  const entropy = seededEntropy('exact');
  const { answer } = await converse(bundles, { entropy, question, rounding });
  if (answer instanceof Failure) throw answer;
  const [k0, k1] = seededKeys('exact', REFERENCE);
  const tape = tapeOf(small.program, rounding, [maskSource(k0), maskSource(k1)]);
  const clear = interpret(small.program, integersOf(small.program, small.tensors), [question], tape);
  expect(answer.logits).toEqual([...decode(clear, 14)]);
});

it('fresh masks every time: no two sessions send the same words', async () => {
  const sent: string[] = [];
  for (let i = 0; i < 2; i++) {
    const { seen, faults } = recorder((message) => message);
    const { answer } = await converse(bundles, { faults, entropy: SYSTEM_ENTROPY });
    expect(answer).not.toBeInstanceOf(Failure);
    for (const messages of seen.values())
      for (const m of messages)
        if (m.length > HEADER_BYTES && NAMES.get(m[4]!) !== 'hello') sent.push(Buffer.from(m).toString('hex'));
  }
  // n_C goes to both parties, sids and hashes go both ways: equal within a session, never across.
  const half = sent.length / 2;
  const first = new Set(sent.slice(0, half));
  expect(sent.slice(half).filter((m) => first.has(m))).toEqual([]);
});

it('no message carries a seed, a session key or a mask leaf that is not the client’s own', async () => {
  const { seen, faults } = recorder((message) => message);
  await converse(bundles, { faults, entropy: seededEntropy('leak') });
  const keys = seededKeys('leak', REFERENCE).map((key) => Buffer.from(key.bytes));
  const masters = bundles.parties.map((b) => Buffer.from(b.seed.bytes));
  const all = [...seen.values()].flat().map((m) => Buffer.from(m));
  for (const secret of [...keys, ...masters]) for (const message of all) expect(message.includes(secret)).toBe(false);
  // The assistant's own seeds go to their party only.
  const seeds = (['seed0', 'seed1'] as const).map((purpose) =>
    Buffer.from(seededEntropy('leak').draw(purpose, REFERENCE)),
  );
  seeds.forEach((seed, i) => {
    for (const [direction, messages] of seen) {
      const carries = messages.some((m) => Buffer.from(m).includes(seed));
      expect([direction, carries]).toEqual([direction, direction === `assistant > party ${i}`]);
    }
  });
});

it('tells a client nothing about why', async () => {
  const { seen, faults } = recorder((message) => message);
  const spoilt = {
    ...faults,
    'party 1 > party 0': (message: Uint8Array, k: number) => [{ message: k === 5 ? message.subarray(0, 20) : message }],
  };
  const { answer, parties } = await converse(bundles, { faults: spoilt });
  expect(answer).toBeInstanceOf(PeerError);
  for (const party of parties) expect(party).toBeInstanceOf(PeerError);
  for (const direction of ['party 0 > client', 'party 1 > client'] as const) {
    const last = seen.get(direction)!.at(-1)!;
    expect([NAMES.get(last[4]!), last.length]).toEqual(['failed', HEADER_BYTES]);
  }
});

it('refuses bundles of another export at any role, before anything is dealt', async () => {
  const other = await exportSmall(2);
  try {
    const theirs = await readBundles(other.dir);
    const mixed: [string, Bundles][] = [
      ['client', { ...bundles, client: theirs.client }],
      ['assistant', { ...bundles, assistant: theirs.assistant }],
      ['party 0', { ...bundles, parties: [theirs.parties[0], bundles.parties[1]] }],
      ['party 1', { ...bundles, parties: [bundles.parties[0], theirs.parties[1]] }],
    ];
    for (const [who, set] of mixed) {
      const { seen, faults } = recorder((message) => message);
      const { answer, parties } = await converse(set, { faults, timeout: 500 });
      expect(answer, who).toBeInstanceOf(Failure);
      for (const party of parties) expect(party, who).toBeInstanceOf(Failure);
      const everything = [answer, ...parties] as Failure[];
      if (who !== 'assistant')
        expect(
          everything.some((f) => f instanceof RefusedError && /another export/.test(f.message)),
          who,
        ).toBe(true);
      const dealt = seen.get('assistant > party 1')!.filter((m) => m[4] === FRAME.deal || m[4] === FRAME.seed);
      expect(dealt, who).toEqual([]);
    }
  } finally {
    await rm(dirname(other.dir), { recursive: true, force: true });
  }
});
