/** A role's identity: a key pair and a self-signed certificate that the others pin by its SHA-256. */
import 'reflect-metadata';
import { createHash, createPrivateKey, randomBytes, webcrypto, X509Certificate, type KeyObject } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as x509 from '@peculiar/x509';
import { InputError } from '../../common/errors.ts';
import { hex } from '../encoding.ts';

export interface Identity {
  /** PEM. The key is secret. */
  readonly key: string;
  readonly cert: string;
  /** SHA-256 of the DER certificate, 32 bytes. */
  readonly fingerprint: Uint8Array;
}

const YEARS = 10;
const KEY_FILE = 'key.pem';
const CERT_FILE = 'cert.pem';

export const fingerprintOf = (der: Uint8Array): Uint8Array =>
  Uint8Array.from(createHash('sha256').update(der).digest());

const pem = (label: string, der: ArrayBuffer): string =>
  `-----BEGIN ${label}-----\n${Buffer.from(der)
    .toString('base64')
    .replace(/.{64}(?=.)/g, '$&\n')}\n-----END ${label}-----\n`;

/** A fresh ECDSA P-256 key with a self-signed certificate for ten years. */
export async function createIdentity(name: string): Promise<Identity> {
  x509.cryptoProvider.set(webcrypto as Crypto);
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256' };
  const keys = (await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])) as CryptoKeyPair;
  const now = new Date();
  const cert = await x509.X509CertificateGenerator.createSelfSigned({
    // A serial number is positive: clear the sign bit.
    serialNumber: hex(Uint8Array.from(randomBytes(16), (b, i) => (i === 0 ? (b & 0x7f) | 1 : b))),
    name: [{ CN: [name] }],
    notBefore: now,
    notAfter: new Date(now.getFullYear() + YEARS, now.getMonth(), now.getDate()),
    keys,
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
  });
  const key = pem('PRIVATE KEY', await webcrypto.subtle.exportKey('pkcs8', keys.privateKey));
  return { key, cert: `${cert.toString('pem')}\n`, fingerprint: fingerprintOf(new Uint8Array(cert.rawData)) };
}

/** Writes key.pem (readable by its owner only) and cert.pem. Never overwrites a key. */
export async function saveIdentity(dir: string, identity: Identity): Promise<void> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  try {
    await writeFile(join(dir, KEY_FILE), identity.key, { mode: 0o600, flag: 'wx' });
    await writeFile(join(dir, CERT_FILE), identity.cert, { flag: 'wx' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    throw new InputError(
      `${dir}: there is an identity already`,
      'Give another folder, or remove the old identity first.',
    );
  }
}

/** Key and certificate of one role. @throws InputError where a file is missing or they do not belong together */
export async function loadIdentity(dir: string): Promise<Identity> {
  const read = (name: string): Promise<string> =>
    readFile(join(dir, name), 'utf8').catch(() => {
      throw new InputError(`${join(dir, name)}: cannot be read`, 'Give the folder of this role that keygen wrote.');
    });
  const [key, cert] = await Promise.all([read(KEY_FILE), read(CERT_FILE)]);
  const parsed = <T>(name: string, what: string, parse: () => T): T => {
    try {
      return parse();
    } catch {
      throw new InputError(`${join(dir, name)}: not a ${what}`, 'Make a new identity with keygen.');
    }
  };
  const certificate = parsed(CERT_FILE, 'certificate', () => new X509Certificate(cert));
  const secret = parsed(KEY_FILE, 'private key', (): KeyObject => createPrivateKey(key));
  if (!certificate.checkPrivateKey(secret))
    throw new InputError(
      `${dir}: key and certificate are of two identities`,
      'Copy the folder that keygen wrote, whole.',
    );
  return { key, cert, fingerprint: fingerprintOf(certificate.raw) };
}
