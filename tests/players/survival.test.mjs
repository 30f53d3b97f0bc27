// What real players make of an upstream that fails for 7 s: straight at the emulator, and through onelane.
//
// `tests/survival` runs it, with flags for these:
//
//   FAULTS=409,hang PLAYERS=mpv PATHS=direct   some of it
//   QUICK=1       through onelane alone, of each kind of fault one, and the other players at a conflict
//   PARALLEL=4    how many players at once, three for each core if not given
//   WRITE_RESULTS=1   puts the tables into tests/survival.md
import assert from 'node:assert/strict';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { closeTheBrowser, theBrowser } from './lib/browser.mjs';
import { FAULTS, LASTS } from './lib/faults.mjs';
import { BROWSER_PLAYERS, OTHERS, PROGRAMS, chosen, open } from './lib/players.mjs';
import { asset, binary, openStage } from './lib/stage.mjs';
import { matrix, writeMatrix } from './lib/survival.mjs';
import { checkTurns } from './lib/turns.mjs';
import { watch } from './lib/watch.mjs';

const QUICK = Boolean(process.env.QUICK);
/** How long a player plays before the fault begins, from its first picture on, in seconds. */
const BEFORE = 8;
/** How long it is watched once the fault has ended, in seconds. */
const AFTER = 20;
/** How much of it must be played then for the player to count as alive, in seconds; and it must play at the end. */
const LIVES = 10;
/** The picture must have moved so many seconds before the end. */
const AT_THE_END = 5;
/** Segments of the stream, in seconds; six of them are in the window. */
const SEGMENT = 2;
/** Of the stream, in seconds: more than a run needs, so that no seam and no ad break is in it. mpv stands still at those, without a fault. */
const LENGTH = 120;
/** How long the upstream takes for a playlist, in ms. */
const LATENCY = 200;
/** Everything of one run and of its repetition, in ms. */
const BOUND = 240_000;
const PARALLEL = Number(process.env.PARALLEL || 3 * availableParallelism());

const FOUND = chosen('FAULTS', FAULTS.map(({ name }) => name));
const CHOSEN = FAULTS.filter(({ name, quick }) => FOUND.includes(name) && (quick || !QUICK));
const CURRENT = [...BROWSER_PLAYERS, ...Object.keys(PROGRAMS)];
const PLAYERS = chosen('PLAYERS', [...CURRENT, ...OTHERS]);
const PATHS = chosen('PATHS', ['direct', 'onelane']).filter((path) => path === 'onelane' || !QUICK || process.env.PATHS);
const WRITES = Boolean(process.env.WRITE_RESULTS);

const runs = [];
let records;

before(async () => {
  const all = CHOSEN.length === FAULTS.length && PLAYERS.length === CURRENT.length + OTHERS.length;
  assert.ok(all || !WRITES, 'a table is written whole: leave out FAULTS, PLAYERS and QUICK, or WRITE_RESULTS');
  binary();
  asset(SEGMENT, LENGTH);
  records = await mkdtemp(join(tmpdir(), 'onelane-survival-'));
});

after(async () => {
  for (const path of PATHS) {
    const of = runs.filter((run) => run.path === path);
    if (of.length === 0) continue;
    for (const [name, players] of [[path, CURRENT], [`${path}, others`, OTHERS]]) {
      const those = players.filter((player) => of.some((run) => run.player === player));
      if (those.length === 0) continue;
      const table = matrix(CHOSEN.filter((fault) => those.some((player) => plays(player, path, fault))), those, of);
      console.log(`\n${name}\n\n${table}`);
      if (WRITES) await writeMatrix(name, table, await theBrowser());
    }
  }
  console.log(`\nwhat was seen of each run: ${records}`);
  await closeTheBrowser();
});

for (const path of PATHS) {
  describe(path, { concurrency: PARALLEL }, () => {
    for (const fault of CHOSEN) {
      for (const player of PLAYERS.filter((player) => plays(player, path, fault))) {
        it(`${player}: ${fault.text}`, { timeout: BOUND }, async () => {
          // A player that a busy machine has kept from starting tells nothing of the fault.
          let run = await play(path, fault, player);
          if (!run.started) {
            checkTurns(run);
            run = await play(path, fault, player);
          }
          runs.push(run);
          await writeFile(join(records, `${path}-${fault.name}-${player}.json`.replaceAll(' ', '_')), JSON.stringify(run, null, 1));
          check(run, fault);
        });
      }
    }
  });
}

/** Whether a player is to live through a fault: the others have what differs in kind, through onelane alone. */
function plays(player, path, fault) {
  if (!OTHERS.includes(player)) return true;
  return path === 'onelane' && (QUICK ? fault.name === '409' : fault.quick || !fault.fault);
}

/** One player before, during and after one fault. */
async function play(path, fault, player) {
  const through = path === 'onelane';
  // Straight, nothing but the fault is to kill; through onelane no conflict may come of it.
  const stage = await openStage({ latency: LATENCY, through, segment: SEGMENT, length: LENGTH, ads: false, conflict: through ? 'reject' : 'none' });
  let opened;
  try {
    opened = await open(player, stage.master, player in PROGRAMS || player === 'VLC' ? undefined : await theBrowser());
    const begun = {};
    const ended = {};
    const note = async (into, seen) => Object.assign(into, { played: seen.played, pauses: seen.pauses, ...(await stage.counters()) });
    const seen = await watch(opened.look, BEFORE + LASTS + AFTER, AT_THE_END, [
      {
        at: BEFORE,
        async act(seen) {
          await note(begun, seen);
          if (fault.fault) await stage.fail({ ...fault.fault, for: `${LASTS}s`, playlists: 'media' });
        },
      },
      { at: BEFORE + LASTS, act: (seen) => note(ended, seen) },
    ]);
    const counted = await stage.counters();
    const played = seen.played - (ended.played ?? seen.played);
    return {
      path,
      fault: fault.name,
      player,
      started: seen.started !== undefined,
      /** Late is who plays again, but so late that little was played. */
      verdict: !seen.endMoved ? 'dead' : played < LIVES ? 'late' : 'alive',
      /** Seconds of media after the end of the fault. */
      after: played,
      /** Seconds without a picture that went on, from the begin of the fault. */
      stalled: seen.pauses - (begun.pauses ?? seen.pauses),
      /** Requests for media playlists that the emulator got during the fault, and those that the fault befell in all. */
      requests: (ended.media ?? counted.media) - (begun.media ?? counted.media),
      faulty: counted.faulty,
      conflicts: counted.conflicts,
      mostInFlight: counted.mostInFlight,
      statuses: tally(opened.statuses()),
      seen,
      errors: (await opened.errors?.()) ?? [],
      said: opened.stderr?.().slice(-20_000),
      log: stage.log().slice(-200_000),
    };
  } finally {
    await opened?.close();
    await stage.stop();
  }
}

function check(run, fault) {
  const { seen, log, said, ...rest } = run;
  const all = JSON.stringify({ ...rest, errors: rest.errors.slice(0, 8) });
  assert.ok(run.started, `${run.player} never showed a picture: ${all}`);
  if (fault.fault) assert.ok(run.faulty > 0 || seen.over, `the fault befell no request of ${run.player}: ${all}`);
  checkTurns(run);
  if (run.path !== 'onelane') {
    assert.ok(run.verdict === 'alive' || fault.fault, `${run.player} died of nothing: ${all}`);
    return;
  }
  assert.equal(run.mostInFlight, 1, `the emulator saw no request of ${run.player}, or several of one session at once: ${all}`);
  // A turn that hangs is over after max_hold, 3 s later than the fault: the slowest player is just within the limit on a quiet machine,
  // and a quick run is one of many things that a machine has to do.
  const enough = QUICK && fault.name === 'hang' ? ['alive', 'late'] : ['alive'];
  if (fault.survivable) assert.ok(enough.includes(run.verdict), `${run.player} played ${run.after.toFixed(1)} s after the fault, of ${LIVES}: ${all}`);
}

/** How often each occurs. */
function tally(values) {
  const counts = {};
  for (const value of values) counts[value] = (counts[value] ?? 0) + 1;
  return counts;
}
