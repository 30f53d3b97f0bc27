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
export async function write(text) {
  const readme = await readFile(README, 'utf8');
  const [before, rest] = readme.split(FROM);
  const after = rest?.split(TO)[1];
  if (after === undefined) throw new Error(`tests/README.md has lost its marks ${FROM} and ${TO}`);
  await writeFile(README, `${before}${FROM}\n\n${text}\n\n${TO}${after}`);
}
