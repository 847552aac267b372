/** Student architectures: what of the teacher is replaced by functions that are cheap on shares, and how large the student is. */
import { z } from 'zod';
import { InputError } from '../common/errors.ts';
import { HIDDEN_ACTS, SOFTMAX_ACTS, type ModelConfig, type SoftmaxC } from '../model/config.ts';
import { builtIns, readNamed } from './built-in.ts';

const count = z.int('must be a whole number').min(1, 'must be at least 1');

/** Sizes as in config.json; absent: the teacher's. */
const SIZES = {
  num_hidden_layers: count.optional(),
  hidden_size: count.optional(),
  num_attention_heads: count.optional(),
  /** Absent: the teacher's, times the ratio of the hidden sizes. */
  intermediate_size: count.optional(),
};

/** Field names are those of config.json; what is absent is as in the teacher. */
const PRESET = z
  .strictObject({
    name: z.string().min(1),
    description: z.string().default(''),
    softmax_act: z.enum(SOFTMAX_ACTS).optional(),
    /** The shift of 2Quad: a number for all heads, or `kl`: per layer and head, see `shift.ts`. */
    softmax_c: z.union([z.number(), z.literal('kl')], "must be a number or 'kl'").optional(),
    hidden_act: z.enum(HIDDEN_ACTS).optional(),
    ...SIZES,
    /** Teacher layer, from 1, that each student layer begins as and learns from; absent: evenly spread. */
    layer_map: z.array(count).optional(),
  })
  .refine((p) => (p.softmax_act?.startsWith('2quad') ?? false) === (p.softmax_c !== undefined), {
    path: ['softmax_c'],
    message: 'must stand beside softmax_act 2quad and 2quad_centred, and only there',
  });

export type Preset = z.infer<typeof PRESET>;

/** @throws InputError naming `where` and the field */
export function parsePreset(json: unknown, where: string): Preset {
  const parsed = PRESET.safeParse(json);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  throw new InputError(
    `${where}: ${issue.path.join('.') || 'preset'}: ${issue.message}`,
    'Correct the field; train/presets/ holds whole presets.',
  );
}

/** What a student is unless a preset is named. */
export const DEFAULT_PRESET = 'secformer-centred';

/** Every built-in preset. */
export const builtInPresets = (): Preset[] =>
  [...builtIns('preset')].map(([name, json]) => parsePreset(json, `preset ${name}`));

/** The built-in preset of that name, else the JSON file. @throws InputError if it is neither */
export async function findPreset(nameOrFile: string): Promise<Preset> {
  const { json, where } = await readNamed('preset', nameOrFile);
  return parsePreset(json, where);
}

/**
 * Teacher layer, from 1, of each student layer: as given, else g(m) = m·M/N rounded, for M teacher and N student layers (the
 * uniform map of TinyBERT, Jiao et al. 2020, section 3.2), so that the last is the last.
 * @throws InputError if the student is deeper, or the given map is not one ascending teacher layer for each student layer
 */
export function layerMap(teacherLayers: number, layers: number, given?: readonly number[]): readonly number[] {
  if (layers > teacherLayers) {
    throw new InputError(
      `a student of ${layers} layers from a teacher of ${teacherLayers}`,
      'Give at most as many layers as the teacher has.',
    );
  }
  const map = given ?? Array.from({ length: layers }, (_, i) => Math.round(((i + 1) * teacherLayers) / layers));
  const ascending = map.every((g, i) => g >= 1 && g <= teacherLayers && (i === 0 || g > map[i - 1]!));
  if (map.length !== layers || !ascending) {
    throw new InputError(
      `layer map ${map.join(',')} for ${layers} of ${teacherLayers} layers`,
      `Give ${layers} ascending numbers from 1 to ${teacherLayers}.`,
    );
  }
  return map;
}

/**
 * The teacher's configuration with what the preset replaces. A shift per layer and head is given for the student's layers.
 * @throws InputError if the heads do not divide the hidden size
 */
export function studentConfig(teacher: ModelConfig, preset: Preset, shift: SoftmaxC): ModelConfig {
  const hidden = preset.hidden_size ?? teacher.hidden_size;
  const heads = preset.num_attention_heads ?? teacher.num_attention_heads;
  if (hidden % heads !== 0) {
    throw new InputError(`${heads} heads do not divide the hidden size ${hidden}`, 'Choose sizes that divide.');
  }
  const ratio = hidden / teacher.hidden_size;
  return {
    ...teacher,
    softmax_act: preset.softmax_act ?? teacher.softmax_act,
    softmax_c: shift,
    hidden_act: preset.hidden_act ?? teacher.hidden_act,
    num_hidden_layers: preset.num_hidden_layers ?? preset.layer_map?.length ?? teacher.num_hidden_layers,
    hidden_size: hidden,
    num_attention_heads: heads,
    intermediate_size: preset.intermediate_size ?? Math.max(1, Math.round(teacher.intermediate_size * ratio)),
  };
}
