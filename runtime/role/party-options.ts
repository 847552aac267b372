/** What a party serves, how it reaches the others, and who may look on. */
import type { Resolved } from '../../protocol/program.ts';
import type { Words } from '../../ring/index.ts';
import type { Channel } from '../channel.ts';
import type { PartyModel } from '../context.ts';
import type { Certificates, SessionFields } from '../encoding.ts';
import type { Opened } from '../execute.ts';
import type { Entropy } from '../keys.ts';
import type { BurntSids } from '../burnt-sids.ts';
import type { Counted, Hello } from '../wire.ts';
import type { StockUse } from './agreement.ts';
import type { Capacity } from './capacity.ts';

/** What a party serves. */
export interface ServedModel extends PartyModel {
  readonly session: Omit<SessionFields, 'lengths'>;
  /** HKDF(M_i, "smpc/check/1"). */
  readonly check: Uint8Array;
}

/** How a party reaches the others in one session. */
export interface Links {
  readonly client: Channel;
  /** SHA-256 of the certificate the client came with. */
  readonly clientCertificate: Uint8Array;
  /** Connects to the other party (or awaits it), sends `hello` and returns its hello: both name one session. */
  peer(hello: Hello): Promise<{ readonly channel: Channel; readonly hello: Hello }>;
  assistant(): Promise<Channel>;
}

/** What deterministic runs and tests may look at. */
export interface Watch {
  session?(reference: Uint8Array, lengths: readonly number[]): void;
  opened?(opened: Opened): void;
  rounding?(gate: Resolved, u: Words): void;
}

/** What measurements may know of a session: sizes and times, nothing it computes. */
export interface Observer {
  /** Everything that needs no input is done and in memory. */
  prepared?(): void;
  served?(report: SessionReport): void;
}

/** A session as a party counted it. */
export interface SessionReport extends Counted {
  /** Bits opened to the other party and, at party 1, dealt by the assistant: without headers and padding. */
  readonly openedBits: number;
  readonly dealtBits: number;
}

export interface PartyOptions {
  readonly certificates: Omit<Certificates, 'client'>;
  readonly entropy: Entropy;
  readonly burnt: BurntSids;
  readonly watch?: (reference: Uint8Array) => Watch;
  readonly observer?: Observer;
  /** Bytes of dealt words, and of work done ahead, that wait in memory. */
  readonly budget?: number;
  /** In place of `FAILURE_FLOOR`; 0 tells the client at once. */
  readonly failureFloor?: number;
  /** Shared by all sessions of a server; no limit if absent. */
  readonly capacity?: Capacity;
  /** Sessions are dealt ahead; live, by the assistant, if absent. */
  readonly stock?: StockUse;
}
