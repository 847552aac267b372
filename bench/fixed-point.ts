/**
 * Fidelity of an export: fixed-point logits against the float student on a labelled file.
 *
 *     node dist/bench/fixed-point.js STUDENT BUNDLES FILE [EXAMPLES]
 */
import { join } from 'node:path';
import { loadModel } from '../checkpoints/index.ts';
import { readExamples } from '../data/read.ts';
import { loadTokenizer } from '../data/tokenizer-files.ts';
import { createEngine } from '../engine/onnxruntime.ts';
import { fixedPredict } from '../export/clear.ts';
import { loadProvider } from '../export/provider.ts';
import { loadKernels } from '../ring/kernels/node.ts';
import { argmax, predict } from '../train/predict.ts';

const [student, bundles, file, examples] = process.argv.slice(2);
if (student === undefined || bundles === undefined || file === undefined) {
  process.stderr.write('usage: fixed-point STUDENT BUNDLES FILE [EXAMPLES]\n');
  process.exit(2);
}
const kernels = await loadKernels();
const model = await loadModel(student);
const provider = await loadProvider(join(bundles, 'provider'));
const tokenizer = await loadTokenizer(model.tokenizerDir);
const rows = (await readExamples(file, {})).examples.slice(0, examples === undefined ? undefined : Number(examples));
const texts = rows.map((row) => tokenizer.encode(row.text, row.pair, { maxLength: provider.program.longest, truncation: 'longest_first' })); // prettier-ignore

const float = await predict(model, texts, createEngine({ threads: 2 }), { padId: tokenizer.padId });
const start = performance.now();
const fixed = fixedPredict(provider.program, provider.integers, texts);
const seconds = (performance.now() - start) / 1000;

const errors: number[] = [];
let [equal, refused, fixedCorrect, floatCorrect] = [0, 0, 0, 0];
const gold = (i: number): number => {
  const label = rows[i]!.label;
  const named = model.config.labels.indexOf(label ?? '');
  return named >= 0 ? named : Number(label);
};
fixed.forEach((logits, i) => {
  const reference = float[i]!;
  if (argmax(reference) === gold(i)) floatCorrect++;
  if (logits instanceof Error) {
    refused++;
    return;
  }
  if (argmax(logits) === argmax(reference)) equal++;
  if (argmax(logits) === gold(i)) fixedCorrect++;
  logits.forEach((v, j) => errors.push(Math.abs(v - reference[j]!)));
});
const result = {
  kernels: kernels.name,
  examples: rows.length,
  equalLabels: equal,
  refused,
  floatAccuracy: floatCorrect / rows.length,
  fixedAccuracy: fixedCorrect / rows.length,
  maxError: Math.max(...errors),
  meanError: errors.reduce((a, b) => a + b, 0) / errors.length,
  seconds,
};
process.stdout.write(`${JSON.stringify(result)}\n`);
