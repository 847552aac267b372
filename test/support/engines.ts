import type { Engine } from '../../engine/engine.ts';
import { createEngine } from '../../engine/onnxruntime.ts';
import { createTfjsEngine } from '../../engine/tfjs.ts';

export const onnxruntime: Engine = createEngine({ threads: 2 });
/** On plain JavaScript, the backend that runs everywhere. */
export const tfjs: Engine = await createTfjsEngine({ threads: 2, provider: '@tensorflow/tfjs-backend-cpu' });

/** Every engine, for `describe.each`: what holds of one holds of all. */
export const ENGINES: readonly Engine[] = [onnxruntime, tfjs];
