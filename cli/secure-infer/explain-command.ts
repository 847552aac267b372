/** `secure-infer explain`: the cost of a bundle's program, or of a named shape that nobody has trained yet. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { InvalidArgumentError, Option, type Command } from 'commander';
import { InputError } from '../../common/errors.ts';
import { ATTENTIONS, SHAPES, shapeConfig, shapePlan, shapeProgram, type Attention } from '../../export/shapes.ts';
import { parseProgram } from '../../protocol/codec.ts';
import { bucketOf } from '../../protocol/gates/padding.ts';
import type { Program } from '../../protocol/program.ts';
import { expectedSeconds, expectedTimes, explainProgram, type Explained, type Network, type Part, type Times } from './explain.ts'; // prettier-ignore
import { planOf, wholeNumber } from './options.ts';
import { bucketList } from '../bucket-list.ts';
import { onOutput } from '../ui/colour.ts';
import { bytes, counted, duration, large, resultLine } from '../ui/figures.ts';
import { table } from '../ui/table.ts';

interface Options extends Network {
  readonly shape?: string;
  readonly seq: number;
  readonly batch: number;
  readonly plan: string;
  readonly guard: boolean;
  readonly hideLength?: readonly number[];
  readonly softmaxAct?: Attention;
  readonly gates?: boolean;
  readonly json?: boolean;
}

const UNITS: Readonly<Record<string, number>> = { us: 1e-6, ms: 1e-3, s: 1, kbit: 1e3, Mbit: 1e6, Gbit: 1e9 };

/** `10ms`, `1Gbit`: a number with one of the units. */
const quantity =
  (...units: readonly string[]) =>
  (given: string): number => {
    const [, amount, unit] = /^([\d.]+) ?([a-zA-Z]+)$/.exec(given) ?? [];
    const value = Number(amount) * (units.includes(unit ?? '') ? UNITS[unit!]! : Number.NaN);
    if (!(value >= 0)) throw new InvalidArgumentError(`a number with one of ${units.join(', ')} is due.`);
    return value;
  };

async function bundleProgram(dir: string): Promise<Program> {
  const found = ['.', 'assistant', 'provider', 'party0', 'party1']
    .map((role) => join(dir, role, 'program.json'))
    .find(existsSync);
  if (found === undefined) throw new InputError(`${dir}: no program.json`, 'Give a folder that export-shares wrote.');
  return parseProgram(await readFile(found, 'utf8'), found);
}

/** The plan a bundle was exported with: the manifests of provider and client say so, where there is one. */
async function bundlePlan(dir: string): Promise<string | null> {
  for (const role of ['.', 'provider', 'client']) {
    const file = join(dir, role, 'manifest.json');
    if (!existsSync(file)) continue;
    let manifest: { plan?: unknown };
    try {
      manifest = JSON.parse(await readFile(file, 'utf8')) as { plan?: unknown };
    } catch {
      throw new InputError(`${file}: not JSON`, 'Give a folder that export-shares wrote.');
    }
    if (typeof manifest.plan === 'string') return manifest.plan;
  }
  return null;
}

async function explain(dir: string | undefined, options: Options): Promise<void> {
  const { shape, seq, batch, plan, guard, hideLength: buckets, softmaxAct, gates, json } = options;
  if ((dir === undefined) === (shape === undefined))
    throw new InputError('give either a bundle or --shape', `--shape is one of ${SHAPES.join(', ')}`);
  if (shape === undefined && buckets !== undefined)
    throw new InputError('--hide-length of a bundle', 'Its export decided that; give --shape, or export again.');
  if (shape === undefined && softmaxAct !== undefined)
    throw new InputError('--softmax-act of a bundle', 'Its student decided that; give --shape.');
  let program: Program;
  if (shape === undefined) program = await bundleProgram(dir!);
  else {
    const config = shapeConfig(shape, softmaxAct);
    program = shapeProgram(config, shapePlan(config, seq, { ...planOf(plan), guard, ...(buckets && { buckets }) }));
  }
  const length = bucketOf(seq, program.buckets);
  const explained = explainProgram(program, { lengths: new Array<number>(batch).fill(length), heads: program.heads });
  const times = expectedSeconds(explained, options);
  if (json) {
    const timed = (parts: readonly Part[]): object[] => parts.map((p) => ({ ...p, seconds: expectedTimes(p, options).seconds })); // prettier-ignore
    const { gates: every, layers, kinds, ...rest } = explained;
    const source =
      shape === undefined
        ? { bundle: dir, plan: await bundlePlan(dir!) }
        : { shape, plan, guard, ...(buckets && { buckets }), ...(softmaxAct && { softmaxAct }) };
    const parts = { layers: timed(layers), kinds: timed(kinds), ...(gates ? { gates: timed(every) } : {}) };
    process.stdout.write(`${JSON.stringify({ ...source, seq, batch, ...rest, ...parts, ...times })}\n`);
    return;
  }
  process.stdout.write(
    text(explained, times, options) + (program.buckets === undefined ? '' : hiding(program, explained, seq)),
  );
}

/** What hiding the length costs a text of `seq` tokens: the padding, and what depends on the number of tokens. */
function hiding(program: Program, { lengths, hiding: added }: Explained, seq: number): string {
  const { padding, keys, scaled, centred } = added!;
  const done = [...(scaled ? ['scaled by'] : []), ...(centred ? ['centred over'] : [])].join(' and ');
  const lines: [string, string][] = [
    ['lengths', `hidden inside buckets of ${program.buckets!.join(', ')} tokens:`],
    ['', `a text of ${seq} costs what one of ${lengths[0]} does`],
    ['padding factor', `${bytes(padding.sentBytes)} sent, ${bytes(padding.dealtBytes)} dealt; guards of token rows`],
    ['', 'have twice the tables'],
  ];
  if (keys !== undefined)
    lines.push(
      ['scores', `${done} a hidden number of tokens:`],
      ['', `${counted(keys.rounds, 'round')} more, ${bytes(keys.sentBytes)} sent, ${bytes(keys.dealtBytes)} dealt`],
    );
  return lines.map(([name, value]) => resultLine(name, value)).join('');
}

/** Layers of equal cost that follow each other share a line. */
function merged(parts: readonly Part[]): Part[] {
  const same = (a: Part, b: Part): boolean => JSON.stringify({ ...a, name: '' }) === JSON.stringify({ ...b, name: '' });
  const out: { first: Part; last: Part }[] = [];
  for (const part of parts) {
    const run = out.at(-1);
    if (run !== undefined && same(run.first, part)) run.last = part;
    else out.push({ first: part, last: part });
  }
  return out.map(({ first, last }) => (first === last ? first : { ...first, name: `${first.name} to ${last.name.split(' ')[1]}, each` })); // prettier-ignore
}

/** Head in bold, then the rows. */
function shownTable(title: string, columns: readonly string[], rows: readonly (readonly string[])[]): string {
  const [head, ...rest] = table([title, ...columns], rows);
  return `${onOutput.bold(head!)}\n${rest.join('\n')}\n`;
}

/** What parts send, compute and take. */
function costs(title: string, parts: readonly Part[], network: Network): string {
  return shownTable(
    title,
    ['rounds', 'sent', 'dealt', 'client', 'products', 'time'],
    parts.map((p) => [p.name, String(p.rounds || ''), bytes(p.sentBytes), bytes(p.dealtBytes), bytes(p.clientBytes), large(p.multiplyAdds), duration(expectedTimes(p, network).seconds)]), // prettier-ignore
  );
}

/** What parts hold in a party's memory. */
const memory = (parts: readonly Part[]): string =>
  shownTable(
    'memory of a party',
    ['gates', 'weights', 'wires at most'],
    parts.map((p) => [p.name, String(p.gates), bytes(p.weightBytes), bytes(p.wireBytes)]),
  );

function text(e: Explained, t: Times, options: Options): string {
  const { rtt, bandwidth, gates, shape } = options;
  const { party0, assistant } = e.ringMultiplyAdds;
  const layers = merged(e.layers);
  const lines: [string, string][] = [
    ['texts', `${e.lengths.length} of ${counted(e.lengths[0]!, 'token')}, suite ${e.suite}`],
    ...(shape === undefined ? [] : [['shape', `${shape}, with the ranges of an ordinary trained model`] as [string, string]]), // prettier-ignore
    ['rounds', onOutput.bold(String(e.rounds))],
    ['sent', `${onOutput.bold(bytes(e.sentBytesPerParty))} by each party; from the client to each ${bytes(e.clientBytes)}`],
    ['dealt', `${onOutput.bold(bytes(e.dealtBytes))} by the assistant to party 1`],
    ['products', `${large(party0)} a party, ${large(assistant)} the assistant`],
    ['time', `about ${onOutput.bold(duration(t.seconds))}, ${onOutput.bold(duration(t.onlineSeconds))} dealt ahead, at ${rtt * 1000} ms and ${bandwidth / 1e6} Mbit/s`],
  ]; // prettier-ignore
  return [
    costs('layer', layers, options),
    costs('kind of gate', e.kinds, options),
    ...(gates ? [costs('gate', e.gates, options)] : []),
    memory(layers),
    lines.map(([name, value]) => resultLine(name, value)).join(''),
  ].join('\n');
}

/** `explain`. */
export function addExplainCommand(program: Command): void {
  program
    .command('explain [bundle]')
    .description('What answering costs, by layer and by kind of gate: of a bundle, or of a shape without weights.')
    .option('--shape <name>', SHAPES.join(', '))
    .option('--seq <n>', 'tokens of every text', wholeNumber, 128)
    .option('--batch <n>', 'texts that share a session', wholeNumber, 1)
    .option('--plan <name>', 'scales and rings of a shape, as of export-shares', 'balanced')
    .option('--no-guard', 'a shape without guards (default: with)')
    .option(
      '--hide-length <sizes>',
      'a shape whose texts are padded to the next of these numbers of tokens, e.g. 32,64,128, as of export-shares (default: lengths are public)',
      bucketList,
    )
    .addOption(new Option('--softmax-act <name>', 'attention of a shape (default: 2quad)').choices(ATTENTIONS))
    .addOption(
      new Option('--rtt <time>', 'round trip between roles').argParser(quantity('us', 'ms', 's')).default(0.01, '10ms'),
    )
    .addOption(
      new Option('--bandwidth <rate>', 'each way').argParser(quantity('kbit', 'Mbit', 'Gbit')).default(1e9, '1Gbit'),
    )
    .option('--gates', 'also one line a gate')
    .option('--json', 'one JSON object')
    .addHelpText(
      'after',
      `
Examples:
  secure-infer explain bundles --seq 64
  secure-infer explain --shape bert-base --seq 100 --hide-length 64,128
  secure-infer explain --shape bert-base --seq 100 --hide-length 128 --softmax-act 2quad_centred
  secure-infer explain --shape bert-base --seq 128 --rtt 40ms --bandwidth 100Mbit --json
`,
    )
    .action(explain);
}
