/** The nine tasks of GLUE (Wang et al. 2019) as their official folders lay them out. */
import type { ColumnOptions } from './columns.ts';
import { COLA_COLUMNS } from './columns.ts';

/** Metrics of `train/metrics.ts`, by name. */
export type TaskMetric = 'accuracy' | 'f1' | 'matthews' | 'pearson' | 'spearman';

/** Development and test sets of MNLI come from the genres of its training set (matched) and from others (mismatched). */
export type GluePart = 'train' | 'dev' | 'test' | 'dev_mismatched' | 'test_mismatched';

export interface GlueTask {
  /** Folder of the official download. */
  readonly folder: string;
  /** File of each part. */
  readonly files: Readonly<Partial<Record<GluePart, string>>>;
  /** Of parts with labels; test sets have no label column. */
  readonly columns: ColumnOptions;
  /** Where the test set has other columns than the labelled parts. */
  readonly testColumns?: ColumnOptions;
  /** Class names, index = class, in the order of the Hugging Face data set `glue`. */
  readonly labels: readonly string[];
  /** How the files write the classes, by index, where it is not the name. */
  readonly written?: readonly string[];
  readonly regression: boolean;
  /** The leaderboard's score is their mean. */
  readonly metrics: readonly TaskMetric[];
  /** Known to hold rows cut off within; the custom (transformers' QqpProcessor) is to leave these out. */
  readonly brokenRows?: boolean;
}

const FILES = { train: 'train.tsv', dev: 'dev.tsv', test: 'test.tsv' } as const;
const PAIR = { textColumn: 'sentence1', pairColumn: 'sentence2', labelColumn: 'label' } as const;
const BINARY = ['0', '1'] as const;
const ENTAILMENT = ['entailment', 'not_entailment'] as const;

/** By name on the command line. */
export const GLUE: Readonly<Record<string, GlueTask>> = {
  cola: {
    folder: 'CoLA',
    files: FILES,
    columns: { textColumn: COLA_COLUMNS.text, labelColumn: COLA_COLUMNS.label },
    testColumns: { textColumn: 'sentence' },
    labels: ['unacceptable', 'acceptable'],
    written: BINARY,
    regression: false,
    metrics: ['matthews'],
  },
  'sst-2': {
    folder: 'SST-2',
    files: FILES,
    columns: { textColumn: 'sentence', labelColumn: 'label' },
    labels: ['negative', 'positive'],
    written: BINARY,
    regression: false,
    metrics: ['accuracy'],
  },
  mrpc: {
    folder: 'MRPC',
    files: FILES,
    columns: { textColumn: '#1 String', pairColumn: '#2 String', labelColumn: 'Quality' },
    labels: ['not_equivalent', 'equivalent'],
    written: BINARY,
    regression: false,
    metrics: ['f1', 'accuracy'],
  },
  'sts-b': {
    folder: 'STS-B',
    files: FILES,
    columns: { ...PAIR, labelColumn: 'score' },
    labels: ['score'],
    regression: true,
    metrics: ['pearson', 'spearman'],
  },
  qqp: {
    folder: 'QQP',
    files: FILES,
    columns: { textColumn: 'question1', pairColumn: 'question2', labelColumn: 'is_duplicate' },
    labels: ['not_duplicate', 'duplicate'],
    written: BINARY,
    regression: false,
    metrics: ['f1', 'accuracy'],
    brokenRows: true,
  },
  mnli: {
    folder: 'MNLI',
    files: {
      train: 'train.tsv',
      dev: 'dev_matched.tsv',
      test: 'test_matched.tsv',
      dev_mismatched: 'dev_mismatched.tsv',
      test_mismatched: 'test_mismatched.tsv',
    },
    columns: { ...PAIR, labelColumn: 'gold_label' },
    labels: ['entailment', 'neutral', 'contradiction'],
    regression: false,
    metrics: ['accuracy'],
  },
  qnli: {
    folder: 'QNLI',
    files: FILES,
    columns: { textColumn: 'question', pairColumn: 'sentence', labelColumn: 'label' },
    labels: ENTAILMENT,
    regression: false,
    metrics: ['accuracy'],
  },
  rte: {
    folder: 'RTE',
    files: FILES,
    columns: PAIR,
    labels: ENTAILMENT,
    regression: false,
    metrics: ['accuracy'],
  },
  wnli: {
    folder: 'WNLI',
    files: FILES,
    columns: PAIR,
    labels: ['not_entailment', 'entailment'],
    written: BINARY,
    regression: false,
    metrics: ['accuracy'],
  },
};
