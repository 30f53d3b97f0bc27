// Several onelane behind a real HAProxy, a real nginx and a real Envoy, from the files in deploy/: every session has one home, whatever the
// URL's shape; when one comes or is killed only its own sessions move, and no player notices.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { Agent, createServer } from 'node:http';
import { connect } from 'node:net';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { BALANCERS, openFleet, until } from './lib/fleet.mjs';

const SHAPES = JSON.parse(await readFile(new URL('../urls.json', import.meta.url), 'utf8'));
/** How many sessions are sent through every shape. */
const SESSIONS = 30;
/** Viewers that load three playlists at once every `REFRESH` ms while homes come and go. */
const VIEWERS = 500;
const REFRESH = 3_000;
/** Sessions that are made at once: that one of two homes gets none of them is a chance of one in 16,000. */
const POSTS = 16;

/** What ad servers' URLs come to, and nearly the largest head that onelane takes (64 KiB), in characters of a query. */
const QUERIES = [25_000, 60 * 1024];
/** A balancer waits 10 s for a head, and for an answer to begin or go on. */
const PATIENCE = 10_000;

const filled = (shape, sid) => shape.replace('{sid}', sid).replace('{esc}', sid.replaceAll('-', '%2D'));
const media = (sid, n = 0) => `/v1/manifest/acct/Cfg/${sid}/${n}.m3u8`;
/** Playlists of one configuration; what else there is in the table has another, and so is another lane's. */
const OF_ONE_CONFIGURATION = SHAPES.filter(([shape, has]) => has && /^\/v1\/(manifest|master)\/acct\/Cfg\//.test(shape)).map(([shape]) => shape);
/** How many of these the emulator has a playlist for, at least: it knows no rendition 12, and refuses some spellings of an id. */
const PLAYABLE = 16;

/** The shapes for which there is a playlist. */
async function playable(fleet) {
  const found = [];
  for (const shape of OF_ONE_CONFIGURATION) if ((await fleet.load(filled(shape, randomUUID()))).status === 200) found.push(shape);
  assert.ok(found.length >= PLAYABLE, `a playlist for these alone: ${found}`);
  return found;
}

/** Viewers, each with a session of its own, until `stop`. What each loads at once has three of these shapes, and each time others. */
function watch(fleet, shapes) {
  const viewers = Array.from({ length: VIEWERS }, () => ({ sid: randomUUID(), rounds: 0, home: undefined, before: undefined }));
  const statuses = {};
  let playing = true;
  let failed;
  const all = viewers.map(async (viewer, nth) => {
    const agent = new Agent({ keepAlive: true, maxSockets: 3 });
    try {
      // No two begin at once.
      await sleep((REFRESH * nth) / VIEWERS);
      while (playing) {
        const next = sleep(REFRESH);
        const burst = [0, 1, 2].map((n) => filled(shapes[(nth + 3 * viewer.rounds + n) % shapes.length], viewer.sid));
        for (const { status, home } of await Promise.all(burst.map((path) => fleet.load(path, agent)))) {
          statuses[status] = (statuses[status] ?? 0) + 1;
          viewer.home ??= home;
          if (home !== viewer.home) viewer.before ??= viewer.home;
          viewer.home = home;
        }
        viewer.rounds += 1;
        await next;
      }
    } catch (error) {
      failed ??= error;
    } finally {
      agent.destroy();
    }
  });
  return {
    statuses,
    /** From here on it is noted whose home becomes another. */
    mark() {
      for (const viewer of viewers) viewer.before = undefined;
    },
    /** Waits until each has refreshed so many times more; gives those who moved since the mark, each `{ before, home }`. */
    async refreshed(times) {
      const from = viewers.map(({ rounds }) => rounds);
      await until('every viewer to refresh', () => failed || viewers.every(({ rounds }, nth) => rounds >= from[nth] + times));
      if (failed) throw failed;
      return viewers.filter(({ before }) => before);
    },
    async stop() {
      playing = false;
      await Promise.all(all);
    },
  };
}

for (const [name, balancer] of Object.entries(BALANCERS)) {
  describe(name, { skip: balancer.missing }, () => {
    it('gives every session one home, whatever the shape of its URLs, and spreads what has no session', { timeout: 120_000 }, async () => {
      const fleet = await openFleet(balancer, { count: 3, latency: '0ms' });
      try {
        const homes = new Set();
        const wrong = new Set();
        for (let n = 0; n < SESSIONS; n += 1) {
          const sid = randomUUID();
          const { home } = await fleet.load(media(sid));
          homes.add(home);
          await Promise.all(
            SHAPES.filter(([, has]) => has).map(async ([shape]) => {
              if ((await fleet.load(filled(shape, sid))).home !== home) wrong.add(shape);
            }),
          );
        }
        assert.equal(homes.size, 3, 'all three have sessions');
        assert.deepEqual([...wrong], [], 'of these a session has another home');
        const alone = [];
        for (const [shape] of SHAPES.filter(([, has]) => !has)) {
          const sid = randomUUID();
          const seen = new Set((await Promise.all(Array.from({ length: 24 }, () => fleet.load(filled(shape, sid))))).map(({ home }) => home));
          if (seen.size < 2) alone.push(shape);
        }
        assert.deepEqual(alone, [], 'these go to one home alone');
      } finally {
        await fleet.stop();
      }
    });

    it('passes on the longest URLs, and finds the session in them', { timeout: 60_000 }, async () => {
      const fleet = await openFleet(balancer, { count: 3 });
      try {
        const sid = randomUUID();
        const { home } = await fleet.load(media(sid));
        for (const length of QUERIES) {
          const ads = `ads.url=${'x'.repeat(length)}`;
          for (const target of [`${media(sid)}?${ads}`, `/v1/master/acct/Cfg/index.m3u8?${ads}&aws.sessionId=${sid}`]) {
            assert.deepEqual(await fleet.load(target), { status: 200, home }, `${length} characters of ${target.slice(0, 12)}`);
          }
        }
      } finally {
        await fleet.stop();
      }
    });

    it('keeps no connection for a head that does not come', { timeout: 60_000 }, async () => {
      const fleet = await openFleet(balancer, { count: 1 });
      try {
        const [host, port] = fleet.entry.split(':');
        const slow = connect(Number(port), host);
        slow.write('GET /ping HTTP/1.1\r\nHost: a\r\n');
        let ended = false;
        slow.resume().on('error', () => {}).on('close', () => (ended = true));
        await until('the balancer to close it', () => ended);
      } finally {
        await fleet.stop();
      }
    });

    it('lets an answer take its time for as long as it goes on', { timeout: 60_000 }, async () => {
      // One byte a second, and the end when a time for the whole of it would be over.
      const drips = createServer((request, answer) => {
        if (request.url !== '/drips') return answer.end();
        const began = Date.now();
        const drip = setInterval(() => (Date.now() - began < 1.5 * PATIENCE ? answer.write('.') : answer.end()), 1_000);
        answer.on('close', () => clearInterval(drip));
      });
      await new Promise((done) => drips.listen(0, '127.0.0.1', done));
      const fleet = await openFleet(balancer, { count: 1, upstream: `http://127.0.0.1:${drips.address().port}` });
      try {
        assert.equal((await fleet.load('/drips')).status, 200);
      } finally {
        await fleet.stop();
        drips.close();
      }
    });

    it('moves none but those whose home comes or is killed, and no player notices', { timeout: 240_000 }, async () => {
      const fleet = await openFleet(balancer, { count: 3, latency: '10ms..30ms' });
      const audience = watch(fleet, await playable(fleet));
      try {
        await audience.refreshed(1);
        await fleet.forget();
        audience.mark();
        const at_rest = await audience.refreshed(2);
        const steady = await fleet.stats();
        // Less than two rounds of three: what was in flight as the counters began is not in them.
        assert.ok(steady.playlists >= VIEWERS * 5, JSON.stringify(steady));
        assert.deepEqual([at_rest.length, steady.conflicts], [0, 0], 'nothing happens, and yet there are sessions that move, or conflicts');

        audience.mark();
        const added = await fleet.addHome();
        await fleet.tellBalancer();
        await until('the new home to be taken', async () => (await fleet.load(media(randomUUID()))).home === added.listen);
        const to_added = await audience.refreshed(2);
        const grown = await fleet.stats();

        const [killed] = fleet.homes;
        audience.mark();
        await killed.process.kill();
        const from_killed = await audience.refreshed(3);
        const shrunk = await fleet.stats();
        await audience.stop();

        const others = [to_added.filter(({ home }) => home !== added.listen).length, from_killed.filter(({ before }) => before !== killed.listen).length];
        const conflicts = [grown.conflicts - steady.conflicts, shrunk.conflicts - grown.conflicts];
        const told = `${to_added.length} of ${VIEWERS} moved when one was added, ${from_killed.length} when one was killed, of them without need ${others}, conflicts ${conflicts}, answers ${JSON.stringify(audience.statuses)}`;
        console.log(`${name}: ${told}`);
        assert.deepEqual(Object.keys(audience.statuses), ['200'], told);
        for (const moved of others) assert.ok(moved <= balancer.movesWithoutNeed * VIEWERS, told);
        for (const moved of [to_added.length, from_killed.length]) assert.ok(moved > 0 && moved <= (1.5 * VIEWERS) / 4, told);
        for (const met of conflicts) assert.ok(met <= VIEWERS / 10, told);
      } finally {
        await audience.stop();
        await fleet.stop();
      }
    });

    it('lets a home that drains finish what it has, and sends it no more', { timeout: 60_000 }, async () => {
      const serveArgs = balancer.asksForReadyz ? ['--unready-for', '20s'] : [];
      const fleet = await openFleet(balancer, { count: 2, latency: '4s', serveArgs });
      try {
        const [leaving] = fleet.homes;
        // Ad-break data is answered at once, and has the session's home.
        const homeOf = async (sid) => (await fleet.load(`/v1/tracking/acct/Cfg/${sid}`)).home;
        const sessions = [];
        while (sessions.length < 5) {
          const sid = randomUUID();
          if ((await homeOf(sid)) === leaving.listen) sessions.push(sid);
        }
        const answers = Promise.all(sessions.map((sid) => fleet.load(media(sid))));
        await until('all of them to be in flight', async () => (await fleet.stats()).in_flight === sessions.length);
        leaving.process.tell('SIGTERM');
        await until('the balancer to send it no more', async () => (await homeOf(sessions[0])) !== leaving.listen);
        assert.equal((await fleet.stats()).in_flight, sessions.length, 'they were cut off, or ended before there was anything to see');
        for (const { status, home } of await answers) assert.deepEqual([status, home], [200, leaving.listen]);
        assert.equal((await fleet.stats()).conflicts, 0);
      } finally {
        await fleet.stop();
      }
    });

    it('repeats no POST whose home goes away: it may have made a session', { timeout: 60_000 }, async () => {
      const fleet = await openFleet(balancer, { count: 2, latency: '2s' });
      try {
        await fleet.forget();
        const posts = Array.from({ length: POSTS }, () => fleet.create());
        const arrived = async () => (await fleet.stats()).by_kind.session_creation;
        await until('all of them to be at work on', async () => (await arrived()) === POSTS);
        await fleet.homes[0].process.kill();
        const statuses = await Promise.all(posts);
        const lost = statuses.filter((status) => status >= 500).length;
        assert.ok(lost > 0 && lost < POSTS, `both homes had some of them: ${statuses}`);
        assert.equal(await arrived(), POSTS, `${lost} were lost, and some of them sent again`);
      } finally {
        await fleet.stop();
      }
    });

    it('asks no other home while one still works on it', { timeout: 60_000 }, async () => {
      const fleet = await openFleet(balancer, { count: 2, latency: '0ms' });
      const [stuck] = fleet.homes;
      try {
        let sid;
        do sid = randomUUID();
        while ((await fleet.load(media(sid))).home !== stuck.listen);
        await fleet.forget();
        stuck.process.tell('SIGSTOP');
        await until('it to stand still', () => stuck.process.stands());
        const { status } = await fleet.load(media(sid));
        assert.equal(status, 504);
        assert.equal((await fleet.stats()).playlists, 0, 'it was sent to another');
      } finally {
        stuck.process.tell('SIGCONT');
        await fleet.stop();
      }
    });
  });
}
