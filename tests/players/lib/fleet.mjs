// Several onelane behind a real balancer, from the files in deploy/.
import { mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { Agent, get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { freePort, serve, start } from './processes.mjs';
import { binary } from './stage.mjs';

const DEPLOY = fileURLToPath(new URL('../../../deploy/', import.meta.url));
/** How long anything that is waited for may take, in ms. */
const WITHIN = 30_000;

/**
 * What each balancer is given: `files` are those of deploy/ with a test's addresses in place of the example's, and a header that
 * says which home answered, which `servedBy` reads.
 */
export const BALANCERS = {
  HAProxy: {
    files: async ({ entry, homes }) => {
      const server = ({ listen, admin }, nth) => `    server ${'abcd'[nth]} ${listen} check port ${admin.split(':')[1]}\n`;
      const text = (await deployed('haproxy.cfg')).replace(/^ {4}server [^]*/m, homes.map(server).join(''));
      // A test's machine has fewer open files.
      return { 'haproxy.cfg': `${text.replace('0.0.0.0:80', entry).replace('maxconn 20000', 'maxconn 4000')}    http-response set-header x-served-by %s\n` };
    },
    servedBy: (header, homes) => homes['abcd'.indexOf(header)]?.listen,
    start: (place) => start('haproxy', ['-W', '-db', '-f', join(place, 'haproxy.cfg')]),
    reload: (front) => front.tell('SIGUSR2'),
    asksForReadyz: true,
    movesWithoutNeed: 0,
  },
  nginx: {
    files: async ({ entry, homes, place }) => {
      const server = ({ listen }) => `        server ${listen} max_fails=1 fail_timeout=2s;\n`;
      const text = (await deployed('nginx.conf'))
        .replace(/(^ {8}server 10\..*\n)+/m, homes.map(server).join(''))
        .replace('listen 80', `listen ${entry}`)
        .replace('worker_connections 20000', 'worker_connections 4000')
        .replace('http {', 'http {\n    access_log off;')
        .replace('location / {', 'location / {\n            add_header x-served-by $upstream_addr always;');
      return { 'nginx.conf': `daemon off;\npid ${join(place, 'pid')};\nerror_log stderr;\n${text}` };
    },
    // Those that it tried, in order.
    servedBy: (header) => header?.split(', ').at(-1),
    start: (place) => start('nginx', ['-p', place, '-e', 'stderr', '-c', join(place, 'nginx.conf')]),
    reload: (front) => front.tell('SIGHUP'),
    asksForReadyz: false,
    movesWithoutNeed: 0,
  },
  Envoy: {
    // tests/run gets it, where it can be had.
    missing: process.env.ENVOY ? undefined : 'no Envoy: set ENVOY to its binary',
    files: async ({ entry, homes, place }) => {
      const [address, port] = entry.split(':');
      const text = (await deployed('envoy.yaml'))
        .replace('address: 0.0.0.0, port_value: 80', `address: ${address}, port_value: ${port}`)
        .replace('/etc/envoy/', `${place}/`)
        .replace('domains: ["*"]', 'domains: ["*"]\n                      response_headers_to_add: [{ header: { key: x-served-by, value: "%UPSTREAM_REMOTE_ADDRESS%" } }]');
      const list = await deployed('envoy-homes.yaml');
      const row = list.split('\n').find((line) => line.includes('10.0.0.1'));
      const rows = homes.map(({ listen, admin }) =>
        row.replace('10.0.0.1, port_value: 8080', listen.replace(':', ', port_value: ')).replace('9090', admin.split(':')[1]),
      );
      return { 'envoy.yaml': text, 'envoy-homes.yaml': `${list.slice(0, list.indexOf(row))}${rows.join('\n')}\n` };
    },
    servedBy: (header) => header,
    start: (place) => start(process.env.ENVOY, ['-c', join(place, 'envoy.yaml'), '--use-dynamic-base-id', '--log-level', 'warn', '--concurrency', '2']),
    // It notices that a list took the place of the old one.
    reload: () => {},
    asksForReadyz: true,
    movesWithoutNeed: 0.03,
  },
};

const deployed = (name) => readFile(join(DEPLOY, name), 'utf8');
const local = async () => `127.0.0.1:${await freePort()}`;

/** Waits for `found()` to give something, and returns that. */
export async function until(what, found) {
  for (const late = Date.now() + WITHIN; ; await sleep(20)) {
    const there = await found();
    if (there) return there;
    if (Date.now() > late) throw new Error(`waited ${WITHIN / 1000} s for ${what}`);
  }
}

/**
 * Starts `count` homes over one emulator whose playlists take `latency`, or over `upstream` in its place, and the balancer before
 * them.
 */
export async function openFleet(balancer, { count, latency = '0ms', upstream, serveArgs = [] }) {
  const place = await mkdtemp(join(tmpdir(), 'onelane-fleet-'));
  const servers = [];
  const agent = new Agent({ keepAlive: true, maxSockets: 16 });
  const homes = [];
  const [emulator, entry] = [await local(), await local()];
  upstream ??= `http://${emulator}`;
  const fleet = {
    homes,
    /** Where the balancer is: host and port. */
    entry,
    /** The home that answered, by the address at which it listens, and with what status. */
    async load(path, by = agent) {
      const { status, header } = await request(`http://${entry}${path}`, by);
      return { status, home: balancer.servedBy(header, homes) };
    },
    /** The status of a POST that makes a session; nothing here sends it twice. */
    create: async () => (await fetch(`http://${entry}/v1/session/acct/Cfg/index.m3u8`, { method: 'POST', body: '{}' })).status,
    stats: async () => (await fetch(`http://${emulator}/__emulator/stats`)).json(),
    forget: () => fetch(`http://${emulator}/__emulator/reset`, { method: 'POST' }),
    async addHome() {
      const home = { listen: await local(), admin: await local() };
      const args = ['serve', '--upstream', upstream, '--listen', home.listen, '--admin', home.admin, ...serveArgs];
      home.process = await serve(binary(), args, `http://${home.admin}/readyz`);
      servers.push(home.process);
      homes.push(home);
      return home;
    },
    /** Tells the balancer of the homes that there are. */
    async tellBalancer() {
      await write();
      balancer.reload(front);
    },
    async stop() {
      agent.destroy();
      await Promise.all(servers.map((server) => server.stop()));
      await rm(place, { recursive: true, force: true });
    },
  };
  async function write() {
    for (const [name, text] of Object.entries(await balancer.files({ entry, homes, place }))) {
      await writeFile(join(place, 'new'), text);
      await rename(join(place, 'new'), join(place, name));
    }
  }
  let front;
  try {
    const emulate = ['emulate', '--listen', emulator, '--unknown', 'adopt', '--latency', latency, '--conflict', 'reject'];
    servers.push(await serve(binary(), emulate, `http://${emulator}/__emulator/stats`));
    for (let n = 0; n < count; n += 1) await fleet.addHome();
    await write();
    front = balancer.start(place);
    servers.push(front);
    // One that asks for /readyz may take none before it has an answer of each.
    const seen = new Set();
    await until('every home to be taken', async () => {
      if (front.ended) throw new Error(`the balancer does not start: ${JSON.stringify(front.ended)} ${front.stderr()}`);
      const { home } = await fleet.load('/ping').catch(() => ({}));
      if (home) seen.add(home);
      return seen.size === count;
    });
    return fleet;
  } catch (error) {
    await fleet.stop();
    throw error;
  }
}

/** As a browser does: what fails on a kept connection that the server closed is asked again. */
function request(url, agent) {
  return new Promise((done, fail) => {
    const sent = get(url, { agent }, (answer) => {
      answer.resume();
      answer.on('end', () => done({ status: answer.statusCode, header: answer.headers['x-served-by'] })).on('error', fail);
    });
    sent.on('error', (error) => (sent.reusedSocket ? request(url, agent).then(done, fail) : fail(error)));
  });
}
