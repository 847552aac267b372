/** Dealing ahead with the command, on real processes: ordinary use, parties killed between burning and sending, a restored folder. */
import { readdirSync } from 'node:fs';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { readBundle } from '../../export/bundle.ts';
import { clientModel } from '../../runtime/client/ask.ts';
import { connectParties } from '../../runtime/transport/client.ts';
import { readDeployment } from '../../runtime/transport/deployment.ts';
import { loadIdentity } from '../../runtime/transport/identity.ts';
import { encodeHello, HANDSHAKE_LIMIT, HASH_BYTES } from '../../runtime/wire.ts';
import { endAll, Run, secureInfer, SECONDS, type Ended } from '../support/processes.ts';
import { exportSmall, type SmallExport } from '../support/small-program.ts';

const SERVERS = ['party0', 'party1', 'assistant'] as const;
type Server = (typeof SERVERS)[number];
/** Six tokens with [CLS] and [SEP]. */
const TEXT = ['--text', 'the film is good'];
const LENGTH = 6;

let small: SmallExport;
let root: string;
let ports = 0;
beforeAll(async () => {
  small = await exportSmall(1);
  root = await mkdtemp(join(tmpdir(), 'stock-processes-'));
});
afterEach(endAll);
afterAll(() => Promise.all([root, dirname(small.dir)].map((dir) => rm(dir, { recursive: true, force: true }))));

/** A deployment of its own ports, with `count` deals for texts of LENGTH tokens in each role's stock. */
class Site {
  readonly dir: string;

  constructor(dir: string) {
    this.dir = dir;
  }

  static async make(count: number): Promise<Site> {
    const dir = await mkdtemp(join(root, 'site-'));
    const port = 10_000 + (process.pid % 1000) * 12 + 4 * ports++;
    expect((await secureInfer('keygen', '--out', join(dir, 'keys'), '--port', String(port))).code).toBe(0);
    const site = new Site(dir);
    await site.deal(count);
    return site;
  }

  deal(count: number, ...extra: string[]): Promise<Ended> {
    return secureInfer('deal', '--bundle', join(small.dir, 'assistant'), '--deployment', join(this.dir, 'keys/deployment.json'), '--lengths', String(LENGTH), '--count', String(count), '--out', join(this.dir, 'stock'), '--json', ...extra); // prettier-ignore
  }

  async start(role: Server, ...extra: string[]): Promise<Run> {
    const command = role === 'assistant' ? role : 'party';
    const run = new Run([command, '--bundle', join(small.dir, role), '--keys', join(this.dir, 'keys', role), '--patience', '2', '--stock', join(this.dir, 'stock', role), ...extra]); // prettier-ignore
    await run.says(/ready on port/);
    return run;
  }

  ask(...text: string[]): Promise<Ended> {
    return secureInfer('ask', '--bundle', join(small.dir, 'client'), '--keys', join(this.dir, 'keys/client'), '--patience', '2', '--json', ...text); // prettier-ignore
  }

  files(role: Server, folder: 'deals' | 'burned'): string[] {
    return readdirSync(join(this.dir, 'stock', role, folder)).toSorted();
  }
}

const until = async (reached: () => boolean): Promise<void> => {
  const deadline = Date.now() + SECONDS;
  while (!reached()) {
    if (Date.now() > deadline) throw new Error('never happened');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
};

describe('secure-infer deal', () => {
  it('says beforehand how much it is, deals that much, and the roles answer from it', async () => {
    const site = await Site.make(1);
    const planned = JSON.parse((await site.deal(2, '--dry-run')).out);
    const { code, out, err } = await site.deal(2);
    expect(code).toBe(0);
    const dealt = JSON.parse(out);
    expect(dealt).toMatchObject(planned);
    expect(err).toMatch(/2 deals: .* dealt, at most .* on disk/);
    expect(dealt.fileBytes).toBeGreaterThan(dealt.dealtBytes);
    expect(dealt.fileBytes).toBeLessThanOrEqual(dealt.mostFileBytes);

    const [party0, party1] = await Promise.all(SERVERS.map((role) => site.start(role)));
    expect(party0!.err).toMatch(/party 0: dealt ahead: 3 of 6 tokens/);
    for (let i = 0; i < 2; i++) expect((await site.ask(...TEXT)).code).toBe(0);
    // Dealt while the roles run.
    await site.deal(1);
    for (let i = 0; i < 2; i++) expect((await site.ask(...TEXT)).code).toBe(0);
    for (const role of SERVERS) {
      expect(site.files(role, 'deals')).toEqual([]);
      expect(site.files(role, 'burned').length).toBe(4);
    }
    const empty = await site.ask(...TEXT);
    expect([empty.code, empty.out]).toEqual([4, '']);
    await party1!.says(/party 1: nothing is dealt ahead, at both parties, for a text of 6 tokens/);
  });

  it('deals for a session of texts of several lengths, in their order', async () => {
    const site = await Site.make(1);
    const { code, out, err } = await site.deal(1, '--lengths', '6+3,6+3,4');
    expect(code, err).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ deals: 2, sessions: [[6, 3], [4]] });
    const [party0] = await Promise.all(SERVERS.map((role) => site.start(role)));
    for (const lengths of ['6\\+3', '6', '4'])
      expect(party0!.err).toMatch(new RegExp(`party 0: dealt ahead: .*\\b1 of ${lengths} tokens`));
    const two = join(site.dir, 'two.txt');
    await writeFile(two, 'dull\nthe film is good\n');
    // Three tokens before six: another session.
    expect((await site.ask('--file', two, '--batch', '2')).code).toBe(4);
    await writeFile(two, 'the film is good\ndull\n');
    const asked = await site.ask('--file', two, '--batch', '2');
    expect(asked.code, asked.err).toBe(0);
    expect(site.files('party1', 'burned').length).toBe(1);
  });

  it('--live deals for other texts while they wait, and says so', async () => {
    const site = await Site.make(1);
    const [party0, party1] = await Promise.all([site.start('party0', '--live'), site.start('party1', '--live'), site.start('assistant')]); // prettier-ignore
    expect((await site.ask('--text', 'dull')).code).toBe(0);
    for (const [i, party] of [party0, party1].entries())
      await party!.says(new RegExp(`party ${i}: nothing dealt ahead for 3 tokens: dealt live`));
    expect(site.files('party1', 'deals').length).toBe(1);
  });

  it('refuses lengths the model does not serve, a folder that is no stock, and --live alone', async () => {
    const site = await Site.make(1);
    const long = await site.deal(1, '--lengths', '6,13');
    expect([long.code, long.out]).toEqual([2, '']);
    expect(long.err).toMatch(/--lengths 13: the model was calibrated for 2 to 12 tokens/);
    for (const [flags, message] of [
      [['--lengths', '6+13'], /--lengths 13: the model was calibrated/],
      [['--lengths', '6+3', '--batch', '2'], /--lengths 6\+3 with --batch 2/],
      [['--lengths', new Array(65).fill(6).join('+')], /65 texts of 390 tokens in one session/],
      [['--lengths', '6+'], /like 16,24-26,16\+24/],
    ] as const) {
      const wrong = await site.deal(1, ...flags);
      expect([wrong.code, wrong.out]).toEqual([2, '']);
      expect(wrong.err).toMatch(message);
    }
    const party = (...extra: string[]): Promise<Ended> => secureInfer('party', '--bundle', join(small.dir, 'party0'), '--keys', join(site.dir, 'keys/party0'), ...extra); // prettier-ignore
    const nowhere = await party('--stock', join(site.dir, 'nowhere'));
    expect(nowhere.code).toBe(2);
    expect(nowhere.err).toMatch(/no folder of deals/);
    const alone = await party('--live');
    expect(alone.code).toBe(2);
    expect(alone.err).toMatch(/--live goes with --stock/);
  });
});

describe('local --ahead', () => {
  it('deals for every session of its texts, batches of any lengths too, and answers from that alone', async () => {
    const file = join(root, 'texts.txt');
    await writeFile(file, 'the film is good\nbad\nwe liked it\nit is fine\ndull\n');
    const { code, out, err } = await secureInfer('local', small.dir, '--file', file, '--ahead', '--batch', '2', '--json'); // prettier-ignore
    expect(code).toBe(0);
    expect(err).toMatch(/3 sessions dealt ahead/);
    for (const party of [0, 1]) expect(err).toMatch(new RegExp(`party ${party}: dealt ahead: 1 of .* tokens, 1 of .* tokens, 1 of .* tokens`)); // prettier-ignore
    expect(err).not.toMatch(/dealt live/);
    const lines = out.trimEnd().split('\n').map((line) => JSON.parse(line)); // prettier-ignore
    expect(lines.map(({ texts }) => texts)).toEqual([2, 2, 2, 2, undefined]);
    const live = await secureInfer('local', small.dir, '--file', file, '--json');
    // Fresh masks round afresh, see batch.test.ts.
    live.out
      .trimEnd()
      .split('\n')
      .forEach((line, i) => {
        (JSON.parse(line).logits as number[]).forEach((v, j) => expect(Math.abs(v - lines[i].logits[j])).toBeLessThan(0.05)); // prettier-ignore
      });
    const seeded = await secureInfer('local', small.dir, ...TEXT, '--ahead', '--seed', '1');
    expect([seeded.code, seeded.out]).toEqual([2, '']);
  });
});

describe('parties killed between burning a deal and the first message made of it', () => {
  it('come back, leave it burnt, and answer with the next; a folder restored from before is discarded', async () => {
    const site = await Site.make(3);
    const before = join(site.dir, 'before');
    await cp(join(site.dir, 'stock'), before, { recursive: true });
    const [party0, party1, assistant] = await Promise.all(SERVERS.map((role) => site.start(role)));

    const deployment = await readDeployment(join(site.dir, 'keys/deployment.json'));
    const identity = await loadIdentity(join(site.dir, 'keys/client'));
    const { manifest, client } = await readBundle(join(small.dir, 'client'), 'client');
    const channels = await connectParties({ deployment, identity, timeout: SECONDS, patience: 2_000 });
    const session = { ...clientModel(manifest, client).session, lengths: [LENGTH] };
    const hello = encodeHello({ session, reference: new Uint8Array(16), client: new Uint8Array(HASH_BYTES) });
    await Promise.all(
      channels.map(async (channel) => {
        await channel.send('hello', hello);
        await channel.receive(['hello'], HANDSHAKE_LIMIT);
      }),
    );
    // The assistant is connected by now and does not move: both parties burn, and wait for its seeds.
    assistant!.child.kill('SIGSTOP');
    await Promise.all(channels.map((channel) => channel.send('nonce', new Uint8Array(HASH_BYTES))));
    await until(() => (['party0', 'party1'] as const).every((role) => site.files(role, 'deals').length === 2));
    const [killed] = site.files('party0', 'burned');
    expect(site.files('party1', 'burned')).toEqual([killed]);
    party0!.child.kill('SIGKILL');
    party1!.child.kill('SIGKILL');
    await Promise.all([party0!.ended, party1!.ended]);
    for (const channel of channels) channel.close();
    assistant!.child.kill('SIGCONT');

    let parties = await Promise.all([site.start('party0'), site.start('party1')]);
    expect((await site.ask(...TEXT)).code).toBe(0);
    for (const role of ['party0', 'party1'] as const) {
      const burned = site.files(role, 'burned');
      expect(burned.length).toBe(2);
      expect(burned).toContain(killed);
      expect(site.files(role, 'deals').length).toBe(1);
    }

    // A copy of party 0's folder from before all this.
    parties[0]!.child.kill('SIGTERM');
    await parties[0]!.ended;
    await rm(join(site.dir, 'stock/party0'), { recursive: true });
    await cp(join(before, 'party0'), join(site.dir, 'stock/party0'), { recursive: true });
    const restored = await site.start('party0');
    const refused = await site.ask(...TEXT);
    expect([refused.code, refused.out]).toEqual([4, '']);
    await restored.says(
      /older copy of one that was used since \(restored from a backup\?\): its 3 deals were discarded/,
    );
    expect(site.files('party0', 'deals')).toEqual([]);
    await site.deal(1);
    expect((await site.ask(...TEXT)).code).toBe(0);
  });
});
