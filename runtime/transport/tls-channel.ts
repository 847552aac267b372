/** Frames over a byte stream (TLS): headers are checked before the payload they announce is allocated. */
import type { Duplex } from 'node:stream';
import type { Failure } from '../../common/errors.ts';
import { PeerError } from '../../common/errors.ts';
import {
  decodeHeader,
  encodeHeader,
  HEADER_BYTES,
  left,
  type Channel,
  type Frame,
  type FrameType,
  type Traffic,
} from '../channel.ts';

/** Unread bytes held before the socket is paused, so that a fast sender waits. */
const HIGH_WATER = 1 << 20;
/** Milliseconds a closing channel waits for the other end to take what was sent. */
const LINGER = 2_000;

interface Waiting {
  readonly types: readonly FrameType[];
  readonly limit: number;
  resolve(frame: Frame): void;
  reject(error: Failure): void;
  timer: ReturnType<typeof setTimeout> | undefined;
}

/** A channel of frames over a TLS socket; lengths are checked before anything is allocated. */
export class StreamChannel implements Channel {
  readonly peer: string;
  readonly traffic: Traffic = { sentBytes: 0, receivedBytes: 0, sentRounds: 0 };
  readonly closed: Promise<Failure>;
  readonly #socket: Duplex;
  readonly #timeout: number;
  #ended!: (reason: Failure) => void;
  #failure: Failure | undefined;
  #chunks: Buffer[] = [];
  #buffered = 0;
  #header: { type: FrameType; length: number } | undefined;
  #waiting: Waiting | undefined;
  #sent = 0;
  #received = 0;

  /** `timeout` in milliseconds bounds every `receive`. `silent` says what it means if the peer leaves without a word. */
  constructor(peer: string, socket: Duplex, timeout: number, silent?: Failure) {
    this.peer = peer;
    this.#socket = socket;
    this.#timeout = timeout;
    this.closed = new Promise((resolve) => (this.#ended = resolve));
    socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#buffered += chunk.length;
      this.traffic.receivedBytes += chunk.length;
      this.#pump();
      if (this.#waiting === undefined && this.#buffered > HIGH_WATER) socket.pause();
    });
    const gone = (): void => this.#end(this.traffic.receivedBytes === 0 && silent !== undefined ? silent : left(peer));
    socket.on('end', gone);
    socket.on('close', gone);
    socket.on('error', gone);
  }

  async send(type: FrameType, payload: Uint8Array): Promise<void> {
    if (this.#failure) throw this.#failure;
    const socket = this.#socket;
    // One record for small frames; the copy also outlives a secret that is erased once it is sent.
    const header = encodeHeader(type, this.#sent++, payload.length);
    this.traffic.sentBytes += HEADER_BYTES + payload.length;
    if (type === 'round') this.traffic.sentRounds++;
    let room: boolean;
    if (payload.length <= 1024) {
      room = socket.write(Buffer.concat([header, payload]));
    } else {
      socket.cork();
      socket.write(header);
      room = socket.write(payload);
      socket.uncork();
    }
    if (room) return;
    await new Promise<void>((resolve, reject) => {
      socket.once('drain', resolve);
      void this.closed.then(reject);
    });
  }

  receive(types: readonly FrameType[], limit: number): Promise<Frame> {
    return new Promise((resolve, reject) => {
      if (this.#waiting) throw new Error('two receives at once');
      this.#waiting = { types, limit, resolve, reject, timer: undefined };
      this.#pump();
      if (!this.#waiting) return;
      this.#socket.resume();
      this.#waiting.timer = setTimeout(() => {
        const seconds = this.#timeout / 1000;
        this.#fail(
          new PeerError(
            `${this.peer} was silent for ${seconds} s`,
            `see whether ${this.peer} still runs; --timeout sets the limit`,
          ),
        );
      }, this.#timeout);
    });
  }

  close(): void {
    this.#fail(new PeerError(`the connection to ${this.peer} was closed`, 'ask again'));
  }

  /** The stream is over: frames that have arrived whole are still received. */
  #end(reason: Failure): void {
    if (this.#failure) return;
    this.#failure = reason;
    this.#pump();
    this.#ended(reason);
    this.#socket.end();
  }

  #fail(reason: Failure): void {
    if (this.#failure) return;
    this.#failure = reason;
    this.#chunks = [];
    this.#buffered = 0;
    this.#pump();
    this.#ended(reason);
    // What was sent still leaves; what comes is dropped.
    this.#socket.removeAllListeners('data');
    this.#socket.resume();
    this.#socket.end();
    setTimeout(() => this.#socket.destroy(), LINGER).unref();
  }

  #take(bytes: number): Uint8Array {
    this.#buffered -= bytes;
    const first = this.#chunks[0];
    if (first !== undefined && first.length >= bytes) {
      if (first.length === bytes) this.#chunks.shift();
      else this.#chunks[0] = first.subarray(bytes);
      return first.subarray(0, bytes);
    }
    const out = new Uint8Array(bytes);
    let at = 0;
    while (at < bytes) {
      const chunk = this.#chunks[0]!;
      const part = chunk.subarray(0, bytes - at);
      out.set(part, at);
      at += part.length;
      if (part.length === chunk.length) this.#chunks.shift();
      else this.#chunks[0] = chunk.subarray(part.length);
    }
    return out;
  }

  #pump(): void {
    const waiting = this.#waiting;
    if (!waiting) return;
    const settle = (): void => {
      this.#waiting = undefined;
      clearTimeout(waiting.timer);
    };
    try {
      if (this.#header === undefined && this.#buffered >= HEADER_BYTES) {
        this.#header = decodeHeader(
          this.#take(HEADER_BYTES),
          this.#received++,
          waiting.types,
          waiting.limit,
          this.peer,
        );
      }
    } catch (error) {
      settle();
      waiting.reject(error as Failure);
      this.#fail(error as Failure);
      return;
    }
    if (this.#header !== undefined && this.#buffered >= this.#header.length) {
      const { type, length } = this.#header;
      this.#header = undefined;
      settle();
      waiting.resolve({ type, payload: length === 0 ? new Uint8Array(0) : this.#take(length) });
    } else if (this.#failure) {
      settle();
      waiting.reject(this.#failure);
    }
  }
}
