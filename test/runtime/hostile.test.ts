/** What one client, or a stranger, may not do to a server: hold its sessions, fill its memory, keep others from being answered. */
import { rm } from 'node:fs/promises';
import { connect as connectPlain } from 'node:net';
import { dirname } from 'node:path';
import { connect } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { PeerError, RefusedError } from '../../common/errors.ts';
import { channelPair, encodeHeader, MessageChannel, type Channel } from '../../runtime/channel.ts';
import { webSocketChannel, type WebSocketLike } from '../../runtime/client/websocket.ts';
import { sessionContext, sessionId, SYSTEM_ENTROPY } from '../../runtime/keys.ts';
import { MAX_SESSIONS_OF_ONE } from '../../runtime/role/server.ts';
import { parseAddress } from '../../runtime/transport/deployment.ts';
import { createIdentity } from '../../runtime/transport/identity.ts';
import { connectPinned } from '../../runtime/transport/tls.ts';
import { encodeOpen } from '../../runtime/wire.ts';
import { CERTIFICATES, keep, readBundles, REFERENCE } from '../support/conversation.ts';
import { exportSmall } from '../support/small-program.ts';
import { Served, type ServedOptions } from '../support/served.ts';

const QUESTION = { ids: [2, 6, 7, 8, 3], types: [0, 0, 0, 0, 0] };

let dir: string;
beforeAll(async () => {
  ({ dir } = await exportSmall(1));
});
afterAll(() => rm(dirname(dir), { recursive: true, force: true }));

const running: Served[] = [];
const serve = async (options: ServedOptions = {}): Promise<Served> => {
  const served = await Served.start(dir, options);
  running.push(served);
  return served;
};
afterEach(async () => {
  await Promise.all(running.splice(0).map((served) => served.stop()));
});

/** The same channel, which does not close. */
const held = (channel: Channel): Channel => ({
  peer: channel.peer,
  traffic: channel.traffic,
  closed: channel.closed,
  send: channel.send.bind(channel),
  receive: channel.receive.bind(channel),
  close: () => {},
});

describe('a client', () => {
  it('that has its answer and does not hang up is hung up on', async () => {
    const served = await serve({ timeout: 2_000 });
    const channels = await served.connect();
    const { answers } = await served.ask([held(channels[0]), held(channels[1])], [QUESTION]);
    expect(answers.length).toBe(1);
    await Promise.all(channels.map((channel) => channel.closed));
  });

  it('that does not agree to the end of its connection is cut off', async () => {
    const served = await serve();
    const { clients, fingerprint } = served.deployment.party0;
    const socket = await connectPinned({
      address: parseAddress(clients), identity: served.clients[0]!, pin: fingerprint, peer: 'party 0', patience: 2_000,
    }); // prettier-ignore
    const closed = new Promise((resolve) => socket.once('close', resolve));
    const upgrade = ['GET / HTTP/1.1', 'Host: x', 'Upgrade: websocket', 'Connection: Upgrade', 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==', '', '']; // prettier-ignore
    socket.write(upgrade.join('\r\n'));
    await new Promise((resolve) => socket.once('data', resolve));
    // a text message, which ends the session; then nothing but messages
    socket.write(Uint8Array.of(0x81, 0x81, 0, 0, 0, 0, 0x78));
    const more = setInterval(() => socket.write(Uint8Array.of(0x82, 0x81, 0, 0, 0, 0, 0x78)), 20);
    socket.resume();
    await closed;
    clearInterval(more);
    // within the half minute that a WebSocket has to agree
  }, 20_000);
});

describe('sessions', () => {
  it('find room at the assistant, as many as at the parties', async () => {
    const served = await serve();
    const all = await Promise.all(Array.from({ length: 40 }, () => served.connect()));
    await Promise.all(all.map((channels) => served.untilInput(channels, 5)));
    expect(served.lines).toEqual([]);
  });
});

describe('the tokens of all sessions', () => {
  it('are limited; what a session took is free again when it has ended', async () => {
    const served = await serve({ maxTokens: 20 });
    const [a, b, c] = await Promise.all([served.connect(), served.connect(), served.connect()]);
    await served.untilInput(a, 12);
    await expect(served.untilInput(b, 12)).rejects.toThrow(PeerError);
    expect(
      served.lines.filter((line) => /12 tokens beside 12 under way, at most 20/.test(line)).length,
    ).toBeGreaterThan(0);
    for (const channel of a) channel.close();
    await Promise.all(a.map((channel) => channel.closed));
    // The servers hear of it later than the client.
    for (let asked: unknown; asked === undefined;) {
      const channels = await served.connect();
      asked = await served.untilInput(channels, 12).then(() => channels, () => undefined); // prettier-ignore
    }
    for (const channel of [...b, ...c]) channel.close();
  });
});

describe('of several clients', () => {
  it('one cannot take all sessions', async () => {
    const served = await serve({ clients: 2 });
    const taken = await Promise.all(Array.from({ length: MAX_SESSIONS_OF_ONE }, () => served.connect(0)));
    await Promise.all(taken.map((channels) => served.untilInput(channels, 5)));
    const more = await served.connect(0);
    await Promise.all(more.map((channel) => channel.closed));
    expect(served.lines).toEqual(
      more.map(() => expect.stringMatching(/too many sessions at once: a client with 16 of them/)),
    );
    const { answers } = await served.ask(await served.connect(1), [QUESTION], 1);
    expect(answers.length).toBe(1);
  });
});

describe('the assistant', () => {
  it('forgets what was opened under one name for two sessions: the name can be used again', async () => {
    const bundles = await readBundles(dir);
    const { assistant, models } = keep(bundles, { entropy: SYSTEM_ENTROPY, timeout: 5_000 });
    const session = { ...models[0].session, lengths: [5] };
    /** A party's OPEN of session `number`, all under one name. */
    const open = (party: 0 | 1, number: number): Uint8Array => {
      const nonce = (who: number): Uint8Array => new Uint8Array(32).fill(16 * number + who);
      const nonces = { client: nonce(0), party0: nonce(1), party1: nonce(2) };
      const ctx = sessionContext(session, CERTIFICATES);
      const hello = { session, reference: REFERENCE, client: CERTIFICATES.client };
      return encodeOpen({ hello, check: models[party].check, ctx, sid: sessionId(ctx, nonces), nonces });
    };
    const begin = (party: 0 | 1, number: number): { end: Promise<unknown>; channel: Channel } => {
      const [channel, other] = channelPair(`party ${party}`, 'the assistant', 5_000);
      const end = assistant.serve(party, other).catch((error: unknown) => error);
      void channel.send('open', open(party, number));
      return { end, channel };
    };
    // Party 0 opens both sessions, then party 1 does.
    for (const party of [0, 1] as const) {
      const ends = [begin(party, 1).end, begin(party, 2).end];
      for (const end of ends) expect(await end).toBeInstanceOf(RefusedError);
    }
    const [a, b] = [begin(0, 3), begin(1, 3)];
    for (const { channel } of [a, b]) expect((await channel.receive(['seed'], 32)).payload.length).toBe(32);
    for (const { channel } of [a, b]) channel.close();
    await Promise.all([a.end, b.end]);
  });
});

describe('a stranger', () => {
  const addresses = ({ deployment }: Served) =>
    [deployment.party0.clients, deployment.party0.peers, deployment.assistant.peers].map(parseAddress);

  it('that connects and says nothing is cut off', async () => {
    const served = await serve({ timeout: 300 });
    const cut = addresses(served).map(
      ({ host, port }) =>
        new Promise((resolve) =>
          connectPlain(port, host)
            .on('error', () => {})
            .once('close', resolve),
        ),
    );
    await Promise.all(cut);
  }, 20_000);

  it('does not keep a server from ending', async () => {
    const served = await serve();
    const { host, port } = parseAddress(served.deployment.party0.peers);
    const socket = connectPlain(port, host).on('error', () => {});
    await new Promise((resolve) => socket.once('connect', resolve));
    await served.stop();
  }, 20_000);

  it('is not read: neither with a certificate that nobody pinned nor without', async () => {
    const served = await serve();
    const { host, port } = parseAddress(served.deployment.party0.clients);
    for (const credentials of [{}, await createIdentity('stranger')]) {
      const said = await new Promise<string>((resolve) => {
        let text = '';
        const socket = connect({ host, port, rejectUnauthorized: false, ...credentials });
        socket.on('error', () => {});
        socket.on('data', (chunk) => (text += String(chunk)));
        socket.once('close', () => resolve(text));
        socket.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
      });
      expect(said).toBe('');
    }
    expect(served.lines).toEqual([expect.stringMatching(/no certificate/), expect.stringMatching(/showed the certificate/)]); // prettier-ignore
  });
});

describe('a channel of messages', () => {
  const message = (payload: Uint8Array, sequence = 0): Uint8Array =>
    Buffer.concat([encodeHeader('input', sequence, payload.length), payload]);

  it('reads nothing any more once it has failed', async () => {
    const channel = new MessageChannel('the client', 1_000, () => {}, () => {}); // prettier-ignore
    channel.fail(new PeerError('over', 'x'));
    channel.deliver(message(new Uint8Array(5)));
    await expect(channel.receive(['input'], 5)).rejects.toThrow('over');
  });

  it('of a WebSocket takes little that nobody awaits, and as much as is due', async () => {
    const open = (): { socket: WebSocketLike; channel: Channel } => {
      const socket: WebSocketLike = { binaryType: '', send: () => {}, close: () => {}, onmessage: null, onclose: null, onerror: null }; // prettier-ignore
      return { socket, channel: webSocketChannel(socket, 'the client', 1_000) };
    };
    const large = message(new Uint8Array(2 ** 20)).slice();
    const due = open();
    const awaited = due.channel.receive(['input'], 2 ** 20);
    due.socket.onmessage!({ data: large.buffer });
    expect((await awaited).payload.length).toBe(2 ** 20);
    const ahead = open();
    ahead.socket.onmessage!({ data: large.buffer });
    await expect(ahead.channel.receive(['input'], 2 ** 20)).rejects.toThrow(/more than was asked for/);
  });
});
