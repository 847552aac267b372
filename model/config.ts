/** The part of a Hugging Face `config.json` that decides what a BERT-family classifier computes. */
import { z } from 'zod';
import { InputError } from '../common/errors.ts';

export const HIDDEN_ACTS = ['gelu', 'gelu_new', 'relu', 'quad'] as const;
export type HiddenAct = (typeof HIDDEN_ACTS)[number];

/**
 * softmax; 2quad: m(s+c)²/Σ (MPCFormer, SecFormer); 2quad_centred: the same on s − mean over real keys; 2relu:
 * m(relu(s)+ε/L)/(Σ m relu(s)+ε), ε = 1e-12 (MPCFormer, section 4).
 *
 * A row without a positive score gets its weights from ε alone, and there conventions differ: 2relu gives 1/L to real keys, so
 * what a text gets depends on the padding of its batch; 2relu_real_n divides by the n real keys and does not;
 * 2relu_published, MPCFormer's code, gives 1/L to every key, padding included: (m relu(s)+ε/L)/(Σ m relu(s)+ε).
 */
export const SOFTMAX_ACTS = ['softmax', '2quad', '2quad_centred', '2relu', '2relu_real_n', '2relu_published'] as const;
export type SoftmaxAct = (typeof SOFTMAX_ACTS)[number];

/** One shift for the whole model, or one per layer (outer) and head (inner). */
export type SoftmaxC = number | readonly (readonly number[])[];

/** The shift both papers publish (MPCFormer section 4, SecFormer section 3). */
export const DEFAULT_SOFTMAX_C = 5;

/** Field names are those of the file. */
export interface ModelConfig {
  readonly model_type: 'bert';
  readonly hidden_size: number;
  readonly num_attention_heads: number;
  readonly num_hidden_layers: number;
  readonly intermediate_size: number;
  readonly vocab_size: number;
  readonly max_position_embeddings: number;
  readonly type_vocab_size: number;
  readonly layer_norm_eps: number;
  readonly hidden_act: HiddenAct;
  readonly softmax_act: SoftmaxAct;
  readonly softmax_c: SoftmaxC;
  readonly hidden_dropout_prob: number;
  readonly attention_probs_dropout_prob: number;
  /** Dropout before the classifier; absent = hidden_dropout_prob. */
  readonly classifier_dropout?: number;
  /** Number of labels C; 1 means regression. */
  readonly num_labels: number;
  /** C names, index = class. */
  readonly labels: readonly string[];
}

/**
 * What the file calls models that Hugging Face's own BERT would compute wrongly: a type that transformers does not know, so that
 * it asks for the code beside the weights instead of taking them for an ordinary BERT.
 */
const OWN_TYPE = 'secformer_bert';
const OWN_CODE = 'modeling_secformer_bert';

/** Whether a Hugging Face folder of this model needs the file `modeling_secformer_bert.py`. */
export const needsOwnCode = (config: ModelConfig): boolean =>
  config.softmax_act !== 'softmax' || config.hidden_act === 'quad';

/** Name of that file. */
export const OWN_CODE_FILE = `${OWN_CODE}.py`;

const hasShift = (act: SoftmaxAct): boolean => act === '2quad' || act === '2quad_centred';

/** The shift of layer `l`, one number per head; empty where the normaliser has none. */
export function softmaxShift(config: ModelConfig, l: number): readonly number[] {
  if (!hasShift(config.softmax_act)) return [];
  const c = config.softmax_c;
  return typeof c === 'number' ? Array.from({ length: config.num_attention_heads }, () => c) : c[l]!;
}

/** Bounds far above any BERT keep a hostile file from asking for endless lists of layers and labels. */
const upTo = (most: number): z.ZodNumber =>
  z.int('must be a whole number').min(1, 'must be at least 1').max(most, `must be at most ${most}`);
const size = upTo(2 ** 31 - 1);
const rate = z.number('must be a number').min(0, 'must be at least 0').lt(1, 'must be below 1');

/** Everything of the file that we read; other fields pass unread. `null` means absent, as in Hugging Face files. */
const FILE = z.looseObject({
  hidden_size: size,
  num_attention_heads: size,
  num_hidden_layers: upTo(1024),
  intermediate_size: size,
  vocab_size: size,
  max_position_embeddings: size,
  type_vocab_size: size.default(2),
  layer_norm_eps: z.number('must be a number').positive('must be above 0').default(1e-12),
  hidden_dropout_prob: rate.default(0.1),
  attention_probs_dropout_prob: rate.default(0.1),
  classifier_dropout: rate.nullish(),
  hidden_act: z.enum(HIDDEN_ACTS, `must be one of ${HIDDEN_ACTS.join(', ')}`).default('gelu'),
  softmax_act: z.enum(SOFTMAX_ACTS, `must be one of ${SOFTMAX_ACTS.join(', ')}`).default('softmax'),
  softmax_c: z
    .union(
      [z.number(), z.array(z.array(z.number()))],
      'must be one number, or an array of layers of one number per head',
    )
    .nullish(),
  num_labels: upTo(65536).nullish(),
  id2label: z.record(z.string(), z.string(), 'must map class numbers to names').nullish(),
  label2id: z.record(z.string(), z.number(), 'must map names to class numbers').nullish(),
  problem_type: z
    .enum(['regression', 'single_label_classification'], 'must be regression or single_label_classification')
    .nullish(),
});
type ConfigFile = z.infer<typeof FILE>;

/** Fields whose other values make another model: [field, the only value we compute, remedy]. Absent is fine. */
const FIXED: readonly (readonly [string, unknown, string])[] = [
  [
    'position_embedding_type',
    'absolute',
    'Relative positions are another model; use a checkpoint with absolute positions.',
  ],
  ['is_decoder', false, 'Use an encoder: decoders mask future tokens, which this toolkit does not compute.'],
  ['add_cross_attention', false, 'Use an encoder without cross-attention.'],
];

/** Short form of a JSON value for messages. */
function show(value: unknown): string {
  const text = value === undefined ? 'absent' : JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

function refuse(where: string, field: string, value: unknown, problem: string, hint: string): never {
  throw new InputError(`${where}: ${field} is ${show(value)}: ${problem}`, hint);
}

/**
 * Reads a parsed Hugging Face `config.json` of the BERT family together with our fields softmax_act and softmax_c.
 * @param where the file, for messages
 * @throws InputError naming file, field and remedy for everything we cannot compute
 */
export function parseConfig(json: unknown, where: string): ModelConfig {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new InputError(`${where}: not a JSON object`, 'Give the config.json that save_pretrained wrote.');
  }
  const raw = json as Record<string, unknown>;
  if (raw.model_type !== 'bert' && raw.model_type !== OWN_TYPE) {
    const hint = 'Use a BERT-family checkpoint (BERT, MiniLM, …) whose config.json says "model_type": "bert".';
    refuse(where, 'model_type', raw.model_type, 'only "bert" is supported', hint);
  }
  for (const [field, only, hint] of FIXED) {
    const value = raw[field];
    if (value !== undefined && value !== null && value !== only) {
      refuse(where, field, value, `only ${show(only)} is supported`, hint);
    }
  }
  const pruned = raw.pruned_heads;
  if (typeof pruned === 'object' && pruned !== null && Object.keys(pruned).length > 0) {
    refuse(where, 'pruned_heads', pruned, 'pruned heads are not supported', 'Use the checkpoint before pruning.');
  }

  const parsed = FILE.safeParse(raw);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    const path = issue.path.map(String);
    const value = path.reduce<unknown>((at, key) => (at as Record<string, unknown> | undefined)?.[key], raw);
    const hint = `Correct "${path[0] ?? ''}" in config.json, or use a checkpoint of a supported kind.`;
    refuse(where, path.join('.'), value, issue.message, hint);
  }
  const file = parsed.data;
  if (file.hidden_size % file.num_attention_heads !== 0) {
    const problem = `must divide hidden_size ${file.hidden_size}`;
    const hint = 'Correct num_attention_heads or hidden_size in config.json.';
    refuse(where, 'num_attention_heads', file.num_attention_heads, problem, hint);
  }
  const labels = readLabels(file, where);
  return {
    model_type: 'bert',
    hidden_size: file.hidden_size,
    num_attention_heads: file.num_attention_heads,
    num_hidden_layers: file.num_hidden_layers,
    intermediate_size: file.intermediate_size,
    vocab_size: file.vocab_size,
    max_position_embeddings: file.max_position_embeddings,
    type_vocab_size: file.type_vocab_size,
    layer_norm_eps: file.layer_norm_eps,
    hidden_act: file.hidden_act,
    softmax_act: file.softmax_act,
    softmax_c: readShift(file, where),
    hidden_dropout_prob: file.hidden_dropout_prob,
    attention_probs_dropout_prob: file.attention_probs_dropout_prob,
    ...(typeof file.classifier_dropout === 'number' ? { classifier_dropout: file.classifier_dropout } : {}),
    num_labels: labels.length,
    labels,
  };
}

function readShift(file: ConfigFile, where: string): SoftmaxC {
  const c = file.softmax_c ?? DEFAULT_SOFTMAX_C;
  if (typeof c === 'number') return hasShift(file.softmax_act) ? c : DEFAULT_SOFTMAX_C;
  const { num_hidden_layers: layers, num_attention_heads: heads } = file;
  const bad = c.findIndex((row) => row.length !== heads);
  if (c.length !== layers || bad >= 0) {
    const found = c.length !== layers ? `${c.length} layers` : `${c[bad]!.length} heads in layer ${bad}`;
    const problem = `expected ${layers} layers of ${heads} heads, found ${found}`;
    refuse(where, 'softmax_c', c, problem, 'Give one number, or one number per layer and head.');
  }
  return hasShift(file.softmax_act) ? c : DEFAULT_SOFTMAX_C;
}

const DEFAULT_NAME = /^LABEL_\d+$/;

/** Names by class. Hugging Face's default is two labels; id2label decides where it is given. */
function readLabels(file: ConfigFile, where: string): string[] {
  const { id2label, label2id, num_labels } = file;
  const hint = 'Let id2label name the classes 0, 1, …, each once, and label2id and num_labels agree with it.';
  let labels: string[];
  if (id2label === undefined || id2label === null) {
    labels = Array.from({ length: num_labels ?? 2 }, (_, i) => `LABEL_${i}`);
    for (const [name, id] of Object.entries(label2id ?? {})) {
      if (!Number.isInteger(id) || id < 0 || id >= labels.length) {
        refuse(where, `label2id.${name}`, id, `is no class of ${labels.length}`, hint);
      }
      labels[id] = name;
    }
  } else {
    const count = Object.keys(id2label).length;
    if (count === 0) refuse(where, 'id2label', id2label, 'names no class', hint);
    labels = Array.from({ length: count }, (_, i) => {
      const name = Object.hasOwn(id2label, String(i)) ? id2label[String(i)] : undefined;
      return name ?? refuse(where, 'id2label', id2label, `class ${i} of ${count} is not named`, hint);
    });
    if (typeof num_labels === 'number' && num_labels !== count) {
      refuse(where, 'num_labels', num_labels, `id2label names ${count} classes`, hint);
    }
    // Hugging Face leaves the default label2id beside a given id2label: those names mean nothing.
    for (const [name, id] of Object.entries(label2id ?? {})) {
      if (labels[id] !== name && !DEFAULT_NAME.test(name)) {
        refuse(where, `label2id.${name}`, id, `id2label calls class ${id} ${show(labels[id])}`, hint);
      }
    }
  }
  if (new Set(labels).size !== labels.length)
    refuse(where, 'id2label', id2label ?? label2id, 'a name occurs twice', hint);
  const regression = file.problem_type === 'regression';
  if (typeof file.problem_type === 'string' && regression !== (labels.length === 1)) {
    const problem = `${labels.length} label${labels.length === 1 ? '' : 's'}: regression has exactly one, classification more`;
    refuse(where, 'problem_type', file.problem_type, problem, 'Correct problem_type or id2label in config.json.');
  }
  return labels;
}

/**
 * A complete Hugging Face config (transformers loads it; our fields are extra attributes there).
 * @param base fields to keep from the file the model came from; what the model computes overrides them
 */
export function configJson(config: ModelConfig, base: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  const { labels, num_labels: _, softmax_c, ...computed } = config;
  // dropped: written by id2label, by the weights, or contradicted by them
  const {
    num_labels: _n,
    dtype: _d,
    torch_dtype: _t,
    transformers_version: _v,
    softmax_c: _c,
    auto_map: _a,
    ...kept
  } = base;
  return {
    pad_token_id: 0,
    initializer_range: 0.02,
    ...kept,
    classifier_dropout: null,
    ...computed,
    ...(hasShift(config.softmax_act) ? { softmax_c } : {}),
    position_embedding_type: 'absolute',
    ...(needsOwnCode(config)
      ? {
          model_type: OWN_TYPE,
          architectures: ['SecformerBertForSequenceClassification'],
          auto_map: {
            AutoConfig: `${OWN_CODE}.SecformerBertConfig`,
            AutoModelForSequenceClassification: `${OWN_CODE}.SecformerBertForSequenceClassification`,
          },
        }
      : { architectures: ['BertForSequenceClassification'] }),
    id2label: Object.fromEntries(labels.map((name, i) => [String(i), name])),
    label2id: Object.fromEntries(labels.map((name, i) => [name, i])),
    problem_type: labels.length === 1 ? 'regression' : 'single_label_classification',
  };
}
