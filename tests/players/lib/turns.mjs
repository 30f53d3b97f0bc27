import assert from 'node:assert/strict';

/** Of no run through onelane, be it one that is repeated, may the emulator have seen two requests of one session at once. */
export function checkTurns({ path, player, conflicts, mostInFlight }) {
  if (path !== 'onelane') return;
  assert.equal(conflicts, 0, `the emulator gave ${player} a conflict`);
  assert.ok(mostInFlight <= 1, `the emulator saw ${mostInFlight} requests of one session of ${player} at once`);
}
