#!/usr/bin/env node
/** Measurements: `npm run --silent bench -- kernels|train|secure …`. Progress on standard error, `--json` as the last line. */
import { Command } from 'commander';
import { runCommand, version } from '../cli/ui/run.ts';
import { addKernelsBench } from './kernels.ts';
import { addResultsBench } from './results.ts';
import { addSecureBench } from './secure.ts';
import { addTrainBench } from './train-step.ts';

const program = new Command('bench').description('Measures kernels, training steps and secured inference on this machine.').version(version); // prettier-ignore
addKernelsBench(program);
addTrainBench(program);
addSecureBench(program);
addResultsBench(program);

await runCommand(program);
