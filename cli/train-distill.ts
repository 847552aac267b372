#!/usr/bin/env node
import { Command } from 'commander';
import { addEvaluate } from './train-distill/evaluate.ts';
import { addOnnx } from './train-distill/onnx.ts';
import { EXIT_CODES } from './train-distill/options.ts';
import { addReport } from './train-distill/report.ts';
import { addStudent } from './train-distill/student.ts';
import { addTeacher } from './train-distill/teacher.ts';
import { runCommand, version } from './ui/run.ts';

const program = new Command('train-distill')
  .description(
    'Fine-tunes a BERT-family teacher and distils it into a student that secure computation evaluates cheaply.',
  )
  .version(version);

addTeacher(program);
addStudent(program);
addEvaluate(program);
addReport(program);
addOnnx(program);
program.addHelpText(
  'after',
  `
Examples:
  train-distill teacher --from MiniLM --task polarity --out runs/teacher
  train-distill student --teacher runs/teacher --task polarity --preset secformer-centred --recipe fast --out runs/student
  train-distill evaluate runs/student --task polarity --split test --json
  train-distill report runs/teacher runs/student --out report.html
  train-distill onnx runs/student --out student.onnx
${EXIT_CODES}`,
);

await runCommand(program);
