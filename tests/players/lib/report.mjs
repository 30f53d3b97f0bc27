// The results as a markdown table, on stdout and, if wanted, in tests/README.md.
import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

const README = fileURLToPath(new URL('../../README.md', import.meta.url));
const FROM = '<!-- results: written by the players\' tests -->';
const TO = '<!-- end of results -->';

/** A row is `{ player, path, latency, segment, played, requests, conflicts, mostInFlight, outcome }`. */
export function table(rows) {
  const lines = rows.map((row) => {
    const latency = row.latency >= 1000 ? `${row.latency / 1000} s` : `${row.latency} ms`;
    const cells = [row.player, row.path, latency, `${row.segment} s`, row.played.toFixed(1), row.requests, row.conflicts, row.mostInFlight, row.outcome];
    return `| ${cells.join(' | ')} |`;
  });
  return [
    '| player | path | each playlist takes | segments | played, s | playlist requests | 409s | most in flight | outcome |',
    '|---|---|---:|---:|---:|---:|---:|---:|---|',
    ...lines,
  ].join('\n');
}

/** Puts `text` between the marks in tests/README.md. */
export const write = (text) => putBetween(README, FROM, TO, text);

/** Puts `text` between two marks of a file. */
export async function putBetween(file, from, to, text) {
  const whole = await readFile(file, 'utf8');
  const [before, rest] = whole.split(from);
  const after = rest?.split(to)[1];
  if (after === undefined) throw new Error(`${file} has lost its marks ${from} and ${to}`);
  await writeFile(file, `${before}${from}\n\n${text}\n\n${to}${after}`);
}
