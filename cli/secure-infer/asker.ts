/** A client of a deployment: tokenises, asks, keeps a few sessions under way and gives answers in order. */
import type { Example } from '../../data/read.ts';
import { loadTokenizer } from '../../data/tokenizer-files.ts';
import type { Encoding, Tokenizer } from '../../data/tokenizer.ts';
import { Failure, RefusedError } from '../../common/errors.ts';
import { readBundle } from '../../export/bundle.ts';
import {
  ask,
  clientModel,
  newReference,
  WithheldError,
  type Answer,
  type ClientModel,
  type Question,
} from '../../runtime/client/ask.ts';
import { clientCertificates, connectParties, type ClientOptions } from '../../runtime/transport/client.ts';

/** Sessions under way at once: while one waits for a message another computes. */
export const IN_FLIGHT = 3;

export interface AskOptions extends ClientOptions {
  readonly truncate: boolean;
  readonly inFlight?: number;
  /** Name of the index-th session; random if absent. */
  readonly reference?: (index: number) => Uint8Array;
}

/** A client with its tokeniser: asks texts, a few sessions at once, and answers in their order. */
export class Asker {
  readonly model: ClientModel;
  readonly #tokenizer: Tokenizer;
  readonly #options: AskOptions;

  private constructor(model: ClientModel, tokenizer: Tokenizer, options: AskOptions) {
    this.model = model;
    this.#tokenizer = tokenizer;
    this.#options = options;
  }

  /** @throws Failure naming what is wrong with bundle, tokeniser or key */
  static async open(bundleDir: string, options: AskOptions): Promise<Asker> {
    const bundle = await readBundle(bundleDir, 'client');
    const tokenizer = await loadTokenizer(bundle.tokenizerDir);
    clientCertificates(options);
    return new Asker(clientModel(bundle.manifest, bundle.client), tokenizer, options);
  }

  /**
   * Token ids of every text, before anything is asked.
   * @throws RefusedError naming the first text that is too long
   */
  tokenise(examples: readonly Example[]): Question[] {
    return tokenise(this.#tokenizer, this.model.program.longest, examples, this.#options.truncate);
  }

  async ask(question: Question, index = 0): Promise<Answer> {
    const reference = this.#options.reference?.(index) ?? newReference();
    const channels = await connectParties(this.#options);
    return ask(this.model, question, channels, clientCertificates(this.#options), reference);
  }

  /** Answers in the order of the questions; a withheld one is told in its place. The first failure ends all. */
  async *askAll(all: readonly Question[]): AsyncGenerator<Answer | WithheldError> {
    const running: Promise<Answer | WithheldError>[] = [];
    const start = (index: number): void => {
      const answer = this.ask(all[index]!, index).catch((error: unknown) => {
        if (error instanceof WithheldError) return error;
        throw error;
      });
      answer.catch(() => {});
      running.push(answer);
    };
    const most = Math.min(this.#options.inFlight ?? IN_FLIGHT, all.length);
    for (let i = 0; i < most; i++) start(i);
    for (let i = 0; i < all.length; i++) {
      const answer = await running[i]!;
      if (i + most < all.length) start(i + most);
      yield answer;
    }
  }
}

/** Token ids of every text. @throws RefusedError naming the text that is too long, unless `truncate`. */
export function tokenise(
  tokenizer: Tokenizer,
  maxLength: number,
  examples: readonly Example[],
  truncate: boolean,
): Encoding[] {
  return examples.map(({ text, pair }, i) => {
    try {
      return tokenizer.encode(text, pair, { maxLength, truncation: truncate ? 'longest_first' : 'refuse' });
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      throw new RefusedError(`text ${i + 1}: ${error.message}`, `${error.hint} (--truncate)`);
    }
  });
}
