// The CloudFront function of deploy/ over every shape of URL: it finds the sessions that onelane finds, and gives each one home.
import assert from 'node:assert/strict';
import crypto, { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { it } from 'node:test';

const SHAPES = JSON.parse(await readFile(new URL('../urls.json', import.meta.url), 'utf8'));
const text = await readFile(new URL('../../deploy/cloudfront-function.js', import.meta.url), 'utf8');
/** The most that CloudFront takes, in bytes. */
const LARGEST = 10 * 1024;

/** Runs it as CloudFront does; gives the origins that it chose, the second for when the first is lost. */
function chosen(target, source = text) {
  const [uri, query = ''] = target.split(/\?(.*)/s);
  const querystring = {};
  for (const pair of query.split('&').filter(Boolean)) {
    const [name, value = ''] = pair.split(/=(.*)/s);
    const before = querystring[name];
    if (before) (before.multiValue ??= [{ value: before.value }]).push({ value });
    else querystring[name] = { value };
  }
  let origins;
  const cf = {
    selectRequestOriginById: (id) => (origins = [id]),
    createRequestOriginGroup: ({ originIds, failoverCriteria }) => {
      // What else onelane answers is meant for the player.
      assert.deepEqual(failoverCriteria, { statusCodes: [503] });
      origins = originIds.map((one) => one.originId);
    },
  };
  const handler = new Function('cf', 'crypto', `${source.replace(/^import .*$/gm, '')}\nreturn handler;`)(cf, crypto);
  const request = { method: 'GET', uri, querystring, headers: {} };
  assert.equal(handler({ request }), request);
  return origins;
}

const filled = (shape, sid) => shape.replace('{sid}', sid).replace('{esc}', sid.replaceAll('-', '%2D'));

it('fits', () => assert.ok(Buffer.byteLength(text) < LARGEST));

it('gives every session one home, whatever the shape, and leaves the others alone', () => {
  const homes = new Set();
  for (let n = 0; n < 50; n += 1) {
    const sid = randomUUID();
    const [first] = chosen(`/v1/manifest/acct/Cfg/${sid}/0.m3u8`);
    homes.add(first);
    for (const [shape] of SHAPES.filter(([, has]) => has)) assert.equal(chosen(filled(shape, sid))?.[0], first, shape);
  }
  assert.equal(homes.size, 3);
  for (const [shape] of SHAPES.filter(([, has]) => !has)) assert.equal(chosen(filled(shape, randomUUID())), undefined, shape);
});

it('sends no segment a second time: a 503 to it may be of the quota that is used up', () => {
  for (const kind of ['segment', 'dashsegment']) {
    const sid = randomUUID();
    const [home] = chosen(`/v1/manifest/acct/Cfg/${sid}/0.m3u8`);
    assert.deepEqual(chosen(`/v1/${kind}/acct/Cfg/${sid}/0/1`), [home], kind);
  }
});

it('moves the sessions of one home alone when that is taken away, to where they went when it was lost', () => {
  const fewer = text.replace(", 'onelane-c'", '');
  assert.notEqual(fewer, text);
  let moved = 0;
  for (let n = 0; n < 300; n += 1) {
    const target = `/v1/manifest/acct/Cfg/${randomUUID()}/0.m3u8`;
    const [home, spare] = chosen(target);
    assert.notEqual(home, spare);
    const [now] = chosen(target, fewer);
    if (now === home) continue;
    moved += 1;
    assert.deepEqual([home, now], ['onelane-c', spare]);
  }
  assert.ok(moved > 60 && moved < 150, `${moved} of 300`);
});

it('does with one home', () => {
  const one = text.replace(", 'onelane-b', 'onelane-c'", '');
  assert.deepEqual(chosen(`/v1/manifest/acct/Cfg/${randomUUID()}/0.m3u8`, one), ['onelane-a']);
});

it('is not confused by what no browser sends', () => {
  for (const target of ['/', '/v1/manifest/', '/%', '/v1/manifest/a/b/%zz/0.m3u8', '/v1/master/a/b/c.m3u8?aws.sessionId=%']) chosen(target);
});
