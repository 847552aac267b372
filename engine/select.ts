/** Choosing an engine by name; only the chosen one is loaded. */
import { InputError } from '../common/errors.ts';
import type { Engine } from './engine.ts';

export const ENGINE_NAMES = ['onnxruntime', 'tfjs'] as const;
export type EngineName = (typeof ENGINE_NAMES)[number];

/**
 * @throws InputError for an unknown name, or if the engine's optional packages are not installed
 * @throws Failure if they are installed but do not start
 */
export async function selectEngine(name: string, options: { readonly threads: number }): Promise<Engine> {
  switch (name) {
    case 'onnxruntime':
      return (await import('./onnxruntime.ts')).createEngine(options);
    case 'tfjs':
      return (await import('./tfjs.ts')).createTfjsEngine(options);
    default:
      throw new InputError(`unknown engine '${name}'`, `Choose one of ${ENGINE_NAMES.join(', ')}.`);
  }
}
