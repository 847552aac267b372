/** Model folders, weight files and run records: what the other folders import. */
export { WEIGHT_DTYPES, type WeightDtype } from './dtype.ts';
export { sha256, sha256File, writeFolder } from './files.ts';
export {
  type LoadedModel,
  type LoadedWeights,
  type LoadOptions,
  loadConfig,
  loadModel,
  loadWeights,
  requireHead,
} from './load-model.ts';
export {
  readSafetensors,
  type Safetensors,
  SafetensorsFile,
  type StoredTensor,
  type Tensor,
  type WriteOptions,
  writeSafetensors,
} from './safetensors.ts';
export { saveModel, type SaveOptions } from './save-model.ts';
export {
  parseRunRecord,
  readRunRecord,
  RUN_RECORD_FILE,
  type RunRecord,
  runRecordJson,
  writeRunRecord,
} from './run-record.ts';
export { MAX_LENGTH, trainedLength } from './trained-length.ts';
