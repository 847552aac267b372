/** One session of a party, from the client's hello to its answer, over any channels. */
import { PeerError, type Failure } from '../../common/errors.ts';
import { expect, farewell, type Channel } from '../channel.ts';
import type { StaticData } from '../context.ts';
import { concat, equalBytes, type Nonces } from '../encoding.ts';
import { PartySession } from '../session.ts';
import { decodeNonces, encodeHello, encodeNonces, encodeOut, HASH_BYTES, type Counted, type Hello } from '../wire.ts';
import { admit, sameExport } from './admission.ts';
import { NONCES_BYTES, NOTE_LIMIT } from './agreement.ts';
import { receiveInput } from './client-input.ts';
import { Online } from './online.ts';
import type { Links, PartyOptions, ServedModel } from './party-options.ts';
import { Preprocessing } from './preprocessing.ts';

/** Milliseconds between the moments, counted from the beginning of a session, at which a client may hear that it failed. */
export const FAILURE_FLOOR = 1_000;

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
  #preprocessing: Preprocessing | undefined;
  #online: Online | undefined;
  /** Gives back what the session took of the server's capacity. */
  #release: (() => void) | undefined;
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
      this.#online?.stop();
      await this.#preprocessing?.close();
      for (const channel of this.#channels) channel.close();
      this.#release?.();
    }
  }

  async #flow(watch: (channel: Channel) => void): Promise<Counted> {
    const { client, clientCertificate } = this.#links;
    const { certificates, stock, budget, observer } = this.#options;
    const { program, check } = this.#model;
    const session = this.#session;
    const question = await admit(this.#model, client);
    const { own, hello, dims } = question;
    this.#release = this.#options.capacity?.take(question.tokens);
    // Given up meanwhile: nobody else gives it back.
    if (session.state === 'DEAD') this.#release?.();

    const { peer, theirs, assistant } = await this.#meet(hello, watch);
    const all = { ...certificates, client: clientCertificate };
    const nonce = session.hello(own, [hello.session, theirs.session], all, hello.reference);
    await client.send('hello', encodeHello({ ...hello, session: own }));
    const clientNonce = await expect(client, 'nonce', HASH_BYTES);
    const preprocessing = new Preprocessing(session, own, stock);
    this.#preprocessing = preprocessing;
    const nonces = await this.#exchangeNonces(clientNonce, nonce, peer, preprocessing);
    const sid = session.identify(nonces);
    await preprocessing.bind(peer, sid);
    const open = { hello: { ...hello, session: own, client: clientCertificate }, check, ctx: session.ctx, sid, nonces };
    const dealt = await preprocessing.seed(open, assistant, program, dims, budget);

    const online = new Online(this.#model, this.#data, session, question, dealt, this.#options);
    this.#online = online;
    const input = await receiveInput(session, question, nonces, client, peer);
    const result = await online.run(input, peer);
    const answer = await online.check(result, peer);
    const counted = { rounds: peer.traffic.sentRounds, sentBytes: peer.traffic.sentBytes };
    session.done();
    await client.send('out', encodeOut(answer, counted));
    // The client hangs up when it has both shares; then nothing is under way any more. One that does not is not waited for.
    await farewell(client);
    observer?.served?.({ ...counted, openedBits: result.openedBits, dealtBits: dealt?.stock.bits ?? 0 });
    return counted;
  }

  /** Reaches the other party, who serves the same client the same export, and the assistant. */
  async #meet(
    hello: Hello,
    watch: (channel: Channel) => void,
  ): Promise<{ readonly peer: Channel; readonly theirs: Hello; readonly assistant: Channel }> {
    const { clientCertificate } = this.#links;
    const joining = this.#links.peer({ ...hello, client: clientCertificate });
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
    const [{ channel: peer, hello: theirs }, assistant] = await Promise.all([joining, reaching]);
    watch(peer);
    if (!equalBytes(theirs.client, clientCertificate)) {
      throw new PeerError(`${peer.peer} serves another client under this name`, 'ask again');
    }
    sameExport(this.#model.session, theirs.session, peer.peer);
    return { peer, theirs, assistant };
  }

  /** All three nonces of the session; with its own each party says what it has dealt ahead. */
  async #exchangeNonces(client: Uint8Array, own: Uint8Array, peer: Channel, notes: Preprocessing): Promise<Nonces> {
    await peer.send('nonce', concat(encodeNonces(client, own), await notes.note()));
    const { payload } = await peer.receive(['nonce'], NONCES_BYTES + NOTE_LIMIT);
    const theirs = decodeNonces(payload.subarray(0, NONCES_BYTES));
    if (!equalBytes(theirs.client, client))
      throw new PeerError('the client sent the parties different nonces', 'ask again');
    await notes.heard(payload.subarray(NONCES_BYTES));
    const other = theirs.own;
    return this.#model.party === 0 ? { client, party0: own, party1: other } : { client, party0: other, party1: own };
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
}
