/** Student architectures: what of the teacher is replaced by functions that are cheap on shares. */
import type { ModelConfig, SoftmaxAct } from '../model/config.ts';

export interface Preset {
  readonly description: string;
  readonly softmax: SoftmaxAct;
  /** The shift of 2Quad: a number for all heads, or `kl`: per head, see `shift.ts`. */
  readonly shift?: number | 'kl';
}

export const PRESETS = {
  secformer: { description: 'GeLU and 2Quad with c = 5 (SecFormer)', softmax: '2quad', shift: 5 },
  'secformer-kl': { description: 'GeLU and 2Quad with c per head chosen by KL', softmax: '2quad', shift: 'kl' },
  'secformer-centred': {
    description: 'GeLU and row-centred 2Quad with c per head chosen by KL',
    softmax: '2quad_centred',
    shift: 'kl',
  },
  exact: { description: 'the teacher as it is', softmax: 'softmax' },
} as const satisfies Record<string, Preset>;

export type PresetName = keyof typeof PRESETS;
export const PRESET_NAMES = Object.keys(PRESETS) as PresetName[];

/** The teacher's configuration with the preset's attention normaliser; `shift` if it has one. */
export function studentConfig(teacher: ModelConfig, preset: Preset, shift: ModelConfig['softmax_c']): ModelConfig {
  return { ...teacher, softmax_act: preset.softmax, softmax_c: shift };
}
