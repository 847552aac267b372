/** Deals on disk: used once whatever happens, refused where they are cut, changed, foreign or old, and worth a live session. */
import { cp, mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Failure, PeerError, RefusedError } from '../../common/errors.ts';
import { interpret, integersOf } from '../../export/clear.ts';
import { programCost } from '../../protocol/cost.ts';
import { decode, type Words } from '../../ring/index.ts';
import { Secret } from '../../ring/secret.ts';
import { FRAME } from '../../runtime/channel.ts';
import { fromHex, hex } from '../../runtime/encoding.ts';
import { maskSource, sessionKey, SYSTEM_ENTROPY } from '../../runtime/keys.ts';
import { tapeOf } from '../../runtime/memory.ts';
import { assistantModel } from '../../runtime/role/assistant.ts';
import { checkRoom, dealAhead, dealSize, keeperKey, splitSeeds } from '../../runtime/role/deal-ahead.ts';
import { HOLDERS, type Holder } from '../../runtime/role/deal-file.ts';
import type { StockUse } from '../../runtime/role/agreement.ts';
import { Stock } from '../../runtime/role/stock.ts';
import { CERTIFICATES, converse, DIRECTIONS, QUESTION, readBundles, type Bundles, type ConversationOptions, type Direction, type Outcome } from '../support/conversation.ts'; // prettier-ignore
import { exportSmall, type SmallExport } from '../support/small-program.ts';

const LENGTH = QUESTION.ids.length;
const DAY = 86_400;

let small: SmallExport;
let bundles: Bundles;
let scratch: string;
/** Each test's own: OUT of `deal`. */
let out: string;
beforeAll(async () => {
  small = await exportSmall(1);
  bundles = await readBundles(small.dir);
  scratch = await mkdtemp(join(tmpdir(), 'stock-'));
});
beforeEach(async () => {
  out = await mkdtemp(join(scratch, 'out-'));
});
afterAll(() => Promise.all([scratch, dirname(small.dir)].map((dir) => rm(dir, { recursive: true, force: true }))));

const keeper = (): Secret => keeperKey(fromHex(bundles.assistant.manifest.modelId), bundles.assistant.seeds);

async function dealFor(length = LENGTH, { lifetime = DAY, of = bundles, to = out } = {}): Promise<string> {
  const model = assistantModel(of.assistant);
  const { id } = await dealAhead(model, keeper(), { certificates: CERTIFICATES, out: to, lengths: [length], lifetime });
  return hex(id);
}

const said: string[] = [];
beforeEach(() => void said.splice(0));

/** A role's stock as its server opens it at its start. */
function opened(holder: Holder, now?: () => number): Promise<Stock> {
  const { session } = assistantModel(bundles.assistant);
  return Stock.open(join(out, holder), {
    holder,
    session,
    certificates: CERTIFICATES,
    refused: ({ message }) => void said.push(message),
    ...(now && { now }),
  });
}

interface Roles {
  readonly party0: Stock;
  readonly party1: Stock;
  readonly assistant: Stock;
}
const started = async (): Promise<Roles> =>
  Object.fromEntries(await Promise.all(HOLDERS.map(async (holder) => [holder, await opened(holder)]))) as Roles;

/** One session of the three roles' stocks; every frame by direction. */
async function talk(
  roles: Roles,
  options: ConversationOptions = {},
  live?: StockUse['live'],
): Promise<Outcome & { seen: Map<Direction, Uint8Array[]> }> {
  const seen = new Map<Direction, Uint8Array[]>(DIRECTIONS.map((d) => [d, []]));
  const faults = Object.fromEntries(DIRECTIONS.map((d) => [d, (m: Uint8Array) => (seen.get(d)!.push(m), [{ message: m }])])); // prettier-ignore
  const use = (stock: Stock): StockUse => ({ stock, ...(live && { live }) });
  const stocks = { parties: [use(roles.party0), use(roles.party1)] as const, assistant: roles.assistant };
  return { ...(await converse(bundles, { entropy: SYSTEM_ENTROPY, faults, stocks, ...options })), seen };
}

const types = (messages: readonly Uint8Array[]): number[] => messages.map((m) => m[4]!);
/** Nothing made of masks has left. */
function nothingLeft({ answer, seen }: Awaited<ReturnType<typeof talk>>): void {
  expect(answer).toBeInstanceOf(PeerError);
  for (const direction of ['party 0 > client', 'party 1 > client'] as const)
    expect(types(seen.get(direction)!)).not.toContain(FRAME.leaves);
  expect(types(seen.get('party 0 > party 1')!)).not.toContain(FRAME.round);
}
const files = async (holder: Holder, folder: 'deals' | 'burned'): Promise<string[]> =>
  (await readdir(join(out, holder, folder)).catch(() => [])).sort();
const backup = async (): Promise<string> => {
  const to = await mkdtemp(join(scratch, 'backup-'));
  await cp(out, to, { recursive: true });
  return to;
};
const restore = async (from: string, holder: Holder): Promise<void> => {
  await rm(join(out, holder), { recursive: true });
  await cp(join(from, holder), join(out, holder), { recursive: true });
};

describe('a session dealt ahead', () => {
  it('gives the logits of the clear interpreter under the masks of its deal, bit for bit; the assistant sends 32 bytes', async () => {
    const id = await dealFor();
    const copy = await backup();
    const rounding = new Map<string, Words>();
    const { answer, parties, seen } = await talk(await started(), { rounding });
    if (answer instanceof Failure) throw answer;
    for (const party of parties) expect(party).not.toBeInstanceOf(Failure);
    for (const direction of ['assistant > party 0', 'assistant > party 1'] as const)
      expect(types(seen.get(direction)!)).toEqual([FRAME.seed]);

    await restore(copy, 'assistant');
    const deal = await (await opened('assistant')).burn(fromHex(id));
    const seeds = splitSeeds(await deal.records(keeper()).next(64));
    await deal.close();
    const masks = seeds.map((seed) => maskSource(sessionKey(fromHex(id), seed)));
    const tape = tapeOf(small.program, rounding, [masks[0]!, masks[1]!]);
    const clear = interpret(small.program, integersOf(small.program, small.tensors), [{ ids: [...QUESTION.ids], types: [...QUESTION.types] }], tape); // prettier-ignore
    expect(answer.logits).toEqual([...decode(clear, 14)]);
  });

  it('burns its deal at all three roles and takes it from the disk', async () => {
    const ids = [await dealFor(), await dealFor()].sort();
    const { answer } = await talk(await started());
    expect(answer).not.toBeInstanceOf(Failure);
    for (const holder of HOLDERS) {
      const [used, ...others] = await files(holder, 'burned');
      expect(others).toEqual([]);
      expect(ids).toContain(used);
      expect(await files(holder, 'deals')).toEqual(ids.filter((id) => id !== used).map((id) => `${id}.deal`));
    }
  });

  it('has the size that was declared, and is sealed', async () => {
    const model = assistantModel(bundles.assistant);
    const { dealtBytes, fileBytes } = dealSize(model, [LENGTH]);
    const cost = programCost(small.program, { lengths: [LENGTH], heads: small.program.heads });
    expect(dealtBytes).toBe(Math.ceil(cost.total.dealtBits / 8));
    const id = await dealFor();
    const file = await readFile(join(out, 'party1', 'deals', `${id}.deal`));
    expect(file.length).toBeGreaterThan(dealtBytes);
    expect(file.length).toBeLessThanOrEqual(fileBytes);
    // Party 1 alone, without the seed that the assistant keeps, reads nothing of it.
    const deal = await (await opened('party1')).burn(fromHex(id));
    await expect(deal.records(new Secret(bundles.parties[1].seed.bytes.slice())).next(1e6)).rejects.toThrow(/not what the assistant dealt/); // prettier-ignore
    await deal.close();
    for (const holder of ['party0', 'assistant'] as const)
      expect((await readFile(join(out, holder, 'deals', `${id}.deal`))).length).toBeLessThan(1024);
    await expect(checkRoom(out, 2 ** 60)).rejects.toThrow(/left on the disk/);
  });

  it('sessions at once take a deal each, and none is left over', async () => {
    for (let i = 0; i < 4; i++) await dealFor();
    const roles = await started();
    const ended = await Promise.all([0, 1, 2, 3, 4].map(() => talk(roles)));
    expect(ended.filter(({ answer }) => !(answer instanceof Failure)).length).toBe(4);
    for (const holder of HOLDERS) expect((await files(holder, 'burned')).length).toBe(4);
  });
});

describe('where nothing fits', () => {
  it('a session is refused; dealt live only where both parties may, and they say so', async () => {
    await dealFor(LENGTH + 1);
    const roles = await started();
    const refused = await talk(roles);
    nothingLeft(refused);
    expect((refused.parties[1] as Failure).message).toBe(
      `nothing is dealt ahead, at both parties, for a text of ${LENGTH} tokens`,
    );
    const fell: number[][] = [];
    const { answer } = await talk(roles, {}, { fellBack: (lengths) => void fell.push([...lengths]) });
    expect(answer).not.toBeInstanceOf(Failure);
    expect(fell).toEqual([[LENGTH], [LENGTH]]);
    expect((await files('party1', 'deals')).length).toBe(1);
  });

  it.each([0, 1] as const)('party %i without a stock: the other refuses, or both deal live', async (without) => {
    await dealFor();
    const roles = await started();
    const use = (live: boolean): StockUse => ({
      stock: without === 0 ? roles.party1 : roles.party0,
      ...(live && { live: { fellBack: () => {} } }),
    });
    const run = (live: boolean): Promise<Outcome> => {
      const parties = without === 0 ? ([undefined, use(live)] as const) : ([use(live), undefined] as const);
      return converse(bundles, { entropy: SYSTEM_ENTROPY, stocks: { parties, assistant: roles.assistant } });
    };
    expect((await run(false)).parties[1 - without]).toBeInstanceOf(RefusedError);
    expect((await run(true)).answer).not.toBeInstanceOf(Failure);
  });
});

describe('after a crash', () => {
  it('a deal that was burnt and not taken away is never offered again', async () => {
    const [first, second] = [await dealFor(), await dealFor()];
    const copy = await backup();
    const before = await started();
    // Killed between burning and sending: the marker is there, and here even the file.
    for (const holder of ['party0', 'party1'] as const) {
      await (await before[holder].burn(fromHex(first!))).close();
      await cp(join(copy, holder, 'deals', `${first}.deal`), join(out, holder, 'deals', `${first}.deal`));
    }
    const roles = await started();
    expect((await roles.party0.find(await sessionOf())).map(hex)).toEqual([second]);
    expect(said.some((line) => /was begun before; taken away/.test(line))).toBe(true);
    expect(await files('party0', 'deals')).toEqual([`${second}.deal`]);
    await expect(roles.party0.burn(fromHex(first!))).rejects.toThrow(/used once/);
    expect((await talk(roles)).answer).not.toBeInstanceOf(Failure);
    for (const holder of ['party0', 'party1'] as const)
      expect(await files(holder, 'burned')).toEqual([first, second].sort());
  });

  it.each(['party0', 'party1'] as const)('of %s alone the other’s deal is not used either', async (crashed) => {
    const [first] = [await dealFor(), await dealFor()];
    await (await (await opened(crashed)).burn(fromHex(first!))).close();
    const { answer } = await talk(await started());
    expect(answer).not.toBeInstanceOf(Failure);
    // Party 1 takes what party 0 offers; what party 1 has burnt party 0 throws away.
    const left = await files('party0', 'deals');
    expect(left).toEqual([]);
  });

  async function sessionOf() {
    return { ...assistantModel(bundles.assistant).session, lengths: [LENGTH] };
  }
});

describe('a message of a session dealt ahead', () => {
  /** Frames of a faultless session by direction. */
  const COUNTS: Partial<Record<Direction, number>> = {
    'party 0 > party 1': 9, 'party 1 > party 0': 9, 'party 0 > assistant': 1, 'party 1 > assistant': 1,
    'assistant > party 0': 1, 'assistant > party 1': 1, 'client > party 0': 3, 'client > party 1': 3,
  }; // prettier-ignore
  const spoils: Record<string, (message: Uint8Array) => Uint8Array[]> = {
    lost: () => [],
    doubled: (message) => [message, message],
    'cut by a byte': (message) => [message.subarray(0, message.length - 1)],
    'lengthened by a byte': (message) => [Uint8Array.from([...message, 0])],
  };
  const seenCounts = new Map<Direction, number>();

  it('is counted', async () => {
    await dealFor();
    const { seen } = await talk(await started());
    for (const direction of Object.keys(COUNTS) as Direction[]) seenCounts.set(direction, seen.get(direction)!.length);
    expect(Object.fromEntries(seenCounts)).toEqual(COUNTS);
  });

  it.each(Object.entries(spoils))(
    '%s: the answer or a typed error, no hang, and no deal twice',
    async (name, spoil) => {
      const cases = Object.entries(COUNTS).flatMap(([d, count]) => Array.from({ length: count }, (_, k) => [d as Direction, k] as const)); // prettier-ignore
      for (let i = 0; i < 2 * cases.length; i++) await dealFor();
      const roles = await started();
      const claimed: string[] = [];
      const { answer: live } = await converse(bundles);
      if (live instanceof Failure) throw live;
      const right = live.logits;
      for (const [direction, k] of cases) {
        const fault = (message: Uint8Array, i: number): { message: Uint8Array }[] => (i === k ? spoil(message) : [message]).map((m) => ({ message: m })); // prettier-ignore
        const note = (message: Uint8Array): { message: Uint8Array }[] => {
          // CLAIM: the last fields are deal_id and the tally of 28 bytes.
          if (message[4] === FRAME.claim) claimed.push(hex(message.slice(-(28 + 4 + 32), -(28 + 4))));
          return [{ message }];
        };
        const { answer } = await converse(bundles, {
          entropy: SYSTEM_ENTROPY,
          // What a lost message costs; less, and a busy machine would lose sessions that nobody spoilt.
          timeout: 500,
          stocks: { parties: [{ stock: roles.party0 }, { stock: roles.party1 }], assistant: roles.assistant },
          faults: { 'party 0 > assistant': note, [direction]: fault },
        });
        // Anything but a Failure makes `converse` throw. Fresh masks round afresh, see batch.test.ts.
        if (answer instanceof Failure) expect(answer, `${direction} ${k}`).toBeInstanceOf(PeerError);
        else answer.logits.forEach((v, j) => expect(Math.abs(v - right[j]!), `${direction} ${k}`).toBeLessThan(0.05));
        if (name === 'cut by a byte' && !direction.startsWith('assistant')) expect(answer, `${direction} ${k}`).toBeInstanceOf(PeerError); // prettier-ignore
      }
      expect(claimed.length).toBeGreaterThan(cases.length / 4);
      expect(new Set(claimed).size).toBe(claimed.length);
    },
  );
});

describe('after a restore from a backup', () => {
  it.each([[['party0']], [['party1']], [['party0', 'party1']]] as const)(
    'of %j the older deals are discarded, and nothing is used twice',
    async (restored) => {
      for (let i = 0; i < 3; i++) await dealFor();
      const copy = await backup();
      const roles = await started();
      for (let i = 0; i < 2; i++) expect((await talk(roles)).answer).not.toBeInstanceOf(Failure);
      for (const holder of restored) await restore(copy, holder);
      const now = { ...roles };
      for (const holder of restored) now[holder] = await opened(holder);
      // Two that were restored learn it from the assistant, one after the other.
      const ended = [await talk(now), await talk(now), await talk(now)];
      for (const end of ended) nothingLeft(end);
      for (const holder of restored) expect(await files(holder, 'deals')).toEqual([]);
      expect(
        ended.flatMap(({ parties }) => parties).some((p) => p instanceof RefusedError && /restored from a backup/.test(p.message)), // prettier-ignore
      ).toBe(true);
      await dealFor();
      expect((await talk(now)).answer).not.toBeInstanceOf(Failure);
    },
  );

  it('of the assistant alone nothing is claimed twice', async () => {
    for (let i = 0; i < 2; i++) await dealFor();
    const copy = await backup();
    const roles = await started();
    expect((await talk(roles)).answer).not.toBeInstanceOf(Failure);
    await restore(copy, 'assistant');
    const now = { ...roles, assistant: await opened('assistant') };
    expect((await talk(now)).answer).not.toBeInstanceOf(Failure);
    nothingLeft(await talk(now));
    expect((await files('party1', 'burned')).length).toBe(2);
  });

  it('of both parties’ deals without their markers: the assistant gives the seeds of a deal once', async () => {
    const id = await dealFor();
    const copy = await backup();
    const roles = await started();
    expect((await talk(roles)).answer).not.toBeInstanceOf(Failure);
    for (const holder of ['party0', 'party1'] as const) {
      await restore(copy, holder);
      // Whoever restores also knows how to hide it from the counters.
      await rm(join(out, 'assistant', 'state.json'), { force: true });
    }
    const again = await started();
    const end = await talk(again);
    nothingLeft(end);
    expect(await files('assistant', 'burned')).toEqual([id]);
  });
});

describe('material that is not what was dealt', () => {
  const path = (holder: Holder, id: string): string => join(out, holder, 'deals', `${id}.deal`);
  const flip = async (file: string, at: number): Promise<void> => {
    const bytes = await readFile(file);
    bytes[at < 0 ? bytes.length + at : at]! ^= 1;
    await writeFile(file, bytes);
  };

  it.each([
    ['cut', async (file: string) => truncate(file, (await readFile(file)).length - 1), /bytes, should have/],
    ['cut within its header', (file: string) => truncate(file, 40), /bytes, should have/],
    ['empty', (file: string) => truncate(file, 0), /was cut short/],
    [
      'lengthened',
      async (file: string) => writeFile(file, Buffer.concat([await readFile(file), Buffer.alloc(1)])),
      /bytes, should have/,
    ],
    ['changed in its header', (file: string) => flip(file, 60), /was changed|should have/],
    ['something else', (file: string) => writeFile(file, 'x'.repeat(200)), /not dealt material/],
  ] as const)('%s: refused before it is offered, file named', async (_, spoil, reason) => {
    const id = await dealFor();
    await spoil(path('party1', id));
    const roles = await started();
    const end = await talk(roles);
    nothingLeft(end);
    expect(said.length).toBe(1);
    expect(said[0]).toMatch(reason);
    expect(said[0]).toContain(id);
    // Its name is not burnt: the file may be fetched again.
    expect(await files('party1', 'burned')).toEqual([]);
  });

  it.each([[-1], [-200]])(
    'a bit changed at %i of the corrections: the session fails, the client learns no reason',
    async (at) => {
      const id = await dealFor();
      await flip(path('party1', id), at);
      const { answer, parties } = await talk(await started());
      expect(answer).toBeInstanceOf(PeerError);
      expect((parties[1] as Failure).message).toMatch(/is not what the assistant dealt/);
      expect(await files('party1', 'burned')).toEqual([id]);
    },
  );

  it('a changed bit of the assistant’s record: nothing is given out', async () => {
    const id = await dealFor();
    await flip(path('assistant', id), -1);
    nothingLeft(await talk(await started()));
  });

  it('another role’s part, another export’s and another deployment’s are refused by name', async () => {
    const id = await dealFor();
    await cp(path('party0', id), path('party1', id));
    const other = await exportSmall(2);
    try {
      await dealFor(LENGTH, { of: await readBundles(other.dir) });
      const strange = { ...CERTIFICATES, assistant: new Uint8Array(32).fill(99) };
      await dealAhead(assistantModel(bundles.assistant), keeper(), { certificates: strange, out, lengths: [LENGTH], lifetime: DAY }); // prettier-ignore
    } finally {
      await rm(dirname(other.dir), { recursive: true, force: true });
    }
    expect(await (await opened('party1')).count()).toEqual(new Map());
    expect(said.sort().map((line) => line.split(': ').slice(1).join(': ')).sort()).toEqual([
      'is the part of party 0, not of party 1',
      'was dealt for another deployment (assistant)',
      'was dealt for another export',
    ]); // prettier-ignore
  });

  it('a deal that expired is discarded, also when it expires after it was found', async () => {
    const id = await dealFor(LENGTH, { lifetime: 10 });
    let now = Date.now() / 1000;
    const stock = await opened('party1', () => now);
    expect([...(await stock.count()).values()]).toEqual([1]);
    now += 11;
    expect([...(await stock.count()).values()]).toEqual([]);
    expect(said).toEqual([expect.stringMatching(/1 deals expired and were discarded/)]);
    const late = await opened('assistant', () => now);
    await expect(late.burn(fromHex(id))).rejects.toThrow(/expired at/);
  });

  it('a folder that is none is refused', async () => {
    await mkdir(join(out, 'party0'), { recursive: true });
    await expect(opened('party0')).rejects.toThrow(/no folder of deals/);
  });

  it('what a deal that failed half-way leaves is nothing', async () => {
    const model = { ...assistantModel(bundles.assistant), maskedWeight: () => { throw new Error('disk on fire'); } }; // prettier-ignore
    await expect(dealAhead(model, keeper(), { certificates: CERTIFICATES, out, lengths: [LENGTH], lifetime: DAY })).rejects.toThrow(/on fire/); // prettier-ignore
    for (const holder of HOLDERS) expect(await files(holder, 'deals')).toEqual([]);
  });
});
