/** Whether a run was made as its row says: a command that is shown beside figures must be the one that gives them. */
import { Command } from 'commander';
import type { RunRecord } from '../../checkpoints/run-record.ts';
import { addStudent, studentRecipe, type StudentFlags } from '../../cli/train-distill/student.ts';
import { addTeacher, teacherRecipe } from '../../cli/train-distill/teacher.ts';
import type { Recipe } from '../../train/recipe/recipe.ts';

/** The recipe that a `train-distill` command would train by. */
async function intended([, kind, ...args]: readonly string[]): Promise<Recipe> {
  const program = new Command();
  (kind === 'teacher' ? addTeacher : addStudent)(program);
  const [command] = program.commands;
  command!.parseOptions([...args]);
  const flags = command!.opts<StudentFlags>();
  return kind === 'teacher' ? teacherRecipe(flags) : studentRecipe(flags);
}

/** First field of `record` that differs in `wanted`, as a sentence; a field that only `wanted` has is younger than the record. */
function difference(record: unknown, wanted: unknown, path: string): string | undefined {
  if (typeof record !== 'object' || record === null)
    return record === wanted ? undefined : `${path} is ${JSON.stringify(record)}, not ${JSON.stringify(wanted)}`;
  if (Array.isArray(record) && Array.isArray(wanted) && record.length !== wanted.length)
    return `${path} has ${record.length} entries, not ${wanted.length}`;
  for (const [name, value] of Object.entries(record)) {
    const other = (wanted as Record<string, unknown> | undefined)?.[name];
    const found = difference(value, other, path === '' ? name : `${path}.${name}`);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** What of the run's recipe is not as the command would have it; undefined if all is. */
export async function otherRecipe(record: RunRecord, command: readonly string[]): Promise<string | undefined> {
  const { name: _n, description: _d, ...made } = record.config['recipe'] as Record<string, unknown>;
  // As in a record: without fields that are undefined.
  return difference(made, JSON.parse(JSON.stringify(await intended(command))), '');
}

interface Stage {
  readonly name: string;
  readonly steps?: number;
  readonly epochs?: number;
  readonly learningRate: number;
}

/** `two-stage: layers 3 epochs at 5e-5, logits 2 epochs at 5e-5`. */
export function recipeOf(record: RunRecord): string {
  const { name, stages } = record.config['recipe'] as unknown as { name: string; stages: readonly Stage[] };
  if (stages.length === 0) return 'no training';
  const told = stages.map((stage) => {
    const [many, unit] = stage.steps === undefined ? [stage.epochs, 'epoch'] : [stage.steps, 'step'];
    return `${stage.name} ${many} ${unit}${many === 1 ? '' : 's'} at ${stage.learningRate.toExponential()}`;
  });
  return `${name}: ${told.join(', ')}`;
}
