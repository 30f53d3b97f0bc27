// Players in headless Chromium, on pages that the test serves itself.
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const HERE = fileURLToPath(new URL('..', import.meta.url));
const SERVED = {
  '/player.html': ['page/player.html', 'text/html; charset=utf-8'],
  '/player.js': ['page/player.js', 'text/javascript; charset=utf-8'],
  '/hls.js': ['node_modules/hls.js/dist/hls.min.js', 'text/javascript; charset=utf-8'],
  '/hls.js-0.14.js': ['node_modules/hls.js-0.14/dist/hls.min.js', 'text/javascript; charset=utf-8'],
  '/hls.js-1.4.js': ['node_modules/hls.js-1.4/dist/hls.min.js', 'text/javascript; charset=utf-8'],
  '/shaka-4.js': ['node_modules/shaka-player-4/dist/shaka-player.compiled.js', 'text/javascript; charset=utf-8'],
  '/shaka.js': ['node_modules/shaka-player/dist/shaka-player.compiled.js', 'text/javascript; charset=utf-8'],
  '/video.js': ['node_modules/video.js/dist/video.min.js', 'text/javascript; charset=utf-8'],
  '/video-js.css': ['node_modules/video.js/dist/video-js.min.css', 'text/css; charset=utf-8'],
};

/** Older releases: whose page plays them, and with which script in place of its own. */
const OLDER = {
  'hls.js 0.14': { player: 'hls.js', script: 'hls.js-0.14.js' },
  'hls.js 1.4': { player: 'hls.js', script: 'hls.js-1.4.js' },
  'Shaka 4': { player: 'Shaka', script: 'shaka-4.js' },
};

let shared;

/** The browser that all pages of a run share, opened with the first of them, and again should it have crashed. */
export async function theBrowser() {
  shared ??= openBrowser();
  const known = shared;
  if ((await known).isConnected()) return known;
  if (shared === known) shared = openBrowser();
  return shared;
}

/** Closes it, if there is one. */
export async function closeTheBrowser() {
  await (await shared)?.close();
}

/** A browser and the server of its pages, for the players of one run. */
export async function openBrowser() {
  const server = createServer(async (request, response) => {
    const [file, type] = SERVED[new URL(request.url, 'http://page').pathname] ?? [];
    if (!file) return response.writeHead(404).end();
    response.writeHead(200, { 'content-type': type }).end(await readFile(join(HERE, file)));
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--mute-audio',
      '--autoplay-policy=no-user-gesture-required',
    ],
  });
  return {
    open: (player, master) => openPage(browser, `http://127.0.0.1:${server.address().port}`, player, master),
    version: () => browser.version(),
    isConnected: () => browser.isConnected(),
    async close() {
      await browser.close();
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}

async function openPage(browser, base, player, master) {
  // A context of its own: nothing cached or pooled is shared between players.
  const context = await browser.newContext({ viewport: { width: 480, height: 300 } });
  const page = await context.newPage();
  const playlists = [];
  const renditions = {};
  page.on('response', (response) => {
    const url = new URL(response.url());
    if (!url.pathname.endsWith('.m3u8')) return;
    playlists.push({ path: url.pathname, status: response.status() });
    if (url.pathname.includes('/v1/master/')) noteRenditions(response, renditions);
  });
  await page.goto(`${base}/player.html?${new URLSearchParams({ ...(OLDER[player] ?? { player }), master })}`);
  return {
    look: () => page.evaluate('look()'),
    errors: () => page.evaluate('errors'),
    /** Every playlist answer that the page saw. */
    playlists: () => playlists,
    /** The error statuses among them. */
    statuses: () => playlists.map(({ status }) => status).filter((status) => status >= 400),
    /** The kinds of alternate rendition (`AUDIO`, `SUBTITLES`) whose playlist this player has loaded. */
    loaded: () => Object.keys(renditions).filter((kind) => playlists.some(({ path, status }) => path === renditions[kind] && status === 200)),
    /** Calls a function in the page, with something that can be sent there. */
    evaluate: (does, what) => page.evaluate(does, what),
    screenshot: (path) => page.screenshot({ path }),
    close: () => context.close(),
  };
}

/** Reads from the multivariant playlist where the alternate renditions are. */
async function noteRenditions(response, renditions) {
  // A page that is closed meanwhile takes the body with it.
  const text = await response.text().catch(() => '');
  for (const [, attributes] of text.matchAll(/^#EXT-X-MEDIA:(.*)$/gm)) {
    const kind = /TYPE=([A-Z-]+)/.exec(attributes)?.[1];
    const uri = /URI="([^"]+)"/.exec(attributes)?.[1];
    if (kind && uri) renditions[kind] ??= new URL(uri, response.url()).pathname;
  }
}
