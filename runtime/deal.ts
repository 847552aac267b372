/** The assistant's half of a program: gates in program order, masks of both parties, corrections for party 1. */
import type { DealerContext, DealerValue, Kind } from '../protocol/gate.ts';
import { dealtShare, KINDS, XOR_KINDS } from '../protocol/gate.ts';
import { programCost } from '../protocol/cost.ts';
import type { Program, Resolved } from '../protocol/program.ts';
import { resolve, tensorsOf, trigOf } from '../protocol/resolve.ts';
import type { Dims } from '../protocol/shape.ts';
import { definitionOf } from '../protocol/suite/masked.ts';
import { PeerError } from '../common/errors.ts';
import {
  blank,
  Holders,
  packedBytes,
  packInto,
  packMasked,
  Region,
  storageOf,
  unpackInto,
  view,
  type Factor,
  type Words,
} from '../ring/index.ts';
import { giveBack, lend } from './buffers.ts';
import { readU32, u32 } from './encoding.ts';
import type { MaskSource } from './keys.ts';

/** What the assistant needs besides the program. */
export interface DealMaterial {
  /** One-time masks of party 0 and party 1 for this session. */
  readonly masks: readonly [MaskSource, MaskSource];
  /** B = B_0 + B_1 for products in ring n. */
  maskedWeight(name: string, n: number): Factor;
}

export interface Dealt {
  /** Bits sent to party 1. */
  readonly dealtBits: number;
}

/** Words whose pads are drawn at a time: they stay in the processor's cache until they are packed. */
const STRETCH_WORDS = 1 << 14;

/**
 * Deals for every gate; `emit` gets the corrections of each gate that has some as one message (a lent buffer: give it back once it
 * is sent), in program order, and is awaited before the next gate, so that a slow reader slows the dealing.
 */
export async function deal(
  program: Program,
  dims: Dims,
  material: DealMaterial,
  emit: (gate: number, message: Uint8Array) => Promise<void>,
): Promise<Dealt> {
  const gates = resolve(program, dims);
  const indexOf = new Map(gates.map((gate, index) => [gate.name, index]));
  const declared = programCost(program, dims).gates;
  let corrections: CorrectionMessage | undefined;
  let dealtBits = 0;
  const room = (gate: number, kind: Kind, n: number, length: number): Uint8Array => {
    corrections ??= new CorrectionMessage(gate, declared[gate]!.cost.dealtBits);
    dealtBits += n * length;
    return corrections.room(kind, n, length);
  };
  const context: DealerContext = {
    dims,
    mask: (gate, kind, party, n, length) => material.masks[party](indexOf.get(gate.name)!, kind, n, length),
    deal(gate, kind, value) {
      if (XOR_KINDS.has(kind)) {
        const index = indexOf.get(gate.name)!;
        const pad = material.masks[0](index, kind, value.n, value.length);
        packInto(dealtShare(kind, value, pad), room(index, kind, value.n, value.length));
      } else {
        const whole = (out: Words, from: number): Words => view(value, from, from + out.length);
        stretches(gate, kind, value.n, value.length, STRETCH_WORDS, whole);
      }
    },
    dealInStretches(gate, kind, n, length, step, fill) {
      stretches(gate, kind, n, length, step, (out, from) => {
        fill(out, from);
        return out;
      });
    },
    maskedWeight: material.maskedWeight,
    tensor: tensorsOf(program),
    trig: trigOf(program),
  };
  /** Value less pad, a stretch at a time: `part` may use the room it is given. */
  function stretches(
    gate: Resolved,
    kind: Kind,
    n: number,
    length: number,
    step: number,
    part: (out: Words, from: number) => Words,
  ): void {
    const index = indexOf.get(gate.name)!;
    const bytes = room(index, kind, n, length);
    const most = Math.min(step, length);
    const [pads, values] = [blank(n, most), blank(n, most)];
    for (let from = 0; from < length; from += step) {
      const count = Math.min(step, length - from);
      const pad = material.masks[0](index, kind, n, length, view(pads, 0, count), from);
      const at = (from * n) / 8;
      packMasked('sub', part(view(values, 0, count), from), pad, bytes.subarray(at, at + packedBytes(n, count)));
    }
  }
  const holders = new Holders();
  const values: (DealerValue | undefined)[] = gates.map(() => undefined);
  const last = gates.map((_, index) => index);
  gates.forEach((gate, index) => {
    for (const wire of gate.in) last[wire] = index;
  });
  for (const [index, gate] of gates.entries()) {
    const inputs = gate.in.map((wire) => values[wire]!);
    const region = new Region();
    const value = region.run(() => definitionOf(gate).deal(gate, inputs, context));
    const kept = storageOf(value);
    holders.hold(kept);
    values[index] = value;
    region.release(kept);
    if (corrections !== undefined) {
      const { message } = corrections;
      corrections = undefined;
      await emit(index, message);
    }
    for (const wire of new Set([...gate.in, index])) {
      if (last[wire] !== index || values[wire] === undefined) continue;
      holders.drop(storageOf(values[wire]));
      values[wire] = undefined;
    }
  }
  return { dealtBits };
}

const ENTRY_BYTES = 6;
const KIND_NAMES = new Map(Object.entries(KINDS).map(([name, code]) => [code as number, name as Kind]));

/** Bytes a correction message of a gate can have: `bits` are those its cost declares, each of `kinds` rounded up to a byte. */
export const correctionLimit = (bits: number): number => 4 + Math.ceil(bits / 8) + 16 * (ENTRY_BYTES + 1);

/** A message under construction: u32 gate, then for every correction u8 kind, u8 n, u32 words, packed words. */
class CorrectionMessage {
  readonly #buffer: Uint8Array;
  #at = 4;

  /** `bits` are those the gate's cost declares. */
  constructor(gate: number, bits: number) {
    this.#buffer = lend(correctionLimit(bits));
    this.#buffer.set(u32(gate));
  }

  /** Where the packed words of one more correction go. */
  room(kind: Kind, n: number, length: number): Uint8Array {
    const from = this.#at + ENTRY_BYTES;
    const to = from + packedBytes(n, length);
    if (to > this.#buffer.length) throw new Error(`more ${kind} is dealt than the cost of its gate declares`);
    this.#buffer.set([KINDS[kind], n], this.#at);
    this.#buffer.set(u32(length), this.#at + 2);
    this.#at = to;
    return this.#buffer.subarray(from, to);
  }

  get message(): Uint8Array {
    return this.#buffer.subarray(0, this.#at);
  }
}

interface PackedCorrection {
  readonly n: number;
  readonly length: number;
  readonly bytes: Uint8Array;
  taken: boolean;
}

/** Party 1's stock of corrections: kept packed until their gate takes them, each once. */
export class Corrections {
  readonly #byGate = new Map<number, { readonly message: Uint8Array; readonly left: Map<Kind, PackedCorrection> }>();
  /** Packed bytes held. */
  bytes = 0;
  /** Bits of all words put in so far. */
  bits = 0;

  /** Adds one message of the assistant, which is given back when all of it has been taken; returns the gate it is for. */
  put(message: Uint8Array): number {
    const malformed = (): PeerError =>
      new PeerError('the assistant sent malformed corrections', 'give all roles the bundles of one export');
    if (message.length < 4) throw malformed();
    const gate = readU32(message);
    if (this.#byGate.has(gate)) throw malformed();
    const entries = new Map<Kind, PackedCorrection>();
    let at = 4;
    while (at < message.length) {
      if (at + ENTRY_BYTES > message.length) throw malformed();
      const kind = KIND_NAMES.get(message[at]!);
      const n = message[at + 1]!;
      const length = readU32(message, at + 2);
      at += ENTRY_BYTES;
      if (kind === undefined || entries.has(kind) || n < 1 || n > 128) throw malformed();
      const size = packedBytes(n, length);
      if (at + size > message.length) throw malformed();
      this.bits += n * length;
      entries.set(kind, { n, length, bytes: message.subarray(at, at + size), taken: false });
      at += size;
    }
    this.#byGate.set(gate, { message, left: entries });
    this.bytes += message.length;
    return gate;
  }

  /** Takes the words of one gate and kind: they are used once. */
  take(gate: number, kind: Kind, n: number, length: number): Words {
    const words = blank(n, length);
    this.takeInStretches(gate, kind, n, length)(words, 0);
    return words;
  }

  /** The same a stretch at a time: fills `out` with the words from `from`, a multiple of eight, on. The last stretch ends it. */
  takeInStretches(gate: number, kind: Kind, n: number, length: number): (out: Words, from: number) => void {
    const held = this.#byGate.get(gate);
    const entry = held?.left.get(kind);
    if (held === undefined || entry === undefined || entry.taken || entry.n !== n || entry.length !== length) {
      throw new PeerError(
        `the assistant dealt no ${kind} of ${length} words of ${n} bits for gate ${gate}`,
        'give all roles the bundles of one export',
      );
    }
    entry.taken = true;
    return (out, from) => {
      const at = (from * n) / 8;
      try {
        unpackInto(entry.bytes.subarray(at, at + packedBytes(n, out.length)), out);
      } catch {
        throw new PeerError('the assistant sent words wider than their ring', 'run the same version everywhere');
      }
      if (from + out.length < length) return;
      held.left.delete(kind);
      this.bytes -= entry.bytes.length;
      if (held.left.size === 0) giveBack(held.message);
    };
  }
}
