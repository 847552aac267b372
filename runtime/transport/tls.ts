/** TLS 1.3 with mutual authentication by pinned certificates: nothing is trusted but the fingerprints of the deployment file. */
import { connect as tlsConnect, createServer, type Server, type TLSSocket } from 'node:tls';
import { createServer as createHttpsServer } from 'node:https';
import type { Socket } from 'node:net';
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

/** Pins that are named to somebody who showed another: a stranger must not fill the log. */
const SHOWN = 4;

/** Who may connect: name by fingerprint. */
export type Allowed = ReadonlyMap<string, string>;

function admit(socket: TLSSocket, allowed: Allowed): { name: string; fingerprint: Uint8Array } {
  const from = `${socket.remoteAddress ?? 'somebody'}`;
  const fingerprint = presented(socket, from);
  const name = allowed.get(hex(fingerprint));
  if (name === undefined) {
    const pinned = [...allowed]
      .slice(0, SHOWN)
      .map(([pin, who]) => `${who} ${pin}`)
      .join(', ');
    const others = allowed.size > SHOWN ? ` and ${allowed.size - SHOWN} more` : '';
    throw new RefusedError(
      `${from} showed the certificate ${hex(fingerprint)}; the deployment file has ${pinned}${others}`,
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

async function listen(server: Server, address: Address, what: string): Promise<Listener> {
  // Those too whose handshake is under way: they would keep a server from ending.
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  // A handshake that failed or took too long is the listener's to end.
  server.on('tlsClientError', (_, socket) => socket.destroy());
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
        for (const socket of sockets) socket.destroy();
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

/** Options of a listening socket: a stranger holds a connection no longer than any message may take. */
const serving = ({ identity, timeout }: ServeOptions) =>
  ({
    ...TLS,
    ...credentials(identity),
    requestCert: true,
    rejectUnauthorized: false,
    handshakeTimeout: timeout,
  }) as const;

/** Milliseconds of silence after which the other end is asked whether it is there: a host that lost its power says nothing. */
const KEEP_ALIVE = 30_000;
/** Milliseconds a client may take to agree to the end of its connection. */
const LINGER = 2_000;

function settle(socket: TLSSocket): void {
  socket.setNoDelay(true);
  socket.setKeepAlive(true, KEEP_ALIVE);
}

/** Listens for other roles. `connected` gets every admitted channel with the name its certificate has in `allowed`. */
export async function serveRoles(
  options: ServeOptions,
  connected: (name: string, channel: Channel) => void,
): Promise<Listener> {
  const server = createServer(serving(options), (socket) => {
    socket.on('error', () => {});
    settle(socket);
    try {
      const { name } = admit(socket, options.allowed);
      connected(name, new StreamChannel(name, socket, options.timeout));
    } catch (error) {
      socket.destroy();
      options.refused(error as Failure);
    }
  });
  return listen(server, options.address, 'roles');
}

/** Listens for clients: WebSocket over TLS. `limit` is the largest message. */
export async function serveClients(
  options: ServeOptions & { readonly limit: number },
  connected: (certificate: Uint8Array, channel: Channel) => void,
): Promise<Listener> {
  const server = createHttpsServer(serving(options), (_, response) => {
    response.writeHead(426).end();
  });
  const sockets = new WebSocketServer({ noServer: true, maxPayload: options.limit, perMessageDeflate: false });
  const admitted = new WeakMap<TLSSocket, ReturnType<typeof admit>>();
  // Before the server's own listener: no byte of a stranger is read as HTTP.
  server.prependListener('secureConnection', (socket: TLSSocket) => {
    socket.on('error', () => {});
    try {
      admitted.set(socket, admit(socket, options.allowed));
      settle(socket);
    } catch (error) {
      socket.destroy();
      options.refused(error as Failure);
    }
  });
  server.on('upgrade', (request, socket, head) => {
    const client = admitted.get(request.socket as TLSSocket);
    if (client === undefined) {
      socket.destroy();
      return;
    }
    sockets.handleUpgrade(request, socket, head, (ws: WebSocket) => {
      const channel = webSocketChannel(ws as unknown as WebSocketLike, client.name, options.timeout);
      void channel.closed.then(() => setTimeout(() => ws.terminate(), LINGER).unref());
      connected(client.fingerprint, channel);
    });
  });
  return listen(server, options.address, 'clients');
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
        settle(socket);
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
