/** Bundles: what each role is given. The only part of `export/` that the runtime may import. */
export * from './bundle/format.ts';
export * from './bundle/read.ts';
export { clientProgram, writeBundles, type ExportContent } from './bundle/write.ts';
