// What one player gets to itself: an emulator, and onelane in front of it where the path says so.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort, serve } from './processes.mjs';

const HERE = fileURLToPath(new URL('..', import.meta.url));
const REPOSITORY = join(HERE, '..', '..');
const MAKE_ASSET = join(HERE, 'asset.sh');

/** The test asset with segments of so many seconds, `length` seconds in all, made by ffmpeg if it is not there yet. */
export function asset(seconds, length = 24) {
  const place = join(HERE, '.asset', `${seconds}s-${length}s`);
  execFileSync('bash', [MAKE_ASSET, place, process.env.FORM || 'ts', String(seconds), String(length)], { stdio: 'inherit' });
  return place;
}

/** The binary under test: `ONELANE_BIN`, or the release build. */
export function binary() {
  const path = process.env.ONELANE_BIN ?? join(process.env.CARGO_TARGET_DIR ?? join(REPOSITORY, 'target'), 'release', 'onelane');
  if (!existsSync(path)) throw new Error(`no binary at ${path}: run \`cargo build --release\`, or name one in ONELANE_BIN`);
  return path;
}

/**
 * Starts the servers of one run. `latency` is the time of one playlist in ms; `through` puts onelane in front;
 * `segment` is the length of a segment in s, `length` that of the asset, which comes again and again with ad breaks
 * between, unless `ads` is false; `conflict` is the emulator's way with two requests of one session; `emulateArgs` and
 * `serveArgs` are further flags of the emulator's and of onelane's.
 */
export async function openStage({ latency, through, segment, length, ads = true, conflict = 'reject', emulateArgs = [], serveArgs = [] }) {
  const media = asset(segment, length);
  const servers = [];
  const log = [];
  const stop = () => Promise.all(servers.map((server) => server.stop()));
  try {
    const emulator = `127.0.0.1:${await freePort()}`;
    servers.push(
      await serve(
        binary(),
        ['emulate', '--listen', emulator, '--conflict', conflict, '--latency', `${latency}ms`]
          .concat(['--origin', join(media, 'origin'), '--segment-redirect', '302'])
          .concat(ads ? ['--ads', join(media, 'ads')] : [])
          .concat(emulateArgs)
          .concat(process.env.EMULATE_ARGS?.split(' ') ?? []),
        `http://${emulator}/__emulator/stats`,
      ),
    );
    let entry = emulator;
    if (through) {
      entry = `127.0.0.1:${await freePort()}`;
      const admin = `127.0.0.1:${await freePort()}`;
      servers.push(
        await serve(
          binary(),
          ['serve', '--upstream', `http://${emulator}`, '--listen', entry, '--admin', admin, ...serveArgs],
          `http://${admin}/readyz`,
          { onLine: (_, line) => log.push(line) },
        ),
      );
    }
    return {
      /** What the player is given. */
      master: `http://${entry}/v1/master/acct/Demo/index.m3u8`,
      counters: () => counters(emulator),
      /** Begins a fault: an object as `onelane emulate --help` describes. */
      fail: (fault) => ask(emulator, 'faults', { method: 'POST', body: JSON.stringify(fault) }),
      /** Ends every fault. */
      mend: () => ask(emulator, 'faults', { method: 'DELETE' }),
      /** Makes a session, as an app does that asks for one, and gives the address of its multivariant playlist. */
      async join() {
        const response = await fetch(`http://${entry}/v1/session/acct/Demo/index.m3u8`, { method: 'POST', body: '{}' });
        return new URL((await response.json()).manifestUrl, `http://${entry}`).href;
      },
      /** Ends every session; those that are made afterwards are numbered so: `continuous` or `reset`. */
      expire: (numbering) => ask(emulator, 'expire', { method: 'POST', body: JSON.stringify({ sessions: 'all', numbering }) }),
      /** What the emulator saw of every session, or of one with its last requests. */
      sessions: () => ask(emulator, 'sessions'),
      session: (id) => ask(emulator, `sessions/${id}`),
      /** Where a client asks that goes past onelane. */
      upstream: `http://${emulator}`,
      /** What onelane has logged; empty without it. */
      log: () => log.join('\n'),
      async stop() {
        const died = servers.find((server) => server.ended);
        await stop();
        if (died) throw new Error(`a server ended in the middle of the run: ${JSON.stringify(died.ended)} ${died.stderr().slice(-2_000)}`);
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** One of the emulator's own pages. */
async function ask(emulator, path, how = {}) {
  const response = await fetch(`http://${emulator}/__emulator/${path}`, { ...how, signal: AbortSignal.timeout(5_000) });
  if (!response.ok) throw new Error(`the emulator's ${path} answered ${response.status}: ${await response.text()}`);
  return response.json();
}

/** What the emulator saw of this player: `{ requests, media, conflicts, faulty, mostInFlight, sessions }`. */
async function counters(emulator) {
  const [stats, sessions] = await Promise.all([ask(emulator, 'stats'), ask(emulator, 'sessions')]);
  return {
    requests: number(stats, 'playlists'),
    media: stats.by_kind.media ?? 0,
    conflicts: number(stats, 'conflicts'),
    faulty: number(stats, 'faulty'),
    mostInFlight: Math.max(0, ...sessions.map((session) => number(session, 'max_in_flight'))),
    sessions: sessions.length,
  };
}

/** A counter that must be there: a renamed one must not read as nought. */
function number(record, field) {
  if (typeof record[field] !== 'number') throw new Error(`the emulator's counters have no ${field}: ${JSON.stringify(record).slice(0, 300)}`);
  return record[field];
}
