/** `secure-infer keygen`: identities and a deployment file. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Command } from 'commander';
import { InputError } from '../../common/errors.ts';
import { hex } from '../../runtime/encoding.ts';
import { createIdentity, saveIdentity, type Identity } from '../../runtime/transport/identity.ts';
import type { Deployment } from '../../runtime/transport/deployment.ts';
import { wholeNumber } from './options.ts';

export const KEY_ROLES = ['party0', 'party1', 'assistant', 'client'] as const;
export type KeyRole = (typeof KEY_ROLES)[number];

/** Four ports: clients of party 0, clients of party 1, peers of party 0, peers of the assistant. */
export type Ports = readonly [number, number, number, number];

/** A deployment of all roles on one host. */
export function deploymentOf(identities: Readonly<Record<KeyRole, Identity>>, host: string, ports: Ports): Deployment {
  const pin = (role: KeyRole): string => hex(identities[role].fingerprint);
  const at = (i: 0 | 1 | 2 | 3): string => `${host}:${ports[i]}`;
  return {
    version: 1,
    party0: { clients: at(0), peers: at(2), fingerprint: pin('party0') },
    party1: { clients: at(1), fingerprint: pin('party1') },
    assistant: { peers: at(3), fingerprint: pin('assistant') },
    clients: [pin('client')],
  };
}

/** Makes the identities of all roles and a deployment file in `out`. */
export async function makeDeployment(out: string, host: string, ports: Ports): Promise<Deployment> {
  await mkdir(out, { recursive: true });
  const made = await Promise.all(KEY_ROLES.map(async (role) => [role, await createIdentity(role)] as const));
  const identities = Object.fromEntries(made) as Record<KeyRole, Identity>;
  for (const role of KEY_ROLES) await saveIdentity(join(out, role), identities[role]);
  const deployment = deploymentOf(identities, host, ports);
  await writeFile(join(out, 'deployment.json'), `${JSON.stringify(deployment, null, 2)}\n`);
  return deployment;
}

interface KeygenOptions {
  readonly out: string;
  readonly role?: string;
  readonly port: number;
  readonly json?: boolean;
}

/** `keygen`. */
export function addKeygenCommand(program: Command): void {
  program
    .command('keygen')
    .description('Makes identities (key and self-signed certificate) and a deployment file that pins them.')
    .requiredOption('--out <dir>', 'where to write')
    .option(
      '--role <role>',
      `only the identity of one role: ${KEY_ROLES.join(', ')} (default: all, and a deployment file)`,
    )
    .option('--port <port>', 'first of four ports on this host, for the deployment file', wholeNumber, 7700)
    .option('--json', 'print the fingerprints as JSON')
    .addHelpText(
      'after',
      '\nExamples:\n  secure-infer keygen --out keys                  all roles on this host, for trying\n' +
        '  secure-infer keygen --out my-key --role party0  one role: send the printed fingerprint to the others\n',
    )
    .action(async (options: KeygenOptions) => {
      const print = (fingerprints: Record<string, string>): void => {
        if (options.json) process.stdout.write(`${JSON.stringify(fingerprints)}\n`);
        else for (const [role, pin] of Object.entries(fingerprints)) process.stdout.write(`${role} ${pin}\n`);
      };
      if (options.role !== undefined) {
        if (!(KEY_ROLES as readonly string[]).includes(options.role)) {
          throw new InputError(`--role ${options.role}: no such role`, `roles are ${KEY_ROLES.join(', ')}`);
        }
        const identity = await createIdentity(options.role);
        await saveIdentity(options.out, identity);
        print({ [options.role]: hex(identity.fingerprint) });
        return;
      }
      const { port } = options;
      const d = await makeDeployment(options.out, '127.0.0.1', [port, port + 1, port + 2, port + 3]);
      print({
        party0: d.party0.fingerprint,
        party1: d.party1.fingerprint,
        assistant: d.assistant.fingerprint,
        client: d.clients[0]!,
      });
      process.stderr.write(
        `wrote ${join(options.out, 'deployment.json')}; every role needs it and its own key folder, no other\n`,
      );
    });
}
