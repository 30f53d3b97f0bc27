// The survival matrix as tables in tests/survival.md.
import { execFileSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { putBetween } from './report.mjs';
import { binary } from './stage.mjs';

const MATRIX = fileURLToPath(new URL('../../survival.md', import.meta.url));
const LOCK = fileURLToPath(new URL('../package-lock.json', import.meta.url));
const REPOSITORY = fileURLToPath(new URL('../../..', import.meta.url));

/** Rows are faults, columns players; a run is `{ fault, player, started, verdict, after }`. */
export function matrix(faults, players, runs) {
  const cell = (fault, player) => {
    const run = runs.find((one) => one.fault === fault.name && one.player === player);
    if (!run) return '';
    if (!run.started) return 'no picture';
    return `${run.verdict === 'alive' ? 'alive' : `**${run.verdict}**`} ${Math.floor(run.after)}`;
  };
  return [
    `| 7 s of | ${players.join(' | ')} |`,
    `|---|${players.map(() => '---|').join('')}`,
    ...faults.map((fault) => `| ${fault.text} | ${players.map((player) => cell(fault, player)).join(' | ')} |`),
  ].join('\n');
}

/** Rows are what goes wrong when a player starts; a run is `{ start, player, after, seen }`, `after` being the seconds until its first picture. */
export function startMatrix(starts, players, runs) {
  const cell = (start, player) => {
    const run = runs.find((one) => one.start === start.name && one.player === player);
    if (!run) return '';
    if (run.after === undefined) return '**none**';
    return `${run.seen.endMoved ? '' : '**dead** '}${Math.round(run.after)}`;
  };
  return [
    `| | ${players.join(' | ')} |`,
    `|---|${players.map(() => '---|').join('')}`,
    ...starts.map((start) => `| ${start.text} | ${players.map((player) => cell(start, player)).join(' | ')} |`),
  ].join('\n');
}

/** Writes the table of one path, with when and of what it was made. */
export async function writeMatrix(path, text, browser) {
  const made = `Made on ${new Date().toISOString().slice(0, 10)} with ${(await versions(browser)).join(', ')}.`;
  await putBetween(MATRIX, `<!-- ${path}: written by tests/survival -->`, `<!-- end of ${path} -->`, `${made}\n\n${text}`);
}

/** What played, and what it played from. */
async function versions(browser) {
  const { packages } = JSON.parse(await readFile(LOCK, 'utf8'));
  const npm = ['hls.js', 'shaka-player', 'video.js', 'hls.js-0.14', 'hls.js-1.4', 'shaka-player-4'].map((name) => {
    const { name: own = name, version } = packages[`node_modules/${name}`];
    return `${own} ${version}`;
  });
  const programs = [['ffmpeg', '-version'], [process.env.NEWER_FFMPEG, '-version'], ['gst-launch-1.0', '--version'], ['mpv', '--version'], ['streamlink', '--version'], ['dpkg-query', '-W', '-f', 'vlc ${Version}', 'vlc-bin']];
  return [
    `${said(binary(), '--version')} (${said('git', '-C', REPOSITORY, 'rev-parse', '--short', 'HEAD')})`,
    ...npm,
    `Chromium ${browser.version()}`,
    ...programs.filter(([program]) => program).map((command) => short(said(...command))),
  ];
}

/** A program's first line. */
function said(program, ...args) {
  return execFileSync(program, args, { encoding: 'utf8' }).split('\n')[0].trim();
}

/** Of a first line, the program's name and version. */
function short(line) {
  return /^\S+(?: version)? \S+/.exec(line)[0].replace(' version', '');
}
