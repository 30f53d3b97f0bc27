// One onelane takes over from another on the same port while players play, and no player notices.
import assert from 'node:assert/strict';
import { Agent, get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort, serve } from './lib/processes.mjs';
import { binary } from './lib/stage.mjs';

const VIEWERS = 100;
/** How often a viewer loads its three playlists, all at once, in ms. */
const REFRESH = 500;
/** How long it goes on before the roll-over, and after it, in ms. */
const AROUND = 3_000;
/** How often one process hands over to the next. */
const HAND_OVERS = 5;

const servers = [];
after(() => Promise.all(servers.map((server) => server.stop())));

/** As a browser does: a kept connection that the server has closed meanwhile is not an error, a fresh one that fails is. */
function load(url, agent) {
  return new Promise((done, fail) => {
    const request = get(url, { agent }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (part) => (text += part));
      answer.on('end', () => done({ status: answer.statusCode, text })).on('error', fail);
    });
    request.on('error', (error) => (request.reusedSocket ? load(url, agent).then(done, fail) : fail(error)));
  });
}

/** Players play at what `onelane` serves; `replace` is called in the middle. Tells what players and the upstream saw. */
async function play(entry, emulator, begin, replace) {
  const emulate = ['emulate', '--listen', emulator, '--latency', '20ms..60ms', '--conflict', 'reject'];
  servers.push(await serve(binary(), emulate, `http://${emulator}/__emulator/stats`));
  const first = await begin();

  let playing = true;
  const statuses = {};
  const viewers = Array.from({ length: VIEWERS }, async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 3 });
    const multivariant = `http://${entry}/v1/master/acct/Demo/index.m3u8`;
    const { text } = await load(multivariant, agent);
    const links = [...text.matchAll(/^(?!#)(\S+)$|URI="([^"]+)"/gm)].slice(0, 3).map(([, line, attribute]) => new URL(line ?? attribute, multivariant));
    while (playing) {
      const next = sleep(REFRESH);
      for (const { status } of await Promise.all(links.map((link) => load(link, agent)))) statuses[status] = (statuses[status] ?? 0) + 1;
      await next;
    }
    agent.destroy();
  });
  const all = Promise.all(viewers);
  await Promise.race([sleep(AROUND), all]);
  await replace(first);
  await Promise.race([sleep(AROUND), all]);
  playing = false;
  await all;

  assert.deepEqual(Object.keys(statuses), ['200'], JSON.stringify(statuses));
  assert.ok(statuses[200] > VIEWERS * 3 * 5, JSON.stringify(statuses));
  return count(emulator);
}

const count = async (emulator) => (await fetch(`http://${emulator}/__emulator/stats`)).json();

const addresses = async (number) => (await Promise.all(Array.from({ length: number }, freePort))).map((port) => `127.0.0.1:${port}`);

// A burst that comes as the old one is told to end may be read by it in part, and the rest goes to the new one: such a session conflicts until
// the old one has finished, each retry of it as well. How many bursts that is depends on how far behind the machine is: up to 6 conflicts were
// seen, 14 on a slow one. Once the old one is gone there must be no more.
it('rolls over under load, both on the port for a moment', { timeout: 60_000 }, async () => {
  const [emulator, entry, oldAdmin, newAdmin] = await addresses(4);
  const start = async (admin) => {
    const flags = ['serve', '--upstream', `http://${emulator}`, '--listen', entry, '--admin', admin, '--reuse-port'];
    const process = await serve(binary(), flags, `http://${admin}/readyz`);
    servers.push(process);
    return process;
  };
  let whenGone;
  const replace = async (old) => {
    await start(newAdmin);
    assert.deepEqual(await old.stop(), { code: 0, signal: null });
    whenGone = await count(emulator);
  };
  const stats = await play(entry, emulator, () => start(oldAdmin), replace);
  assert.equal(stats.conflicts, whenGone.conflicts, 'conflicts when the old one is gone');
  assert.ok(stats.conflicts <= VIEWERS / 2, `${stats.conflicts} conflicts of ${stats.playlists} playlists`);
});

// The new one begins when the old one has finished; what comes meanwhile waits in the socket, which both have.
it('hands over under load, again and again, without a conflict', { timeout: 60_000 }, async () => {
  const [emulator, entry, admin] = await addresses(3);
  const place = join(tmpdir(), `onelane-rollover-${process.pid}`);
  const flags = ['serve', '--upstream', `http://${emulator}`, '--listen', entry, '--admin', admin, '--hand-over', place];
  const start = async () => {
    const started = await serve(binary(), flags, `http://${admin}/readyz`);
    servers.push(started);
    return started;
  };
  const replace = async (first) => {
    let old = first;
    for (let nth = 0; nth < HAND_OVERS; nth++) {
      const next = await start();
      assert.deepEqual(await old.whenEnded(), { code: 0, signal: null });
      old = next;
    }
  };
  const stats = await play(entry, emulator, start, replace);
  assert.deepEqual([stats.conflicts, stats.max_in_flight], [0, 1], JSON.stringify(stats));
});
