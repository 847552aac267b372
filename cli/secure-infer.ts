#!/usr/bin/env -S node --single-threaded-gc --max-semi-space-size=8 --initial-old-space-size=128
/** Private inference by two parties and an assistant: roles, client and the owner's checks. */
import { Command } from 'commander';
import { addClientCommands } from './secure-infer/client-commands.ts';
import { addDealCommand } from './secure-infer/deal-command.ts';
import { addEvaluateCommand } from './secure-infer/evaluate.ts';
import { addKeygenCommand } from './secure-infer/keygen.ts';
import { addOwnerCommands } from './secure-infer/owner-commands.ts';
import { EXIT_CODES } from './secure-infer/options.ts';
import { addServeCommands } from './secure-infer/serve.ts';
import { runCommand, version } from './ui/run.ts';

const program = new Command('secure-infer')
  .description('Answers texts with a model that nobody who computes can see, nor the texts.')
  .version(version)
  .addHelpText(
    'after',
    `
Examples:
  secure-infer local bundles --text "a fine film"       everything on this host, for trying

  secure-infer keygen --out keys                        by hand, in four terminals:
  secure-infer assistant --bundle bundles/assistant --keys keys/assistant
  secure-infer party --bundle bundles/party0 --keys keys/party0
  secure-infer party --bundle bundles/party1 --keys keys/party1
  secure-infer ask --bundle bundles/client --keys keys/client --text "a fine film"

${EXIT_CODES}
`,
  );
addClientCommands(program);
addEvaluateCommand(program);
addServeCommands(program);
addDealCommand(program);
addKeygenCommand(program);
addOwnerCommands(program);
for (const command of program.commands) command.addHelpText('after', `\n${EXIT_CODES}`);

await runCommand(program);
