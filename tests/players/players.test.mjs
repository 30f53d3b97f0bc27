// Real players, 30 s of real video each: straight at the emulator, and through onelane.
//
//   node --test tests/players/players.test.mjs            run all
//   WRITE_RESULTS=1 node --test ...                       and put the table into tests/README.md
//   PLAYERS=hls.js,Shaka PATHS=direct LATENCIES=1000 ...  run some of it
import assert from 'node:assert/strict';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { openBrowser } from './lib/browser.mjs';
import { BROWSER_PLAYERS, PROGRAMS, chosen, open } from './lib/players.mjs';
import { table, write } from './lib/report.mjs';
import { asset, binary, openStage } from './lib/stage.mjs';
import { FPS, outcome, watch } from './lib/watch.mjs';

/** How long each picture is watched from its first frame on, in seconds. */
const WATCHED = 30;
/** Straight, with 1 s a playlist: long enough for a player to use up what it has buffered and to die. */
const WATCHED_TO_DEATH = 60;
/** The picture must have moved so many seconds before the end, or within two segments, which programs read at once. */
const AT_THE_END = 5;
/** What must have been played of the 30 s. */
const PLAYED = 24;
/** Everything of one run: start-up, the longest watch, its end. In ms. */
const BOUND = 150_000;

/** mpv plays with the library of ffmpeg, and streamlink loads as ffmpeg does: they are in the survival matrix alone. */
const PLAYERS = chosen('PLAYERS', [...BROWSER_PLAYERS, 'ffmpeg', 'newer ffmpeg', 'GStreamer'].filter((player) => BROWSER_PLAYERS.includes(player) || player in PROGRAMS));
const PATHS = chosen('PATHS', ['through onelane', 'direct']);
const LATENCIES = chosen('LATENCIES', [200, 1000]);

/** What M of the lab showed: who meets conflicts without onelane, and who dies of them. */
const BURSTS = { 200: ['Shaka'], 1000: ['hls.js', 'Shaka'] };
const DIES = { 200: [], 1000: ['hls.js', 'Shaka'] };

/**
 * Seconds of a segment. GStreamer 1.22 and ffmpeg from 9 on load video, audio and subtitles one after the other and wait
 * for each: at 1 s a playlist they need 3 to 4 s for what 2 s segments want every 2 s, and fall out of the live window,
 * straight as through onelane. Of 4 s segments they can play.
 */
const segment = (player, latency) => (['GStreamer', 'newer ffmpeg'].includes(player) && latency >= 1000 ? 4 : 2);
const SEGMENTS = [2, 4];

/** Why a player is left out, if it is. */
function notPlayable(player) {
  const fragmented = process.env.FORM === 'fmp4';
  return fragmented && player === 'GStreamer' && 'GStreamer 1.22 stops at the first discontinuity of fragmented MP4, straight as well';
}

const rows = [];
let pictures;

before(async () => {
  binary();
  SEGMENTS.forEach((seconds) => asset(seconds));
  pictures = await mkdtemp(join(tmpdir(), 'onelane-players-'));
});

after(async () => {
  const order = ({ latency, path, player }) => [LATENCIES.indexOf(latency), -PATHS.indexOf(path), PLAYERS.indexOf(player)];
  rows.sort((a, b) => order(a).map((n, i) => n - order(b)[i]).find((n) => n !== 0) ?? 0);
  const text = table(rows);
  console.log(`\n${text}\n\nscreenshots and logs: ${pictures}`);
  if (process.env.WRITE_RESULTS || process.argv.includes('--write')) await write(text);
});

for (const latency of LATENCIES) {
  for (const path of PATHS) {
    // All players of a run at once, each with servers of its own; the runs one after the other.
    describe(`${path}, ${latency} ms a playlist`, { concurrency: 8, timeout: BOUND }, () => {
      const through = path !== 'direct';
      let browser;
      before(async () => {
        if (PLAYERS.some((player) => BROWSER_PLAYERS.includes(player))) browser = await openBrowser();
      });
      after(() => browser?.close());

      for (const player of PLAYERS) {
        it(player, { skip: notPlayable(player) }, async () => {
          const run = await play({ browser, player, latency, through });
          rows.push({ player, path, latency, segment: segment(player, latency), ...run.counted, played: run.seen.played, outcome: outcome(run.seen) });
          if (through) playsOnOneLane(player, run);
          else showsTheProblem(player, latency, run);
        });
      }
    });
  }
}

/** One player from start to end, and all that was seen of it. */
async function play({ browser, player, latency, through }) {
  const stage = await openStage({ latency, through, segment: segment(player, latency) });
  let opened;
  try {
    opened = await open(player, stage.master, browser);

    const seconds = !through && latency >= 1000 ? WATCHED_TO_DEATH : WATCHED;
    const seen = await watch(opened.look, seconds, Math.max(AT_THE_END, 2 * segment(player, latency)));
    const counted = await stage.counters();
    const name = join(pictures, `${player}-${through ? 'through' : 'direct'}-${latency}`.replace(/[^\w.-]+/g, '_'));
    if (!opened.screenshot) {
      await writeFile(`${name}.log`, opened.stderr());
      return { seen, counted, conflicts: opened.conflicts(), errors: [] };
    }
    await opened.screenshot(`${name}.png`);
    const errors = await opened.errors();
    const playlists = opened.playlists();
    await writeFile(`${name}.json`, JSON.stringify({ seen, counted, errors, playlists }, null, 1));
    return { seen, counted, errors, loaded: opened.loaded(), conflicts: playlists.filter(({ status }) => status === 409) };
  } finally {
    await opened?.close();
    await stage.stop();
  }
}

function playsOnOneLane(player, { seen, counted, conflicts, errors, loaded }) {
  const all = `${JSON.stringify(seen)} ${JSON.stringify(errors.slice(0, 8))}`;
  assert.notEqual(seen.started, undefined, `${player} never showed a picture: ${all}`);
  assert.equal(seen.fatal, undefined, `${player} met a fatal error: ${all}`);
  assert.ok(seen.played >= PLAYED, `${player} played ${seen.played.toFixed(1)} s of ${WATCHED}: ${all}`);
  assert.ok(seen.frames >= PLAYED * FPS, `${player} showed ${seen.frames} frames in ${WATCHED} s: ${all}`);
  assert.ok(seen.endMoved, `${player}'s picture stood still at the end: ${all}`);
  assert.deepEqual(conflicts, [], `${player} was given a 409`);
  assert.equal(counted.conflicts, 0, `the emulator gave ${player} a conflict`);
  assert.equal(counted.mostInFlight, 1, `the emulator saw ${counted.mostInFlight} requests of one session of ${player} at once`);
  rendered(player, loaded);
}

function showsTheProblem(player, latency, { seen, counted, errors }) {
  const all = `${JSON.stringify(seen)} ${JSON.stringify(counted)} ${JSON.stringify(errors.slice(0, 8))}`;
  if (BURSTS[latency].includes(player)) assert.ok(counted.conflicts > 0, `${player} met no conflict: ${all}`);
  if (DIES[latency].includes(player)) assert.ok(!seen.endMoved, `${player} survived: ${all}`);
}

/** Audio and subtitles were really on, so that the session had three playlists to load. */
function rendered(player, loaded) {
  if (!loaded) return;
  assert.ok(loaded.includes('AUDIO'), `${player} loaded no audio playlist`);
  // Chromium's own player knows no subtitle renditions.
  if (player !== 'Chromium') assert.ok(loaded.includes('SUBTITLES'), `${player} loaded no subtitle playlist`);
}
