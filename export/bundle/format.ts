/**
 * The files a role is given. Types only, no `node:` module: a browser client reads the same manifest.
 *
 *     OUT/party0, OUT/party1   manifest.json program.json masked.bin seed.bin  (party 1: corrections.bin)
 *     OUT/assistant            manifest.json program.json seed0.bin seed1.bin
 *     OUT/client               manifest.json client.json tokenizer.json tokenizer_config.json …
 *     OUT/provider             manifest.json program.json plan.json integers.safetensors
 *
 * masked.bin: F = W − B of every masked tensor, in the order of `program.tensors`, each packed to its n bits.
 * corrections.bin: party 1's share of every static share, likewise; party 0 expands its own from its seed. seed<i>.bin: M_i.
 */
import type { EmbeddingGate, Resolved } from '../../protocol/program.ts';

export const BUNDLE_FORMAT = 'secformer-toolkit bundle';
export const BUNDLE_VERSION = 1;

export const ROLES = ['party0', 'party1', 'assistant', 'client', 'provider'] as const;
export type Role = (typeof ROLES)[number];

/** What a person calls a role. */
export const ROLE_NAMES: Readonly<Record<Role, string>> = {
  party0: 'party 0',
  party1: 'party 1',
  assistant: 'the assistant',
  client: 'the client',
  provider: 'the provider',
};

export interface FileEntry {
  readonly bytes: number;
  readonly sha256: string;
}

export interface Manifest {
  readonly format: typeof BUNDLE_FORMAT;
  readonly version: typeof BUNDLE_VERSION;
  readonly role: Role;
  readonly suite: string;
  /** 32 bytes hex, drawn fresh at every export: salt of the static keys. Public. */
  readonly modelId: string;
  /** The same in all bundles of one export, different in every other: hash of modelId, program, F, corrections and a salt nobody keeps. */
  readonly exportDigest: string;
  readonly programDigest: string;
  readonly files: Readonly<Record<string, FileEntry>>;
  /** Index = class. One label: regression. */
  readonly labels: readonly string[];
  readonly task: 'classification' | 'regression';
  /** Legal numbers of tokens. */
  readonly minLength: number;
  readonly maxLength: number;
  /** Provider and client: the plan by name, and how far the program was from its model on calibrated texts. */
  readonly plan?: string;
  readonly measured?: Measured;
  /** Provider and client: whether the calibration texts were pairs. Absent: unknown, as in bundles made before. */
  readonly pairs?: boolean;
}

/** |fixed point − float| of the logits. */
export interface Measured {
  readonly texts: number;
  /** Texts that were refused: not in the errors. */
  readonly refused: number;
  readonly maxError: number;
  readonly meanError: number;
  /** Texts with the float model's label; absent for a regression. */
  readonly labelsEqual?: number;
}

/** All a client needs of the program: how to mask its one-hots and to read its answer. */
export interface ClientProgram {
  readonly version: 1;
  /** Index of the embedding gate in the program: part of its mask labels. */
  readonly gate: number;
  readonly embedding: Resolved<EmbeddingGate>;
  /** Rows of the embedding table: V1 + 1. */
  readonly rows: number;
  readonly heads: number;
  /** Ring, fraction bits and number of logits of an answer. */
  readonly output: { readonly n: number; readonly f: number; readonly labels: number };
  readonly shortest: number;
  readonly longest: number;
  /** Answers come with tags and may be withheld. Absent: no. */
  readonly guarded?: boolean;
  /** Lengths are hidden: texts are padded to the next of these sizes, ascending. `gate`: index of the padding factor. Absent: public. */
  readonly padding?: { readonly gate: number; readonly buckets: readonly number[] };
}
