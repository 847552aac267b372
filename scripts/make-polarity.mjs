#!/usr/bin/env node
// Makes data/polarity/{train,dev,test}.tsv from the Sentence Polarity Dataset v1.0 as NLTK carries it
// (packages/corpora/sentence_polarity.zip of nltk_data): node scripts/make-polarity.mjs sentence_polarity.zip [OUT]
// Same input, same bytes: the split is the order of SHA-256(seed, sentence), so no generator has to be trusted.
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { inflateRawSync } from 'node:zlib';

const SOURCE_SHA256 = '6e1ed4405b65c7eabf1d199a7f7c437091ac21da0ea7467b410a74062574566b';
const SEED = 'polarity split 1';
const HELD_OUT = 1066;

const [zipFile, out = join(dirname(dirname(fileURLToPath(import.meta.url))), 'data', 'polarity')] =
  process.argv.slice(2);
if (zipFile === undefined) {
  process.stderr.write('usage: node scripts/make-polarity.mjs sentence_polarity.zip [OUT]\n');
  process.exit(2);
}
const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash('sha256')).digest('hex');

const zip = readFileSync(zipFile);
if (sha256(zip) !== SOURCE_SHA256) {
  process.stderr.write(`${zipFile}: SHA-256 is ${sha256(zip)}, expected ${SOURCE_SHA256}\n`);
  process.exit(2);
}

/** One member of the zip, by the central directory (stored or deflated; no zip64, no encryption in this file). */
function member(name) {
  let at = zip.readUInt32LE(zip.lastIndexOf('PK\x05\x06', undefined, 'latin1') + 16);
  while (zip.readUInt32LE(at) === 0x02014b50) {
    const nameLength = zip.readUInt16LE(at + 28);
    const next = at + 46 + nameLength + zip.readUInt16LE(at + 30) + zip.readUInt16LE(at + 32);
    if (zip.toString('utf8', at + 46, at + 46 + nameLength) === name) {
      const local = zip.readUInt32LE(at + 42);
      const start = local + 30 + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28);
      const body = zip.subarray(start, start + zip.readUInt32LE(at + 20));
      return zip.readUInt16LE(at + 10) === 8 ? inflateRawSync(body) : body;
    }
    at = next;
  }
  throw new Error(`${zipFile}: no member ${name}`);
}

// NLTK turned the original bytes into UTF-8 as if they were ISO-8859-1; they were Windows-1252, so its dashes and quotes
// became C1 control characters. This undoes it for the three that occur (TextDecoder of Node 20 does not: it takes
// windows-1252 for ISO-8859-1).
const WINDOWS_1252 = { '\u0091': '\u2018', '\u0096': '\u2013', '\u0097': '\u2014' };
const repaired = (text) =>
  text.replace(/[\u0080-\u009f]/g, (c) => {
    if (WINDOWS_1252[c] === undefined) throw new Error(`no replacement for ${JSON.stringify(c)} in: ${text}`);
    return WINDOWS_1252[c];
  });

/** Two snippets are the same sentence if their letters and digits are. */
const identity = (text) => text.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, '');

const groups = new Map();
let read = 0;
for (const [suffix, label] of [
  ['neg', 'negative'],
  ['pos', 'positive'],
]) {
  const bytes = member(`sentence_polarity/rt-polarity.${suffix}`);
  for (const line of new TextDecoder('utf-8', { fatal: true }).decode(bytes).split('\n')) {
    const sentence = repaired(line).replace(/\s+/g, ' ').trim();
    if (sentence === '') continue;
    read++;
    const key = identity(sentence);
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push({ sentence, label });
  }
}

// Of a repeated sentence the first is kept; one that has both labels says nothing and is dropped whole.
const kept = [];
for (const group of groups.values()) {
  if (new Set(group.map((row) => row.label)).size === 1) kept.push(group[0]);
}
const ordered = kept
  .map((row) => ({ ...row, rank: sha256(SEED, '\0', row.sentence) }))
  .toSorted((a, b) => (a.rank < b.rank ? -1 : a.rank > b.rank ? 1 : 0));

const parts = {
  test: ordered.slice(0, HELD_OUT),
  dev: ordered.slice(HELD_OUT, 2 * HELD_OUT),
  train: ordered.slice(2 * HELD_OUT),
};
mkdirSync(out, { recursive: true });
process.stdout.write(`${read} snippets read, ${ordered.length} kept\n`);
for (const [name, rows] of Object.entries(parts)) {
  const text = ['sentence\tlabel', ...rows.map((row) => `${row.sentence}\t${row.label}`), ''].join('\n');
  writeFileSync(join(out, `${name}.tsv`), text);
  const positive = rows.filter((row) => row.label === 'positive').length;
  process.stdout.write(
    `${name}: ${rows.length} (${rows.length - positive} negative, ${positive} positive) ${sha256(text)}\n`,
  );
}
