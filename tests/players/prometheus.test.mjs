// A real Prometheus scrapes onelane while players meet every kind of trouble: the exposition and the rules pass its own check, every
// rule is evaluated, and every expression of the dashboard finds something.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { freePort, serve } from './lib/processes.mjs';
import { binary } from './lib/stage.mjs';

const DEPLOY = fileURLToPath(new URL('../../deploy/', import.meta.url));
const RULES = join(DEPLOY, 'prometheus-rules.yml');
/** How long Prometheus may take to have it all, in ms. */
const WITHIN = 60_000;

const servers = [];
let place;
let admin;
let entry;
let emulator;
let prometheus;
let playing = true;
let viewers;

before(async () => {
  place = await mkdtemp(join(tmpdir(), 'onelane-prometheus-'));
  emulator = `127.0.0.1:${await freePort()}`;
  entry = `127.0.0.1:${await freePort()}`;
  admin = `127.0.0.1:${await freePort()}`;
  prometheus = `127.0.0.1:${await freePort()}`;
  servers.push(await serve(binary(), ['emulate', '--listen', emulator, '--latency', '20ms'], `http://${emulator}/__emulator/stats`));
  const args = ['serve', '--upstream', `http://${emulator}`, '--listen', entry, '--admin', admin];
  servers.push(await serve(binary(), args, `http://${admin}/readyz`));
  const config = {
    global: { scrape_interval: '1s', evaluation_interval: '1s' },
    rule_files: [RULES],
    scrape_configs: [{ job_name: 'onelane', static_configs: [{ targets: [admin] }] }],
  };
  // YAML reads JSON.
  await writeFile(join(place, 'prometheus.yml'), JSON.stringify(config));
  const flags = [`--config.file=${join(place, 'prometheus.yml')}`, `--storage.tsdb.path=${join(place, 'data')}`];
  servers.push(await serve('prometheus', [...flags, `--web.listen-address=${prometheus}`], `http://${prometheus}/-/ready`));
  viewers = Promise.all([view(), view(), trouble()]);
});

after(async () => {
  playing = false;
  await viewers;
  await Promise.all(servers.map((server) => server.stop()));
  await rm(place, { recursive: true, force: true });
});

/** A viewer who loads all its playlists at once, again and again, and now and then leaves before the answer. */
async function view() {
  const multivariant = `http://${entry}/v1/master/acct/Demo/index.m3u8`;
  while (playing) {
    const text = await (await fetch(multivariant)).text();
    const links = [...text.matchAll(/^(?!#)(\S+)$|URI="([^"]+)"/gm)].map(([, line, attribute]) => new URL(line ?? attribute, multivariant));
    for (let n = 0; playing && n < 20; n += 1) {
      const leaves = n % 5 === 4 ? { signal: AbortSignal.timeout(10) } : {};
      await Promise.all(links.map((link) => fetch(link, leaves).then((answer) => answer.text()).catch(() => {})));
      await sleep(100);
    }
  }
}

/** An upstream that conflicts, fails and loses sessions, a little of each, again and again: a rate has something of each at all times. */
async function trouble() {
  const statuses = [409, 503, 502, 404];
  for (let n = 0; playing; n += 1) {
    const status = statuses[n % statuses.length];
    const fault = JSON.stringify({ status, for: '1500ms', playlists: 'media' });
    const answer = await fetch(`http://${emulator}/__emulator/faults`, { method: 'POST', body: fault });
    assert.equal(answer.status, 200, await answer.text());
    await sleep(2_500);
  }
}

function promtool(args, input) {
  const { status, stdout, stderr, error } = spawnSync('promtool', args, { input, encoding: 'utf8' });
  assert.equal(status, 0, `promtool ${args.join(' ')}: ${error ?? ''}${stdout}${stderr}`);
  return stdout + stderr;
}

async function api(path) {
  const answer = await fetch(`http://${prometheus}/api/v1/${path}`);
  const { status, data, error } = await answer.json();
  assert.equal(status, 'success', `${path}: ${error}`);
  return data;
}

/** Asks until nothing is missing, or fails with what is. */
async function until(missing) {
  const end = Date.now() + WITHIN;
  for (;;) {
    const left = await missing();
    if (left.length === 0) return;
    assert.ok(Date.now() < end, `still missing: ${left.join('\n')}`);
    await sleep(500);
  }
}

it('shows what promtool finds no fault with', async () => {
  const text = await (await fetch(`http://${admin}/metrics`)).text();
  assert.match(text, /^onelane_build_info/m);
  promtool(['check', 'metrics'], text);
});

it('has rules that are evaluated', async () => {
  promtool(['check', 'rules', RULES]);
  await until(async () => {
    const { groups } = await api('rules');
    const rules = groups.flatMap((group) => group.rules);
    assert.ok(rules.length > 10, JSON.stringify(groups));
    return rules.filter(({ health }) => health !== 'ok').map(({ name, health, lastError }) => `${name}: ${health} ${lastError ?? ''}`);
  });
});

it('pages when nobody can begin, and when sessions are lost', async () => {
  const series = (kind, status, values) => ({ series: `onelane_requests_total{instance="a",kind="${kind}",status="${status}"}`, values });
  const cases = [
    [[series('session_creation', '200', '0+60x20'), series('session_creation', '502', '0+1x20')], ['OnelanePlayersGetErrors']],
    [[series('session_creation', '502', '0+6x20')], ['OnelanePlayersCannotStart', 'OnelanePlayersGetErrors']],
    [[series('media', '200', '0+6000x20'), series('multivariant', '404', '0+6x20')], ['OnelanePlayersCannotStart']],
    [[series('media', '200', '0+60x20'), series('session_creation', '200', '0+60x20'), series('session_creation', '404', '0+6x20')], []],
    [[series('multivariant', '404', '0+1x20')], []],
    [[series('media', '404', '0+60x20'), series('other', '404', '0+60x20')], []],
    [[series('media', '200', '0+300x20'), series('media', '404', '0+200x20')], ['OnelaneSessionsAreLost']],
    [[series('media', '200', '0+6000x20'), series('media', '404', '0+200x20')], []],
    // One failure among few requests is nobody's night.
    [[series('media', '200', '0+30x20'), series('media', '502', '0x11 1x8')], []],
  ];
  const tests = cases.map(([input_series, firing]) => ({
    interval: '1m',
    input_series,
    promql_expr_test: [
      {
        expr: 'group by (alertname) (ALERTS{alertstate="firing"})',
        eval_time: '15m',
        exp_samples: firing.map((alertname) => ({ labels: `{alertname="${alertname}"}`, value: 1 })),
      },
    ],
  }));
  const file = join(place, 'rules-test.yml');
  await writeFile(file, JSON.stringify({ rule_files: [RULES], evaluation_interval: '1m', tests }));
  promtool(['test', 'rules', file]);
});

it('has a dashboard whose every expression finds something', async () => {
  const dashboard = JSON.parse(await readFile(join(DEPLOY, 'grafana-dashboard.json'), 'utf8'));
  const expressions = dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
  assert.ok(expressions.length > 20);
  // Each is to be found once, not all of them in one moment: what is rated over seconds comes and goes with the trouble.
  const missing = new Set(expressions);
  await until(async () => {
    const asked = [...missing].map(async (expression) => {
      const query = expression.replaceAll('$__rate_interval', '15s').replaceAll('$instance', '.*');
      const { result } = await api(`query?${new URLSearchParams({ query })}`);
      if (result.some(({ value: [, value] }) => value !== 'NaN')) missing.delete(expression);
    });
    await Promise.all(asked);
    return [...missing];
  });
  const data = await api('query?query=sum(onelane_conflicts_total)');
  assert.ok(Number(data.result[0].value[1]) > 0, 'the trouble was real');
});
