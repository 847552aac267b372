/** Channels that lose, repeat, cut, lengthen, reorder, delay or change messages, at every message of a session. */
import { rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Failure, PeerError } from '../../common/errors.ts';
import type { Fault } from '../../runtime/channel.ts';
import {
  converse,
  DIRECTIONS,
  readBundles,
  type Bundles,
  type Direction,
  type Outcome,
} from '../support/conversation.ts';
import { exportSmall } from '../support/small-program.ts';

/** Milliseconds a lost message is waited for, and a role must be done by. */
const TIMEOUT = 250;
const DEADLINE = 20_000;

const at =
  (index: number, change: (message: Uint8Array) => ReturnType<Fault>): Fault =>
  (message, i) =>
    i === index ? change(message) : [{ message }];

const FAULTS: Record<string, (index: number) => Fault> = {
  lost: (k) => at(k, () => []),
  'lost from there on': (k) => (message, i) => (i < k ? [{ message }] : []),
  repeated: (k) => at(k, (message) => [{ message }, { message }]),
  'cut by a byte': (k) => at(k, (message) => [{ message: message.subarray(0, message.length - 1) }]),
  'cut within the header': (k) => at(k, (message) => [{ message: message.subarray(0, 5) }]),
  'with a byte more': (k) => at(k, (message) => [{ message: Uint8Array.from([...message, 0]) }]),
  'announced larger than allowed': (k) =>
    at(k, (message) => [{ message: Uint8Array.from([0xff, ...message.subarray(1)]) }]),
  'behind the next one': (k) => {
    let held: Uint8Array | undefined;
    return (message, i) => {
      if (i === k) {
        held = message;
        return [];
      }
      return i === k + 1 && held !== undefined ? [{ message }, { message: held }] : [{ message }];
    };
  },
  // In order, as a slow network: all that follows is late too.
  late: (k) => (message, i) => [i < k ? { message } : { message, delay: 20 }],
};

/** A changed bit in the payload; `place` picks which. */
const flipped = (index: number, place: number): Fault =>
  at(index, (message) => {
    const copy = Uint8Array.from(message);
    const bit = place % (8 * (message.length - 9));
    copy[9 + (bit >> 3)]! ^= 1 << (bit & 7);
    return [{ message: copy }];
  });

let dir: string;
let bundles: Bundles;
let right: readonly number[];
const counts = new Map<Direction, number>();

beforeAll(async () => {
  ({ dir } = await exportSmall(1));
  bundles = await readBundles(dir);
  const counting = Object.fromEntries(
    DIRECTIONS.map((direction) => [
      direction,
      (message: Uint8Array, index: number) => {
        counts.set(direction, index + 1);
        return [{ message }];
      },
    ]),
  );
  const { answer } = await converse(bundles, { faults: counting });
  if (answer instanceof Failure) throw answer;
  right = answer.logits;
});
afterAll(() => rm(dirname(dir), { recursive: true, force: true }));

/** A role that does not end in time is a hang. */
async function inTime(what: string, work: Promise<Outcome>): Promise<Outcome> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>(
    (_, reject) => (timer = setTimeout(() => reject(new Error(`${what}: a role hangs`)), DEADLINE)),
  );
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

/** Right answer or typed errors; if the client got an answer it is the right one. */
function check(what: string, { answer, parties }: Outcome): 'answered' | 'failed' {
  if (answer instanceof Failure) {
    expect(answer, what).toBeInstanceOf(PeerError);
    return 'failed';
  }
  expect(answer.logits, what).toEqual(right);
  for (const party of parties) if (party instanceof Failure) expect(party, what).toBeInstanceOf(PeerError);
  return 'answered';
}

it('counts the messages of every direction', () => {
  expect(Object.fromEntries(counts)).toEqual({
    'client > party 0': 3,
    'client > party 1': 3,
    'party 0 > client': 3,
    'party 1 > client': 3,
    // hello, nonce, bind, input, 4 rounds, check
    'party 0 > party 1': 9,
    'party 1 > party 0': 9,
    'party 0 > assistant': 1,
    'party 1 > assistant': 1,
    'assistant > party 0': 1,
    // seed, six gates with corrections
    'assistant > party 1': 7,
  });
});

describe.each(Object.entries(FAULTS))('a message %s', (name, fault) => {
  it.each(DIRECTIONS)('%s: right answer or typed error, no hang', async (direction) => {
    const indices = Array.from({ length: counts.get(direction)! }, (_, k) => k);
    const ends = await Promise.all(
      indices.map(async (k) => {
        const what = `${direction}, message ${k} ${name}`;
        return check(
          what,
          await inTime(what, converse(bundles, { timeout: TIMEOUT, faults: { [direction]: fault(k) } })),
        );
      }),
    );
    if (name === 'late') expect(ends.every((end) => end === 'answered')).toBe(true);
    // The very last messages may be lost or doubled without harm to the answer; all others matter.
    if (name === 'cut by a byte' && direction !== 'assistant > party 1')
      expect(new Set(ends)).toEqual(new Set(['failed']));
  });
});

describe('a changed bit between the parties', () => {
  it.each(['party 0 > party 1', 'party 1 > party 0'] as const)('%s never gives a wrong answer', async (direction) => {
    const cases = Array.from({ length: counts.get(direction)! }, (_, k) =>
      [0, 77, 12345].map((place) => [k, place] as const),
    ).flat();
    const ends = await Promise.all(
      cases.map(async ([k, place]) => {
        const what = `${direction}, message ${k}, bit ${place}`;
        return check(
          what,
          await inTime(what, converse(bundles, { timeout: TIMEOUT, faults: { [direction]: flipped(k, place) } })),
        );
      }),
    );
    expect(new Set(ends)).toEqual(new Set(['failed']));
  });

  it.each(['client > party 0', 'client > party 1'] as const)(
    '%s: different inputs are not computed on',
    async (direction) => {
      for (const place of [40, 1000]) {
        const { answer } = await converse(bundles, { timeout: TIMEOUT, faults: { [direction]: flipped(2, place) } });
        expect(answer).toBeInstanceOf(PeerError);
      }
    },
  );
});
