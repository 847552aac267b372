import { InputError } from '../../common/errors.ts';

/** A special token in tokenizer_config.json: its text, or an object with it. */
type TokenEntry = string | { readonly content: string };

interface BertConfig {
  readonly do_lower_case?: boolean;
  readonly strip_accents?: boolean | null;
  readonly tokenize_chinese_chars?: boolean;
  readonly [role: `${string}_token`]: TokenEntry | undefined;
}

interface SpecialToken {
  readonly content: string;
  readonly id: number;
}

const frame = ({ content }: SpecialToken, type: number): unknown => ({ SpecialToken: { id: content, type_id: type } });

const entry = ({ content, id }: SpecialToken): unknown => ({ id: content, ids: [id], tokens: [content] });

/**
 * The tokenizer.json that BERT's slow tokeniser amounts to: a vocabulary, one token a line, id = line, and the settings of
 * tokenizer_config.json (lower case unless `do_lower_case` is false, as transformers has it).
 * @throws InputError for a repeated token or a missing special one.
 */
export function tokenizerJsonFromVocab(lines: readonly string[], configJson: unknown, where = 'vocab.txt'): unknown {
  const config = (configJson ?? {}) as BertConfig;
  const vocab = new Map<string, number>();
  lines.forEach((token, id) => {
    if (vocab.has(token)) {
      throw new InputError(
        `${where}, line ${id + 1}: '${token}' also stands on line ${vocab.get(token)! + 1}`,
        'Use the vocab.txt saved with the model.',
      );
    }
    vocab.set(token, id);
  });
  const special = (role: 'unk' | 'cls' | 'sep' | 'pad' | 'mask'): SpecialToken => {
    const given = config[`${role}_token`] ?? `[${role.toUpperCase()}]`;
    const content = typeof given === 'string' ? given : given.content;
    const id = vocab.get(content);
    if (id === undefined)
      throw new InputError(`${where}: no line '${content}'`, 'Use the vocab.txt saved with the model.');
    return { content, id };
  };
  const [unk, cls, sep] = [special('unk'), special('cls'), special('sep')];
  const added = [special('pad'), unk, cls, sep, special('mask')].toSorted((a, b) => a.id - b.id);
  const single = [frame(cls, 0), { Sequence: { id: 'A', type_id: 0 } }, frame(sep, 0)];
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: added.map(({ content, id }) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: {
      type: 'BertNormalizer',
      clean_text: true,
      handle_chinese_chars: config.tokenize_chinese_chars ?? true,
      strip_accents: config.strip_accents ?? null,
      lowercase: config.do_lower_case ?? true,
    },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: {
      type: 'TemplateProcessing',
      single,
      pair: [...single, { Sequence: { id: 'B', type_id: 1 } }, frame(sep, 1)],
      special_tokens: { [cls.content]: entry(cls), [sep.content]: entry(sep) },
    },
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
    model: {
      type: 'WordPiece',
      unk_token: unk.content,
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab: Object.fromEntries(vocab),
    },
  };
}
