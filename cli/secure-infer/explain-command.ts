/** `secure-infer explain`: the cost of a bundle's program, or of a named shape that nobody has trained yet. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { InvalidArgumentError, type Command } from 'commander';
import { InputError } from '../../common/errors.ts';
import { SHAPES, shapeConfig, shapePlan, shapeProgram } from '../../export/shapes.ts';
import { parseProgram } from '../../protocol/codec.ts';
import type { Program } from '../../protocol/program.ts';
import { expectedSeconds, explainProgram, type Explained, type Network, type Part, type Times } from './explain.ts';
import { planOf, wholeNumber } from './options.ts';
import { onOutput } from '../ui/colour.ts';

interface Options extends Network {
  readonly shape?: string;
  readonly seq: number;
  readonly batch: number;
  readonly plan: string;
  readonly guard: boolean;
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

async function explain(dir: string | undefined, options: Options): Promise<void> {
  const { shape, seq, batch, plan, guard, gates, json } = options;
  if ((dir === undefined) === (shape === undefined))
    throw new InputError('give either a bundle or --shape', `--shape is one of ${SHAPES.join(', ')}`);
  let program: Program;
  if (shape === undefined) program = await bundleProgram(dir!);
  else {
    const config = shapeConfig(shape);
    program = shapeProgram(config, shapePlan(config, seq, { ...planOf(plan), guard }));
  }
  const explained = explainProgram(program, { lengths: new Array<number>(batch).fill(seq), heads: program.heads });
  const times = expectedSeconds(explained, options);
  if (json) {
    const { gates: every, ...rest } = explained;
    const source = shape === undefined ? { bundle: dir } : { shape, plan, guard };
    process.stdout.write(`${JSON.stringify({ ...source, seq, batch, ...rest, ...(gates ? { gates: every } : {}), ...times })}\n`); // prettier-ignore
    return;
  }
  process.stdout.write(text(explained, times, options));
}

const size = (amount: number): string =>
  amount === 0 ? '' : amount < 1e6 ? `${(amount / 1e3).toFixed(1)} kB` : `${(amount / 1e6).toFixed(2)} MB`;
const millions = (count: number): string => (count === 0 ? '' : `${(count / 1e6).toFixed(1)} M`);

function table(title: string, parts: readonly Part[]): string {
  const cells = (p: Part): string[] => [p.name, String(p.gates), String(p.rounds || ''), size(p.sentBytes), size(p.dealtBytes), size(p.clientBytes), millions(p.multiplyAdds), size(p.weightBytes), size(p.wireBytes)]; // prettier-ignore
  const head = [title, 'gates', 'rounds', 'sent', 'dealt', 'from client', 'products', 'weights', 'wires'];
  const line = ([first, ...rest]: readonly string[]): string =>
    `${first!.padEnd(16)}${rest.map((c) => c.padStart(12)).join('')}\n`;
  return onOutput.bold(line(head)) + parts.map((p) => line(cells(p))).join('');
}

function text(e: Explained, t: Times, { rtt, bandwidth, gates, shape }: Options): string {
  const { party0, assistant } = e.ringMultiplyAdds;
  const texts = `${e.lengths.length} text${e.lengths.length === 1 ? '' : 's'} of ${e.lengths[0]} tokens`;
  return [
    table('layer', e.layers),
    table('kind of gate', e.kinds),
    ...(gates ? [table('gate', e.gates)] : []),
    `${texts}, suite ${e.suite}${shape === undefined ? '' : `, shape ${shape} with the ranges of an ordinary trained model`}\n`,
    `${onOutput.bold(`${e.rounds} rounds`)}; sent by each party ${onOutput.bold(size(e.sentBytesPerParty))}; dealt ${onOutput.bold(size(e.dealtBytes))}; from the client to each party ${size(e.clientBytes)}\n`,
    `products: ${millions(party0)} a party, ${millions(assistant)} the assistant; weights in a party’s memory ${size(e.weightBytes)}\n`,
    `round trip ${rtt * 1000} ms, ${bandwidth / 1e6} Mbit/s: about ${onOutput.bold(`${t.seconds.toFixed(2)} s`)} with dealing, ${onOutput.bold(`${t.onlineSeconds.toFixed(2)} s`)} dealt ahead\n`,
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
    .option('--no-guard', 'a shape without guards')
    .option('--rtt <time>', 'round trip between roles', quantity('us', 'ms', 's'), 0.01)
    .option('--bandwidth <rate>', 'each way', quantity('kbit', 'Mbit', 'Gbit'), 1e9)
    .option('--gates', 'also one line a gate')
    .option('--json', 'one JSON object')
    .addHelpText(
      'after',
      `
Examples:
  secure-infer explain bundles --seq 64
  secure-infer explain --shape bert-base --seq 128 --rtt 40ms --bandwidth 100Mbit --json
`,
    )
    .action(explain);
}
