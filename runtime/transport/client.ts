/** Node's way to the parties: WebSockets on TLS connections whose pins have been checked. */
import { WebSocket } from 'ws';
import { PeerError, RefusedError } from '../../common/errors.ts';
import type { Channel } from '../channel.ts';
import { webSocketChannel, type WebSocketLike } from '../client/websocket.ts';
import { hex, type Certificates } from '../encoding.ts';
import { parseAddress, servingCertificates, type Deployment } from './deployment.ts';
import type { Identity } from './identity.ts';
import { connectPinned, turnedAway } from './tls.ts';

export interface ClientOptions {
  readonly deployment: Deployment;
  readonly identity: Identity;
  readonly timeout: number;
  readonly patience: number;
}

/** @throws RefusedError if the identity is not one of the deployment file's clients */
export function clientCertificates({
  deployment,
  identity,
}: Pick<ClientOptions, 'deployment' | 'identity'>): Certificates {
  const own = hex(identity.fingerprint);
  if (!deployment.clients.includes(own)) {
    throw new RefusedError(
      `the key is not that of a client: its certificate is ${own}, the deployment file has ${deployment.clients.join(', ')}`,
      'give the key folder of a client, or add its fingerprint to `clients` of the deployment file',
    );
  }
  return { ...servingCertificates(deployment), client: identity.fingerprint };
}

/** Fresh channels to party 0 and party 1. */
export async function connectParties(options: ClientOptions): Promise<[Channel, Channel]> {
  const { party0, party1 } = options.deployment;
  const open = await Promise.allSettled([
    connectParty('party 0', party0.clients, party0.fingerprint, options),
    connectParty('party 1', party1.clients, party1.fingerprint, options),
  ]);
  const failed = open.find((result) => result.status === 'rejected');
  if (failed !== undefined) {
    for (const result of open) if (result.status === 'fulfilled') result.value.close();
    throw failed.reason;
  }
  return open.map((result) => (result as PromiseFulfilledResult<Channel>).value) as [Channel, Channel];
}

async function connectParty(
  peer: string,
  clients: string,
  pin: string,
  { identity, timeout, patience }: ClientOptions,
): Promise<Channel> {
  const address = parseAddress(clients);
  const socket = await connectPinned({ address, identity, pin, peer, patience });
  const ws = new WebSocket(
    `wss://${address.host.includes(':') ? `[${address.host}]` : address.host}:${address.port}/`,
    {
      createConnection: () => socket,
      perMessageDeflate: false,
      handshakeTimeout: timeout,
    },
  );
  return new Promise((resolve, reject) => {
    ws.once('open', () => {
      ws.removeAllListeners('error');
      resolve(webSocketChannel(ws as unknown as WebSocketLike, peer, timeout));
    });
    ws.once('unexpected-response', () =>
      reject(new PeerError(`${peer} is not a party of this toolkit`, 'correct its address')),
    );
    ws.once('error', () => reject(turnedAway(peer, identity)));
  });
}
