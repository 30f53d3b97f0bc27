// Several onelane behind a real HAProxy and a real nginx, from the files in deploy/: every session has one home, whatever the URL's
// shape; when one is killed only its own sessions move, and no player notices.
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { Agent, get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { randomUUID } from 'node:crypto';
import { freePort, serve, start } from './lib/processes.mjs';
import { binary } from './lib/stage.mjs';

const DEPLOY = fileURLToPath(new URL('../../deploy/', import.meta.url));
const SHAPES = JSON.parse(await readFile(new URL('../urls.json', import.meta.url), 'utf8'));
const SESSIONS = 30;
/** Viewers that load three playlists at once, again and again, while one process is killed. */
const VIEWERS = 100;
const REFRESH = 500;

const BALANCERS = {
  HAProxy: {
    file: 'haproxy.cfg',
    set: (text, { entry, homes }) =>
      homes.reduce(
        (text, { listen, admin }, nth) => text.replace(`10.0.0.${nth + 1}:8080 check`, `${listen} check port ${admin.split(':')[1]}`),
        // A test's machine has fewer open files.
        text.replace('0.0.0.0:80', entry).replace('maxconn 20000', 'maxconn 2000'),
      ),
    start: (file) => start('haproxy', ['-db', '-f', file]),
  },
  nginx: {
    file: 'nginx.conf',
    set: (text, { entry, homes, place }) =>
      homes.reduce(
        (text, { listen }, nth) => text.replace(`10.0.0.${nth + 1}:8080`, listen),
        `daemon off;\npid ${join(place, 'pid')};\nerror_log stderr;\n${text.replace('listen 80', `listen ${entry}`).replace('http {', 'http {\n    access_log off;')}`,
      ),
    start: (file, place) => start('nginx', ['-p', place, '-e', 'stderr', '-c', file]),
  },
};

/** As a browser does: what fails on a kept connection that the server closed is asked again. */
function load(url, agent) {
  return new Promise((done, fail) => {
    const request = get(url, { agent }, (answer) => {
      answer.resume();
      answer.on('end', () => done({ status: answer.statusCode, home: answer.headers['x-served-by'] })).on('error', fail);
    });
    request.on('error', (error) => (request.reusedSocket ? load(url, agent).then(done, fail) : fail(error)));
  });
}

for (const [name, balancer] of Object.entries(BALANCERS)) {
  describe(name, () => {
    it('gives every session one home, and moves none but those whose home is killed', { timeout: 120_000 }, async () => {
      const place = await mkdtemp(join(tmpdir(), 'onelane-fleet-'));
      const servers = [];
      try {
        const local = async () => `127.0.0.1:${await freePort()}`;
        const [emulator, entry] = [await local(), await local()];
        const emulate = ['emulate', '--listen', emulator, '--unknown', 'adopt', '--latency', '10ms..30ms', '--conflict', 'reject'];
        servers.push(await serve(binary(), emulate, `http://${emulator}/__emulator/stats`));
        const homes = [];
        for (let n = 0; n < 3; n += 1) {
          const home = { listen: await local(), admin: await local() };
          const args = ['serve', '--upstream', `http://${emulator}`, '--listen', home.listen, '--admin', home.admin];
          home.process = await serve(binary(), args, `http://${home.admin}/readyz`);
          servers.push(home.process);
          homes.push(home);
        }
        const file = join(place, balancer.file);
        await writeFile(file, balancer.set(await readFile(join(DEPLOY, balancer.file), 'utf8'), { entry, homes, place }));
        const front = balancer.start(file, place);
        servers.push(front);
        const agent = new Agent({ keepAlive: true, maxSockets: 16 });
        for (let n = 0; ; n += 1) {
          const there = await load(`http://${entry}/ping`, agent).catch(() => undefined);
          if (there?.home) break;
          assert.ok(n < 100 && !front.ended, `${name} does not start: ${front.stderr()}`);
          await sleep(100);
        }

        // Every shape of a session's URLs leads to its home; what has no session goes anywhere.
        const home = new Map();
        for (let n = 0; n < SESSIONS; n += 1) {
          const sid = randomUUID();
          const seen = await Promise.all(
            SHAPES.filter(([, has]) => has).map(async ([shape]) => ({ shape, ...(await load(`http://${entry}${shape.replace('{sid}', sid)}`, agent)) })),
          );
          home.set(sid, seen[0].home);
          for (const { shape, home } of seen) assert.equal(home, seen[0].home, `${shape} of ${sid}`);
        }
        assert.equal(new Set(home.values()).size, 3, 'all three have sessions');
        for (const [shape] of SHAPES.filter(([, has]) => !has)) {
          const seen = await Promise.all(Array.from({ length: 24 }, () => load(`http://${entry}${shape}`, agent)));
          assert.ok(new Set(seen.map((one) => one.home)).size > 1 || name === 'HAProxy', `${shape} goes to one alone`);
        }

        // One is killed under load.
        await fetch(`http://${emulator}/__emulator/reset`, { method: 'POST' });
        let playing = true;
        const statuses = {};
        const moved = new Set();
        const viewers = Array.from({ length: VIEWERS }, async () => {
          const sid = randomUUID();
          const own = new Agent({ keepAlive: true, maxSockets: 3 });
          let first;
          while (playing) {
            const next = sleep(REFRESH);
            const answers = await Promise.all([0, 1, 2].map((n) => load(`http://${entry}/v1/manifest/acct/Cfg/${sid}/${n}.m3u8`, own)));
            for (const { status, home } of answers) {
              statuses[status] = (statuses[status] ?? 0) + 1;
              first ??= home;
              if (home !== first) moved.add(sid);
            }
            await next;
          }
          own.destroy();
        });
        const all = Promise.all(viewers);
        await Promise.race([sleep(3_000), all]);
        await homes[0].process.kill();
        await Promise.race([sleep(5_000), all]);
        playing = false;
        await all;

        const stats = await (await fetch(`http://${emulator}/__emulator/stats`)).json();
        const told = `${JSON.stringify(statuses)}, ${moved.size} of ${VIEWERS} moved, ${stats.conflicts} conflicts of ${stats.playlists}`;
        console.log(`${name}: ${told}`);
        assert.deepEqual(Object.keys(statuses), ['200'], told);
        assert.ok(moved.size > 0 && moved.size <= (1.5 * VIEWERS) / 3, told);
        assert.ok(stats.conflicts <= VIEWERS / 5, told);
        agent.destroy();
      } finally {
        await Promise.all(servers.map((server) => server.stop()));
        await rm(place, { recursive: true, force: true });
      }
    });
  });
}
