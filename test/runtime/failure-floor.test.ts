/** What a client sees of a failure: the same message, after the same time, whichever check failed and wherever. */
import { rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PeerError } from '../../common/errors.ts';
import { FRAME, HEADER_BYTES, type Fault } from '../../runtime/channel.ts';
import { SYSTEM_ENTROPY } from '../../runtime/keys.ts';
import { converse, readBundles, type Bundles, type Direction } from '../support/conversation.ts';
import { exportSmall, type SmallExport } from '../support/small-program.ts';

/** Milliseconds: much longer than a session of the small program needs. */
const FLOOR = 600;
/** A timer may be early by the resolution of its clock. */
const EARLY = 5;

const flipped =
  (index: number, byte: number): Fault =>
  (message, k) => {
    if (k !== index) return [{ message }];
    const changed = message.slice();
    changed[HEADER_BYTES + byte]! ^= 1;
    return [{ message: changed }];
  };

let small: SmallExport;
let bundles: Bundles;
beforeAll(async () => {
  small = await exportSmall(1);
  bundles = await readBundles(small.dir);
});
afterAll(() => rm(dirname(small.dir), { recursive: true, force: true }));

/** The message to the client of a session that fails, what came to it, and how long each party kept it waiting. */
async function failed(faults: Partial<Record<Direction, Fault>>) {
  const begin = performance.now();
  const told = new Map<Direction, { bytes: number; after: number }>();
  const watch = (direction: Direction): [Direction, Fault] => [
    direction,
    (message, k) => {
      if (message[4] === FRAME.failed) told.set(direction, { bytes: message.length, after: performance.now() - begin });
      return faults[direction]?.(message, k) ?? [{ message }];
    },
  ];
  const outcome = await converse(bundles, {
    entropy: SYSTEM_ENTROPY,
    failureFloor: FLOOR,
    timeout: 10_000,
    faults: { ...faults, ...Object.fromEntries((['party 0 > client', 'party 1 > client'] as const).map(watch)) },
  });
  expect(outcome.answer).toBeInstanceOf(PeerError);
  return { message: (outcome.answer as PeerError).message, told, parties: outcome.parties };
}

describe('a failure', () => {
  const causes: [string, Partial<Record<Direction, Fault>>, RegExp][] = [
    ['the parties’ sids differ', { 'party 1 > party 0': flipped(2, 0) }, /different session identifiers/],
    ['the client’s inputs differ', { 'client > party 1': flipped(2, 40) }, /different inputs/],
    ['an opened word is changed', { 'party 1 > party 0': flipped(5, 3) }, /transcripts differ/],
    ['the assistant’s corrections are malformed', { 'assistant > party 1': flipped(2, 0) }, /malformed|out of order/],
  ];
  const seen: { message: string; bytes: number[] }[] = [];

  it.each(causes)('%s: told no sooner than the floor', async (what, faults, reason) => {
    const { message, told, parties } = await failed(faults);
    expect(
      parties.some((party) => party instanceof PeerError && reason.test(party.message)),
      what,
    ).toBe(true);
    // The first to tell ends the session for the client; the other may find it gone.
    const first = [...told.values()];
    expect(first.length).toBeGreaterThan(0);
    for (const { after } of first) expect(after).toBeGreaterThanOrEqual(FLOOR - EARLY);
    seen.push({ message: message.replace(/party [01]/g, 'party i'), bytes: first.map(({ bytes }) => bytes) });
  });

  it('looks the same whatever its cause', () => {
    expect(seen.length).toBe(causes.length);
    expect(new Set(seen.map(({ message }) => message))).toEqual(new Set(['the session failed (party i gave the session up)'])); // prettier-ignore
    expect(new Set(seen.flatMap(({ bytes }) => bytes))).toEqual(new Set([HEADER_BYTES]));
  });
});
