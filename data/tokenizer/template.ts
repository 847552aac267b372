import { InputError } from '../../common/errors.ts';

/** One piece of the frame around the texts: fixed ids, or the first (A) or second (B) text; all with one token type. */
export type Piece =
  { readonly ids: readonly number[]; readonly type: number } | { readonly text: 'A' | 'B'; readonly type: number };

/** The frame of a single text and of a pair: [CLS] A [SEP] and [CLS] A [SEP] B [SEP] for BERT. */
export interface Template {
  readonly single: readonly Piece[];
  readonly pair: readonly Piece[];
}

interface TemplateSection {
  type: 'TemplateProcessing';
  single: unknown[];
  pair: unknown[];
  special_tokens: Record<string, { ids: number[] }>;
}

interface BertSection {
  type: 'BertProcessing';
  cls: [string, number];
  sep: [string, number];
}

function pieces(items: readonly unknown[], section: TemplateSection): Piece[] {
  return items.map((item) => {
    const { SpecialToken: special, Sequence: sequence } = item as Record<
      string,
      { id: string; type_id: number } | undefined
    >;
    if (special !== undefined) return { ids: section.special_tokens[special.id]!.ids, type: special.type_id };
    if (sequence?.id !== 'A' && sequence?.id !== 'B') throw new Error('neither SpecialToken nor Sequence A or B');
    return { text: sequence.id, type: sequence.type_id };
  });
}

/**
 * Reads the `post_processor` section of tokenizer.json (TemplateProcessing or BertProcessing).
 * @throws InputError for any other.
 */
export function parseTemplate(section: unknown, where: string): Template {
  const type = (section as { type?: unknown } | null)?.type;
  try {
    if (type === 'TemplateProcessing') {
      const template = section as TemplateSection;
      return { single: pieces(template.single, template), pair: pieces(template.pair, template) };
    }
    if (type === 'BertProcessing') {
      const { cls, sep } = section as BertSection;
      const head: Piece[] = [
        { ids: [cls[1]], type: 0 },
        { text: 'A', type: 0 },
        { ids: [sep[1]], type: 0 },
      ];
      return { single: head, pair: [...head, { text: 'B', type: 1 }, { ids: [sep[1]], type: 1 }] };
    }
  } catch (error) {
    throw new InputError(
      `${where}: post_processor: ${(error as Error).message}`,
      'Use the tokenizer.json saved with the model.',
    );
  }
  throw new InputError(
    `${where}: post_processor ${String(type)} is not supported`,
    'BERT tokenisers use TemplateProcessing or BertProcessing; save the tokeniser again with transformers.',
  );
}

/** Number of special tokens in a frame. */
export const specialCount = (frame: readonly Piece[]): number =>
  frame.reduce((sum, piece) => sum + ('ids' in piece ? piece.ids.length : 0), 0);
