// From samples of a player to what a viewer saw.
import { setTimeout as sleep } from 'node:timers/promises';

/** Frames a second of the test asset. */
export const FPS = 25;
/** How often a player is looked at, in ms. */
const EVERY = 500;
/** How long a player may take to show its first picture, in seconds. */
const START_WITHIN = 30;

/**
 * Looks at a player until `seconds` have passed since its first picture, or until its program has ended. Its picture
 * must have moved in the last `lately` seconds to be alive.
 *
 * `look()` gives `{ time, frames, over, fatal, reader }`: media time in s, frames so far, whether the program has ended,
 * and the first fatal error. A `reader` has no screen and no buffer of its own: it stands still while it loads a
 * playlist and then catches up to the native rate, so that what it has read counts and its pauses do not. The answer:
 *
 * - `started`  seconds until the picture moved, undefined if it never did
 * - `played`   seconds of media time that passed on the screen; a jump ahead counts no more than the clock on the wall
 * - `frames`   frames shown since then
 * - `pauses`   seconds for which the picture stood still
 * - `lastMove` seconds after the start at which media time or frames last went on
 * - `endMoved` whether both went on in the last `lately` seconds
 * - `fatal`, `fatalAt`  the first fatal error, and its second after the start
 * - `over`     whether its program ended by itself
 *
 * `acts` are done on the way, in order: `{ at, act }`, seconds after the first picture, and an async function that gets
 * what was seen so far. Those that the end of the program comes before are left undone.
 */
export async function watch(look, seconds, lately, acts = []) {
  const begin = performance.now();
  const now = () => (performance.now() - begin) / 1000;
  const seen = { started: undefined, watched: 0, played: 0, frames: 0, lastMove: 0, pauses: 0, endMoved: false, fatal: undefined, fatalAt: undefined, over: false };
  const moves = [];
  const due = [...acts];
  let last;
  let from;
  for (;;) {
    await sleep(EVERY);
    const sample = { at: now(), ...(await look()) };
    if (sample.fatal && !seen.fatal) Object.assign(seen, { fatal: sample.fatal, fatalAt: sample.at });
    if (last === undefined) {
      last = sample;
      continue;
    }
    const step = { at: sample.at, time: sample.time - last.time, frames: sample.frames - last.frames, wall: sample.at - last.at };
    last = sample;
    if (from === undefined && step.time > 0 && sample.frames > 0) {
      from = sample;
      seen.started = sample.at;
      seen.lastMove = sample.at;
      continue;
    }
    if (from === undefined) {
      if (sample.over || sample.at > START_WITHIN) break;
      continue;
    }
    seen.frames += Math.max(step.frames, 0);
    // Sound alone is not a picture: where no frame came, nothing was played.
    if (step.time > 0 && step.frames > 0) {
      seen.played += sample.reader ? step.time : Math.min(step.time, step.wall * 1.1);
      moves.push(step);
      seen.lastMove = sample.at;
    } else {
      seen.pauses += sample.reader ? 0 : step.wall;
    }
    seen.watched = sample.at - from.at;
    if (sample.over || seen.watched >= seconds) break;
    while (due.length > 0 && seen.watched >= due[0].at) await due.shift().act(seen);
  }
  const end = now();
  seen.over = last.over === true;
  seen.endMoved = seen.started !== undefined && !seen.over && moves.some((move) => move.at > end - lately);
  if (seen.started !== undefined) {
    seen.lastMove -= seen.started;
    if (seen.fatalAt !== undefined) seen.fatalAt -= seen.started;
  }
  return seen;
}

/** The outcome in words. */
export function outcome(seen) {
  const fatal = seen.fatal ? `, ${seen.fatal} at ${seen.fatalAt.toFixed(0)} s` : '';
  if (seen.started === undefined) return `no picture${seen.fatal ? `, ${seen.fatal}` : ''}`;
  if (!seen.endMoved) return `**dead after ${seen.lastMove.toFixed(0)} s**${fatal}`;
  const pauses = seen.pauses >= 2 ? `, stood still for ${seen.pauses.toFixed(0)} s` : '';
  return `plays${pauses}${fatal}`;
}
