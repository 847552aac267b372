// Reads the last line of `npm run demo -- --json` and fails where a threshold is not met. Times are printed, never judged.
import { readFileSync } from 'node:fs';

const result = JSON.parse(readFileSync(0, 'utf8').trim().split('\n').at(-1));
const demands = [
  ['at least 200 sentences secured', result.examples >= 200],
  ['teacher at least 0.82 on the test set', result.testTeacher >= 0.82],
  ['student within 0.025 of the teacher on the test set', result.testStudent >= result.testTeacher - 0.025],
  ['secured labels agree with the float student on 99 %', result.agreement >= 0.99],
  ['secured logits equal the fixed-point interpreter bit for bit', result.bitExact === true],
];
let failed = 0;
for (const [what, ok] of demands) {
  process.stdout.write(`${ok ? 'ok    ' : 'FAILED'} ${what}\n`);
  if (!ok) failed++;
}
process.stdout.write(`demo: ${result.seconds} s\n`);
process.exit(failed === 0 ? 0 : 1);
