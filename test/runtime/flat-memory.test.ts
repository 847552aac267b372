/** A role that serves for months must not grow: a thousand sessions of every role in one process. */
import { rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Failure } from '../../common/errors.ts';
import { SYSTEM_ENTROPY } from '../../runtime/keys.ts';
import { converse, keep, readBundles, type Bundles, type Kept } from '../support/conversation.ts';
import { exportSmall, type SmallExport } from '../support/small-program.ts';

/** Before those that count: code is compiled by then, and pools hold what every length needs. */
const FIRST = 600;
const SESSIONS = 1000;
/**
 * What a session may leave behind: its burnt identifier at each of three roles (44 characters and the entry of a set, about 600 bytes
 * in all), and the code still compiled for it; nothing of the 30 kB of words and messages that pass through each role.
 */
const BYTES_A_SESSION = 2048;

let small: SmallExport;
let bundles: Bundles;
let kept: Kept;
const options = { entropy: SYSTEM_ENTROPY, timeout: 10_000 };
beforeAll(async () => {
  small = await exportSmall(1);
  bundles = await readBundles(small.dir);
  kept = keep(bundles, options);
});
afterAll(() => rm(dirname(small.dir), { recursive: true, force: true }));

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

interface Alive {
  readonly heap: number;
  /** Words and messages. */
  readonly outside: number;
}

/** Bytes alive after what was dropped has been collected. */
async function alive(): Promise<Alive> {
  for (let i = 0; i < 3; i++) {
    collect();
    await new Promise((done) => setImmediate(done));
  }
  const { heapUsed, external } = process.memoryUsage();
  return { heap: heapUsed, outside: external };
}

const text = (length: number): { ids: number[]; types: number[] } => ({
  ids: Array.from({ length }, (_, i) => 2 + ((7 * i) % 19)),
  types: new Array<number>(length).fill(0),
});

it(`${SESSIONS} sessions of texts of many lengths leave nothing behind`, { timeout: 120_000 }, async () => {
  let before: Alive | undefined;
  for (let i = 0; i < FIRST + SESSIONS; i++) {
    if (i === FIRST) before = await alive();
    const { answer } = await converse(bundles, { ...options, kept, question: text(3 + (i % 8)) });
    if (answer instanceof Failure) throw answer;
  }
  const after = await alive();
  expect(after.heap - before!.heap).toBeLessThan(SESSIONS * BYTES_A_SESSION);
  // Not even what one session uses.
  expect(after.outside - before!.outside).toBeLessThan(30_000);
});
