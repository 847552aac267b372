/** Arithmetic of Z_2^n. Needs no node: module; kernels are loaded by kernels/node.ts or kernels/wasm.ts first. */
export * from './arith.ts';
export * from './bits.ts';
export * from './fixed.ts';
export * from './fused.ts';
export * from './kernels/kernels.ts';
export * from './matmul.ts';
export * from './pack.ts';
export * from './prg.ts';
export * from './region.ts';
export * from './rings.ts';
export * from './secret.ts';
export * from './share.ts';
export * from './trig.ts';
export * from './words.ts';
