/** The tokeniser's core, free of node: modules. */
export type { EncodeOptions, Encoding, Padded } from './tokenizer/tokenizer.ts';
export { padEncodings, Tokenizer } from './tokenizer/tokenizer.ts';
export type { Truncation } from './tokenizer/truncate.ts';
export { tokenizerJsonFromVocab } from './tokenizer/vocab.ts';
