/** Contexts, session identifiers, keys and leaves against an independent program (test/vectors/runtime/sessions.py). */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { PeerError } from '../../common/errors.ts';
import type { Kind } from '../../protocol/gate.ts';
import { leaf } from '../../ring/prg-node.ts';
import { Secret } from '../../ring/secret.ts';
import { decodeSession, encodeSession, fields, fromHex, hex, parseFields, text, u32 } from '../../runtime/encoding.ts';
import { masterCheck, maskLabel, seededKeys, sessionContext, sessionId, sessionKey } from '../../runtime/keys.ts';
import { Transcript } from '../../runtime/transcript.ts';

interface Case {
  suite: string;
  lengths: number[];
  modelId: string;
  exportDigest: string;
  programDigest: string;
  certificates: Record<'party0' | 'party1' | 'assistant' | 'client', string>;
  nonces: Record<'client' | 'party0' | 'party1', string>;
  seed: string;
  master: string;
  session: string;
  ctx: string;
  sid: string;
  key: string;
  leaves: { gate: number; kind: Kind; n: number; length: number; leaf: string }[];
  check: string;
  rounds: [string, string][];
  transcript: string;
}

const file = join(import.meta.dirname, '../vectors/runtime/sessions.json');
const { cases } = JSON.parse(readFileSync(file, 'utf8')) as { cases: Case[] };
const bytesOf = <K extends string>(record: Record<K, string>): Record<K, Uint8Array> =>
  Object.fromEntries(Object.entries<string>(record).map(([k, v]) => [k, fromHex(v)])) as Record<K, Uint8Array>;
const sessionOf = (c: Case) => ({
  suite: c.suite,
  modelId: fromHex(c.modelId),
  exportDigest: fromHex(c.exportDigest),
  programDigest: fromHex(c.programDigest),
  lengths: c.lengths,
});

describe.each(cases)('sessions of $lengths tokens', (c) => {
  it('session fields, ctx and sid', () => {
    expect(hex(encodeSession(sessionOf(c)))).toBe(c.session);
    expect(decodeSession(fromHex(c.session), 'x')).toEqual(sessionOf(c));
    const ctx = sessionContext(sessionOf(c), bytesOf(c.certificates));
    expect(hex(ctx)).toBe(c.ctx);
    expect(hex(sessionId(ctx, bytesOf(c.nonces)))).toBe(c.sid);
  });

  it('session key and leaves', () => {
    const key = sessionKey(fromHex(c.sid), new Secret(fromHex(c.seed)));
    expect(hex(key.bytes)).toBe(c.key);
    for (const l of c.leaves) expect(hex(leaf(key, maskLabel(l.gate, l.kind, l.n, l.length)))).toBe(l.leaf);
  });

  it('check of a static seed, transcript hash', () => {
    expect(hex(masterCheck(fromHex(c.modelId), new Secret(fromHex(c.master))))).toBe(c.check);
    const transcript = new Transcript(fromHex(c.sid));
    for (const [a, b] of c.rounds) transcript.round(fromHex(a), fromHex(b));
    expect(hex(transcript.digest())).toBe(c.transcript);
  });

  it('every field of the session and every certificate changes ctx', () => {
    const base = sessionOf(c);
    const certificates = bytesOf(c.certificates);
    const flip = (b: Uint8Array) => b.map((v, i) => (i === 31 ? v ^ 1 : v));
    const variants = [
      { ...base, suite: `${base.suite}x` },
      { ...base, modelId: flip(base.modelId) },
      { ...base, exportDigest: flip(base.exportDigest) },
      { ...base, programDigest: flip(base.programDigest) },
      { ...base, lengths: [...base.lengths, 5] },
      { ...base, lengths: base.lengths.map((l) => l - 1) },
    ].map((s) => hex(sessionContext(s, certificates)));
    const others = (Object.keys(certificates) as (keyof typeof certificates)[]).map((role) =>
      hex(sessionContext(base, { ...certificates, [role]: flip(certificates[role]) })),
    );
    const swapped = { ...certificates, party0: certificates.party1, party1: certificates.party0 };
    const all = [c.ctx, ...variants, ...others, hex(sessionContext(base, swapped))];
    expect(new Set(all).size).toBe(all.length);
  });
});

describe('byte layout', () => {
  it('fields of other splits have other bytes, and are read back', () => {
    expect(hex(fields(text('ab'), text('c')))).not.toBe(hex(fields(text('a'), text('bc'))));
    expect(parseFields(fields(text('ab'), text('')), 2, 'x').map((f) => hex(f))).toEqual(['6162', '']);
  });

  it.each([
    ['cut', (b: Uint8Array) => b.subarray(0, b.length - 1)],
    ['with a byte more', (b: Uint8Array) => Uint8Array.from([...b, 0])],
    ['empty', () => new Uint8Array(0)],
    ['with a length beyond its end', (b: Uint8Array) => Uint8Array.from([...u32(2 ** 32 - 1), ...b.subarray(4)])],
  ])('refuses fields %s', (_, spoil) => {
    expect(() => parseFields(spoil(fields(text('ab'), text('c'))), 2, 'somebody')).toThrow(PeerError);
  });

  it('refuses another wire version', () => {
    const c = sessionOf(cases[0]!);
    const bytes = fields(text(c.suite), u32(2), c.modelId, c.exportDigest, c.programDigest, u32(1), u32(24));
    expect(() => decodeSession(bytes, 'party 1')).toThrow(/party 1 speaks another version/);
  });
});

it('secrets do not show', () => {
  const [key] = seededKeys('s', new Uint8Array(16));
  const shown = `${inspect(key)} ${JSON.stringify({ key })} ${String(key)} ${inspect({ deep: [key] }, { depth: 9, showHidden: true })}`;
  expect(shown).not.toContain(hex(key.bytes));
  expect(shown).not.toContain(String(key.bytes[0]) + ', ' + String(key.bytes[1]));
});
