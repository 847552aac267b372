/** What the two sorts of server have in common: counting sessions, one line a failure, ending in good order. */
import { createHash } from 'node:crypto';
import { Failure } from '../../common/errors.ts';
import { checkProgram } from '../../protocol/resolve.ts';
import type { Program } from '../../protocol/program.ts';
import type { Manifest } from '../../export/bundle.ts';
import { fromHex, type SessionFields } from '../encoding.ts';
import type { Entropy } from '../keys.ts';
import type { Deployment } from '../transport/deployment.ts';
import type { Identity } from '../transport/identity.ts';
import type { Listener } from '../transport/tls.ts';

export interface RoleOptions {
  readonly identity: Identity;
  readonly deployment: Deployment;
  /** Milliseconds any message may take. */
  readonly timeout: number;
  /** Milliseconds to wait for another role to appear. */
  readonly patience: number;
  /** One line for people. Never a secret. */
  log(line: string): void;
  /** A session or a connection failed; told after `log`. */
  failed?(reason: Failure): void;
  /** The operating system's, unless a run must repeat (see `seededEntropy`). */
  readonly entropy?: Entropy;
}

export interface Running {
  readonly listeners: readonly Listener[];
  /** Stops listening, lets sessions end for `grace` milliseconds, then cuts them. */
  close(grace?: number): Promise<void>;
}

/** Sessions at once; more are turned away. */
export const MAX_SESSIONS = 64;

/** Sessions of one client at once, where a deployment has several. */
export const MAX_SESSIONS_OF_ONE = MAX_SESSIONS / 4;

/** Sessions under way at a server: a limit on their number, one line for each that fails. */
export class Sessions {
  readonly #options: RoleOptions;
  readonly #who: string;
  readonly #most: number;
  /** With whom each is. */
  readonly #running = new Map<Promise<void>, string>();

  constructor(who: string, options: RoleOptions, most = MAX_SESSIONS) {
    this.#who = who;
    this.#options = options;
    this.#most = most;
  }

  get full(): boolean {
    return this.#running.size >= this.#most;
  }

  /** How many are with `peer`. */
  of(peer: string): number {
    return [...this.#running.values()].filter((one) => one === peer).length;
  }

  /** Runs one session, with `peer`; its failure becomes one line, never the end of the server. */
  start(peer: string, serve: () => Promise<unknown>): void {
    const session: Promise<void> = serve()
      .then(
        () => {},
        (error: unknown) => this.report(error),
      )
      .finally(() => this.#running.delete(session));
    this.#running.set(session, peer);
  }

  report(error: unknown): void {
    const failure =
      error instanceof Failure
        ? error
        : new Failure(`bug: ${(error as Error).stack ?? String(error)}`, 'report it', 70);
    this.#options.log(`${this.#who}: ${failure.message} (${failure.hint})`);
    this.#options.failed?.(failure);
  }

  running(listeners: readonly Listener[]): Running {
    return {
      listeners,
      close: async (grace = 5_000) => {
        for (const listener of listeners) listener.stop();
        let timer: ReturnType<typeof setTimeout> | undefined;
        const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, grace)));
        await Promise.race([Promise.all(this.#running.keys()), late]);
        clearTimeout(timer);
        await Promise.all(listeners.map((listener) => listener.close()));
      },
    };
  }
}

/** The public fields of every session of a bundle. Checks the program once, before its first gate. */
export function sessionFields(manifest: Manifest, program: Program): Omit<SessionFields, 'lengths'> {
  checkProgram(program, (bytes) => createHash('sha256').update(bytes).digest('hex'));
  return {
    suite: manifest.suite,
    modelId: fromHex(manifest.modelId),
    exportDigest: fromHex(manifest.exportDigest),
    programDigest: fromHex(manifest.programDigest),
  };
}
