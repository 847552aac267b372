/**
 * All roles in one process, for tests and oracles: assistant, both parties and the client on the same code as the servers,
 * without sessions and sockets. From a seed, so that a run repeats; nothing here is secret.
 */
import { createHash } from 'node:crypto';
import { staticWords } from '../export/bundle/static.ts';
import type { ClearContext, ClientName, Kind } from '../protocol/gate.ts';
import { clientEmbedding, tableRows } from '../protocol/gates/embedding.ts';
import { clientPadding, padText, type PaddedTokens } from '../protocol/gates/padding.ts';
import type { Program, Resolved } from '../protocol/program.ts';
import { resolve } from '../protocol/resolve.ts';
import { rowCount } from '../protocol/shape.ts';
import { add, resize, sub, xor, type Factor, type Words } from '../ring/index.ts';
import { extract } from '../ring/prg-node.ts';
import { Secret } from '../ring/secret.ts';
import { unseal, type Sealed } from '../protocol/disclosure.ts';
import { sealOutput } from './coin.ts';
import { factors, inRing, partyContext, staticData, type PartyModel } from './context.ts';
import { AheadWork } from './ahead.ts';
import { Corrections, deal } from './deal.ts';
import { execute, type Opened } from './execute.ts';
import { maskSource, seededKeys, type MaskSource } from './keys.ts';
import { Transcript } from './transcript.ts';

export interface MemoryModel {
  readonly parties: readonly [PartyModel, PartyModel];
  /** B for products in ring n, as the assistant has it. */
  maskedWeight(name: string, n: number): Factor;
}

export interface MemoryRun {
  /** Output shares of party 0 and party 1, and their sum. */
  readonly shares: readonly [Words, Words];
  readonly logits: Words;
  readonly rounds: number;
  /** What a client gets of each text: its logits, or nothing if a guard flagged it. Without guards always the logits. */
  readonly disclosed: readonly (Words | undefined)[];
  /** Bits each party sent, bits dealt to party 1: without the padding of bytes. */
  readonly openedBits: number;
  readonly dealtBits: number;
  /** Every opening as party 0 saw it, in order. */
  readonly opened: readonly Opened[];
  /** Hash over all messages, equal at both parties. */
  readonly transcript: Uint8Array;
  /** Party 1's rounding words and the Fourier masks: what the clear interpreter needs to repeat the run. */
  readonly tape: Pick<ClearContext, 'rounding' | 'fourierMask'>;
}

/** The tape of a run from its rounding words and the masks of both parties. */
export function tapeOf(
  program: Program,
  rounding: ReadonlyMap<string, Words>,
  masks: readonly [MaskSource, MaskSource],
): MemoryRun['tape'] {
  const indexOf = new Map(program.gates.map((gate, index) => [gate.name, index]));
  return {
    rounding(gate, by, length) {
      const u = rounding.get(gate.name);
      if (u === undefined || u.length !== length)
        throw new Error(`the tape has no ${length} rounding words of gate ${gate.name}`);
      return u.n === by ? u : resize(u, by);
    },
    fourierMask(gate, b, length) {
      const index = indexOf.get(gate.name)!;
      return add(masks[0](index, 'r', b, length), masks[1](index, 'r', b, length));
    },
  };
}

/** Splits plaintext integers as an export does, under static seeds derived from `seed`. */
export function splitModel(program: Program, integers: (name: string) => Words, seed: number): MemoryModel {
  const derive = (what: string): Buffer => createHash('sha256').update(`smpc/test/${what}/${seed}`).digest();
  const modelId = derive('model').toString('hex');
  const [s0, s1] = [staticWords(program, modelId, derive('M0')), staticWords(program, modelId, derive('M1'))] as const;
  const F = inRing((name) => sub(sub(integers(name), s0(name)), s1(name)));
  const B = factors(program, (name) => ({ B: add(s0(name), s1(name)) }));
  const maskedWeight = (name: string, n: number): Factor => B(name, n).B;
  const party = (i: 0 | 1): PartyModel => ({
    party: i,
    program,
    weight: (name) => ({ F: F(name, 0), V: i === 0 ? add(F(name, 0), s0(name)) : s1(name) }),
    share: (name) => (i === 0 ? s0(name) : sub(integers(name), s0(name))),
  });
  return {
    parties: [party(0), party(1)],
    maskedWeight,
  };
}

/** Answers `texts` in one session of the seeded masks number `index`. */
export async function runInMemory(
  model: MemoryModel,
  given: readonly PaddedTokens[],
  seed: string | number,
  index = 0,
): Promise<MemoryRun> {
  const { program } = model.parties[0];
  const texts = given.map((text) => padText(text, program.buckets));
  const dims = { lengths: texts.map(({ ids }) => ids.length), heads: program.heads };
  const keys = seededKeys(seed, seededReference(index));
  const masks = [maskSource(keys[0]), maskSource(keys[1])] as const;
  const corrections = new Corrections();
  const { dealtBits } = await deal(program, dims, { masks, maskedWeight: model.maskedWeight }, async (_, message) => {
    corrections.put(message);
  });

  const client = clientInput(program, texts, masks);
  const opened: Opened[] = [];
  const rounding = new Map<string, Words>();
  const [left, right] = crossing();
  const transcript = new Transcript(new Uint8Array(32));
  const run = (party: 0 | 1): ReturnType<typeof execute> => {
    const inputs = {
      dims,
      data: staticData(model.parties[party]),
      masks: masks[party],
      client,
    };
    const context = partyContext(
      party,
      program,
      party === 0
        ? inputs
        : { ...inputs, corrections, rounding: (gate: Resolved, u: Words) => void rounding.set(gate.name, u) },
    );
    const exchange = party === 0 ? left : right;
    return execute(
      program,
      context,
      async (round, message) => {
        const answer = await exchange(round, message);
        if (party === 0) transcript.round(message, answer);
        return answer;
      },
      // Party 0 works ahead, party 1 does not: the two must agree.
      party === 0 ? { opened: (o) => void opened.push(o), ahead: new AheadWork(program, context) } : {},
    );
  };
  const [a, b] = await Promise.all([run(0), run(1)]);
  if (a.output.kind !== 'share' || b.output.kind !== 'share') throw new Error('the output is additive shares');
  const K = extract(new Uint8Array(0), Buffer.from(`smpc/test/coin/${seed}/${index}`));
  const outputs = [a.output.x, b.output.x] as const;
  const sealed = ([0, 1] as const).map((i) => sealOutput(i, program, dims, K, outputs[i], [a, b][i]!.flags));
  return {
    shares: outputs,
    logits: add(...outputs),
    disclosed: unseal(sealed as [Sealed, Sealed], program.labels),
    rounds: a.rounds,
    openedBits: a.openedBits,
    dealtBits,
    opened,
    transcript: transcript.digest(),
    tape: tapeOf(program, rounding, masks),
  };
}

/** Name of the index-th session of a deterministic run. */
export function seededReference(index: number): Uint8Array {
  const reference = new Uint8Array(16);
  new DataView(reference.buffer).setUint32(12, index);
  return reference;
}

/** The keys of a session whose masks come from a seed. */
export const seededMasks = (seed: string | number, index: number): readonly [MaskSource, MaskSource] => {
  const [k0, k1]: [Secret, Secret] = seededKeys(seed, seededReference(index));
  return [maskSource(k0), maskSource(k1)];
};

/** The client's messages; a program without an embedding asks its client for nothing. */
function clientInput(
  program: Program,
  texts: readonly PaddedTokens[],
  masks: readonly [MaskSource, MaskSource],
): (name: ClientName) => Words {
  const dims = { lengths: texts.map(({ ids }) => ids.length), heads: program.heads };
  const gates = resolve(program, dims);
  const tokens = rowCount('token', dims);
  const words = new Map<ClientName, Words>();
  gates.forEach((gate, index) => {
    const own = (kind: Kind, n: number, length: number) =>
      masks.map((m) => m(index, kind, n, length)) as [Words, Words];
    if (gate.op === 'padding') {
      words.set(
        'beta',
        clientPadding(
          texts.map(({ valid }) => valid!),
          xor(...own('beta', 1, tokens)),
        ),
      );
    }
    if (gate.op !== 'embedding') return;
    const ids = texts.flatMap((text) => text.ids);
    const types = texts.flatMap((text) => text.types);
    const A1 = add(...own('A1', gate.n, tokens * tableRows(gate)));
    const A2 = add(...own('A2', gate.n, tokens * gate.split));
    const { E1, E2 } = clientEmbedding(gate, ids, types, A1, A2);
    words.set('E1', E1).set('E2', E2);
  });
  return (name) => words.get(name)!;
}

/** Two exchanges that hand each other their messages, round by round. */
function crossing(): [
  (round: number, m: Uint8Array) => Promise<Uint8Array>,
  (round: number, m: Uint8Array) => Promise<Uint8Array>,
] {
  const waiting = new Map<string, (message: Uint8Array) => void>();
  const sent = new Map<string, Uint8Array>();
  const end =
    (from: 0 | 1) =>
    (round: number, message: Uint8Array): Promise<Uint8Array> => {
      const [own, other] = [`${round} ${from}`, `${round} ${1 - from}`];
      // A copy: both parties give back what they sent while the other may still read it.
      const copy = message.slice();
      const awaited = waiting.get(own);
      if (awaited) awaited(copy);
      else sent.set(own, copy);
      const theirs = sent.get(other);
      if (theirs !== undefined) {
        sent.delete(other);
        return Promise.resolve(theirs);
      }
      return new Promise((answered) => waiting.set(other, answered));
    };
  return [end(0), end(1)];
}
