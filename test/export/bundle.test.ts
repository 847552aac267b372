/** Bundles: what they hold, what they must not hold, and how damaged or mixed-up ones are refused. */
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { InputError, RefusedError } from '../../common/errors.ts';
import { readBundle, ROLES, type Role } from '../../export/bundle.ts';
import { interpret, integersOf, seededTape } from '../../export/clear.ts';
import { loadProvider, writeExport } from '../../export/provider.ts';
import { add, equal, fromNumbers, pack } from '../../ring/index.ts';
import { tinyExport, tinyTokenizer } from '../support/tiny-export.ts';

const tiny = tinyExport();
const work = mkdtempSync(join(tmpdir(), 'bundles-'));
const options = { labels: ['a', 'b', 'c'], tokenizerDir: tinyTokenizer() };
const out = join(work, 'one');
const file = (role: Role, name: string, of = out): string => join(of, role, name);

const refusal = async (act: Promise<unknown>): Promise<Error> =>
  act.then(
    () => expect.fail('accepted'),
    (error: Error) => error,
  );

beforeAll(async () => {
  await writeExport(out, tiny, options);
});
afterAll(() => rmSync(work, { recursive: true }));

describe('content', () => {
  it('F + B_0 + B_1 is the tensor, V is F + B_0 and B_1', async () => {
    const [p0, p1, assistant] = [await readBundle(join(out, 'party0'), 'party0'), await readBundle(join(out, 'party1'), 'party1'), await readBundle(join(out, 'assistant'), 'assistant')]; // prettier-ignore
    let masked = 0;
    let shares = 0;
    for (const [name, { role, n }] of Object.entries(tiny.program.tensors)) {
      const value = fromNumbers(tiny.tensors.get(name)!.data, n);
      if (role === 'masked') {
        const [w0, w1] = [p0.weight(name), p1.weight(name)];
        expect(equal(w0.F, w1.F)).toBe(true);
        expect(equal(add(w0.V, w1.V), value), name).toBe(true);
        expect(equal(add(w0.F, assistant.maskedWeight(name)), value), name).toBe(true);
        masked++;
      } else {
        expect(equal(add(p0.share(name), p1.share(name)), value), name).toBe(true);
        shares++;
      }
    }
    expect([masked, shares]).toEqual([1 + 2 * 9 + 2, 1 + 2 * 6 + 2]);
  });

  it('party 0 and party 1 know only their own seed, the assistant both and nothing masked', () => {
    expect(readdirSync(join(out, 'assistant')).toSorted()).toEqual(['manifest.json', 'program.json', 'seed0.bin', 'seed1.bin']); // prettier-ignore
    expect(readdirSync(join(out, 'party0')).toSorted()).toEqual([
      'manifest.json',
      'masked.bin',
      'program.json',
      'seed.bin',
    ]);
    expect(readdirSync(join(out, 'party1')).toSorted()).toEqual(['corrections.bin', 'manifest.json', 'masked.bin', 'program.json', 'seed.bin']); // prettier-ignore
    expect(readFileSync(file('party0', 'seed.bin'))).toEqual(readFileSync(file('assistant', 'seed0.bin')));
    expect(readFileSync(file('party1', 'seed.bin'))).toEqual(readFileSync(file('assistant', 'seed1.bin')));
    expect(readFileSync(file('party0', 'seed.bin'))).not.toEqual(readFileSync(file('party1', 'seed.bin')));
  });

  it('no plaintext tensor stands in what a server gets', () => {
    const files = (['party0', 'party1', 'assistant'] as const).flatMap((role) =>
      readdirSync(join(out, role)).map((name) => readFileSync(file(role, name))),
    );
    for (const [name, { n }] of Object.entries(tiny.program.tensors)) {
      const plain = Buffer.from(pack(fromNumbers(tiny.tensors.get(name)!.data, n)));
      const piece = plain.subarray(0, Math.min(64, plain.length));
      if (piece.length < 8 || piece.every((byte) => byte === 0)) continue;
      for (const bytes of files) expect(bytes.includes(piece), name).toBe(false);
    }
  });

  it('a second export of the same model shares no secret and no mask with the first', async () => {
    const two = join(work, 'two');
    await writeExport(two, tiny, options);
    for (const [role, name] of [
      ['party0', 'seed.bin'],
      ['party1', 'seed.bin'],
      ['party0', 'masked.bin'],
      ['party1', 'corrections.bin'],
    ] as const)
      // prettier-ignore
      expect(readFileSync(file(role, name, two)).equals(readFileSync(file(role, name)))).toBe(false);
    const [a, b] = [await readBundle(join(out, 'party0'), 'party0'), await readBundle(join(two, 'party0'), 'party0')];
    expect(a.manifest.modelId).not.toBe(b.manifest.modelId);
    expect(a.manifest.exportDigest).not.toBe(b.manifest.exportDigest);
    expect(a.manifest.programDigest).toBe(b.manifest.programDigest);
  });

  it('do not let the assistant, which can make F of any weights it guesses, confirm its guess by the digest', async () => {
    const { manifest } = await readBundle(join(out, 'assistant'), 'assistant');
    // What it could make of the right weights: they are given here as the parties hold them.
    const F = readFileSync(file('party0', 'masked.bin'));
    const shares = readFileSync(file('party1', 'corrections.bin'));
    for (const version of [1, 2]) {
      const hash = createHash('sha256').update(
        `smpc/export/${version}\n${manifest.modelId}\n${manifest.programDigest}\n`,
      );
      expect(hash.update(F).update(shares).digest('hex')).not.toBe(manifest.exportDigest);
    }
  });

  it('all roles of one export agree on its digest; secrets are for the owner only', async () => {
    const digests = new Set<string>();
    for (const role of ROLES) digests.add((await readBundle(join(out, role), role)).manifest.exportDigest);
    expect(digests.size).toBe(1);
    for (const [role, name] of [
      ['party0', 'seed.bin'],
      ['party1', 'masked.bin'],
      ['assistant', 'seed1.bin'],
      ['provider', 'integers.safetensors'],
    ] as const)
      // prettier-ignore
      expect(statSync(file(role, name)).mode & 0o077).toBe(0);
  });

  it('seeds do not show when a bundle is printed', async () => {
    const bundle = await readBundle(join(out, 'assistant'), 'assistant');
    const hex = readFileSync(file('assistant', 'seed0.bin')).toString('hex');
    expect(inspect(bundle, { depth: 9 })).not.toContain(hex.slice(0, 16));
    expect(JSON.stringify(bundle)).not.toContain(hex.slice(0, 16));
  });

  it('the provider’s bundle gives the program and integers back', async () => {
    const provider = await loadProvider(join(out, 'provider'));
    expect(provider.program).toEqual(JSON.parse(JSON.stringify(tiny.program)));
    const text = [{ ids: [3, 9, 17], types: [0, 0, 1] }];
    const run = (integers: typeof provider.integers): Uint32Array =>
      interpret(provider.program, integers, text, seededTape(5, provider.program)).data;
    expect(run(provider.integers)).toEqual(run(integersOf(tiny.program, tiny.tensors)));
  });
});

describe('refusals', () => {
  let copies = 0;
  const copy = async (): Promise<string> => {
    const dir = join(work, `copy${copies++}`);
    await writeExport(dir, tiny, options);
    return dir;
  };

  it.each([['party0', 'party1', 'party 1'], ['party1', 'assistant', 'the assistant'], ['client', 'provider', 'the provider']] as const)(
    'as %s the folder of %s',
    async (wanted, given, name) => {
      const error = await refusal(readBundle(join(out, given), wanted));
      expect(error).toBeInstanceOf(RefusedError);
      expect(error.message).toContain(`this is the bundle of ${name}`);
    },
  ); // prettier-ignore

  it('a truncated file, by its name', async () => {
    const dir = await copy();
    const path = file('party0', 'masked.bin', dir);
    truncateSync(path, statSync(path).size - 1);
    const error = await refusal(readBundle(join(dir, 'party0'), 'party0'));
    expect(error).toBeInstanceOf(RefusedError);
    expect(error.message).toMatch(/masked\.bin: \d+ bytes, the manifest says \d+/);
  });

  it('every file with one bit changed', async () => {
    const dir = await copy();
    for (const role of ROLES) {
      for (const name of readdirSync(join(dir, role))) {
        if (name === 'manifest.json') continue;
        const path = file(role, name, dir);
        const good = readFileSync(path);
        const bad = Buffer.from(good);
        bad[bad.length >> 1]! ^= 1;
        writeFileSync(path, bad);
        const error = await refusal(readBundle(join(dir, role), role));
        expect(error, `${role}/${name}`).toBeInstanceOf(RefusedError);
        expect(error.message).toContain(name);
        writeFileSync(path, good);
        await readBundle(join(dir, role), role);
      }
    }
  });

  it('weights that changed on disk after the bundle was read', async () => {
    const dir = await copy();
    const path = file('party1', 'masked.bin', dir);
    const bundle = await readBundle(join(dir, 'party1'), 'party1');
    const [name] = Object.entries(bundle.program.tensors).find(([, { role }]) => role === 'masked')!;
    const before = bundle.weight(name);
    const bytes = readFileSync(path);
    bytes[0]! ^= 1;
    writeFileSync(path, bytes);
    expect(() => bundle.weight(name)).toThrow(/masked\.bin: changed since it was read/);
    bytes[0]! ^= 1;
    writeFileSync(path, bytes);
    expect(equal(bundle.weight(name).F, before.F)).toBe(true);
    rmSync(path);
    expect(() => bundle.weight(name)).toThrow(RefusedError);
  });

  it('a missing file, a truncated manifest, another version, no bundle at all', async () => {
    const dir = await copy();
    rmSync(file('party1', 'corrections.bin', dir));
    expect((await refusal(readBundle(join(dir, 'party1'), 'party1'))).message).toContain('corrections.bin: missing');
    const manifest = file('client', 'manifest.json', dir);
    const text = readFileSync(manifest, 'utf8');
    writeFileSync(manifest, text.slice(0, -20));
    expect(await refusal(readBundle(join(dir, 'client'), 'client'))).toBeInstanceOf(RefusedError);
    writeFileSync(manifest, text.replace('"version": 1', '"version": 2'));
    expect((await refusal(readBundle(join(dir, 'client'), 'client'))).message).toContain('bundle version 2');
    writeFileSync(manifest, '{"a": 1}');
    expect(await refusal(readBundle(join(dir, 'client'), 'client'))).toBeInstanceOf(InputError);
    expect(await refusal(readBundle(join(work, 'nowhere'), 'client'))).toBeInstanceOf(InputError);
  });

  it('an existing folder; and a failed export leaves nothing behind', async () => {
    expect(await refusal(writeExport(out, tiny, options))).toBeInstanceOf(RefusedError);
    const before = readdirSync(work).toSorted();
    const broken = { ...tiny, tensors: new Map([...tiny.tensors].slice(1)) };
    await refusal(writeExport(join(work, 'broken'), broken, options));
    await refusal(writeExport(join(work, 'broken'), tiny, { ...options, tokenizerDir: join(work, 'nowhere') }));
    expect(existsSync(join(work, 'broken'))).toBe(false);
    expect(readdirSync(work).toSorted()).toEqual(before);
  });
});
