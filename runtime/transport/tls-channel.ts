/** Frames over a byte stream (TLS): headers are checked before the payload they announce is allocated. */
import type { Duplex } from 'node:stream';
import type { Failure } from '../../common/errors.ts';
import { PeerError } from '../../common/errors.ts';
import { lend } from '../buffers.ts';
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
import { Receiver } from '../receiver.ts';

/** Unread bytes held before the socket is paused, so that a fast sender waits. */
const HIGH_WATER = 1 << 20;
/** Payloads of at most so many bytes leave with their header, as a copy: it outlives a secret that is erased once it is sent. */
const SMALL = 1024;
/** Bytes handed to TLS at a time: what it makes of them stays in the processor's cache, and in memory it has already. */
const SLICE = 1 << 18;
/** Milliseconds a closing channel waits for the other end to take what was sent. */
const LINGER = 2_000;

/** What a socket reads into, again and again, and who takes it from there: false pauses the socket until it is resumed. */
export interface Inlet {
  readonly buffer: Uint8Array;
  take: (chunk: Uint8Array) => boolean;
}

/** An inlet that keeps what comes before somebody takes it. */
export function inlet(bytes: number): Inlet & { readonly early: Uint8Array[] } {
  const early: Uint8Array[] = [];
  return { buffer: new Uint8Array(bytes), early, take: (chunk) => early.push(chunk.slice()) < 64 };
}

/** A channel of frames over a TLS socket; lengths are checked before anything is allocated. */
export class StreamChannel implements Channel {
  readonly peer: string;
  readonly traffic: Traffic = { sentBytes: 0, receivedBytes: 0, sentRounds: 0 };
  readonly closed: Promise<Failure>;
  readonly #socket: Duplex;
  readonly #receiver: Receiver;
  #ended!: (reason: Failure) => void;
  #failure: Failure | undefined;
  /** Bytes nobody has awaited yet. */
  #chunks: Uint8Array[] = [];
  #buffered = 0;
  /** A frame whose header has been checked, and how much of its payload is there. */
  #frame: { readonly type: FrameType; readonly payload: Uint8Array; filled: number } | undefined;
  #sent = 0;
  #received = 0;
  /** Frames whose writing has not ended, and the end of the last of them: a frame waits for the slices of the one before. */
  #queued = 0;
  #turn = Promise.resolve();

  /**
   * `timeout` in milliseconds bounds every `receive`. `silent` says what it means if the peer leaves without a word. `from`: the
   * inlet the socket was made with, if it was.
   */
  constructor(
    peer: string,
    socket: Duplex,
    timeout: number,
    { silent, from }: { readonly silent?: Failure; readonly from?: ReturnType<typeof inlet> } = {},
  ) {
    this.peer = peer;
    this.#socket = socket;
    this.#receiver = new Receiver(peer, timeout, (reason) => this.#fail(reason));
    this.closed = new Promise((resolve) => (this.#ended = resolve));
    if (from === undefined) {
      socket.on('data', (chunk: Buffer) => {
        if (!this.#arrived(chunk)) socket.pause();
      });
    } else {
      for (const chunk of from.early.splice(0)) this.#arrived(chunk);
      // The inlet is read into again at once.
      from.take = (chunk) => this.#arrived(chunk, true);
      socket.resume();
    }
    const gone = (): void => this.#end(this.traffic.receivedBytes === 0 && silent !== undefined ? silent : left(peer));
    socket.on('end', gone);
    socket.on('close', gone);
    socket.on('error', gone);
  }

  async send(type: FrameType, payload: Uint8Array): Promise<void> {
    if (this.#failure) throw this.#failure;
    const header = encodeHeader(type, this.#sent++, payload.length);
    this.traffic.sentBytes += HEADER_BYTES + payload.length;
    if (type === 'round') this.traffic.sentRounds++;
    const whole = payload.length <= SMALL ? Buffer.concat([header, payload]) : undefined;
    const write = (): Promise<void> => (whole === undefined ? this.#writeSlices(header, payload) : this.#write(whole));
    const turn = this.#queued++ === 0 ? write() : this.#turn.then(write);
    const done = (): void => void this.#queued--;
    this.#turn = turn.then(done, done);
    await turn;
  }

  async #write(frame: Uint8Array): Promise<void> {
    if (this.#failure) throw this.#failure;
    if (this.#socket.write(frame)) return;
    await new Promise<void>((resolve, reject) => {
      this.#socket.once('drain', resolve);
      void this.closed.then(reject);
    });
  }

  async #writeSlices(header: Uint8Array, payload: Uint8Array): Promise<void> {
    if (this.#failure) throw this.#failure;
    await new Promise<void>((resolve, reject) => {
      void this.closed.then(reject);
      // Not corked, and never two slices at once: TLS would copy them into one.
      const next = (at: number): void => {
        const end = Math.min(at + SLICE, payload.length);
        this.#socket.write(payload.subarray(at, end), () => (end < payload.length ? next(end) : resolve()));
      };
      this.#socket.write(header);
      next(0);
    });
  }

  receive(types: readonly FrameType[], limit: number): Promise<Frame> {
    const frame = this.#receiver.receive(types, limit, () => this.#pump());
    if (this.#receiver.awaited) this.#socket.resume();
    return frame;
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
    this.#frame = undefined;
    this.#pump();
    this.#ended(reason);
    // What was sent still leaves; what comes is dropped.
    this.#socket.removeAllListeners('data');
    this.#socket.resume();
    this.#socket.end();
    setTimeout(() => this.#socket.destroy(), LINGER).unref();
  }

  /** Takes bytes of the peer, copying what must be kept if they are `passing`; false if nobody awaits more for now. */
  #arrived(chunk: Uint8Array, passing = false): boolean {
    this.traffic.receivedBytes += chunk.length;
    if (this.#failure !== undefined) return true;
    let rest = chunk;
    if (this.#frame !== undefined && this.#buffered === 0) rest = rest.subarray(this.#fill(rest));
    if (rest.length > 0) {
      this.#chunks.push(passing ? rest.slice() : rest);
      this.#buffered += rest.length;
    }
    this.#pump();
    return this.#receiver.awaited !== undefined || this.#buffered <= HIGH_WATER;
  }

  /** Copies as much of `bytes` as the payload under way has room for; returns how much that was. */
  #fill(bytes: Uint8Array): number {
    const frame = this.#frame!;
    const count = Math.min(bytes.length, frame.payload.length - frame.filled);
    frame.payload.set(bytes.subarray(0, count), frame.filled);
    frame.filled += count;
    return count;
  }

  /** Moves `into` what is buffered, until it is full. */
  #move(into: (chunk: Uint8Array) => number, bytes: number): void {
    for (let due = Math.min(bytes, this.#buffered); due > 0;) {
      const chunk = this.#chunks[0]!;
      const count = into(chunk.subarray(0, due));
      if (count === chunk.length) this.#chunks.shift();
      else this.#chunks[0] = chunk.subarray(count);
      due -= count;
      this.#buffered -= count;
    }
  }

  #nextHeader(): Uint8Array {
    const header = new Uint8Array(HEADER_BYTES);
    let at = 0;
    this.#move((chunk) => {
      header.set(chunk, at);
      at += chunk.length;
      return chunk.length;
    }, HEADER_BYTES);
    return header;
  }

  #pump(): void {
    const { awaited } = this.#receiver;
    if (!awaited) return;
    try {
      if (this.#frame === undefined && this.#buffered >= HEADER_BYTES) {
        const header = this.#nextHeader();
        const { type, length } = decodeHeader(header, this.#received++, awaited.types, awaited.limit, this.peer);
        this.#frame = { type, payload: lend(length), filled: 0 };
      }
    } catch (error) {
      this.#receiver.reject(error as Failure);
      this.#fail(error as Failure);
      return;
    }
    const frame = this.#frame;
    if (frame !== undefined) this.#move((chunk) => this.#fill(chunk), frame.payload.length - frame.filled);
    if (frame !== undefined && frame.filled === frame.payload.length) {
      this.#frame = undefined;
      this.#receiver.resolve({ type: frame.type, payload: frame.payload });
    } else if (this.#failure) {
      this.#receiver.reject(this.#failure);
    }
  }
}
