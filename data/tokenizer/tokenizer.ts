/**
 * BERT's tokeniser: added tokens and WordPiece by @huggingface/tokenizers; normalising, framing, truncating and padding are
 * ours. Needs no node: module. Agrees with the Rust library `tokenizers` 0.23.
 */
import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';
import { InputError } from '../../common/errors.ts';
import type { BertNormalizerConfig } from './bert.ts';
import { bertNormaliser, bertPreTokenise } from './bert.ts';
import type { Template } from './template.ts';
import { parseTemplate, specialCount } from './template.ts';
import type { Truncation } from './truncate.ts';
import { truncate } from './truncate.ts';

/** One framed text or pair: token ids and token types (0 first text, 1 second), equally long. */
export interface Encoding {
  readonly ids: number[];
  readonly types: number[];
}

export interface EncodeOptions {
  /** Most tokens, special ones included; no limit if absent. */
  readonly maxLength?: number | undefined;
  /** 'refuse' if absent. */
  readonly truncation?: Truncation | undefined;
}

/** A rectangle of encodings, row-major (batch, length); mask is 1 on real tokens. */
export interface Padded {
  readonly batch: number;
  readonly length: number;
  readonly ids: Int32Array;
  readonly types: Int32Array;
  readonly mask: Int32Array;
}

/** What is used of the library (its declarations do not resolve under NodeNext). */
interface Library {
  normalizer: (text: string) => string;
  pre_tokenizer: (text: string) => string[];
  tokenize(text: string): string[];
  token_to_id(token: string): number | undefined;
}

interface TokenizerJson {
  readonly model: { type?: string; vocab: Record<string, number>; unk_token: string };
  readonly normalizer: BertNormalizerConfig;
  readonly pre_tokenizer: { type: string };
  readonly post_processor: unknown;
  readonly added_tokens?: readonly { id: number; content: string; single_word?: boolean }[];
}

/** Refuses sections of tokenizer.json other than those whose behaviour is held to golden rows. */
function checkSections(json: unknown, where: string): TokenizerJson {
  const sections = json as Record<string, { type?: unknown } | null | undefined> | null;
  for (const [name, type] of [
    ['model', 'WordPiece'],
    ['normalizer', 'BertNormalizer'],
    ['pre_tokenizer', 'BertPreTokenizer'],
  ] as const) {
    // Files of old library versions do not name the model's type.
    const found = sections?.[name]?.type ?? (name === 'model' && sections?.model ? 'WordPiece' : undefined);
    if (found === type) continue;
    throw new InputError(
      `${where}: ${name} is ${String(found)}, supported is ${type}`,
      'Give the tokeniser of a BERT model.',
    );
  }
  const tokenizer = json as TokenizerJson;
  const odd = tokenizer.added_tokens?.find((token) => token.single_word === true);
  if (odd !== undefined) {
    throw new InputError(
      `${where}: added token '${odd.content}' has single_word, which is not supported`,
      'Save it with single_word false.',
    );
  }
  return tokenizer;
}

/** A BERT tokeniser: texts or pairs to framed, optionally truncated token ids. */
export class Tokenizer {
  /** The contents of tokenizer.json and tokenizer_config.json, to be stored with a model. */
  readonly tokenizerJson: unknown;
  readonly configJson: unknown;
  /** One more than the largest id. */
  readonly vocabSize: number;
  /** Limit named by tokenizer_config.json, if it names a real one. */
  readonly modelMaxLength: number | undefined;
  readonly padId: number;
  readonly #library: Library;
  readonly #template: Template;
  readonly #unknownId: number;

  /**
   * @param tokenizerJson parsed tokenizer.json
   * @param configJson parsed tokenizer_config.json, if there is one
   * @throws InputError naming `where` and the section that cannot be used
   */
  constructor(tokenizerJson: unknown, configJson: unknown = {}, where = 'tokenizer.json') {
    const json = checkSections(tokenizerJson, where);
    const config = (configJson ?? {}) as {
      do_lower_case?: boolean;
      model_max_length?: number;
      pad_token?: string | { content: string };
    };
    const lowercase = json.normalizer.lowercase ?? true;
    if (typeof config.do_lower_case === 'boolean' && config.do_lower_case !== lowercase) {
      throw new InputError(
        `${where}: normalizer.lowercase is ${lowercase}, but do_lower_case of tokenizer_config.json is ${config.do_lower_case}`,
        'Make the two files agree with how the model was trained.',
      );
    }
    this.tokenizerJson = tokenizerJson;
    this.configJson = configJson ?? {};
    this.#template = parseTemplate(json.post_processor, where);
    try {
      this.#library = new HuggingFaceTokenizer(
        { decoder: null, added_tokens: [], ...json } as object,
        config,
      ) as unknown as Library;
    } catch (error) {
      throw new InputError(`${where}: ${(error as Error).message}`, 'Use the tokenizer.json saved with the model.');
    }
    this.#library.normalizer = bertNormaliser(json.normalizer);
    this.#library.pre_tokenizer = bertPreTokenise;

    const idOf = (token: string, role: string): number => {
      const id = this.#library.token_to_id(token);
      if (id === undefined)
        throw new InputError(
          `${where}: ${role} '${token}' is not in the vocabulary`,
          'Use the files saved with the model.',
        );
      return id;
    };
    this.#unknownId = idOf(json.model.unk_token, 'the unknown token');
    this.padId = idOf(
      typeof config.pad_token === 'object' ? config.pad_token.content : (config.pad_token ?? '[PAD]'),
      'the padding token',
    );
    const ids = [...Object.values(json.model.vocab), ...(json.added_tokens ?? []).map((token) => token.id)];
    this.vocabSize = ids.reduce((most, id) => Math.max(most, id), -1) + 1;
    this.modelMaxLength =
      config.model_max_length !== undefined && config.model_max_length < 1e9 ? config.model_max_length : undefined;
  }

  /** Ids of a text alone, without special tokens around it. Special tokens written in it become their ids. */
  #tokens(text: string): number[] {
    return this.#library.tokenize(text).map((token) => this.#library.token_to_id(token) ?? this.#unknownId);
  }

  /**
   * Frames one text, or a pair (an empty second text still makes a pair).
   * @throws RefusedError if it is over the limit and may not or cannot be cut.
   */
  encode(text: string, pair?: string, options: EncodeOptions = {}): Encoding {
    const frame = pair === undefined ? this.#template.single : this.#template.pair;
    const [a, b] = truncate(
      this.#tokens(text),
      pair === undefined ? undefined : this.#tokens(pair),
      specialCount(frame),
      options.maxLength ?? Number.POSITIVE_INFINITY,
      options.truncation ?? 'refuse',
    );
    const ids: number[] = [];
    const types: number[] = [];
    for (const piece of frame) {
      const part = 'ids' in piece ? piece.ids : piece.text === 'A' ? a : b!;
      for (const id of part) {
        ids.push(id);
        types.push(piece.type);
      }
    }
    return { ids, types };
  }

  /** Pads on the right, to `length` or to the longest encoding. */
  pad(encodings: readonly Encoding[], length?: number): Padded {
    return padEncodings(encodings, length, this.padId);
  }
}

/** Pads on the right with `padId`, type 0, mask 0, to `length` or to the longest encoding. */
export function padEncodings(encodings: readonly Encoding[], length: number | undefined, padId: number): Padded {
  const longest = encodings.reduce((most, { ids }) => Math.max(most, ids.length), 0);
  const width = length ?? longest;
  if (width < longest) throw new Error(`pad: an encoding of ${longest} tokens does not fit ${width}`);
  const size = encodings.length * width;
  const ids = new Int32Array(size).fill(padId);
  const types = new Int32Array(size);
  const mask = new Int32Array(size);
  encodings.forEach((encoding, row) => {
    ids.set(encoding.ids, row * width);
    types.set(encoding.types, row * width);
    mask.fill(1, row * width, row * width + encoding.ids.length);
  });
  return { batch: encodings.length, length: width, ids, types, mask };
}
