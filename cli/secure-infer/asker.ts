/** A client of a deployment: asks, keeps a few sessions under way and gives answers in order. */
import type { ClientBundle } from '../../export/bundle.ts';
import { bucketOf } from '../../protocol/gates/padding.ts';
import type { Decoded } from '../../runtime/client/answer.ts';
import {
  askBatch,
  clientModel,
  newReference,
  type ClientModel,
  type Exchanged,
  type Question,
  type WithheldError,
} from '../../runtime/client/ask.ts';
import { MAX_TOKENS } from '../../runtime/role/admission.ts';
import { clientCertificates, connectParties, type ClientOptions } from '../../runtime/transport/client.ts';

/** Sessions under way at once: while one waits for a message another computes. */
export const IN_FLIGHT = 3;

export interface AskOptions extends ClientOptions {
  /** Texts that share a session; 1 if absent. */
  readonly batch?: number;
  readonly inFlight?: number;
  /** Name of the index-th session; random if absent. */
  readonly reference?: (index: number) => Uint8Array;
}

/** What a session took, for all its texts together. */
export interface SessionCost extends Exchanged {
  readonly texts: number;
  /** From the connection to the answer. */
  readonly seconds: number;
}

/** One text's answer, or why it is withheld, and the session that it shared. */
export interface Told {
  readonly answer: Decoded | WithheldError;
  readonly session: SessionCost;
}

/**
 * Texts in sessions of `batch`, in their order. A session ends sooner where the next text would take it over the tokens that
 * parties serve at once, padding included.
 */
export function sessionsOf<T extends { readonly ids: readonly number[] }>(
  all: readonly T[],
  batch: number,
  buckets?: readonly number[],
): T[][] {
  const sessions: T[][] = [];
  let tokens = 0;
  for (const text of all) {
    const last = sessions.at(-1);
    const size = bucketOf(text.ids.length, buckets);
    if (last === undefined || last.length === batch || tokens + size > MAX_TOKENS) {
      sessions.push([text]);
      tokens = size;
    } else {
      last.push(text);
      tokens += size;
    }
  }
  return sessions;
}

/** Asks texts, a few sessions at once, and answers in their order. */
export class Asker {
  readonly model: ClientModel;
  readonly #options: AskOptions;

  /** @throws Failure naming what is wrong with the key */
  constructor({ manifest, client }: ClientBundle, options: AskOptions) {
    clientCertificates(options);
    this.model = clientModel(manifest, client);
    this.#options = options;
  }

  /** One session, the index-th. */
  async #ask(texts: readonly Question[], index: number): Promise<Told[]> {
    const start = performance.now();
    const reference = this.#options.reference?.(index) ?? newReference();
    const channels = await connectParties(this.#options);
    const { answers, rounds, sentBytes } = await askBatch(
      this.model,
      texts,
      channels,
      clientCertificates(this.#options),
      reference,
    );
    const session = { rounds, sentBytes, texts: texts.length, seconds: (performance.now() - start) / 1000 };
    return answers.map((answer) => ({ answer, session }));
  }

  /** Answers in the order of the questions; a withheld one is told in its place. The first failure ends all. */
  async *askAll(all: readonly Question[]): AsyncGenerator<Told> {
    const sessions = sessionsOf(all, this.#options.batch ?? 1, this.model.program.padding?.buckets);
    const running: Promise<Told[]>[] = [];
    const start = (index: number): void => {
      const told = this.#ask(sessions[index]!, index);
      told.catch(() => {});
      running.push(told);
    };
    const most = Math.min(this.#options.inFlight ?? IN_FLIGHT, sessions.length);
    for (let i = 0; i < most; i++) start(i);
    for (let i = 0; i < sessions.length; i++) {
      const told = await running[i]!;
      if (i + most < sessions.length) start(i + most);
      yield* told;
    }
  }
}
