#!/usr/bin/env node
import { Command } from 'commander';
import { addExport } from './export-shares/command.ts';
import { runCommand, version } from './ui/run.ts';

const program = new Command('export-shares').version(version);
addExport(program);
await runCommand(program);
