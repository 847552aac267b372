/** TLS with pinned certificates and framing on real sockets. */
import { randomBytes } from 'node:crypto';
import { connect, type TLSSocket } from 'node:tls';
import { PassThrough, Duplex } from 'node:stream';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { InputError, PeerError, RefusedError, type Failure } from '../../common/errors.ts';
import { encodeHeader, expect as receive, type Channel } from '../../runtime/channel.ts';
import { hex } from '../../runtime/encoding.ts';
import { parseAddress, parseDeployment } from '../../runtime/transport/deployment.ts';
import { createIdentity, loadIdentity, saveIdentity, type Identity } from '../../runtime/transport/identity.ts';
import { StreamChannel } from '../../runtime/transport/tls-channel.ts';
import { connectRole, serveRoles, type Listener } from '../../runtime/transport/tls.ts';

let server: Identity;
let friend: Identity;
let stranger: Identity;
beforeAll(async () => {
  [server, friend, stranger] = (await Promise.all(['server', 'friend', 'stranger'].map(createIdentity))) as [
    Identity,
    Identity,
    Identity,
  ];
});

const open: Listener[] = [];
afterEach(async () => {
  await Promise.all(open.splice(0).map((listener) => listener.close()));
});

async function listen(): Promise<{ port: number; channels: Promise<Channel>; refused: Failure[] }> {
  const refused: Failure[] = [];
  let arrived!: (channel: Channel) => void;
  const channels = new Promise<Channel>((resolve) => (arrived = resolve));
  const allowed = new Map([[hex(friend.fingerprint), 'the friend']]);
  const address = { host: '127.0.0.1', port: 0 };
  const listener = await serveRoles(
    { address, identity: server, allowed, timeout: 2_000, refused: (f) => refused.push(f) },
    (_, c) => arrived(c),
  );
  open.push(listener);
  return { port: listener.port, channels, refused };
}

const dial = (port: number, identity: Identity, pin = hex(server.fingerprint), patience = 1_000): Promise<Channel> =>
  connectRole({ address: { host: '127.0.0.1', port }, identity, pin, peer: 'the server', patience, timeout: 2_000 });

describe('pinned TLS', () => {
  it('carries frames both ways and counts at both sockets the same bytes', async () => {
    const { port, channels } = await listen();
    const [a, b] = await Promise.all([dial(port, friend), channels]);
    const sizes = [0, 1, 1024, 1025, 65_536, 3_000_000];
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      for (const size of sizes) {
        const payload = randomBytes(size);
        const sending = from.send('round', payload);
        expect(Buffer.from(await receive(to, 'round', size)).equals(payload)).toBe(true);
        await sending;
      }
    }
    const bytes = sizes.reduce((sum, size) => sum + size + 9, 0);
    expect([a.traffic.sentBytes, b.traffic.receivedBytes, b.traffic.sentBytes, a.traffic.receivedBytes]).toEqual([
      bytes,
      bytes,
      bytes,
      bytes,
    ]);
    expect(a.traffic.sentRounds).toBe(sizes.length);
  });

  it('is TLS 1.3 and nothing older', async () => {
    const { port } = await listen();
    const attempt = (maxVersion: 'TLSv1.2' | 'TLSv1.3'): Promise<string> =>
      new Promise((resolve) => {
        const socket: TLSSocket = connect(
          {
            port,
            host: '127.0.0.1',
            key: friend.key,
            cert: friend.cert,
            rejectUnauthorized: false,
            minVersion: 'TLSv1.2',
            maxVersion,
          },
          () => (resolve(socket.getProtocol()!), socket.destroy()),
        );
        socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'error'));
      });
    expect(await attempt('TLSv1.3')).toBe('TLSv1.3');
    expect(await attempt('TLSv1.2')).toMatch(/ERR_SSL|ECONNRESET/);
  });

  it('refuses a peer with another certificate, naming both', async () => {
    const { port, refused } = await listen();
    const channel = await dial(port, stranger);
    await expect(channel.receive(['hello'], 10)).rejects.toThrow(/hung up without a word/);
    expect(refused[0]).toBeInstanceOf(RefusedError);
    expect(refused[0]!.message).toContain(hex(stranger.fingerprint));
    expect(refused[0]!.message).toContain(hex(friend.fingerprint));
  });

  it('names few of many pinned ones to a stranger', async () => {
    const refused: Failure[] = [];
    const pins = Array.from({ length: 500 }, (_, i) => String(i).padStart(64, '0'));
    const listener = await serveRoles(
      { address: { host: '127.0.0.1', port: 0 }, identity: server, allowed: new Map(pins.map((pin) => [pin, 'a friend'])), timeout: 2_000, refused: (f) => refused.push(f) },
      () => {},
    ); // prettier-ignore
    open.push(listener);
    await expect((await dial(listener.port, stranger)).receive(['hello'], 10)).rejects.toThrow(/hung up/);
    expect(refused[0]!.message).toMatch(/and 496 more$/);
    expect(refused[0]!.message.length).toBeLessThan(1000);
  });

  it('refuses a peer without a certificate', async () => {
    const { port, refused } = await listen();
    const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false });
    socket.on('error', () => {});
    await new Promise((resolve) => socket.once('close', resolve));
    expect(refused[0]!.message).toMatch(/no certificate/);
  });

  it('refuses a server with another certificate, naming both', async () => {
    const { port } = await listen();
    const wrong = dial(port, friend, hex(stranger.fingerprint));
    await expect(wrong).rejects.toBeInstanceOf(RefusedError);
    await expect(wrong).rejects.toThrow(new RegExp(`${hex(server.fingerprint)}.*${hex(stranger.fingerprint)}`));
  });

  it('tells an absent role from a wrong one, within its patience', async () => {
    const { port } = await listen();
    await open.pop()!.close();
    const start = Date.now();
    await expect(dial(port, friend, undefined, 400)).rejects.toBeInstanceOf(PeerError);
    expect(Date.now() - start).toBeLessThan(3_000);
  });

  it('names a busy port', async () => {
    const { port } = await listen();
    const again = serveRoles(
      { address: { host: '127.0.0.1', port }, identity: server, allowed: new Map(), timeout: 1_000, refused: () => {} },
      () => {},
    );
    await expect(again).rejects.toBeInstanceOf(InputError);
    await expect(again).rejects.toThrow(/port is in use/);
  });

  it('notices that the other end has gone, also while nothing is awaited', async () => {
    const { port, channels } = await listen();
    const [a, b] = await Promise.all([dial(port, friend), channels]);
    const waiting = a.receive(['hello'], 10);
    b.close();
    await expect(waiting).rejects.toThrow(PeerError);
    expect(await a.closed).toBeInstanceOf(PeerError);
  });
});

describe('frames on a byte stream', () => {
  /** A channel that reads what the test writes. */
  function reader(timeout = 300): { channel: StreamChannel; write: (bytes: Uint8Array) => void; end: () => void } {
    const input = new PassThrough();
    const socket = Duplex.from({ readable: input, writable: new PassThrough() });
    return {
      channel: new StreamChannel('the peer', socket, timeout),
      write: (b) => void input.write(b),
      end: () => input.end(),
    };
  }
  const frame = (sequence: number, payload: Uint8Array, length = payload.length): Uint8Array =>
    Buffer.concat([encodeHeader('round', sequence, length), payload]);

  it('reassembles frames from any pieces', async () => {
    const { channel, write } = reader();
    const bytes = Buffer.concat([frame(0, randomBytes(50)), frame(1, randomBytes(0)), frame(2, Buffer.from('end'))]);
    for (const b of bytes) write(Uint8Array.of(b));
    expect((await receive(channel, 'round', 50)).length).toBe(50);
    expect((await receive(channel, 'round', 0)).length).toBe(0);
    expect(Buffer.from(await receive(channel, 'round', 3)).toString()).toBe('end');
  });

  it('refuses a frame that announces more than is due before it has come', async () => {
    const { channel, write } = reader(5_000);
    write(encodeHeader('round', 0, 2 ** 32 - 1));
    await expect(channel.receive(['round'], 100)).rejects.toThrow(/4294967295 bytes, at most 100/);
  });

  it.each([
    ['another type', encodeHeader('check', 0, 0), /check message where round was due/],
    ['an unknown type', Uint8Array.of(0, 0, 0, 0, 99, 0, 0, 0, 0), /unknown message/],
    ['a lost frame', encodeHeader('round', 1, 0), /frame 1 where 0 was due/],
  ])('refuses %s', async (_, header, message) => {
    const { channel, write } = reader();
    write(header);
    await expect(channel.receive(['round'], 100)).rejects.toThrow(message);
  });

  it('does not wait for ever', async () => {
    const { channel, write } = reader(100);
    write(frame(0, new Uint8Array(5), 10));
    await expect(channel.receive(['round'], 10)).rejects.toThrow(/silent for 0.1 s/);
  });

  it('hands over what came before the end', async () => {
    const { channel, write, end } = reader();
    write(frame(0, Buffer.from('last')));
    end();
    await channel.closed;
    expect(Buffer.from(await receive(channel, 'round', 4)).toString()).toBe('last');
    await expect(channel.receive(['round'], 4)).rejects.toThrow(/left in the middle/);
  });
});

describe('identities and deployments', () => {
  it('keeps a key for its owner and never overwrites it', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'identity-'));
    try {
      await saveIdentity(join(dir, 'a'), server);
      expect(hex((await loadIdentity(join(dir, 'a'))).fingerprint)).toBe(hex(server.fingerprint));
      expect((await stat(join(dir, 'a', 'key.pem'))).mode & 0o077).toBe(0);
      await expect(saveIdentity(join(dir, 'a'), friend)).rejects.toThrow(/already/);
      await expect(loadIdentity(join(dir, 'b'))).rejects.toThrow(InputError);
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  });

  it('refuses a key that is not of the certificate, and files that are neither', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'identity-'));
    try {
      for (const [name, wrong, what] of [
        ['mixed', { ...server, key: friend.key }, /of two identities/],
        ['no-key', { ...server, key: 'x' }, /key\.pem: not a private key/],
        ['no-cert', { ...server, cert: 'x' }, /cert\.pem: not a certificate/],
      ] as const) {
        await saveIdentity(join(dir, name), wrong);
        const loaded = loadIdentity(join(dir, name));
        await expect(loaded).rejects.toThrow(what);
        await expect(loaded).rejects.toBeInstanceOf(InputError);
      }
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  });

  const pin = (c: string): string => c.repeat(64);
  const good = {
    version: 1,
    party0: { clients: 'a.example:1', peers: '[::1]:2', fingerprint: pin('a') },
    party1: { clients: '127.0.0.1:3', fingerprint: pin('b') },
    assistant: { peers: 'c:4', fingerprint: pin('c') },
    clients: [pin('d')],
  };

  it('reads a deployment file', () => {
    expect(parseDeployment(JSON.stringify(good), 'x')).toEqual(good);
    expect(parseAddress('[::1]:2')).toEqual({ host: '::1', port: 2 });
    expect(parseAddress('a.example:1')).toEqual({ host: 'a.example', port: 1 });
  });

  it.each<[string, object, RegExp]>([
    ['a short fingerprint', { ...good, party1: { ...good.party1, fingerprint: 'ab' } }, /party1\.fingerprint/],
    ['an address without port', { ...good, assistant: { ...good.assistant, peers: 'c' } }, /assistant\.peers/],
    ['an unknown field', { ...good, extra: 1 }, /extra/],
    ['no clients', { ...good, clients: [] }, /clients/],
    ['one certificate for two roles', { ...good, clients: [pin('a')] }, /one certificate/],
  ])('refuses %s', (_, json, message) => {
    expect(() => parseDeployment(JSON.stringify(json), 'd.json')).toThrow(message);
    expect(() => parseDeployment(JSON.stringify(json), 'd.json')).toThrow(InputError);
  });
});
