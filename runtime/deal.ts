/** The assistant's half of a program: gates in program order, masks of both parties, corrections for party 1. */
import type { DealerContext, DealerValue, Kind } from '../protocol/gate.ts';
import { dealtShare, KINDS } from '../protocol/gate.ts';
import type { Program } from '../protocol/program.ts';
import { resolve, tensorsOf, trigOf } from '../protocol/resolve.ts';
import type { Dims } from '../protocol/shape.ts';
import { definitionOf } from '../protocol/suite/masked.ts';
import { PeerError } from '../common/errors.ts';
import { Holders, packedBytes, packInto, Region, storageOf, unpack, type Factor, type Words } from '../ring/index.ts';
import { giveBack, lend } from './buffers.ts';
import { readU32, u32 } from './encoding.ts';
import type { MaskSource } from './keys.ts';

/** One correction: party 1's share of a dealt value. */
export interface Correction {
  readonly kind: Kind;
  readonly words: Words;
}

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

/**
 * Deals for every gate; `emit` gets the corrections of each gate that has some, in program order, and is awaited before the
 * next gate, so that a slow reader slows the dealing.
 */
export async function deal(
  program: Program,
  dims: Dims,
  material: DealMaterial,
  emit: (gate: number, corrections: readonly Correction[]) => Promise<void>,
): Promise<Dealt> {
  const gates = resolve(program, dims);
  const indexOf = new Map(gates.map((gate, index) => [gate.name, index]));
  let corrections: Correction[] = [];
  let dealtBits = 0;
  const context: DealerContext = {
    dims,
    mask: (gate, kind, party, n, length) => material.masks[party](indexOf.get(gate.name)!, kind, n, length),
    deal(gate, kind, value) {
      const pad = material.masks[0](indexOf.get(gate.name)!, kind, value.n, value.length);
      corrections.push({ kind, words: dealtShare(kind, value, pad) });
      dealtBits += value.n * value.length;
    },
    maskedWeight: material.maskedWeight,
    tensor: tensorsOf(program),
    trig: trigOf(program),
  };
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
    if (corrections.length > 0) {
      const batch = corrections;
      corrections = [];
      await emit(index, batch);
    }
    region.release(kept);
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

/** u32 gate, then for every correction u8 kind, u8 n, u32 words, packed words. A lent buffer: give it back once it is sent. */
export function encodeCorrections(gate: number, corrections: readonly Correction[]): Uint8Array {
  const sizes = corrections.map(({ words }) => packedBytes(words.n, words.length));
  const message = lend(sizes.reduce((sum, size) => sum + ENTRY_BYTES + size, 4));
  message.set(u32(gate));
  let at = 4;
  corrections.forEach(({ kind, words }, i) => {
    message.set([KINDS[kind], words.n], at);
    message.set(u32(words.length), at + 2);
    at += ENTRY_BYTES;
    packInto(words, message.subarray(at, at + sizes[i]!));
    at += sizes[i]!;
  });
  return message;
}

interface PackedCorrection {
  readonly n: number;
  readonly length: number;
  readonly bytes: Uint8Array;
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
      entries.set(kind, { n, length, bytes: message.subarray(at, at + size) });
      at += size;
    }
    this.#byGate.set(gate, { message, left: entries });
    this.bytes += message.length;
    return gate;
  }

  /** Takes the words of one gate and kind: they are used once. */
  take(gate: number, kind: Kind, n: number, length: number): Words {
    const held = this.#byGate.get(gate);
    const entry = held?.left.get(kind);
    if (held === undefined || entry === undefined || entry.n !== n || entry.length !== length) {
      throw new PeerError(
        `the assistant dealt no ${kind} of ${length} words of ${n} bits for gate ${gate}`,
        'give all roles the bundles of one export',
      );
    }
    held.left.delete(kind);
    this.bytes -= entry.bytes.length;
    try {
      const words = unpack(entry.bytes, n, length);
      if (held.left.size === 0) giveBack(held.message);
      return words;
    } catch {
      throw new PeerError('the assistant sent words wider than their ring', 'run the same version everywhere');
    }
  }
}
