/** The states of docs/PROTOCOLS.md, "Sessions and keys": one test for each of its rules. */
import { describe, expect, it } from 'vitest';
import { Failure, PeerError } from '../../common/errors.ts';
import { Secret } from '../../ring/secret.ts';
import { hex, type Certificates, type Nonces, type SessionFields } from '../../runtime/encoding.ts';
import { seededEntropy, SYSTEM_ENTROPY, type Entropy } from '../../runtime/keys.ts';
import { AssistantSessions, type OpenRequest } from '../../runtime/assistant-sessions.ts';
import { BurntSids } from '../../runtime/burnt-sids.ts';
import { PartySession } from '../../runtime/session.ts';

const bytes = (fill: number): Uint8Array => new Uint8Array(32).fill(fill);
const fields: SessionFields = {
  suite: 'masked',
  modelId: bytes(1),
  exportDigest: bytes(2),
  programDigest: bytes(3),
  lengths: [7],
};
const certificates: Certificates = { party0: bytes(4), party1: bytes(5), assistant: bytes(6), client: bytes(7) };
const reference = new Uint8Array(16);

interface Pair {
  readonly sessions: readonly [PartySession, PartySession];
  readonly nonces: Nonces;
}

function start(entropy: Entropy = SYSTEM_ENTROPY, burnt = [new BurntSids(), new BurntSids()], client = bytes(9)): Pair {
  const sessions = [new PartySession(0, entropy, burnt[0]!), new PartySession(1, entropy, burnt[1]!)] as const;
  const [party0, party1] = sessions.map((s) => s.hello(fields, [fields, fields], certificates, reference));
  return { sessions, nonces: { client, party0: party0!, party1: party1! } };
}

function bound(): Pair {
  const pair = start();
  const sids = pair.sessions.map((s) => s.identify(pair.nonces));
  pair.sessions.forEach((s, i) => s.bind(sids[1 - i]!));
  return pair;
}

function dealt(): Pair {
  const pair = bound();
  pair.sessions.forEach((s, i) => s.dealt(new Secret(bytes(10 + i))));
  return pair;
}

function running(): Pair {
  const pair = dealt();
  const hashes = pair.sessions.map((s) => s.input(bytes(20)));
  pair.sessions.forEach((s, i) => {
    s.inputAgreed(hashes[1 - i]!);
    s.run();
  });
  return pair;
}

function rounds(pair: Pair, count: number): Pair {
  for (let k = 0; k < count; k++) {
    pair.sessions.forEach((s, i) => s.sending(k, Uint8Array.of(k, i)));
    pair.sessions.forEach((s, i) => s.received(k, Uint8Array.of(k, 1 - i)));
  }
  return pair;
}

const dies = (session: PartySession, step: () => unknown): Failure => {
  expect(step).toThrow(PeerError);
  expect(session.state).toBe('DEAD');
  return session.reason!;
};

describe('a party’s session', () => {
  it('goes IDLE → HELLO → BOUND → DEALT → INPUT → RUN → CHECK → OUT → DONE', () => {
    const seen: string[] = [];
    const session = new PartySession(0, SYSTEM_ENTROPY, new BurntSids());
    seen.push(session.state);
    const nonces = {
      client: bytes(9),
      party0: session.hello(fields, [fields], certificates, reference),
      party1: bytes(8),
    };
    seen.push(session.state);
    session.bind(session.identify(nonces));
    seen.push(session.state);
    session.dealt(new Secret(bytes(1)));
    seen.push(session.state);
    session.inputAgreed(session.input(bytes(2)));
    seen.push(session.state);
    session.run();
    seen.push(session.state);
    session.checked(session.check());
    seen.push('CHECK', session.state);
    session.done();
    seen.push(session.state);
    expect(seen).toEqual(['IDLE', 'HELLO', 'BOUND', 'DEALT', 'INPUT', 'RUN', 'CHECK', 'OUT', 'DONE']);
  });

  it('draws its nonce only after the hellos agree, fresh each time', () => {
    let drawn = 0;
    const entropy: Entropy = { ...SYSTEM_ENTROPY, draw: (...args) => (drawn++, SYSTEM_ENTROPY.draw(...args)) };
    const session = new PartySession(1, entropy, new BurntSids());
    const other = { ...fields, lengths: [8] };
    dies(session, () => session.hello(fields, [fields, other], certificates, reference));
    expect(drawn).toBe(0);
    const nonces = [start(), start()].flatMap(({ nonces: n }) => [hex(n.party0), hex(n.party1)]);
    expect(new Set(nonces).size).toBe(4);
  });

  it.each(['suite', 'modelId', 'exportDigest', 'programDigest', 'lengths'] as const)(
    'dies if the other party has another %s',
    (field) => {
      const session = new PartySession(0, SYSTEM_ENTROPY, new BurntSids());
      const other = { ...fields, [field]: field === 'suite' ? 'paper' : field === 'lengths' ? [8] : bytes(99) };
      dies(session, () => session.hello(fields, [other], certificates, reference));
    },
  );

  it('is bound only if the sids are equal', () => {
    const { sessions, nonces } = start();
    sessions[0].identify(nonces);
    const other = sessions[1].identify({ ...nonces, client: bytes(77) });
    dies(sessions[0], () => sessions[0].bind(other));
  });

  it('refuses nonces without its own', () => {
    const { sessions, nonces } = start();
    dies(sessions[0], () => sessions[0].identify({ ...nonces, party0: bytes(1) }));
  });

  it('never uses a sid twice, after a failure neither', () => {
    const burnt = [new BurntSids(), new BurntSids()];
    const entropy = seededEntropy('repeats its nonces');
    const first = start(entropy, burnt);
    first.sessions[0].identify(first.nonces);
    first.sessions[0].die(new PeerError('x', 'y'));
    const second = start(entropy, burnt);
    expect(() => second.sessions[0].identify(second.nonces)).toThrow(/second time/);
    expect(second.sessions[0].state).toBe('DEAD');
  });

  it('remembers the latest sids, and not all for ever', () => {
    const burnt = new BurntSids(3);
    for (let i = 0; i < 20; i++) {
      burnt.burn(bytes(i));
      for (let late = Math.max(0, i - 2); late <= i; late++)
        expect(() => burnt.burn(bytes(late))).toThrow(/second time/);
    }
    expect(burnt.has(bytes(0))).toBe(false);
  });

  it('derives K_i and erases S_i', () => {
    const { sessions } = bound();
    const seed = new Secret(bytes(3));
    const inside = seed.bytes;
    sessions[0].dealt(seed);
    expect(seed.erased).toBe(true);
    expect([...inside]).toEqual([...bytes(0)]);
  });

  it('gives a client the leaves of its input masks and no other, and only before its input', () => {
    const ready = dealt().sessions[0];
    const leaves = [ready.clientLeaf(0, 'A1', 19, 100), ready.clientLeaf(0, 'A2', 19, 10)];
    expect(leaves.map((l) => l.length)).toEqual([32, 32]);
    for (const kind of ['A', 'r', 'R', 'AB', 'RA', 'T', 'B', 'share'] as const) {
      const session = dealt().sessions[0];
      dies(session, () => session.clientLeaf(0, kind, 19, 100));
    }
    const later = running().sessions[0];
    dies(later, () => later.clientLeaf(0, 'A1', 19, 100));
    const early = bound().sessions[0];
    dies(early, () => early.clientLeaf(0, 'A1', 19, 100));
  });

  it('runs only on one client message, the same at both parties', () => {
    const { sessions } = dealt();
    sessions[0].input(bytes(20));
    const other = sessions[1].input(bytes(21));
    dies(sessions[0], () => sessions[0].inputAgreed(other));
    const twice = dealt().sessions[0];
    twice.input(bytes(20));
    dies(twice, () => twice.input(bytes(20)));
  });

  it('masks nothing before DEALT and after RUN, and runs only after INPUT', () => {
    const early = dealt().sessions[0];
    dies(early, () => early.run());
    const pair = dealt();
    const mask = pair.sessions[0].masks();
    expect(mask(0, 'A', 20, 3).length).toBe(3);
    const hashes = pair.sessions.map((s) => s.input(bytes(20)));
    pair.sessions[0].inputAgreed(hashes[1]!);
    pair.sessions[0].run();
    expect(mask(1, 'A', 20, 3).length).toBe(3);
    pair.sessions[0].check();
    expect(() => mask(2, 'A', 20, 3)).toThrow(PeerError);
  });

  it('sends message k once; the same bytes again, other bytes never', () => {
    const { sessions } = running();
    sessions[0].sending(0, Uint8Array.of(1, 2));
    sessions[0].sending(0, Uint8Array.of(1, 2));
    dies(sessions[0], () => sessions[0].sending(0, Uint8Array.of(1, 3)));
  });

  it.each<[string, (s: PartySession) => void]>([
    ['a message out of turn', (s) => s.sending(1, bytes(1))],
    ['an answer before the question', (s) => s.received(0, bytes(1))],
    ['an answer to another message', (s) => (s.sending(0, bytes(1)), s.received(1, bytes(1)))],
    ['the next message before the answer', (s) => (s.sending(0, bytes(1)), s.sending(1, bytes(2)))],
    ['a check with a message unanswered', (s) => (s.sending(0, bytes(1)), void s.check())],
    ['an output without a check', (s) => s.done()],
    ['a second answer', (s) => (s.sending(0, bytes(1)), s.received(0, bytes(1)), s.received(0, bytes(1)))],
  ])('dies of %s', (_, step) => {
    const { sessions } = running();
    dies(sessions[0], () => step(sessions[0]));
  });

  it('lets no output out unless both parties saw the same transcript', () => {
    const good = rounds(running(), 3);
    const hashes = good.sessions.map((s) => s.check());
    good.sessions.forEach((s, i) => s.checked(hashes[1 - i]!));
    expect(good.sessions.map((s) => s.state)).toEqual(['OUT', 'OUT']);

    const { sessions } = rounds(running(), 2);
    sessions.forEach((s, i) => s.sending(2, Uint8Array.of(2, i)));
    sessions[0].received(2, Uint8Array.of(2, 1));
    sessions[1].received(2, Uint8Array.of(2, 9));
    const own = sessions.map((s) => s.check());
    const reason = dies(sessions[0], () => sessions[0].checked(own[1]!));
    expect(reason.message).toMatch(/transcripts differ/);
  });

  it('once dead does nothing more, and keeps its first reason', () => {
    const { sessions } = running();
    sessions[0].die(new PeerError('first', ''));
    sessions[0].die(new PeerError('second', ''));
    for (const step of [
      () => sessions[0].run(),
      () => sessions[0].check(),
      () => sessions[0].sending(0, bytes(1)),
      () => sessions[0].done(),
    ])
      expect(step).toThrow('first');
    expect(sessions[0].state).toBe('DEAD');
  });
});

describe('the assistant', () => {
  const request = (): OpenRequest => {
    const { sessions, nonces } = start();
    const sid = sessions[0].identify(nonces);
    return { reference, ctx: sessions[0].ctx, sid, nonces };
  };

  it('draws two seeds on equal requests of both parties', () => {
    const assistant = new AssistantSessions(SYSTEM_ENTROPY);
    const r = request();
    expect(assistant.both(1, r)).toBe(false);
    expect(assistant.both(0, r)).toBe(true);
    const seeds = assistant.seeds(r);
    expect(seeds.map((s) => s.bytes.length)).toEqual([32, 32]);
    expect(hex(seeds[0].bytes)).not.toBe(hex(seeds[1].bytes));
  });

  it.each([[0], [1]] as const)('refuses a second request of party %i: nothing is dealt twice', (party) => {
    const assistant = new AssistantSessions(SYSTEM_ENTROPY);
    const r = request();
    assistant.both(0, r);
    assistant.both(1, r);
    expect(() => assistant.both(party, r)).toThrow(/dealt twice/);
  });

  it('refuses a party that plays both', () => {
    const assistant = new AssistantSessions(SYSTEM_ENTROPY);
    const r = request();
    assistant.both(0, r);
    expect(() => assistant.both(0, r)).toThrow(/second time/);
    expect(() => assistant.both(1, r)).toThrow(/second time/);
  });

  it('refuses requests that differ, and a sid that is not of its nonces', () => {
    const assistant = new AssistantSessions(SYSTEM_ENTROPY);
    const [a, b] = [request(), request()];
    assistant.both(0, a);
    expect(() => assistant.both(1, b)).toThrow(/different sessions/);
    expect(() => new AssistantSessions(SYSTEM_ENTROPY).both(0, { ...a, sid: b.sid })).toThrow(/not that of its nonces/);
  });

  it('deals nothing for a session it has abandoned', () => {
    const assistant = new AssistantSessions(SYSTEM_ENTROPY);
    const r = request();
    assistant.both(0, r);
    assistant.abandon(r);
    expect(() => assistant.both(1, r)).toThrow(/dealt twice/);
  });
});
