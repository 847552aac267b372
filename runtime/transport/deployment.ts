/** The deployment file: who plays which role, where, and by which certificate. Public; the same at every role. */
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { InputError } from '../../common/errors.ts';
import { fromHex, type Certificates } from '../encoding.ts';

const fingerprint = z.string().regex(/^[0-9a-f]{64}$/, 'not a SHA-256 fingerprint (64 hexadecimal digits)');
const address = z.string().regex(/^(\[[0-9a-fA-F:.]+\]|[^\s:[\]]+):\d{1,5}$/, 'not host:port');

const SCHEMA = z.strictObject({
  version: z.literal(1),
  /** `clients`: where clients come (WebSocket over TLS); `peers`: where party 1 comes to party 0, and both parties to the assistant. */
  party0: z.strictObject({ clients: address, peers: address, fingerprint }),
  party1: z.strictObject({ clients: address, fingerprint }),
  assistant: z.strictObject({ peers: address, fingerprint }),
  /** Certificates of the clients that are served. */
  clients: z.array(fingerprint).min(1),
});

export type Deployment = z.infer<typeof SCHEMA>;

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** host:port, with brackets around an IPv6 host. */
export function parseAddress(text: string): Address {
  const colon = text.lastIndexOf(':');
  return { host: text.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(text.slice(colon + 1)) };
}

/** Reads and checks a deployment file. @throws InputError naming the field that is wrong */
export async function readDeployment(file: string): Promise<Deployment> {
  const text = await readFile(file, 'utf8').catch(() => {
    throw new InputError(`${file}: cannot be read`, 'Give the deployment file that keygen wrote.');
  });
  return parseDeployment(text, file);
}

/** @throws InputError naming the field that is wrong */
export function parseDeployment(text: string, where: string): Deployment {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new InputError(
      `${where}: not JSON (${(error as Error).message})`,
      'Correct the file, or make it again with keygen.',
    );
  }
  const parsed = SCHEMA.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    throw new InputError(
      `${where}: ${issue.path.join('.') || 'top level'}: ${issue.message}`,
      'Correct the deployment file.',
    );
  }
  const pins = [parsed.data.party0, parsed.data.party1, parsed.data.assistant].map((role) => role.fingerprint);
  if (new Set([...pins, ...parsed.data.clients]).size !== pins.length + parsed.data.clients.length) {
    throw new InputError(`${where}: two roles have one certificate`, 'Give every role its own identity (keygen).');
  }
  return parsed.data;
}

/** Certificate hashes of the serving roles, part of every session's context. */
export const servingCertificates = (d: Deployment): Omit<Certificates, 'client'> => ({
  party0: fromHex(d.party0.fingerprint),
  party1: fromHex(d.party1.fingerprint),
  assistant: fromHex(d.assistant.fingerprint),
});
