// The admin port's page in headless Chromium: it comes up, news arrive, a session that waited is looked up by keyboard, its
// waterfall is there, and nothing is asked of anybody else.
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { chromium } from 'playwright-core';
import { freePort, serve } from './lib/processes.mjs';
import { binary } from './lib/stage.mjs';

/** How long a playlist takes at the emulator, in ms. */
const LATENCY = 300;
/** How long anything may take to be seen, in ms. */
const WITHIN = 15_000;

const servers = [];
let admin;
let entry;
let emulator;
let browser;
let viewer;
let playing = true;

before(async () => {
  [emulator, entry, admin] = await Promise.all([1, 2, 3].map(async () => `127.0.0.1:${await freePort()}`));
  const emulate = ['emulate', '--listen', emulator, '--latency', `${LATENCY}ms`];
  servers.push(await serve(binary(), emulate, `http://${emulator}/__emulator/stats`));
  const args = ['serve', '--upstream', `http://${emulator}`, '--listen', entry, '--admin', admin, '--record-sessions', '100'];
  servers.push(await serve(binary(), args, `http://${admin}/readyz`));
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update'],
  });
  viewer = view();
});

after(async () => {
  playing = false;
  await viewer?.played;
  await browser?.close();
  await Promise.all(servers.map((server) => server.stop()));
});

/** A viewer who loads all its playlists at once, again and again; its session's id is known once it has begun. */
function view() {
  let begun;
  const id = new Promise((done) => (begun = done));
  const played = (async () => {
    const multivariant = `http://${entry}/v1/master/acct/Demo/index.m3u8`;
    const text = await (await fetch(multivariant)).text();
    const links = [...text.matchAll(/^(?!#)(\S+)$|URI="([^"]+)"/gm)].map(([, line, attribute]) => new URL(line ?? attribute, multivariant));
    const [session] = /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/.exec(links[0].href);
    while (playing) {
      await Promise.all(links.slice(0, 3).map((link) => fetch(link).then((answer) => answer.text())));
      begun(session);
      await sleep(500);
    }
  })();
  return { id, played };
}

/** Opens the page in a window of its own, and tells at the end whether it kept to itself. */
async function open(colorScheme, width = 1280, height = 900) {
  const context = await browser.newContext({ colorScheme, viewport: { width, height } });
  const page = await context.newPage();
  page.setDefaultTimeout(WITHIN);
  const troubles = [];
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && troubles.push(message.text()));
  page.on('pageerror', (error) => troubles.push(String(error)));
  page.on('request', (request) => new URL(request.url()).host === admin || troubles.push(`asked ${request.url()}`));
  await page.goto(`http://${admin}/`);
  return {
    page,
    async close() {
      if (process.env.SCREENSHOTS) await page.screenshot({ path: `${process.env.SCREENSHOTS}/${colorScheme}-${width}.png`, fullPage: true });
      await context.close();
      assert.deepEqual(troubles, []);
    },
  };
}

/** A fault for all playlists of the emulator. */
async function fault(what) {
  const answer = await fetch(`http://${emulator}/__emulator/faults`, { method: 'POST', body: JSON.stringify(what) });
  assert.equal(answer.status, 200, await answer.text());
}

/** Waits until no element makes the page wider than its window. */
const isNarrow = (page) => page.evaluate('document.documentElement.scrollWidth <= innerWidth');

it('shows a session that waited, by keyboard alone', async () => {
  const id = await viewer.id;
  const { page, close } = await open('light');
  await page.locator('#state', { hasText: 'live' }).waitFor();
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  assert.equal(await page.evaluate('document.activeElement.id'), 'id', 'the first stop leads to the field');
  await page.keyboard.type(id.slice(0, 8));
  await page.keyboard.press('Enter');
  await page.locator('#waterfall').waitFor();
  const rows = page.locator('#bursts details');
  const waits = rows.filter({ has: page.locator('.bar i.wait') }).filter({ hasText: '200' }).first();
  await waits.waitFor();
  // What is being followed is drawn anew every second: it is a row that stays which is measured and opened.
  await page.locator('#follow').uncheck();
  const box = await waits.locator('.bar i.wait').boundingBox();
  assert.ok(box.width > 20, `the wait can be seen: ${JSON.stringify(box)}`);
  const upstream = await waits.locator('.bar i.up').boundingBox();
  assert.ok(upstream.x >= box.x + box.width - 1, 'it was sent after it had waited');
  await waits.locator('summary').focus();
  await page.keyboard.press('Enter');
  const story = await waits.locator('.steps').innerText();
  assert.match(story, /Its turn came and it was sent, after a wait of [0-9.]+ m?s\./);
  assert.match(story, /The upstream answered 200, a playlist\. AWS request id /);
  assert.match(story, /The player got 200\./);
  assert.ok(!(await page.content()).includes(id), 'nobody reads a whole id off the page');
  await close();
});

it('has news by itself', async () => {
  const { page, close } = await open('dark');
  const requests = page.locator('.tile', { hasText: 'Requests' }).locator('strong');
  await page.waitForFunction(() => /^[1-9]|^0\.[1-9]/.test(document.querySelector('.tile strong').textContent));
  assert.match(await requests.innerText(), /^[0-9.]+ \/s$/);
  await fault({ status: 409, count: 1, playlists: 'media' });
  await page.locator('#events .what.conflict').first().waitFor();
  await fault({ status: 502, for: '1s', playlists: 'media' });
  await page.locator('#events .what.rescue').first().waitFor();
  const told = page.locator('#events li', { has: page.locator('.what.rescue') }).first();
  assert.match(await told.innerText(), /the player got the last good playlist, [0-9.]+ s old\./);
  // From there to the session, and to what became of its request.
  await told.locator('button.session').click();
  await page.locator('#bursts .outcome', { hasText: 'rescue' }).first().waitFor();
  await page.getByRole('button', { name: 'Rescues' }).click();
  assert.equal(await page.locator('#events .what.conflict').count(), 0);
  await close();
});

for (const theme of ['light', 'dark']) it(`can be used on a telephone, ${theme}`, async () => {
  const id = await viewer.id;
  const { page, close } = await open(theme, 390, 844);
  await page.locator('#state', { hasText: 'live' }).waitFor();
  await page.locator('#id').fill(`${id.slice(0, 8)}…`);
  await page.getByRole('button', { name: 'Look up' }).click();
  await page.locator('#bursts details').first().waitFor();
  await page.locator('#follow').uncheck();
  await page.locator('#bursts summary').first().click();
  await page.locator('#bursts .steps').first().waitFor();
  assert.ok(await isNarrow(page), 'no scrolling to the side');
  await close();
});

it('says what to do where nothing is found', async () => {
  const context = await browser.newContext();
  const page = await context.newPage();
  page.setDefaultTimeout(WITHIN);
  const strange = '"><img src=x onerror=alert(1)>';
  await page.goto(`http://${admin}/#session=${encodeURIComponent(strange)}`);
  await page.locator('#said.trouble', { hasText: 'Nothing is recorded of this session. Give the whole id' }).waitFor();
  assert.equal(await page.locator('#id').inputValue(), strange);
  assert.equal(await page.locator('main img').count(), 0);
  await context.close();
});
