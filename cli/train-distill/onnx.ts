import type { Command } from 'commander';
import { loadWeights, requireHead, sha256 } from '../../checkpoints/index.ts';
import { exportOnnx } from '../../engine/export-onnx.ts';
import { writeWhole } from './evaluate.ts';
import { EXIT_CODES } from './options.ts';
import { printResult } from './training.ts';

interface OnnxFlags {
  readonly out: string;
  readonly json: boolean;
}

async function onnx(dir: string, flags: OnnxFlags): Promise<void> {
  const model = await loadWeights(dir);
  requireHead(model, dir);
  const bytes = exportOnnx(model.config, model.tensors);
  await writeWhole(flags.out, bytes);
  printResult({ command: 'onnx', out: flags.out, bytes: bytes.length, sha256: sha256(bytes) }, flags.json);
}

/** The subcommand `onnx`. */
export function addOnnx(program: Command): void {
  program
    .command('onnx')
    .description('a trained classifier as one ONNX file, for other runtimes')
    .argument('<model>', 'model folder, e.g. one that train-distill wrote')
    .requiredOption('--out <file>', 'the ONNX model; a file of that name is replaced')
    .option('--json', 'print the result as one JSON object on standard output', false)
    .addHelpText(
      'after',
      `
Inputs are int64 input_ids, attention_mask and token_type_ids (batch_size, sequence_length), the output is float32 logits
(batch_size, classes). Standard ops of opset 20; the weights are inside, in float32.

Example:
  train-distill onnx runs/student --out student.onnx
${EXIT_CODES}`,
    )
    .action(onnx);
}
