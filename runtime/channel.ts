/** Ordered frames between two roles: what the session logic needs of a transport, and the in-memory one. */
import type { Failure } from '../common/errors.ts';
import { PeerError } from '../common/errors.ts';
import { Receiver } from './receiver.ts';

/** Every sort of frame; the numbers are part of the wire format. */
export const FRAME = {
  hello: 1, nonce: 2, bind: 3, open: 4, seed: 5, deal: 6, leaves: 7, input: 8, round: 9, check: 10, out: 11, failed: 12,
  claim: 13, stale: 14,
} as const; // prettier-ignore
export type FrameType = keyof typeof FRAME;
const NAMES = new Map(Object.entries(FRAME).map(([name, type]) => [type as number, name as FrameType]));

/** u32 payload length, u8 type, u32 number of the frame in its direction. */
export const HEADER_BYTES = 9;

export interface Frame {
  readonly type: FrameType;
  readonly payload: Uint8Array;
}

/** Counted where frames are handed to the transport: header and payload. */
export interface Traffic {
  sentBytes: number;
  receivedBytes: number;
  /** Frames of type `round` sent. */
  sentRounds: number;
}

export interface Channel {
  /** Who is at the other end, for messages: `party 1`, `the assistant`, `the client`. */
  readonly peer: string;
  readonly traffic: Traffic;
  /** Resolves when the transport is ready for more, and `payload` may be overwritten. */
  send(type: FrameType, payload: Uint8Array): Promise<void>;
  /**
   * The next frame, which must be one of `types` with at most `limit` bytes: checked before a byte of it is allocated. A
   * `failed` frame, another type, a lost or repeated frame, a close or a time-out throws PeerError. A large payload is lent: the
   * receiver may give it back (`buffers.ts`) when it has read it.
   */
  receive(types: readonly FrameType[], limit: number): Promise<Frame>;
  /** Resolves, never rejects, when the channel has ended, with the reason. */
  readonly closed: Promise<Failure>;
  close(): void;
}

/** The next frame's payload, of exactly `bytes` bytes where given. */
export async function expect(channel: Channel, type: FrameType, bytes: number): Promise<Uint8Array> {
  const { payload } = await channel.receive([type], bytes);
  if (payload.length !== bytes) {
    throw new PeerError(
      `${channel.peer} sent a ${type} message of ${payload.length} bytes, expected ${bytes}`,
      'run the same version and export everywhere',
    );
  }
  return payload;
}

/** Nothing more is due of the peer but to hang up: resolves when it has, or when it has taken as long as a message may. */
export const farewell = (channel: Channel): Promise<void> =>
  channel.receive([], 0).then(
    () => {},
    () => {},
  );

/** Header of a frame: u32 length, u8 type, u32 sequence number. */
export function encodeHeader(type: FrameType, sequence: number, length: number): Uint8Array {
  const header = new Uint8Array(HEADER_BYTES);
  const view = new DataView(header.buffer);
  view.setUint32(0, length);
  header[4] = FRAME[type];
  view.setUint32(5, sequence);
  return header;
}

/** Checks a header against what is awaited. Returns type and payload length. */
export function decodeHeader(
  header: Uint8Array,
  sequence: number,
  types: readonly FrameType[],
  limit: number,
  peer: string,
): { type: FrameType; length: number } {
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength);
  const length = view.getUint32(0);
  const type = NAMES.get(header[4]!);
  const broken = (what: string): PeerError =>
    new PeerError(`${peer} broke the protocol: ${what}`, 'the session is over; ask again');
  if (view.getUint32(5) !== sequence) throw broken(`frame ${view.getUint32(5)} where ${sequence} was due`);
  if (type === 'failed') throw new PeerError(`${peer} gave the session up`, `see what ${peer} reported`);
  if (type === undefined || !types.includes(type))
    throw broken(`a ${type ?? 'unknown'} message where ${types.join(' or ')} was due`);
  if (length > limit) throw broken(`a ${type} message of ${length} bytes, at most ${limit} allowed`);
  return { type, length };
}

export const left = (peer: string): PeerError =>
  new PeerError(`${peer} left in the middle of the session`, `see what ${peer} reported, then ask again`);

/** What a peer may send before anybody awaits it. */
export interface Unread {
  readonly messages: number;
  readonly bytes: number;
}

/** A channel over any transport of whole messages (WebSocket, memory). Each message is one frame with its header. */
export class MessageChannel implements Channel {
  readonly peer: string;
  readonly traffic: Traffic = { sentBytes: 0, receivedBytes: 0, sentRounds: 0 };
  readonly closed: Promise<Failure>;
  #transmit: (message: Uint8Array) => Promise<void> | void;
  #end: () => void;
  #queue: Uint8Array[] = [];
  readonly #receiver: Receiver;
  #failure: Failure | undefined;
  #ended!: (reason: Failure) => void;
  #sent = 0;
  #received = 0;
  /** Nothing that still comes is read. */
  #deaf = false;
  readonly #unread: Unread;

  /** `timeout` in milliseconds bounds every `receive`; more than `unread` that nobody awaits ends the channel. */
  constructor(
    peer: string,
    timeout: number,
    transmit: (message: Uint8Array) => Promise<void> | void,
    end: () => void,
    unread: Unread = { messages: Number.POSITIVE_INFINITY, bytes: Number.POSITIVE_INFINITY },
  ) {
    this.peer = peer;
    this.#unread = unread;
    this.#receiver = new Receiver(peer, timeout, (reason) => this.fail(reason));
    this.#transmit = transmit;
    this.#end = end;
    this.closed = new Promise((resolve) => (this.#ended = resolve));
  }

  async send(type: FrameType, payload: Uint8Array): Promise<void> {
    if (this.#failure) throw this.#failure;
    const message = new Uint8Array(HEADER_BYTES + payload.length);
    message.set(encodeHeader(type, this.#sent++, payload.length));
    message.set(payload, HEADER_BYTES);
    this.traffic.sentBytes += message.length;
    if (type === 'round') this.traffic.sentRounds++;
    await this.#transmit(message);
  }

  receive(types: readonly FrameType[], limit: number): Promise<Frame> {
    return this.#receiver.receive(types, limit, () => this.#pump());
  }

  /** The transport hands over a message. */
  deliver(message: Uint8Array): void {
    this.traffic.receivedBytes += message.length;
    // A transport takes its time to close, and its peer may go on sending.
    if (this.#deaf) return;
    this.#queue.push(message);
    this.#pump();
    const { messages, bytes } = this.#unread;
    if (this.#queue.length > messages || this.#queue.reduce((sum, { length }) => sum + length, 0) > bytes) {
      this.fail(new PeerError(`${this.peer} sent more than was asked for`, 'the session is over; ask again'));
    }
  }

  /** The transport ended. What has been delivered before is still received. */
  ended(): void {
    this.fail(left(this.peer), true);
  }

  fail(reason: Failure, graceful = false): void {
    if (this.#failure) return;
    this.#failure = reason;
    if (!graceful) {
      this.#queue = [];
      this.#deaf = true;
    }
    this.#pump();
    this.#ended(reason);
    this.#end();
  }

  close(): void {
    this.fail(new PeerError(`the connection to ${this.peer} was closed`, 'ask again'));
  }

  #pump(): void {
    const { awaited } = this.#receiver;
    if (!awaited) return;
    const message = this.#queue.shift();
    if (message === undefined) {
      if (this.#failure) this.#receiver.reject(this.#failure);
      return;
    }
    try {
      if (message.length < HEADER_BYTES) throw left(this.peer);
      const { type, length } = decodeHeader(message, this.#received++, awaited.types, awaited.limit, this.peer);
      if (message.length !== HEADER_BYTES + length) {
        throw new PeerError(
          `${this.peer} broke the protocol: a ${type} message cut short`,
          'the session is over; ask again',
        );
      }
      this.#receiver.resolve({ type, payload: message.subarray(HEADER_BYTES) });
    } catch (error) {
      this.#receiver.reject(error as Failure);
      this.fail(error as Failure);
    }
  }
}

/** Changes what a message becomes on its way: nothing (lost), itself, or several, each after `delay` milliseconds. */
export type Fault = (message: Uint8Array, index: number) => readonly { message: Uint8Array; delay?: number }[];

/** Nothing happens to a message. */
export const FAITHFUL: Fault = (message) => [{ message }];

/** Two ends of one channel in memory, named as each is called by the other; `faults` act on what the first and the second sends. */
export function channelPair(
  first: string,
  second: string,
  timeout = 10_000,
  faults: readonly [Fault, Fault] = [FAITHFUL, FAITHFUL],
): [Channel, Channel] {
  const ends: MessageChannel[] = [];
  const carry = (from: 0 | 1): ((message: Uint8Array) => void) => {
    let index = 0;
    return (message) => {
      for (const { message: arrives, delay } of faults[from](message, index++)) {
        const deliver = (): void => ends[1 - from]!.deliver(arrives);
        if (delay === undefined) queueMicrotask(deliver);
        else setTimeout(deliver, delay);
      }
    };
  };
  const hangUp = (from: 0 | 1) => (): void => queueMicrotask(() => ends[1 - from]!.ended());
  ends.push(new MessageChannel(second, timeout, carry(0), hangUp(0)));
  ends.push(new MessageChannel(first, timeout, carry(1), hangUp(1)));
  return [ends[0]!, ends[1]!];
}
