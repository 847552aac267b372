/** The receiving side that every channel has, whatever its transport: one frame is awaited at a time, and not for ever. */
import { PeerError, type Failure } from '../common/errors.ts';
import type { Frame, FrameType } from './channel.ts';

/** What the next frame must be. */
export interface Awaited {
  readonly types: readonly FrameType[];
  readonly limit: number;
}

interface Waiting extends Awaited {
  resolve(frame: Frame): void;
  reject(error: Failure): void;
  timer: ReturnType<typeof setTimeout> | undefined;
}

/** The receive under way on a channel. */
export class Receiver {
  readonly #peer: string;
  readonly #timeout: number;
  readonly #late: (reason: Failure) => void;
  #waiting: Waiting | undefined;

  /** `late` is told after `timeout` milliseconds without the frame, and has to end the channel. */
  constructor(peer: string, timeout: number, late: (reason: Failure) => void) {
    this.#peer = peer;
    this.#timeout = timeout;
    this.#late = late;
  }

  /** Undefined: nothing is awaited. */
  get awaited(): Awaited | undefined {
    return this.#waiting;
  }

  /** Awaits a frame. `look`, called at once, may settle it with what is there already. */
  receive(types: readonly FrameType[], limit: number, look: () => void): Promise<Frame> {
    return new Promise((resolve, reject) => {
      if (this.#waiting) throw new Error('two receives at once');
      this.#waiting = { types, limit, resolve, reject, timer: undefined };
      look();
      if (!this.#waiting) return;
      this.#waiting.timer = setTimeout(() => {
        const what = `${this.#peer} was silent for ${this.#timeout / 1000} s`;
        this.#late(new PeerError(what, `see whether ${this.#peer} still runs; --timeout sets the limit`));
      }, this.#timeout);
    });
  }

  resolve(frame: Frame): void {
    this.#settle()?.resolve(frame);
  }

  reject(reason: Failure): void {
    this.#settle()?.reject(reason);
  }

  #settle(): Waiting | undefined {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    clearTimeout(waiting?.timer);
    return waiting;
  }
}
