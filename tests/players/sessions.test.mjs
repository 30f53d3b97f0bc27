// What real players and a page's own script make of a session that is lost, blocked or shared with a stranger, or of which one variant fails.
//
//   PLAYERS=hls.js,mpv   some of them, where a test is for each
import assert from 'node:assert/strict';
import { availableParallelism } from 'node:os';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openBrowser } from './lib/browser.mjs';
import { BROWSER_PLAYERS, PROGRAMS, chosen, open } from './lib/players.mjs';
import { asset, binary, openStage } from './lib/stage.mjs';
import { watch } from './lib/watch.mjs';

/** Segments of the stream in seconds, which is its target duration as well, and its length. */
const SEGMENT = 2;
const LENGTH = 120;
/** How long the upstream takes for a playlist, in ms. */
const LATENCY = 50;
/** A player plays so long before anything happens, and is watched so long afterwards, in seconds. */
const BEFORE = 6;
const AFTER = 20;
/** Who still plays has had its picture move so many seconds before the end. */
const AT_THE_END = 5;
const BOUND = 180_000;
const PLAYERS = chosen('PLAYERS', [...BROWSER_PLAYERS, ...Object.keys(PROGRAMS)]);

let browser;

before(async () => {
  binary();
  asset(SEGMENT, LENGTH);
  browser = await openBrowser();
});

after(() => browser?.close());

const stageOf = (how) => openStage({ latency: LATENCY, through: true, segment: SEGMENT, length: LENGTH, ads: false, ...how });

/** Opens a player and finds the session that it is given. */
async function join(stage, player) {
  const known = new Set((await stage.sessions()).map(({ id }) => id));
  const opened = await open(player, stage.master, browser);
  for (;;) {
    const fresh = (await stage.sessions()).find(({ id }) => !known.has(id));
    if (fresh) return { player, opened, id: fresh.id };
    await sleep(100);
  }
}

/** Asks for a playlist ten times a second, as an app that has no patience, and reads what a page may read. */
async function hammer({ url, seconds }) {
  const answers = [];
  const begin = performance.now();
  while (performance.now() - begin < seconds * 1000) {
    const asked = performance.now();
    const response = await fetch(url);
    const text = await response.text();
    answers.push({
      since: asked - begin,
      took: performance.now() - asked,
      status: response.status,
      type: response.headers.get('content-type'),
      reason: response.headers.get('x-onelane-reason'),
      body: text,
    });
    await new Promise((done) => setTimeout(done, 100));
  }
  return answers;
}

describe('a session that is lost or blocked', { concurrency: 1 }, () => {
  for (const { fault, gets, reason, apart } of [
    { fault: 400, gets: 404, reason: 'session_lost', apart: SEGMENT / 2 },
    { fault: 404, gets: 404, reason: 'session_lost', apart: SEGMENT / 2 },
    { fault: 410, gets: 410, reason: 'blocked', apart: 30 },
  ]) {
    it(`${fault}: a page reads ${gets} within a second, and no storm of three players reaches the upstream`, { timeout: BOUND }, async () => {
      const stage = await stageOf({});
      const joined = [];
      try {
        for (const player of ['Shaka', 'video.js', 'GStreamer']) joined.push(await join(stage, player));
        await Promise.all(joined.map(({ opened }) => watch(opened.look, BEFORE, AT_THE_END)));
        const before = await Promise.all(joined.map(({ id }) => stage.session(id)));
        await stage.fail({ status: fault, playlists: 'media' });

        const [{ opened, id }] = joined;
        const { path } = opened.playlists().findLast(({ path }) => path.includes(`/${id}/`));
        const answers = await opened.evaluate(hammer, { url: new URL(path, stage.master).href, seconds: 8 });
        assert.ok(answers.length > 40, `the page asked ${answers.length} times`);
        for (const { since, took, status, type, reason: said, body } of answers) {
          const all = JSON.stringify({ since, took, status, type, said, body });
          assert.ok(took < 1000, all);
          // Within a second, where the player asked first and for another.
          if (since < 1000 && status === 200) continue;
          assert.deepEqual([status, type, said], [gets, 'application/problem+json', reason], all);
          const problem = JSON.parse(body);
          assert.deepEqual([problem.status, problem.reason], [gets, reason], all);
          assert.match(problem.type, /docs\/errors\.md#/, all);
          assert.ok(problem.detail && problem.remedy, all);
        }

        for (const [nth, { player, id }] of joined.entries()) {
          const { recent, requests, max_in_flight } = await stage.session(id);
          const since = before[nth].requests;
          const media = recent.filter(({ arrival, target }) => arrival >= since && target.includes('.m3u8'));
          const all = `${player}: ${JSON.stringify(media)} of ${requests}`;
          // A refresh that was on its way when the fault began may be the first of them.
          assert.ok(media.length > 0, all);
          for (let n = 1; n < media.length; n += 1) {
            if (media[n - 1].status === 200) continue;
            // The emulator's clock and onelane's part by what a request is on its way.
            assert.ok(media[n].at_ms - media[n - 1].at_ms > apart * 1000 - 100, all);
          }
          assert.equal(max_in_flight, 1, all);
        }
      } finally {
        await Promise.all(joined.map(({ opened }) => opened.close()));
        await stage.stop();
      }
    });
  }
});

describe('a session that expires, with --resume', { concurrency: 3 * availableParallelism() }, () => {
  for (const player of PLAYERS) {
    it(`${player} plays on where the numbering continues`, { timeout: BOUND }, async () => {
      const run = await expire(player, 'continuous');
      assert.ok(run.seen.endMoved && run.after > AFTER / 2, `${player} played ${run.after} s: ${run.all}`);
      assert.deepEqual(run.statuses, [], `${player} was given an error: ${run.all}`);
      assert.equal(run.more, 1, `one more session for it: ${run.all}`);
    });

    it(`${player} is told where it does not`, { timeout: BOUND }, async () => {
      const run = await expire(player, 'reset');
      // The session that was made to see is not the player's: no playlist of it was given out.
      assert.doesNotMatch(run.log, /(?<!not )resumed session=/, `${player} was given another session's playlists: ${run.all}`);
      assert.ok(run.reports404 ? run.statuses.includes(404) : run.seen.over, `${player} was not told: ${run.all}`);
    });
  }
});

/** A player whose session expires while it plays. */
async function expire(player, numbering) {
  const stage = await stageOf({ serveArgs: ['--resume'] });
  let opened;
  try {
    opened = await open(player, stage.master, browser);
    let played = 0;
    let known = 0;
    const seen = await watch(opened.look, BEFORE + AFTER, AT_THE_END, [
      {
        at: BEFORE,
        async act(seen) {
          played = seen.played;
          // mpv loads the multivariant playlist twice.
          known = (await stage.counters()).sessions;
          await stage.expire(numbering);
        },
      },
    ]);
    assert.notEqual(seen.started, undefined, `${player} never showed a picture`);
    const statuses = opened.statuses();
    const { sessions } = await stage.counters();
    return {
      seen,
      after: seen.played - played,
      statuses,
      more: sessions - known,
      log: stage.log(),
      // mpv ends without a word.
      reports404: player !== 'mpv',
      all: JSON.stringify({ seen, statuses, sessions, errors: await opened.errors?.(), log: stage.log().slice(-4_000) }),
    };
  } finally {
    await opened?.close();
    await stage.stop();
  }
}

describe('a variant that fails by itself', { concurrency: 3 * availableParallelism() }, () => {
  /** How long it fails, in seconds: far longer than a rescue bridges one that has siblings. */
  const FAILS = 40;

  for (const player of PLAYERS.filter((player) => ['hls.js', 'Shaka'].includes(player))) {
    it(`${player} changes to another`, { timeout: BOUND }, async () => {
      const stage = await stageOf({});
      let opened;
      try {
        opened = await open(player, stage.master, browser);
        const multivariant = await (await fetch(stage.master)).text();
        const variants = [...multivariant.matchAll(/^(?!#)\S*\/(\d+)\.m3u8/gm)].map(([, number]) => Number(number));
        assert.ok(variants.length > 1, multivariant);
        const loaded = () => opened.playlists().map(({ path }) => Number(path.match(/\/(\d+)\.m3u8/)?.[1]));
        const last = () => loaded().findLast((number) => variants.includes(number));
        let played = 0;
        let failing;
        const seen = await watch(opened.look, BEFORE + FAILS, AT_THE_END, [
          {
            at: BEFORE,
            async act(seen) {
              played = seen.played;
              failing = last();
              await stage.fail({ status: 500, playlists: [failing] });
            },
          },
        ]);
        const after = seen.played - played;
        const all = JSON.stringify({ seen, failing, loaded: loaded().slice(-30), statuses: opened.statuses(), errors: await opened.errors() });
        assert.ok(seen.endMoved && after > FAILS / 2, `${player} played ${after} s of ${FAILS}: ${all}`);
        // It may look after the one that fails now and then.
        assert.ok(loaded().slice(-30).some((number) => variants.includes(number) && number !== failing), all);
      } finally {
        await opened?.close();
        await stage.stop();
      }
    });
  }
});

describe('a stranger in the session who goes past onelane', { concurrency: 1 }, () => {
  /** How often the stranger loads a playlist, and how long it waits after each, in ms: out of step with the player's 2 s. */
  const LOADS = 20;
  const PAUSE = 1_150;

  it('costs a few retries, and the player sees none of it', { timeout: BOUND }, async () => {
    const stage = await stageOf({ conflict: 'optimistic', latency: 300 });
    let opened;
    try {
      const joined = await join(stage, 'hls.js');
      ({ opened } = joined);
      await watch(opened.look, BEFORE, AT_THE_END);
      const { path } = opened.playlists().findLast(({ path }) => path.includes(`/${joined.id}/`));
      const watching = watch(opened.look, (LOADS * (PAUSE + 300)) / 1000 + 2, AT_THE_END);
      let strangers = 0;
      for (let n = 0; n < LOADS; n += 1) {
        const { status } = await fetch(stage.upstream + path);
        if (status === 409) strangers += 1;
        await sleep(PAUSE);
      }
      const seen = await watching;
      const { conflicts } = await stage.counters();
      const forced = conflicts - strangers;
      const again = stage.log().split('\n').filter((line) => /\bagain\b/.test(line) && line.includes('conflict')).length;
      const all = JSON.stringify({ seen, conflicts, strangers, again, statuses: opened.statuses(), errors: await opened.errors() });
      assert.ok(forced > 0, `nobody met anybody: ${all}`);
      // What the stranger's loads can force is one exchange each, and an exchange has three tries.
      assert.ok(forced <= 3 * LOADS, all);
      assert.ok(again > 0 && again <= forced, all);
      assert.deepEqual(opened.statuses(), [], all);
      assert.ok(seen.endMoved && seen.pauses < 2, all);
    } finally {
      await opened?.close();
      await stage.stop();
    }
  });
});
