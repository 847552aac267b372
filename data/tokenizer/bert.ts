/**
 * BERT's normaliser and pre-tokeniser exactly as the Rust library `tokenizers` 0.23 has them. Those of @huggingface/tokenizers 0.2
 * differ, as golden rows show: JavaScript's toLowerCase turns a final Σ into ς ("final sigma is NOT special", "fuzz"), and CJK
 * ideographs beyond U+FFFF are taken as two halves and get no spaces ("CJK extension B"). Unicode tables differ too.
 */
import { ALSO_MARK, ALSO_PUNCTUATION, NOT_CONTROL, NOT_MARK, NOT_PUNCTUATION, UNDECOMPOSED } from './unicode.ts';

/** The `normalizer` section of tokenizer.json. `strip_accents` null means: as `lowercase`. */
export interface BertNormalizerConfig {
  readonly type: 'BertNormalizer';
  readonly clean_text?: boolean;
  readonly handle_chinese_chars?: boolean;
  readonly strip_accents?: boolean | null;
  readonly lowercase?: boolean;
}

const CONTROL = new RegExp(`[\\p{Cc}\\p{Cf}\\p{Co}\\p{Cs}\\0\\ufffd](?<![${NOT_CONTROL}])`, 'u');
const MARK = new RegExp(`[\\p{Mn}${ALSO_MARK}](?<![${NOT_MARK}])`, 'gu');
const ATOMIC = new RegExp(`([${UNDECOMPOSED}])`, 'u');
const WHITE = /\p{White_Space}/u;
const PUNCTUATION = `(?:[!-\\/:-@\\[-\`{-~\\p{P}${ALSO_PUNCTUATION}](?<![${NOT_PUNCTUATION}]))`;
const WORDS = new RegExp(`${PUNCTUATION}|(?:(?!${PUNCTUATION})\\P{White_Space})+`, 'gu');
/** Ideographs get spaces around them; ranges of the original BERT code (Hangul, Hiragana and Katakana stay in words). */
const IDEOGRAPH =
  /[\u{4e00}-\u{9fff}\u{3400}-\u{4dbf}\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b920}-\u{2ceaf}\u{f900}-\u{faff}\u{2f800}-\u{2fa1f}]/u;

function cleanText(text: string): string {
  let out = '';
  for (const char of text) {
    if (char === '\t' || char === '\n' || char === '\r') out += ' ';
    else if (!CONTROL.test(char)) out += WHITE.test(char) ? ' ' : char;
  }
  return out;
}

/** NFD without nonspacing marks. */
function stripAccents(text: string): string {
  const parts = text.split(ATOMIC).map((part, i) => (i % 2 === 1 ? part : part.normalize('NFD')));
  return parts.join('').replace(MARK, '');
}

function lowerCase(text: string): string {
  let out = '';
  for (const char of text) out += char.toLowerCase();
  return out;
}

/** clean text; spaces around ideographs; NFD without nonspacing marks; lower case — each where configured, in this order. */
export function bertNormaliser(config: BertNormalizerConfig): (text: string) => string {
  const lowercase = config.lowercase ?? true;
  const strip = config.strip_accents ?? lowercase;
  return (text) => {
    let out = (config.clean_text ?? true) ? cleanText(text) : text;
    if (config.handle_chinese_chars ?? true) out = [...out].map((c) => (IDEOGRAPH.test(c) ? ` ${c} ` : c)).join('');
    if (strip) out = stripAccents(out);
    return lowercase ? lowerCase(out) : out;
  };
}

/** Splits at white space, and makes every punctuation character (Unicode P, or ASCII and neither letter nor digit) a word. */
export function bertPreTokenise(text: string): string[] {
  return text.match(WORDS) ?? [];
}
