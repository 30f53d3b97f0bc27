// Child processes that are waited for until they serve, and that never outlive the test.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** How long a server may take until it answers, in ms. */
const READY_WITHIN = 20_000;
/** How long a process may take to end after SIGTERM before it is killed, in ms. */
const END_WITHIN = 5_000;
/** How much of a process's stderr is kept, in characters: enough for a run, bounded for a storm. */
const KEPT = 4_000_000;

const running = new Set();
const handedOut = new Set();

// Only children of this process are ever signalled, each with the group that it leads.
process.on('exit', () => running.forEach((child) => signal(child, 'SIGKILL')));
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(name, () => process.exit(130));
}

/** Signals a child and those that it has started: streamlink leaves its ffmpeg behind otherwise. */
function signal(child, name) {
  try {
    process.kill(-child.pid, name);
  } catch {
    // It never started, or all of them have ended.
  }
}

/** A loopback port that nothing listens on, and that no earlier call has given. */
export async function freePort() {
  for (;;) {
    const server = createServer();
    await new Promise((done, fail) => server.once('error', fail).listen(0, '127.0.0.1', done));
    const { port } = server.address();
    await new Promise((done) => server.close(done));
    if (handedOut.has(port)) continue;
    handedOut.add(port);
    return port;
  }
}

/** Starts a program. `onLine(stream, line)` gets every line that it prints. */
export function start(program, args, { env = {}, onLine = () => {} } = {}) {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env }, detached: true });
  running.add(child);
  const told = { stdout: '', stderr: '' };
  const rest = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr']) {
    child[stream].setEncoding('utf8').on('data', (text) => {
      if (stream === 'stderr') told.stderr = (told.stderr + text).slice(-KEPT);
      const lines = (rest[stream] + text).split('\n');
      rest[stream] = lines.pop();
      lines.forEach((line) => onLine(stream, line));
    });
  }
  const ended = new Promise((done) => {
    child.once('error', (error) => done({ error }));
    child.once('close', (code, by) => done({ code, signal: by }));
  }).then((how) => {
    running.delete(child);
    process_.ended = how;
    return how;
  });
  const process_ = {
    /** How it ended: `{ code, signal }` or `{ error }`; undefined while it runs. */
    ended: undefined,
    /** Resolves with how it ended. */
    whenEnded: () => ended,
    stderr: () => told.stderr,
    /** Signals it alone, not those that it has started: `SIGHUP` has nginx read its file again. */
    tell: (name) => child.kill(name),
    /** Whether SIGSTOP has reached it: until then it goes on. */
    stands: () => /\) T /.test(readFileSync(`/proc/${child.pid}/stat`, 'utf8')),
    /** Ends it as a machine does that goes dark. */
    async kill() {
      signal(child, 'SIGKILL');
      return ended;
    },
    async stop() {
      if (process_.ended) return process_.ended;
      signal(child, 'SIGTERM');
      const late = setTimeout(() => signal(child, 'SIGKILL'), END_WITHIN);
      const how = await ended;
      clearTimeout(late);
      return how;
    },
  };
  return process_;
}

/** Starts a server as `start` does, and returns once `url` answers 200. */
export async function serve(program, args, url, how) {
  const server = start(program, args, how);
  const until = Date.now() + READY_WITHIN;
  for (;;) {
    const response = await fetch(url, { signal: AbortSignal.timeout(2_000) }).catch(() => undefined);
    await response?.arrayBuffer();
    if (response?.ok) return server;
    if (server.ended || Date.now() > until) {
      await server.stop();
      const why = server.ended.error?.message ?? (server.stderr().trim().slice(-2_000) || 'it said nothing');
      throw new Error(`${program} ${args.join(' ')}\n  did not answer at ${url}: ${why}`);
    }
    await sleep(100);
  }
}
