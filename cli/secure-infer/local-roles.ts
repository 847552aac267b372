/** Starts assistant, party 0 and party 1 as processes of this host, each given only its own bundle and key. */
import { spawn, type ChildProcess } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Failure, PeerError } from '../../common/errors.ts';
import { MAX_TOKENS } from '../../runtime/role/admission.ts';
import { MAX_SESSIONS } from '../../runtime/role/server.ts';
import { loadIdentity, type Identity } from '../../runtime/transport/identity.ts';
import type { Deployment } from '../../runtime/transport/deployment.ts';
import { packageFile } from '../ui/package.ts';
import { makeDeployment, type Ports } from './keygen.ts';
import type { Waits } from './options.ts';
import type { RoleMessage, ServedMessage, StartMessage } from './serve.ts';

const ROLES = ['assistant', 'party0', 'party1'] as const;
export type Role = (typeof ROLES)[number];
const NAMES: Readonly<Record<Role, string>> = { assistant: 'the assistant', party0: 'party 0', party1: 'party 1' };

/**
 * Three roles share the cores of one host: background threads of the garbage collector only get in their way (−30 % CPU). The heap
 * is small (20 MB; words and messages lie outside it), and V8 would begin a full collection whenever less than the new space is
 * left below its limit, which is always, were the limit not raised. The first line of `secure-infer` gives the same to roles started
 * by hand.
 */
export const NODE_FLAGS = ['--single-threaded-gc', '--max-semi-space-size=8', '--initial-old-space-size=128'];

/** Milliseconds a role may take to load its bundle, and to end when told to. */
const START = 120_000;
const END = 4_000;
/** Milliseconds to hear the roles' own reasons after a failure. */
const REASONS = 300;

export interface LocalOptions extends Waits {
  /** Folder with party0, party1, assistant, client. */
  readonly bundles: string;
  readonly start?: StartMessage;
  /** Lines of the roles. */
  log(line: string): void;
  /** Deals ahead for this deployment and returns the folder with each role's stock; awaited before the roles start. */
  stock?(deployment: Deployment, dir: string): Promise<string>;
  /** What a role reports where `start` asks it to measure. */
  told?(role: Role, message: ServedMessage): void;
}

interface Child {
  readonly role: Role;
  readonly process: ChildProcess;
  readonly ended: Promise<void>;
}

/** The three roles as child processes on this host, each given its own folder and key and nothing else. */
export class LocalRoles {
  readonly deployment: Deployment;
  readonly identity: Identity;
  readonly #dir: string;
  readonly #children: Child[] = [];
  readonly #reasons: Failure[] = [];
  #stopping = false;
  #fail!: (reason: Failure) => void;
  /** Rejects when a role ends by itself. */
  readonly failed: Promise<never>;

  private constructor(dir: string, deployment: Deployment, identity: Identity) {
    this.#dir = dir;
    this.deployment = deployment;
    this.identity = identity;
    this.failed = new Promise((_, reject) => (this.#fail = reject));
    this.failed.catch(() => {});
  }

  /** @throws Failure of the role that could not start */
  static async start(options: LocalOptions): Promise<LocalRoles> {
    const dir = await mkdtemp(join(tmpdir(), 'secure-infer-'));
    let roles: LocalRoles | undefined;
    try {
      const keys = join(dir, 'keys');
      const deployment = await makeDeployment(keys, '127.0.0.1', await freePorts());
      roles = new LocalRoles(dir, deployment, await loadIdentity(join(keys, 'client')));
      const stock = await options.stock?.(deployment, dir);
      await Promise.race([Promise.all(ROLES.map((role) => roles!.#spawn(role, options, stock))), roles.failed]);
      return roles;
    } catch (error) {
      if (roles === undefined) await rm(dir, { recursive: true, force: true });
      else {
        const reason = await roles.reason(error);
        await roles.stop();
        throw reason;
      }
      throw error;
    }
  }

  /** The best account of a failure: what a role says went wrong, rather than that somebody left. */
  async reason(error: unknown): Promise<unknown> {
    if (!(error instanceof PeerError)) return error;
    await new Promise((done) => setTimeout(done, REASONS));
    return this.#reasons.find((reason) => !(reason instanceof PeerError) && reason.exitCode !== 4) ?? error;
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    for (const { process: child } of this.#children) child.kill('SIGTERM');
    const late = setTimeout(() => {
      for (const { process: child } of this.#children) child.kill('SIGKILL');
    }, END);
    await Promise.all(this.#children.map(({ ended }) => ended));
    clearTimeout(late);
    await rm(this.#dir, { recursive: true, force: true });
  }

  /** Process ids by role (tests). */
  get pids(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#children.map(({ role, process: child }) => [role, child.pid!]));
  }

  async #spawn(role: Role, options: LocalOptions, stock: string | undefined): Promise<void> {
    // A folder of its own for each role: its key, the deployment file, and nothing of the others.
    const home = join(this.#dir, role);
    await mkdir(home, { mode: 0o700 });
    const keys = join(this.#dir, 'keys');
    for (const file of ['key.pem', 'cert.pem']) await copyFile(join(keys, role, file), join(home, file));
    await copyFile(join(keys, 'deployment.json'), join(home, 'deployment.json'));
    const args = [
      ...[role === 'assistant' ? 'assistant' : 'party', '--local'],
      ...['--bundle', resolve(options.bundles, role), '--keys', home, '--deployment', join(home, 'deployment.json')],
      ...['--timeout', String(options.timeout / 1000), '--patience', String(options.patience / 1000)],
      // Their only client is whoever started them.
      ...(role === 'assistant' ? [] : ['--max-tokens', String(MAX_SESSIONS * MAX_TOKENS)]),
      ...(stock === undefined ? [] : ['--stock', join(stock, role)]),
    ];
    const child = spawn(
      process.execPath,
      [...process.execArgv, ...NODE_FLAGS, packageFile('dist/cli/secure-infer.js'), ...args],
      {
        cwd: home,
        stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      },
    );
    const ended = new Promise<void>((done) => {
      child.once('close', () => done());
      child.once('error', () => done());
    });
    this.#children.push({ role, process: child, ended });
    this.#forward(child, options.log);
    await new Promise<void>((ready, reject) => {
      const timer = setTimeout(
        () => reject(new PeerError(`${NAMES[role]} was not ready within ${START / 1000} s`, 'see its lines above')),
        START,
      );
      child.on('message', (message: RoleMessage) => {
        if (message.kind === 'ready') {
          clearTimeout(timer);
          ready();
        } else if (message.kind !== 'failed') options.told?.(role, message);
        else this.#reasons.push(new Failure(message.message, message.hint, message.exitCode));
      });
      child.once('error', (error) =>
        this.#fail(new PeerError(`${NAMES[role]} could not be started: ${error.message}`, 'run `npm ci` again')),
      );
      child.once('close', (code, signal) => {
        clearTimeout(timer);
        if (this.#stopping) return;
        const own = this.#reasons.at(-1);
        const how = signal === null ? `exit code ${code}` : signal;
        this.#fail(own ?? new PeerError(`${NAMES[role]} ended (${how})`, 'see its lines above'));
      });
      child.send(options.start ?? {}, (error) => {
        if (error) reject(new PeerError(`${NAMES[role]} ended at once`, 'see its lines above'));
      });
    });
  }

  #forward(child: ChildProcess, log: (line: string) => void): void {
    let rest = '';
    child.stderr!.setEncoding('utf8').on('data', (chunk: string) => {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop()!;
      for (const line of lines) if (!this.#stopping) log(line);
    });
  }
}

/** Four ports nobody listens on now. */
async function freePorts(): Promise<Ports> {
  const servers = await Promise.all(
    [0, 1, 2, 3].map(
      () =>
        new Promise<ReturnType<typeof createServer>>((done, reject) => {
          const server = createServer().once('error', reject);
          server.listen(0, '127.0.0.1', () => done(server));
        }),
    ),
  );
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))));
  return ports as unknown as Ports;
}
