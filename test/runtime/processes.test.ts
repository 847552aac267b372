/** The command on real processes and sockets: what people see when it works, and when one role is wrong, absent or dies. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { clientModel } from '../../runtime/client/ask.ts';
import { readBundle } from '../../export/bundle.ts';
import { loadIdentity } from '../../runtime/transport/identity.ts';
import { readDeployment, type Deployment } from '../../runtime/transport/deployment.ts';
import { connectParties } from '../../runtime/transport/client.ts';
import { HASH_BYTES } from '../../runtime/wire.ts';
import { untilInput } from '../support/served.ts';
import { endAll, Run, secureInfer, SECONDS, type Ended } from '../support/processes.ts';
import { exportSmall, farToken, SMALL_LABELS } from '../support/small-program.ts';

/** Child processes of a process, with their command lines. */
const childrenOf = (pid: number): { pid: number; command: string }[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
    .trim()
    .split(' ')
    .filter((child) => child !== '')
    .map((child) => ({ pid: Number(child), command: readFileSync(`/proc/${child}/cmdline`, 'utf8') }));

let root: string;
let bundles: string;
let otherBundles: string;
beforeAll(async () => {
  const [one, two] = await Promise.all([exportSmall(1), exportSmall(2)]);
  root = await mkdtemp(join(tmpdir(), 'processes-'));
  bundles = one.dir;
  otherBundles = two.dir;
});
afterEach(endAll);
afterAll(() =>
  Promise.all([root, dirname(bundles), dirname(otherBundles)].map((dir) => rm(dir, { recursive: true, force: true }))),
);

const TEXT = ['--text', 'the film is good'];

describe('a guarded program', () => {
  it('withholds one answer, gives the others, and repeats so with known masks', async () => {
    const { dir } = await exportSmall(1, SMALL_LABELS, { guarded: true, change: farToken });
    const file = join(root, 'guarded.txt');
    await writeFile(file, 'the film is good\nthe film is good !\nbad\n');
    const transcript = join(root, 'guarded-transcript');
    const { code, out, err } = await secureInfer('local', dir, '--file', file, '--json', '--seed', 'g', '--transcript', transcript); // prettier-ignore
    expect([code, err]).toEqual([0, expect.stringMatching(/2 texts answered, 1 withheld/)]);
    expect(err).toMatch(/1 of 3 answers was withheld: ask the provider/);
    const lines = out.trimEnd().split('\n').map((line) => JSON.parse(line)); // prettier-ignore
    expect(lines.map((line) => line.withheld === true)).toEqual([false, true, false]);
    expect(lines[1]).toEqual({ withheld: true, logits: [] });
    const alone = await secureInfer('local', dir, '--text', 'the film is good !');
    expect([alone.code, alone.out]).toEqual([3, 'withheld\n']);
    expect(alone.err).toMatch(/left the range this model was calibrated for/);
    const labelled = join(root, 'guarded.tsv');
    await writeFile(labelled, 'text\tlabel\nthe film is good\tpositive\nthe film is good !\tpositive\nbad\tnegative\n');
    const evaluated = await secureInfer('evaluate', dir, '--file', labelled, '--batch', '2', '--json');
    expect(JSON.parse(evaluated.out)).toMatchObject({
      path: 'secured',
      examples: 3,
      withheld: 1,
      withheldAt: ['line 3'],
    });
    await rm(dirname(dir), { recursive: true, force: true });
  });
});

describe('local', () => {
  it('answers a file in order, one JSON line a text, with what the sockets counted', async () => {
    const file = join(root, 'texts.txt');
    const texts = [
      'the film is good',
      'bad',
      'we liked it , not the plot .',
      'the story was dull and cold !',
      'it is fine',
    ];
    await writeFile(file, `${texts.join('\n')}\n`);
    const { code, out, err } = await secureInfer('local', bundles, '--file', file, '--json');
    expect(err).toMatch(/5 texts answered/);
    expect(code).toBe(0);
    const lines = out
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines.length).toBe(5);
    for (const [i, line] of lines.entries()) {
      expect(Object.keys(line)).toEqual(['label', 'probabilities', 'logits', 'rounds', 'sentBytes']);
      expect(Object.keys(line.probabilities)).toEqual(SMALL_LABELS);
      expect(SMALL_LABELS.indexOf(line.label)).toBe(line.logits.indexOf(Math.max(...line.logits)));
      expect(line.rounds).toBe(4);
      // Frames of one party to the other: hello, nonce, bind, input and check, and 4 rounds of 112 + 20 … packed words.
      const words = texts[i]!.split(' ').length + 2;
      const rounds = [30 * words * 16, 30 * words * 4, 20 * words * 4 + 0, 30 * 4];
      const opened =
        Math.ceil(rounds[0]! / 8) +
        Math.ceil(rounds[1]! / 8) +
        Math.ceil(rounds[2]! / 8) +
        Math.ceil((12 * words * 4) / 8) +
        Math.ceil(rounds[3]! / 8);
      expect(line.sentBytes).toBe(opened + 202 + 64 + 32 + 32 + 32 + 9 * 9);
    }
  });

  it('repeats with a seed, writes the opened words, and says that nothing is secret', async () => {
    const once = await secureInfer(
      'local',
      bundles,
      ...TEXT,
      '--json',
      '--seed',
      'x',
      '--transcript',
      join(root, 't1'),
    );
    const again = await secureInfer(
      'local',
      bundles,
      ...TEXT,
      '--json',
      '--seed',
      'x',
      '--transcript',
      join(root, 't2'),
    );
    const other = await secureInfer('local', bundles, ...TEXT, '--json', '--seed', 'y');
    expect([once.code, again.code, other.code]).toEqual([0, 0, 0]);
    expect(once.err).toMatch(/SECRECY IS OFF/);
    expect(again.out).toBe(once.out);
    const read = (dir: string, name: string): Promise<string> => readFile(join(root, dir, 'text-00000', name), 'utf8');
    expect(readdirSync(join(root, 't1', 'text-00000')).sort()).toEqual([
      'client.json',
      'party0.jsonl',
      'party1.jsonl',
      'rounding.jsonl',
    ]);
    for (const name of ['party0.jsonl', 'party1.jsonl', 'rounding.jsonl'])
      expect(await read('t1', name)).toBe(await read('t2', name));
    const opened = async (name: string): Promise<unknown[]> =>
      (await read('t1', name))
        .trimEnd()
        .split('\n')
        .map((line) => {
          const { round, gate, opened: sum } = JSON.parse(line);
          return [round, gate, sum];
        });
    expect(await opened('party0.jsonl')).toEqual(await opened('party1.jsonl'));
  });

  it('refuses a text over the limit, and cuts it where allowed', async () => {
    const long = ['--text', 'the film is good and warm and fine and very dull and cold'];
    const refused = await secureInfer('local', bundles, ...long);
    expect(refused.code).toBe(3);
    expect(refused.out).toBe('');
    expect(refused.err).toMatch(/--text: 15 tokens with the special ones, the model was calibrated for at most 12/);
    expect((await secureInfer('local', bundles, ...long, '--truncate')).code).toBe(0);
  });

  it.each([
    ['party0', 3],
    ['party1', 3],
    ['assistant', 3],
    ['client', 3],
  ] as const)('a bundle of another export at %s: one reason, code %i', async (role, code) => {
    const mixed = await mkdtemp(join(root, 'mixed-'));
    for (const r of ['party0', 'party1', 'assistant', 'client'])
      await cp(join(r === role ? otherBundles : bundles, r), join(mixed, r), { recursive: true });
    const start = Date.now();
    const ended = await secureInfer('local', mixed, ...TEXT);
    expect(ended.err).toMatch(/another export/);
    expect([ended.code, ended.out]).toEqual([code, '']);
    expect(Date.now() - start).toBeLessThan(SECONDS);
  });

  it('refuses a cut bundle by file name, and swapped ones', async () => {
    const cut = await mkdtemp(join(root, 'cut-'));
    await cp(bundles, cut, { recursive: true });
    const file = join(cut, 'party1', 'masked.bin');
    await writeFile(file, (await readFile(file)).subarray(0, 10));
    const ended = await secureInfer('local', cut, ...TEXT);
    expect(ended.code).toBe(3);
    expect(ended.err).toMatch(/masked\.bin/);
    expect(ended.err.match(/error:/g)?.length).toBe(1);
    const exchanged = await mkdtemp(join(root, 'exchanged-'));
    for (const [from, to] of [
      ['party0', 'assistant'],
      ['assistant', 'party0'],
      ['party1', 'party1'],
      ['client', 'client'],
    ] as const)
      await cp(join(bundles, from), join(exchanged, to), { recursive: true });
    const swapped = await secureInfer('local', exchanged, ...TEXT);
    expect(swapped.code).toBe(3);
    expect(swapped.err).toMatch(/bundle of/);
  });

  // Finds the roles' processes under /proc.
  const linux = it.runIf(existsSync(`/proc/${process.pid}/task`));
  linux.each(['party0', 'party1', 'assistant'])('ends as a whole within seconds when %s dies', async (victim) => {
    const file = join(root, 'many.txt');
    await writeFile(file, 'the film is good\n'.repeat(5000));
    const run = new Run(['local', bundles, '--file', file, '--json']);
    const deadline = Date.now() + SECONDS;
    while (run.out.split('\n').length < 5 && Date.now() < deadline)
      await new Promise((resolve) => setTimeout(resolve, 50));
    const children = childrenOf(run.child.pid!);
    expect(children.length).toBe(3);
    process.kill(children.find(({ command }) => command.includes(join(bundles, victim)))!.pid, 'SIGKILL');
    const begin = Date.now();
    const { code, err } = await run.ended;
    expect(code).toBe(4);
    expect(err).toMatch(/error: /);
    expect(Date.now() - begin).toBeLessThan(SECONDS);
    for (const { pid } of children) expect(existsSync(`/proc/${pid}`), `process ${pid}`).toBe(false);
    const answered = run.out.trimEnd().split('\n');
    expect(answered.length).toBeLessThan(5000);
    for (const line of answered) expect(() => JSON.parse(line)).not.toThrow();
  });

  it('answers pairs and regressions', async () => {
    const regression = await exportSmall(3, ['score']);
    try {
      const { code, out } = await secureInfer(
        'local',
        regression.dir,
        '--text',
        'the film',
        '--pair',
        'was fine',
        '--json',
      );
      expect(code).toBe(0);
      const line = JSON.parse(out);
      expect(Object.keys(line)).toEqual(['score', 'logits', 'rounds', 'sentBytes']);
      expect(line.logits).toEqual([line.score]);
    } finally {
      await rm(dirname(regression.dir), { recursive: true, force: true });
    }
    const { code, out } = await secureInfer('local', bundles, '--text', 'the film', '--pair', 'was fine', '--json');
    expect(code).toBe(0);
    expect(SMALL_LABELS).toContain(JSON.parse(out).label);
  });

  it('takes either a file or a text, and a file that exists', async () => {
    expect((await secureInfer('local', bundles)).code).toBe(2);
    expect((await secureInfer('local', bundles, '--file', join(root, 'absent.txt'))).code).toBe(2);
    expect((await secureInfer('local', join(root, 'nowhere'), ...TEXT)).code).toBe(2);
  });
});

describe('by hand', () => {
  let base = 0;
  /** Keys, and every role's bundle and key alone in a folder of its own. */
  async function deploy(): Promise<string> {
    const dir = await mkdtemp(join(root, 'deploy-'));
    const { code } = await secureInfer(
      'keygen',
      '--out',
      join(dir, 'keys'),
      '--port',
      String(23_000 + (process.pid % 1000) * 8 + 4 * (base++ % 2)),
    );
    expect(code).toBe(0);
    for (const role of ['party0', 'party1', 'assistant', 'client']) {
      await mkdir(join(dir, role));
      await cp(join(bundles, role), join(dir, role, 'bundle'), { recursive: true });
      await rename(join(dir, 'keys', role), join(dir, role, 'key'));
      await cp(join(dir, 'keys', 'deployment.json'), join(dir, role, 'deployment.json'));
    }
    return dir;
  }
  const args = (dir: string, role: string): string[] => {
    const home = join(dir, role);
    return [
      '--bundle',
      join(home, 'bundle'),
      '--keys',
      join(home, 'key'),
      '--deployment',
      join(home, 'deployment.json'),
    ];
  };
  const start = async (dir: string, role: 'party0' | 'party1' | 'assistant', ...extra: string[]): Promise<Run> => {
    const run = new Run([role === 'assistant' ? role : 'party', ...args(dir, role), '--patience', '2', ...extra], {
      cwd: join(dir, role),
    });
    await run.says(/ready on port/);
    return run;
  };
  const ask = (dir: string, ...extra: string[]): Promise<Ended> =>
    secureInfer('ask', ...args(dir, 'client'), '--patience', '2', ...TEXT, '--json', ...extra);

  it('four roles with nothing but their own folder answer, again and again, and end in good order', async () => {
    const dir = await deploy();
    const roles = await Promise.all([start(dir, 'party0'), start(dir, 'party1'), start(dir, 'assistant')]);
    for (let i = 0; i < 2; i++) {
      const { code, out } = await ask(dir);
      expect(code).toBe(0);
      expect(JSON.parse(out).rounds).toBe(4);
    }
    for (const role of roles) role.child.kill('SIGTERM');
    expect((await Promise.all(roles.map((role) => role.ended))).map((e) => e.code)).toEqual([0, 0, 0]);
  });

  it.each(['party0', 'party1', 'assistant'] as const)(
    'without %s: everybody says so within seconds, and the next session works',
    async (absent) => {
      const dir = await deploy();
      const present = (['party0', 'party1', 'assistant'] as const).filter((role) => role !== absent);
      const roles = await Promise.all(present.map((role) => start(dir, role)));
      const begin = Date.now();
      const { code, out, err } = await ask(dir);
      expect([code, out]).toEqual([4, '']);
      expect(err).toMatch(/error:/);
      if (absent === 'assistant')
        for (const role of roles)
          await role.says(/the assistant does not answer|gave the session up|left in the middle/);
      expect(Date.now() - begin).toBeLessThan(SECONDS);
      await start(dir, absent);
      expect((await ask(dir)).code).toBe(0);
      for (const role of roles) expect(role.child.exitCode).toBeNull();
    },
  );

  it('a party that dies in the middle: the other reports it, the client gets an empty failure, the next session works', async () => {
    const dir = await deploy();
    const [party0, party1] = await Promise.all([start(dir, 'party0'), start(dir, 'party1'), start(dir, 'assistant')]);
    const deployment: Deployment = await readDeployment(join(dir, 'client', 'deployment.json'));
    const identity = await loadIdentity(join(dir, 'client', 'key'));
    const bundle = await readBundle(join(dir, 'client', 'bundle'), 'client');
    const { session } = clientModel(bundle.manifest, bundle.client);
    const channels = await connectParties({ deployment, identity, timeout: 20_000, patience: 2_000 });
    await untilInput(channels, { session: { ...session, lengths: [5] }, reference: new Uint8Array(16), client: new Uint8Array(HASH_BYTES) }); // prettier-ignore
    const told = expect(channels[0].receive(['out'], 1000)).rejects.toThrow(/party 0 gave the session up/);
    party1!.child.kill('SIGKILL');
    await told;
    await party0!.says(/party 0: party 1 left in the middle/);
    for (const channel of channels) channel.close();
    await start(dir, 'party1');
    expect((await ask(dir)).code).toBe(0);
  });

  it('a key that the deployment file does not have is refused, both fingerprints named', async () => {
    const dir = await deploy();
    await secureInfer('keygen', '--out', join(dir, 'other'), '--role', 'client');
    const strange = await secureInfer('ask', '--bundle', join(dir, 'client/bundle'), '--keys', join(dir, 'other'), '--deployment', join(dir, 'client/deployment.json'), ...TEXT); // prettier-ignore
    expect([strange.code, strange.out]).toEqual([3, '']);
    expect(strange.err.match(/[0-9a-f]{64}/g)?.length).toBe(2);

    // A client whose own file pins itself, but which the parties do not know.
    const own = JSON.parse(await readFile(join(dir, 'client/deployment.json'), 'utf8'));
    const pin = strange.err.match(/its certificate is ([0-9a-f]{64})/)![1]!;
    await writeFile(join(dir, 'other.json'), JSON.stringify({ ...own, clients: [pin] }));
    const [party0] = await Promise.all([start(dir, 'party0'), start(dir, 'party1'), start(dir, 'assistant')]);
    const turned = await secureInfer('ask', '--bundle', join(dir, 'client/bundle'), '--keys', join(dir, 'other'), '--deployment', join(dir, 'other.json'), ...TEXT); // prettier-ignore
    expect(turned.code).toBe(4);
    await party0!.says(new RegExp(`${pin}.*${own.clients[0]}`));

    // A party that is not the pinned one.
    await writeFile(join(dir, 'wrong.json'), JSON.stringify({ ...own, party0: { ...own.party0, fingerprint: pin } }));
    const wrong = await secureInfer('ask', '--bundle', join(dir, 'client/bundle'), '--keys', join(dir, 'client/key'), '--deployment', join(dir, 'wrong.json'), ...TEXT); // prettier-ignore
    expect(wrong.code).toBe(3);
    expect(wrong.err).toMatch(new RegExp(`${own.party0.fingerprint}.*${pin}`));
  });

  it('a wrong role folder, a wrong key folder, a busy port and --seed end a server at once', async () => {
    const dir = await deploy();
    const home = (role: string, name: string): string => join(dir, role, name);
    const party = (bundle: string, key: string, ...extra: string[]): Promise<Ended> =>
      secureInfer(
        'party',
        '--bundle',
        bundle,
        '--keys',
        key,
        '--deployment',
        home('party0', 'deployment.json'),
        ...extra,
      );
    const role = await party(home('assistant', 'bundle'), home('party0', 'key'));
    expect(role.code).toBe(3);
    expect(role.err).toMatch(/bundle of the assistant, not of party 0/);
    const key = await party(home('party0', 'bundle'), home('party1', 'key'));
    expect(key.code).toBe(3);
    expect(key.err).toMatch(/not that of party 0/);
    const seed = await party(home('party0', 'bundle'), home('party0', 'key'), '--seed', '1');
    expect(seed.code).toBe(3);
    expect(seed.err).toMatch(/refused for serving/);

    const { party0 } = JSON.parse(await readFile(home('party0', 'deployment.json'), 'utf8'));
    const blocker = createServer();
    await new Promise<void>((resolve) => blocker.listen(Number(party0.clients.split(':')[1]), '127.0.0.1', resolve));
    const busy = await party(home('party0', 'bundle'), home('party0', 'key'));
    blocker.close();
    expect(busy.code).toBe(2);
    expect(busy.err).toMatch(/port is in use/);
    expect(busy.err.trimEnd().split('\n').length).toBe(2);
  });
});
