/** The online phase at a party: what needs no input begins before it, then the program runs round by round with the other party. */
import type { PartyContext } from '../../protocol/gate.ts';
import { pack, type Words } from '../../ring/index.ts';
import { AheadWork } from '../ahead.ts';
import { expect, type Channel } from '../channel.ts';
import { COIN_BYTES, sealOutput } from '../coin.ts';
import { partyContext, type PartyInputs, type StaticData } from '../context.ts';
import { concat } from '../encoding.ts';
import { execute } from '../execute.ts';
import type { PartySession } from '../session.ts';
import { HASH_BYTES } from '../wire.ts';
import type { Question } from './admission.ts';
import type { ClientWords } from './client-input.ts';
import type { DealtStream } from './dealt-stream.ts';
import type { PartyOptions, ServedModel, Watch } from './party-options.ts';

/** This party's shares of the program's output and of its guard flags. */
interface Result {
  readonly output: Words;
  readonly flags: readonly Words[];
}

/** The program's run in one session. */
export class Online {
  readonly #model: ServedModel;
  readonly #session: PartySession;
  readonly #question: Question;
  readonly #dealt: DealtStream | undefined;
  readonly #watch: Watch | undefined;
  readonly #context: PartyContext;
  readonly #ahead: AheadWork;
  /** The client's message, once it is there. */
  #input: ClientWords | undefined;

  /** Starts what needs no input: it goes on beside everything that follows. `dealt`: the corrections of party 1. */
  constructor(
    model: ServedModel,
    data: StaticData,
    session: PartySession,
    question: Question,
    dealt: DealtStream | undefined,
    { watch, observer, budget }: Pick<PartyOptions, 'watch' | 'observer' | 'budget'>,
  ) {
    this.#model = model;
    this.#session = session;
    this.#question = question;
    this.#dealt = dealt;
    const { dims, hello } = question;
    this.#watch = watch?.(hello.reference);
    this.#watch?.session?.(hello.reference, dims.lengths);
    const rounding = this.#watch?.rounding;
    const inputs: PartyInputs = {
      dims,
      data,
      masks: session.masks(),
      client: (name) => this.#input![name]!,
      ...(dealt === undefined ? {} : { corrections: dealt.stock }),
      ...(rounding === undefined ? {} : { rounding }),
    };
    this.#context = partyContext(model.party, model.program, inputs);
    this.#ahead = new AheadWork(model.program, this.#context, budget);
    // A failure shows again where its result is needed.
    Promise.all([this.#ahead.run(), dealt?.complete]).then(
      () => observer?.prepared?.(),
      () => {},
    );
  }

  /** Runs all rounds with the other party. */
  async run(input: ClientWords, peer: Channel): Promise<Result & { readonly openedBits: number }> {
    this.#input = input;
    const session = this.#session;
    const dealt = this.#dealt;
    const opened = this.#watch?.opened;
    session.run();
    const { output, flags, openedBits } = await execute(
      this.#model.program,
      this.#context,
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
        ahead: this.#ahead,
        ...(dealt === undefined ? {} : { ready: (gate) => dealt.ready(gate) }),
        ...(opened === undefined ? {} : { opened }),
      },
    );
    if (output.kind !== 'share') throw new Error('the output of a checked program is additive shares');
    return { output: output.x, flags, openedBits };
  }

  /** Compares transcripts with the other party; only then the output share may leave, as the bytes this returns. */
  async check({ output, flags }: Result, peer: Channel): Promise<Uint8Array> {
    const session = this.#session;
    const guarded = this.#model.program.guard !== undefined;
    const digest = session.check();
    await peer.send('check', guarded ? concat(digest, session.coin()) : digest);
    const check = await expect(peer, 'check', HASH_BYTES + (guarded ? COIN_BYTES : 0));
    session.checked(check.subarray(0, HASH_BYTES));
    return guarded ? this.#seal(output, flags, check.subarray(HASH_BYTES)) : pack(output);
  }

  /** Ends what goes on ahead. */
  stop(): void {
    this.#ahead.stop();
  }

  /** The output share and its tags: an answer only to a client who gets the same tags from the other party. */
  #seal(output: Words, flags: readonly Words[], theirs: Uint8Array): Uint8Array {
    const { party, program } = this.#model;
    const K = this.#session.tossed(theirs);
    const { y, tags } = sealOutput(party, program, this.#question.dims, K, output, flags);
    K.erase();
    return concat(pack(y), pack(tags));
  }
}
