/** Key material. Printing, inspecting or serialising one shows that it is there and nothing of it. */
export class Secret {
  #bytes: Uint8Array | undefined;

  /** Keeps `bytes` itself, not a copy: whoever made them must not use them after. */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** The bytes; throws once erased. */
  get bytes(): Uint8Array {
    if (this.#bytes === undefined) throw new Error('a secret was used after it was erased');
    return this.#bytes;
  }

  get erased(): boolean {
    return this.#bytes === undefined;
  }

  /** Overwrites the bytes with zeros. (Copies the engine's garbage collector made are beyond reach.) */
  erase(): void {
    this.#bytes?.fill(0);
    this.#bytes = undefined;
  }

  toString(): string {
    return '[secret]';
  }

  toJSON(): string {
    return '[secret]';
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return '[secret]';
  }
}

export const secretBytes = (s: Secret | Uint8Array): Uint8Array => (s instanceof Secret ? s.bytes : s);
