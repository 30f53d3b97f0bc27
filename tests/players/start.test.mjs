// What real players make of an upstream that fails when they start: straight at the emulator, and through onelane.
//
// Nothing is kept yet that could bridge it. `tests/survival` runs it after the matrix of faults in mid-stream, with flags for these:
//
//   FAULTS=409,hang PLAYERS=mpv PATHS=direct   some of it
//   QUICK=1       through onelane alone, what differs in kind
//   PARALLEL=4    how many players at once, three for each core if not given
//   WRITE_RESULTS=1   puts the tables into tests/survival.md
import assert from 'node:assert/strict';
import { availableParallelism } from 'node:os';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { closeTheBrowser, theBrowser } from './lib/browser.mjs';
import { BROWSER_PLAYERS, OTHERS, PROGRAMS, chosen, open } from './lib/players.mjs';
import { asset, binary, openStage } from './lib/stage.mjs';
import { STARTS } from './lib/starts.mjs';
import { startMatrix, writeMatrix } from './lib/survival.mjs';
import { checkTurns } from './lib/turns.mjs';
import { watch } from './lib/watch.mjs';

const QUICK = Boolean(process.env.QUICK);
/** How long a player is watched from its first picture on, in seconds, and how lately the picture must have moved then. */
const PLAYS = 6;
const AT_THE_END = 4;
/** Segments of the stream, in seconds; six of them are in the window. */
const SEGMENT = 2;
const LENGTH = 120;
/** How long the upstream takes for a playlist, in ms. */
const LATENCY = 200;
/** How often the emulator is asked whether the fault has befallen a request, and how long that may take, in ms. */
const EVERY = 50;
const BEFALLS_WITHIN = 40_000;
/** Everything of one run and of its repetition, in ms. */
const BOUND = 240_000;
const PARALLEL = Number(process.env.PARALLEL || 3 * availableParallelism());

const FOUND = chosen('FAULTS', STARTS.map(({ name }) => name));
const CHOSEN = STARTS.filter(({ name, quick }) => FOUND.includes(name) && (quick || !QUICK));
const ALL = [...BROWSER_PLAYERS, ...Object.keys(PROGRAMS), ...OTHERS];
const PLAYERS = chosen('PLAYERS', ALL);
const PATHS = chosen('PATHS', ['direct', 'onelane']).filter((path) => path === 'onelane' || !QUICK || process.env.PATHS);
const WRITES = Boolean(process.env.WRITE_RESULTS);

const runs = [];

before(() => {
  const all = CHOSEN.length === STARTS.length && PLAYERS.length === ALL.length;
  assert.ok(all || !WRITES, 'a table is written whole: leave out FAULTS, PLAYERS and QUICK, or WRITE_RESULTS');
  binary();
  asset(SEGMENT, LENGTH);
});

after(async () => {
  for (const path of PATHS) {
    const of = runs.filter((run) => run.path === path);
    if (of.length === 0) continue;
    const table = startMatrix(CHOSEN, PLAYERS, of);
    console.log(`\n${path}, from the start\n\n${table}`);
    if (WRITES) await writeMatrix(`${path}, from the start`, table, await theBrowser());
  }
  await closeTheBrowser();
});

for (const path of PATHS) {
  describe(path, { concurrency: PARALLEL }, () => {
    for (const start of CHOSEN) {
      const quick = Array.isArray(start.quick) ? start.quick : ALL;
      for (const player of PLAYERS.filter((player) => !QUICK || quick.includes(player))) {
        it(`${player}: ${start.text}`, { timeout: BOUND }, async () => {
          let run = await play(path, start, player);
          // What is wrong with onelane is wrong twice; what a busy machine has kept from starting is not.
          if (!lives(run)) {
            checkTurns(run);
            run = await play(path, start, player);
          }
          runs.push(run);
          check(run, start);
        });
      }
    }
  });
}

/** One player that starts in a fault, which ends `lasts` seconds after it has befallen the first request. */
async function play(path, { name, fault, playlists = 'media', lasts, emulateArgs = [] }, player) {
  const through = path === 'onelane';
  const how = { latency: LATENCY, through, segment: SEGMENT, length: LENGTH, ads: false, emulateArgs };
  // Straight, nothing but the fault is to harm; through onelane no conflict may come of it.
  const stage = await openStage({ ...how, conflict: through ? 'reject' : 'none' });
  let opened;
  let over = false;
  try {
    const master = playlists === 'multivariant' ? await stage.join() : stage.master;
    if (fault) await stage.fail({ ...fault, playlists });
    const begin = performance.now();
    const now = () => (performance.now() - begin) / 1000;
    let befell = 0;
    const ending = (async () => {
      if (!fault) return;
      while (!over && now() * 1000 < BEFALLS_WITHIN && (await stage.counters()).faulty === 0) await sleep(EVERY);
      befell = now();
      await sleep(lasts * 1000);
      await stage.mend();
    })();
    opened = await open(player, master, player in PROGRAMS || player === 'VLC' ? undefined : await theBrowser());
    const since = now();
    const look = async () => {
      const sample = await opened.look();
      // Who has given up before the first picture will not begin.
      return { ...sample, over: sample.over || (sample.frames === 0 && sample.fatal !== undefined) };
    };
    const seen = await watch(look, PLAYS, AT_THE_END);
    over = true;
    await ending;
    const { conflicts, faulty, media, mostInFlight } = await stage.counters();
    const after = seen.started === undefined ? undefined : Math.max(since + seen.started - befell, 0);
    return { path, start: name, player, after, seen, conflicts, faulty, media, mostInFlight, statuses: opened.statuses(), errors: (await opened.errors?.()) ?? [] };
  } finally {
    over = true;
    await opened?.close();
    await stage.stop();
  }
}

/** Whether a viewer sees the stream. */
function lives(run) {
  return run.after !== undefined && run.seen.endMoved;
}

function check(run, { fault, playlists, lost = [] }) {
  const all = JSON.stringify({ ...run, errors: run.errors.slice(0, 8) });
  // Not every player loads subtitles.
  if (fault && !Array.isArray(playlists)) assert.ok(run.faulty > 0, `the fault befell no request of ${run.player}: ${all}`);
  checkTurns(run);
  if (run.path !== 'onelane') {
    assert.ok(lives(run) || fault, `${run.player} does not start: ${all}`);
    return;
  }
  assert.equal(run.mostInFlight, 1, `the emulator saw no request of ${run.player}, or several of one session at once: ${all}`);
  if (!lost.includes(run.player)) assert.ok(lives(run), `${run.player} does not start: ${all}`);
}
