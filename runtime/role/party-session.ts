/** One session of a party, from the client's hello to its answer, over any channels. */
import type { Failure } from '../../common/errors.ts';
import { PeerError, RefusedError } from '../../common/errors.ts';
import type { EmbeddingGate, Resolved } from '../../protocol/program.ts';
import { tableRows } from '../../protocol/gates/embedding.ts';
import { resolve } from '../../protocol/resolve.ts';
import { rowCount, type Dims } from '../../protocol/shape.ts';
import { pack, packedBytes, unpack, type Words } from '../../ring/index.ts';
import { Secret } from '../../ring/secret.ts';
import { expect, type Channel } from '../channel.ts';
import type { ClientName, PartyContext } from '../../protocol/gate.ts';
import { AheadWork } from '../ahead.ts';
import { partyContext, type PartyInputs, type PartyModel, type StaticData } from '../context.ts';
import { COIN_BYTES, sealOutput } from '../coin.ts';
import {
  concat,
  encodeSession,
  equalBytes,
  hex,
  parseFields,
  type Certificates,
  type Nonces,
  type SessionFields,
} from '../encoding.ts';
import { execute, type Opened } from '../execute.ts';
import type { Entropy } from '../keys.ts';
import { PartySession, type BurntSids } from '../session.ts';
import { decodeHello, decodeNonces, encodeClaim, encodeHello, encodeLeaves, encodeNonces, encodeOpen, encodeOut, HANDSHAKE_LIMIT, HASH_BYTES, type Counted, type Hello, type Open } from '../wire.ts'; // prettier-ignore
import { Agreement, discarded, NONCES_BYTES, NOTE_LIMIT, type StockUse } from './agreement.ts';
import { DealtStream } from './dealt-stream.ts';
import { decodeRemembered, encodeTally, REMEMBERED_BYTES, type Deal } from './stock.ts';

/** What a party serves. */
export interface ServedModel extends PartyModel {
  readonly session: Omit<SessionFields, 'lengths'>;
  /** HKDF(M_i, "smpc/check/1"). */
  readonly check: Uint8Array;
}

/** Most texts, and tokens of them all, of one session. */
export const MAX_TEXTS = 64;
export const MAX_TOKENS = 4096;

/** Milliseconds between the moments, counted from the beginning of a session, at which a client may hear that it failed. */
export const FAILURE_FLOOR = 1_000;

/** How a party reaches the others in one session. */
export interface Links {
  readonly client: Channel;
  /** SHA-256 of the certificate the client came with. */
  readonly clientCertificate: Uint8Array;
  /** Connects to the other party (or awaits it), sends `hello` and returns its hello: both name one session. */
  peer(hello: Hello): Promise<{ readonly channel: Channel; readonly hello: Hello }>;
  assistant(): Promise<Channel>;
}

/** What deterministic runs and tests may look at. */
export interface Watch {
  session?(reference: Uint8Array, lengths: readonly number[]): void;
  opened?(opened: Opened): void;
  rounding?(gate: Resolved, u: Words): void;
}

/** What measurements may know of a session: sizes and times, nothing it computes. */
export interface Observer {
  /** Everything that needs no input is done and in memory. */
  prepared?(): void;
  served?(report: SessionReport): void;
}

/** A session as a party counted it. */
export interface SessionReport extends Counted {
  /** Bits opened to the other party and, at party 1, dealt by the assistant: without headers and padding. */
  readonly openedBits: number;
  readonly dealtBits: number;
}

export interface PartyOptions {
  readonly certificates: Omit<Certificates, 'client'>;
  readonly entropy: Entropy;
  readonly burnt: BurntSids;
  readonly watch?: (reference: Uint8Array) => Watch;
  readonly observer?: Observer;
  /** Bytes of dealt words, and of work done ahead, that wait in memory. */
  readonly budget?: number;
  /** In place of FAILURE_FLOOR; 0 tells the client at once. */
  readonly failureFloor?: number;
  /** Sessions are dealt ahead; live, by the assistant, if absent. */
  readonly stock?: StockUse;
}

/** A run about to begin. */
interface Prepared {
  readonly context: PartyContext;
  readonly ahead: AheadWork;
  readonly dealt: DealtStream | undefined;
  /** The client's message, once it is there. */
  input: ClientWords | undefined;
}

/** The client's message, by name. */
type ClientWords = Readonly<Partial<Record<ClientName, Words>>>;

/** What the client asks for, as this party sees it. */
interface Question {
  readonly own: SessionFields;
  readonly hello: Hello;
  readonly dims: Dims;
  readonly embedding: Resolved<EmbeddingGate>;
  readonly gate: number;
  /** Words of E1 and E2. */
  readonly sizes: readonly [number, number];
  /** The gate of the padding factor, where lengths are hidden, and its bits. */
  readonly padding: { readonly gate: number; readonly rows: number } | undefined;
}

/**
 * Serves one session to its end.
 * @throws Failure if it was given up; client, other party and assistant have been told, without a reason
 */
export async function serveSession(
  model: ServedModel,
  data: StaticData,
  links: Links,
  options: PartyOptions,
): Promise<Counted> {
  return new Serving(model, data, links, options).run();
}

class Serving {
  readonly #model: ServedModel;
  readonly #data: StaticData;
  readonly #links: Links;
  readonly #options: PartyOptions;
  readonly #session: PartySession;
  #channels: Channel[];
  #watch: Watch | undefined;
  #prepared: Prepared | undefined;
  #deal: Deal | undefined;
  readonly #begun = performance.now();

  constructor(model: ServedModel, data: StaticData, links: Links, options: PartyOptions) {
    this.#model = model;
    this.#data = data;
    this.#links = links;
    this.#options = options;
    this.#session = new PartySession(model.party, options.entropy, options.burnt);
    this.#channels = [links.client];
  }

  async run(): Promise<Counted> {
    let abort!: (reason: Failure) => void;
    const aborted = new Promise<never>((_, reject) => (abort = reject));
    aborted.catch(() => {});
    const watch = (channel: Channel): void => {
      void channel.closed.then((reason) => {
        if (this.#session.state !== 'DONE') abort(reason);
      });
    };
    watch(this.#links.client);
    try {
      return await Promise.race([this.#flow(watch), aborted]);
    } catch (error) {
      const reason = this.#session.die(error as Failure);
      // Every failure looks the same to the others: one empty message; to the client at a time that does not depend on the cause.
      const tell = (channel: Channel): Promise<void> => channel.send('failed', new Uint8Array(0)).catch(() => {});
      const { client } = this.#links;
      const roles = this.#channels.filter((channel) => channel !== client).map(tell);
      await Promise.all([...roles, this.#floor().then(() => tell(client))]);
      throw reason;
    } finally {
      this.#prepared?.ahead.stop();
      await this.#deal?.close();
      for (const channel of this.#channels) channel.close();
    }
  }

  async #flow(watch: (channel: Channel) => void): Promise<Counted> {
    const { client } = this.#links;
    const session = this.#session;
    const question = await this.#question();
    const { own, hello } = question;

    const joining = this.#links.peer({ ...hello, client: this.#links.clientCertificate });
    const reaching = this.#links.assistant();
    // Whoever comes is closed with the session, even if the other fails.
    joining.then(
      ({ channel }) => this.#keep(channel),
      () => {},
    );
    reaching.then(
      (channel) => this.#keep(channel),
      () => {},
    );
    const [joined, assistant] = await Promise.all([joining, reaching]);
    const peer = joined.channel;
    watch(peer);
    if (!equalBytes(joined.hello.client, this.#links.clientCertificate)) {
      throw new PeerError(`${peer.peer} serves another client under this name`, 'ask again');
    }
    this.#sameExport(joined.hello.session, peer.peer);
    const certificates = { ...this.#options.certificates, client: this.#links.clientCertificate };
    const nonce = session.hello(own, [hello.session, joined.hello.session], certificates, hello.reference);

    await client.send('hello', encodeHello({ ...hello, session: own }));
    const clientNonce = await expect(client, 'nonce', HASH_BYTES);
    const agreement = new Agreement(this.#model.party, this.#options.stock, own);
    await peer.send('nonce', concat(encodeNonces(clientNonce, nonce), await agreement.note()));
    const { payload: said } = await peer.receive(['nonce'], NONCES_BYTES + NOTE_LIMIT);
    const theirs = decodeNonces(said.subarray(0, NONCES_BYTES));
    if (!equalBytes(theirs.client, clientNonce))
      throw new PeerError('the client sent the parties different nonces', 'ask again');
    await agreement.heard(said.subarray(NONCES_BYTES));
    const nonces = this.#nonces(clientNonce, nonce, theirs.own);
    const sid = session.identify(nonces);
    await this.#bind(agreement, peer, sid);

    const open = { hello: { ...hello, session: own, client: this.#links.clientCertificate }, check: this.#model.check };
    const dealt = await this.#seed({ ...open, ctx: session.ctx, sid, nonces }, assistant, question.dims);

    const prepared = this.#prepare(question, dealt);
    prepared.input = await this.#input(question, nonces, peer);
    const { output, flags, openedBits } = await this.#compute(prepared, peer);

    const guarded = this.#model.program.guard !== undefined;
    const digest = session.check();
    await peer.send('check', guarded ? concat(digest, session.coin()) : digest);
    const check = await expect(peer, 'check', HASH_BYTES + (guarded ? COIN_BYTES : 0));
    session.checked(check.subarray(0, HASH_BYTES));
    const answer = guarded ? this.#seal(question.dims, output, flags, check.subarray(HASH_BYTES)) : pack(output);
    const counted = { rounds: peer.traffic.sentRounds, sentBytes: peer.traffic.sentBytes };
    session.done();
    await client.send('out', encodeOut(answer, counted));
    // The client hangs up when it has both shares; then nothing is under way any more.
    await client.closed;
    this.#options.observer?.served?.({ ...counted, openedBits, dealtBits: dealt?.stock.bits ?? 0 });
    return counted;
  }

  /** Compares sids; with them party 1 tells which deal it took, if sessions are dealt ahead. From here on the deal is burnt. */
  async #bind(agreement: Agreement, peer: Channel, sid: Uint8Array): Promise<void> {
    const keep = async (deal: Deal | undefined): Promise<void> => {
      this.#deal = deal;
      if (this.#session.state === 'DEAD') await deal?.close();
    };
    if (this.#model.party === 1) {
      const { deal, choice } = await agreement.choose();
      await keep(deal);
      await peer.send('bind', concat(sid, choice));
      this.#session.bind(await expect(peer, 'bind', HASH_BYTES));
      agreement.checkOther();
      return;
    }
    await peer.send('bind', sid);
    const theirs = await expect(peer, 'bind', HASH_BYTES + agreement.choiceBytes);
    this.#session.bind(theirs.subarray(0, HASH_BYTES));
    agreement.checkOther();
    await keep(await agreement.chosen(theirs.subarray(HASH_BYTES)));
  }

  /** Asks the assistant for this party's seed, of a live session or of the deal it burnt; party 1 gets its corrections from there or the deal. */
  async #seed(open: Open, assistant: Channel, dims: Dims): Promise<DealtStream | undefined> {
    const { party, program } = this.#model;
    const deal = this.#deal;
    if (deal === undefined) {
      await assistant.send('open', encodeOpen(open));
      this.#session.dealt(new Secret(Uint8Array.from(await expect(assistant, 'seed', HASH_BYTES))));
      if (party === 1) {
        const next = async (limit: number): Promise<Uint8Array> => (await assistant.receive(['deal'], limit)).payload;
        return new DealtStream(next, program, dims, this.#options.budget);
      }
      assistant.close();
      return undefined;
    }
    const { stock } = this.#options.stock!;
    await assistant.send('claim', encodeClaim({ open, deal: deal.header.id, tally: encodeTally(stock.tally) }));
    const { type, payload } = await assistant.receive(['seed', 'stale'], HASH_BYTES);
    if (payload.length !== (type === 'seed' ? HASH_BYTES : REMEMBERED_BYTES))
      throw new PeerError('the assistant sent a malformed message', 'run the same version everywhere');
    if (type === 'stale') throw await discarded(stock, decodeRemembered(payload));
    this.#session.dealt(new Secret(Uint8Array.from(payload)), deal.header.id);
    assistant.close();
    if (party === 0) return undefined;
    const records = this.#session.readStock((key) => deal.records(key));
    return new DealtStream((limit) => records.next(limit), program, dims, this.#options.budget);
  }

  /** The output share and its tags: an answer only to a client who gets the same tags from the other party. */
  #seal(dims: Dims, output: Words, flags: readonly Words[], theirs: Uint8Array): Uint8Array {
    const { party, program } = this.#model;
    const K = this.#session.tossed(theirs);
    const { y, tags } = sealOutput(party, program, dims, K, output, flags);
    K.erase();
    return concat(pack(y), pack(tags));
  }

  /** Resolves at the next multiple of the floor since the session began, or when the client has left. */
  async #floor(): Promise<void> {
    const floor = this.#options.failureFloor ?? FAILURE_FLOOR;
    if (floor === 0) return;
    const passed = performance.now() - this.#begun;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const due = new Promise<void>((done) => (timer = setTimeout(done, (Math.floor(passed / floor) + 1) * floor - passed))); // prettier-ignore
    await Promise.race([due, this.#links.client.closed]);
    clearTimeout(timer);
  }

  #keep(channel: Channel): void {
    this.#channels.push(channel);
    if (this.#session.state === 'DEAD') channel.close();
  }

  async #question(): Promise<Question> {
    const { client } = this.#links;
    const { program, session: ours } = this.#model;
    const hello = decodeHello((await client.receive(['hello'], HANDSHAKE_LIMIT)).payload, client.peer);
    const own = { ...ours, lengths: hello.session.lengths };
    if (!equalBytes(encodeSession(own), encodeSession(hello.session))) {
      // What this party serves is public: the client can say which bundle is the wrong one.
      await client.send('hello', encodeHello({ ...hello, session: own }));
    }
    this.#sameExport(hello.session, client.peer);
    const dims = { lengths: own.lengths, heads: program.heads };
    if (own.lengths.length > MAX_TEXTS)
      throw new RefusedError(
        `${own.lengths.length} texts in one session, at most ${MAX_TEXTS}`,
        'ask in several sessions',
      );
    if (rowCount('token', dims) > MAX_TOKENS)
      throw new RefusedError(
        `${rowCount('token', dims)} tokens in one session, at most ${MAX_TOKENS}`,
        'ask in several sessions',
      );
    const gates = resolve(program, dims);
    const gate = gates.findIndex(({ op }) => op === 'embedding');
    if (gate < 0) throw new Error('a program has an embedding');
    const embedding = gates[gate] as Resolved<EmbeddingGate>;
    const tokens = rowCount('token', dims);
    const sizes = [tokens * tableRows(embedding), tokens * embedding.split] as const;
    const hidden = gates.findIndex(({ op }) => op === 'padding');
    const padding = hidden < 0 ? undefined : { gate: hidden, rows: tokens };
    return { own, hello, dims, embedding, gate, sizes, padding };
  }

  #sameExport(theirs: SessionFields, who: string): void {
    const ours = this.#model.session;
    if (equalBytes(encodeSession({ ...ours, lengths: theirs.lengths }), encodeSession(theirs))) return;
    const short = (digest: Uint8Array): string => `${hex(digest).slice(0, 16)}…`;
    throw new RefusedError(
      `${who} has another export (theirs ${short(theirs.exportDigest)}, ours ${short(ours.exportDigest)})`,
      'give all roles the bundles of one export',
    );
  }

  #nonces(client: Uint8Array, own: Uint8Array, other: Uint8Array): Nonces {
    return this.#model.party === 0 ? { client, party0: own, party1: other } : { client, party0: other, party1: own };
  }

  /** Gives the client the leaves of its own masks and takes its message, the same at both parties. */
  async #input(question: Question, nonces: Nonces, peer: Channel): Promise<ClientWords> {
    const { client } = this.#links;
    const session = this.#session;
    const { gate, sizes, padding } = question;
    const n = question.embedding.n;
    const [A1, A2] = (['A1', 'A2'] as const).map((kind, i) => session.clientLeaf(gate, kind, n, sizes[i]!));
    const beta = padding && { beta: session.clientLeaf(padding.gate, 'beta', 1, padding.rows) };
    await client.send('leaves', encodeLeaves({ nonces, sid: session.sid, A1: A1!, A2: A2!, ...beta }));
    const bytes = [...sizes.map((words) => packedBytes(n, words)), ...(padding ? [packedBytes(1, padding.rows)] : [])];
    const message = await expect(client, 'input', bytes.reduce((sum, part) => sum + part + 4, 0)); // prettier-ignore
    await peer.send('input', session.input(message));
    session.inputAgreed(await expect(peer, 'input', HASH_BYTES));
    const [E1, E2, bits] = parseFields(message, bytes.length, client.peer);
    try {
      const words = { E1: unpack(E1!, n, sizes[0]), E2: unpack(E2!, n, sizes[1]) };
      return padding === undefined ? words : { ...words, beta: unpack(bits!, 1, padding.rows) };
    } catch {
      throw new PeerError(
        'the client’s words are not of the embedding’s ring',
        'run the same version of secure-infer everywhere',
      );
    }
  }

  /** Starts what needs no input: it goes on beside everything that follows. */
  #prepare(question: Question, dealt: DealtStream | undefined): Prepared {
    const { party, program } = this.#model;
    const { observer, budget } = this.#options;
    const { dims } = question;
    const { reference } = question.hello;
    this.#watch = this.#options.watch?.(reference);
    this.#watch?.session?.(reference, dims.lengths);
    const rounding = this.#watch?.rounding;
    const inputs: PartyInputs = {
      dims,
      data: this.#data,
      masks: this.#session.masks(),
      client: (name) => prepared.input![name]!,
      ...(dealt === undefined ? {} : { corrections: dealt.stock }),
      ...(rounding === undefined ? {} : { rounding }),
    };
    const context = partyContext(party, program, inputs);
    const prepared: Prepared = { context, ahead: new AheadWork(program, context, budget), dealt, input: undefined };
    this.#prepared = prepared;
    // A failure shows again where its result is needed.
    Promise.all([prepared.ahead.run(), dealt?.complete]).then(
      () => observer?.prepared?.(),
      () => {},
    );
    return prepared;
  }

  async #compute(
    { context, ahead, dealt }: Prepared,
    peer: Channel,
  ): Promise<{ output: Words; flags: readonly Words[]; openedBits: number }> {
    const { program } = this.#model;
    const session = this.#session;
    const watch = this.#watch;
    session.run();
    const { output, flags, openedBits } = await execute(
      program,
      context,
      async (round, message) => {
        session.sending(round, message);
        // Not awaited: both parties write before they read.
        const sending = peer.send('round', message);
        sending.catch(() => {});
        const answer = await expect(peer, 'round', message.length);
        await sending;
        session.received(round, answer);
        return answer;
      },
      {
        ahead,
        ...(dealt === undefined ? {} : { ready: (gate) => dealt.ready(gate) }),
        ...(watch?.opened === undefined ? {} : { opened: watch.opened }),
      },
    );
    if (output.kind !== 'share') throw new Error('the output of a checked program is additive shares');
    return { output: output.x, flags, openedBits };
  }
}
