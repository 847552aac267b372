/** TLS 1.3 with mutual authentication by pinned certificates: nothing is trusted but the fingerprints of the deployment file. */
import { connect as tlsConnect, createServer, type Server, type TLSSocket } from 'node:tls';
import { createServer as createHttpsServer } from 'node:https';
import type { Server as NetServer } from 'node:net';
import { WebSocketServer, type WebSocket } from 'ws';
import { Failure, InputError, PeerError, RefusedError } from '../../common/errors.ts';
import type { Channel } from '../channel.ts';
import { webSocketChannel, type WebSocketLike } from '../client/websocket.ts';
import { equalBytes, fromHex, hex } from '../encoding.ts';
import type { Address } from './deployment.ts';
import { fingerprintOf, type Identity } from './identity.ts';
import { inlet, StreamChannel, type Inlet } from './tls-channel.ts';

const TLS = { minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3' } as const;
const shown = ({ host, port }: Address): string => `${host}:${port}`;

/** The hash of the certificate at the other end, whose key the handshake has proved; refuses none and an expired one. */
function presented(socket: TLSSocket, who: string): Uint8Array {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined)
    throw new RefusedError(`${who} showed no certificate`, 'connect with an identity made by keygen');
  const now = Date.now();
  if (now < Date.parse(certificate.validFrom) || now > Date.parse(certificate.validTo)) {
    throw new RefusedError(
      `${who} showed a certificate valid from ${certificate.validFrom} to ${certificate.validTo}`,
      'make a new identity with keygen, and pin it',
    );
  }
  return fingerprintOf(certificate.raw);
}

/** Who may connect: name by fingerprint. */
export type Allowed = ReadonlyMap<string, string>;

function admit(socket: TLSSocket, allowed: Allowed): { name: string; fingerprint: Uint8Array } {
  const from = `${socket.remoteAddress ?? 'somebody'}`;
  const fingerprint = presented(socket, from);
  const name = allowed.get(hex(fingerprint));
  if (name === undefined) {
    const pinned = [...allowed].map(([pin, who]) => `${who} ${pin}`).join(', ');
    throw new RefusedError(
      `${from} showed the certificate ${hex(fingerprint)}; the deployment file has ${pinned}`,
      'correct the fingerprint in the deployment file, or the key of the one who connects',
    );
  }
  return { name, fingerprint };
}

export interface Listener {
  readonly port: number;
  /** Takes no more connections. */
  stop(): void;
  /** Cuts those there are. */
  close(): Promise<void>;
}

async function listen(server: NetServer, address: Address, what: string, cut: () => void): Promise<Listener> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const busy = error.code === 'EADDRINUSE';
      reject(
        new InputError(
          `${what}: cannot listen on ${shown(address)}: ${busy ? 'the port is in use' : error.message}`,
          busy
            ? 'end the program that uses it, or give another port in the deployment file'
            : 'correct the address in the deployment file',
        ),
      );
    });
    server.listen({ host: address.host, port: address.port }, resolve);
  });
  const bound = server.address();
  return {
    port: typeof bound === 'object' && bound !== null ? bound.port : address.port,
    stop: () => void server.close(),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        cut();
      }),
  };
}

/** Options of both sorts of server. */
export interface ServeOptions {
  readonly address: Address;
  readonly identity: Identity;
  readonly allowed: Allowed;
  /** Milliseconds any message may take. */
  readonly timeout: number;
  /** Somebody was turned away. */
  refused(reason: Failure): void;
}

const credentials = ({ key, cert }: Identity): { key: string; cert: string } => ({ key, cert });

/** Listens for other roles. `connected` gets every admitted channel with the name its certificate has in `allowed`. */
export async function serveRoles(
  options: ServeOptions,
  connected: (name: string, channel: Channel) => void,
): Promise<Listener> {
  const sockets = new Set<TLSSocket>();
  const server: Server = createServer(
    { ...TLS, ...credentials(options.identity), requestCert: true, rejectUnauthorized: false },
    (socket) => {
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
      socket.on('error', () => {});
      socket.setNoDelay(true);
      try {
        const { name } = admit(socket, options.allowed);
        connected(name, new StreamChannel(name, socket, options.timeout));
      } catch (error) {
        socket.destroy();
        options.refused(error as Failure);
      }
    },
  );
  server.on('tlsClientError', () => {});
  return listen(server, options.address, 'roles', () => sockets.forEach((socket) => socket.destroy()));
}

/** Listens for clients: WebSocket over TLS. `limit` is the largest message. */
export async function serveClients(
  options: ServeOptions & { readonly limit: number },
  connected: (certificate: Uint8Array, channel: Channel) => void,
): Promise<Listener> {
  const server = createHttpsServer(
    { ...TLS, ...credentials(options.identity), requestCert: true, rejectUnauthorized: false },
    (_, response) => {
      response.writeHead(426).end();
    },
  );
  const sockets = new WebSocketServer({ noServer: true, maxPayload: options.limit, perMessageDeflate: false });
  server.on('tlsClientError', () => {});
  server.on('upgrade', (request, socket, head) => {
    socket.on('error', () => {});
    try {
      const { name, fingerprint } = admit(request.socket as TLSSocket, options.allowed);
      (request.socket as TLSSocket).setNoDelay(true);
      sockets.handleUpgrade(request, socket, head, (ws: WebSocket) => {
        connected(fingerprint, webSocketChannel(ws as unknown as WebSocketLike, name, options.timeout));
      });
    } catch (error) {
      socket.destroy();
      options.refused(error as Failure);
    }
  });
  return listen(server, options.address, 'clients', () => {
    for (const ws of sockets.clients) ws.terminate();
    server.closeAllConnections();
  });
}

export interface ConnectOptions {
  readonly address: Address;
  readonly identity: Identity;
  /** Fingerprint of the role that must answer, 64 hexadecimal digits. */
  readonly pin: string;
  /** Its name, for messages. */
  readonly peer: string;
  /** Milliseconds to keep trying while nothing listens there. */
  readonly patience: number;
}

const RETRY = 100;

/** A TLS connection to exactly the role whose certificate is pinned. What it reads goes through `from`, if given. */
export async function connectPinned(options: ConnectOptions, from?: Inlet): Promise<TLSSocket> {
  const deadline = Date.now() + options.patience;
  for (;;) {
    try {
      return await connectOnce(options, Math.max(RETRY, deadline - Date.now()), from);
    } catch (error) {
      if (error instanceof RefusedError || Date.now() + RETRY > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, RETRY));
    }
  }
}

function connectOnce(
  { address, identity, pin, peer }: ConnectOptions,
  patience: number,
  from: Inlet | undefined,
): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = tlsConnect({
      ...TLS,
      ...credentials(identity),
      host: address.host,
      port: address.port,
      rejectUnauthorized: false,
      ...(from === undefined
        ? {}
        : { onread: { buffer: from.buffer, callback: (bytes: number) => from.take(from.buffer.subarray(0, bytes)) } }),
    });
    const absent = (why: string): PeerError =>
      new PeerError(
        `${peer} does not answer at ${shown(address)} (${why})`,
        `start ${peer}, or correct its address in the deployment file`,
      );
    const stop = (error: Failure): void => {
      clearTimeout(timer);
      socket.destroy();
      reject(error);
    };
    const timer = setTimeout(() => stop(absent('time-out')), patience);
    socket.on('error', (error: NodeJS.ErrnoException) => stop(absent(error.code ?? error.message)));
    socket.once('close', () => stop(absent('hung up')));
    socket.once('secureConnect', () => {
      try {
        const fingerprint = presented(socket, peer);
        if (!equalBytes(fingerprint, fromHex(pin))) {
          throw new RefusedError(
            `${peer} at ${shown(address)} showed the certificate ${hex(fingerprint)}; the deployment file has ${pin}`,
            'correct the fingerprint in the deployment file, or find out who answers there',
          );
        }
        clearTimeout(timer);
        socket.setNoDelay(true);
        resolve(socket);
      } catch (error) {
        stop(error as Failure);
      }
    });
  });
}

/** What it means if a role hangs up without a word after the handshake: it refused this certificate. */
export const turnedAway = (peer: string, identity: Identity): PeerError =>
  new PeerError(
    `${peer} hung up without a word`,
    `see what ${peer} reported; its deployment file must have our certificate ${hex(identity.fingerprint)}`,
  );

/** TLS hands over a record, of at most 16 KiB, at a time. */
const INLET_BYTES = 1 << 16;

/** Connects to another role. `timeout` in milliseconds bounds every message. */
export async function connectRole(options: ConnectOptions & { readonly timeout: number }): Promise<Channel> {
  const from = inlet(INLET_BYTES);
  const socket = await connectPinned(options, from);
  const silent = turnedAway(options.peer, options.identity);
  return new StreamChannel(options.peer, socket, options.timeout, { silent, from });
}
