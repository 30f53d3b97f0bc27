// The CloudFront function of deploy/ over every shape of URL: it finds the sessions that onelane finds, and gives each one home.
import assert from 'node:assert/strict';
import crypto, { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { it } from 'node:test';

const SHAPES = JSON.parse(await readFile(new URL('../urls.json', import.meta.url), 'utf8'));
const text = await readFile(new URL('../../deploy/cloudfront-function.js', import.meta.url), 'utf8');
/** The most that CloudFront takes, in bytes. */
const LARGEST = 10 * 1024;

/** Runs it as CloudFront does; gives the origin that it chose. */
function chosen(target, source = text) {
  const [uri, query = ''] = target.split(/\?(.*)/s);
  const querystring = {};
  for (const pair of query.split('&').filter(Boolean)) {
    const [name, value = ''] = pair.split(/=(.*)/s);
    querystring[name] ??= { value };
  }
  let origin;
  const cf = { updateRequestOrigin: ({ domainName }) => (origin = domainName) };
  const handler = new Function('cf', 'crypto', `${source.replace(/^import .*$/gm, '')}\nreturn handler;`)(cf, crypto);
  const request = { method: 'GET', uri, querystring, headers: {} };
  assert.equal(handler({ request }), request);
  return origin;
}

it('fits', () => assert.ok(Buffer.byteLength(text) < LARGEST));

it('gives every session one home, whatever the shape, and leaves the others alone', () => {
  const homes = new Set();
  for (let n = 0; n < 50; n += 1) {
    const sid = randomUUID();
    const [[first], ...rest] = SHAPES.filter(([, has]) => has).map(([shape]) => [chosen(shape.replace('{sid}', sid)), shape]);
    assert.ok(first);
    homes.add(first);
    for (const [home, shape] of rest) assert.equal(home, first, shape);
  }
  assert.equal(homes.size, 3);
  for (const [shape] of SHAPES.filter(([, has]) => !has)) assert.equal(chosen(shape), undefined, shape);
});

it('moves the sessions of one home alone when that is taken away', () => {
  const fewer = text.replace(", 'onelane-c.example.com'", '');
  assert.notEqual(fewer, text);
  let moved = 0;
  for (let n = 0; n < 300; n += 1) {
    const target = `/v1/manifest/acct/Cfg/${randomUUID()}/0.m3u8`;
    const before = chosen(target);
    if (chosen(target, fewer) === before) continue;
    moved += 1;
    assert.equal(before, 'onelane-c.example.com');
  }
  assert.ok(moved > 60 && moved < 150, `${moved} of 300`);
});

it('is not confused by what no browser sends', () => {
  for (const target of ['/', '/v1/manifest/', '/%', '/v1/manifest/a/b/%zz/0.m3u8', '/v1/master/a/b/c.m3u8?aws.sessionId=%']) chosen(target);
});
