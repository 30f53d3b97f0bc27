// The lanes, to look at: what /api/overview says, what /api/events adds every second, and one session's last requests.
'use strict';

const KEPT = 300;
const by = (id) => document.getElementById(id);
const state = { seconds: [], events: [], levels: {}, filter: 'all', shown: undefined, drawn: '' };

// === What is written how ===

/** An element; what is given it as text stays text, whoever's it is. */
function make(name, attributes = {}, ...content) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === 'onclick') element.addEventListener('click', value);
    else if (value !== undefined && value !== false) element.setAttribute(key, value);
  }
  element.append(...content.filter((part) => part !== undefined && part !== ''));
  return element;
}

function time(ms) {
  if (ms === null) return '–';
  if (ms >= 9_950) return `${(ms / 1000).toFixed(1)} s`;
  if (ms >= 999.5) return `${(ms / 1000).toFixed(2)} s`;
  return `${ms >= 9.95 || ms === 0 ? Math.round(ms) : ms.toFixed(1)} ms`;
}

const rate = (n) => (n >= 99.5 || n === 0 ? String(Math.round(n)) : n.toFixed(1));
/** As logs have it. */
const clock = (at) => new Date(at).toISOString().slice(11, 19);
const sentence = (text) => (text ? `${text[0].toUpperCase()}${text.slice(1)}.` : '');
const words = (name) => name.replaceAll('_', ' ');
const many = (n, one, more = `${one}s`) => `${n} ${n === 1 ? one : more}`;

/** A session by the beginning of its id; to be looked up where sessions are recorded. */
function session(short) {
  if (!short) return make('span', { class: 'none' }, 'no session');
  if (!state.levels.recorded) return make('span', { class: 'session' }, short);
  return make('button', { class: 'session', type: 'button', title: 'Look up this session', onclick: () => lookUp(short, true) }, short);
}

// === Now ===

const sum = (seconds, key) => seconds.reduce((all, second) => all + second[key], 0);
const perSecond = (seconds, key) => sum(seconds, key) / Math.max(sum(seconds, 'took_ms') / 1000, 0.001);
const most = (seconds, key) => seconds.reduce((all, second) => Math.max(all, second[key]), 0);

/** The mean over all exchanges, not over all seconds; null where none has ended, as in a hang. */
function mean(seconds, key) {
  const exchanges = sum(seconds, 'exchanges');
  return exchanges ? seconds.reduce((all, second) => all + second[key] * second.exchanges, 0) / exchanges : null;
}

/** Each: its name, what its chart draws of a second, and what it says of the last seconds and of all minutes. */
const TILES = [
  ['Requests', (s) => s.requests, (last, all) => [`${rate(perSecond(last, 'requests'))} /s`, `${many(sum(all, 'left'), 'player')} left before the answer`]],
  ['Waiting', (s) => s.waiting, () => [String(state.levels.waiting ?? 0), `${many(state.levels.lanes ?? 0, 'lane')} in use`]],
  ['Wait for the turn', (s) => s.longest_wait_ms, (last, all) => [time(mean(last, 'wait_ms')), `longest ${time(most(all, 'longest_wait_ms'))}`]],
  ['Time upstream', (s) => s.upstream_ms, (last) => [time(mean(last, 'upstream_ms')), `${many(state.levels.exchanges ?? 0, 'exchange')} open`]],
  ['Conflicts', (s) => s.conflicts, (_, all) => [String(sum(all, 'conflicts')), `${many(sum(all, 'retries'), 'retry', 'retries')}`], 'alarm'],
  ['Rescues', (s) => s.rescues, (_, all) => [String(sum(all, 'rescues')), 'got the last good playlist'], 'alarm'],
  ['Errors to players', (s) => s.errors, (_, all) => [String(sum(all, 'errors')), `${sum(all, 'shielded')} answered here at once`], 'alarm'],
  ['Repeats attached', (s) => s.attached, (_, all) => [String(sum(all, 'attached')), 'spared the upstream a request']],
];

function svg(name, attributes) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

const tiles = TILES.map(([name, of, says, alarm]) => {
  const [value, more] = [make('strong', {}, '–'), make('p', {})];
  const chart = svg('svg', { viewBox: `0 0 ${KEPT} 40`, preserveAspectRatio: 'none', role: 'img' });
  const [area, line] = [svg('path', { class: 'area' }), svg('path', { class: 'line' })];
  chart.append(area, line);
  const tile = make('div', { class: 'tile' }, make('h3', {}, name), value, more, chart);
  by('tiles').append(tile);
  return () => {
    const last = state.seconds.slice(-5);
    const [text, aside] = says(last, state.seconds);
    value.textContent = text;
    more.textContent = aside;
    if (alarm) tile.classList.toggle('alarm', state.seconds.slice(-60).some((second) => of(second) > 0));
    const values = state.seconds.map(of);
    const top = Math.max(...values, 1e-9);
    const points = values.map((y, n) => `${KEPT - values.length + n + 1},${(39 - (y / top) * 37).toFixed(1)}`);
    chart.setAttribute('aria-label', `${name} in the last ${many(values.length, 'second')}`);
    line.setAttribute('d', points.length ? `M${points.join('L')}` : '');
    area.setAttribute('d', points.length ? `M${KEPT - values.length + 1},40L${points.join('L')}L${KEPT},40Z` : '');
  };
});

/** Which upstream it is about, where there are several. */
const at = ({ upstream }) => (upstream ? make('small', {}, ` at ${upstream}`) : '');

function drawLevels() {
  tiles.forEach((draw) => draw());
  const { longest = [], ready, exchanges, lease } = state.levels;
  const told = lease && !lease.up ? `Turns are not agreed with other instances: ${lease.why}. They are those of this one alone, and may conflict.` : '';
  by('lease').hidden = !told;
  if (by('lease').textContent !== told) by('lease').textContent = told;
  const rows = longest.map((lane) => make('tr', {}, make('td', {}, session(lane.session), at(lane)), make('td', { class: 'number' }, String(lane.waiting))));
  if (!rows.length) rows.push(make('tr', {}, make('td', { colspan: 2, class: 'none' }, 'Nobody waits.')));
  // Who has come to a session by keyboard is not to lose it every second.
  if (!by('longest').contains(document.activeElement)) by('longest').replaceChildren(...rows);
  if (ready === false) tell('draining', `draining: ${many(exchanges, 'exchange')} left`);
}

function tell(name, text) {
  if (by('state').textContent === text) return;
  by('state').dataset.state = name;
  by('state').firstElementChild.textContent = text;
}

// === What happened ===

const FILTERS = { all: 'All', conflict: 'Conflicts', rescue: 'Rescues', remap: 'Remaps' };
const filters = Object.entries(FILTERS).map(([name, text]) => {
  const button = make('button', { type: 'button', onclick: () => { state.filter = name; drawEvents(); } }, text);
  by('filters').append(button);
  return [name, button];
});

function drawEvents() {
  for (const [name, button] of filters) button.setAttribute('aria-pressed', String(state.filter === name));
  const rows = [];
  let before;
  for (const event of state.events) {
    if (state.filter !== 'all' && state.filter !== event.what) continue;
    const same = before && ['what', 'reason', 'session', 'upstream'].every((key) => before.event[key] === event[key]);
    if (same) {
      before.times += 1;
      before.count.textContent = ` × ${before.times}`;
      continue;
    }
    const count = make('span', { class: 'none' });
    const words = make('div', {}, session(event.session), at(event), ' ', event.words, count, make('small', {}, sentence(event.remedy)));
    rows.push(make('li', {}, make('time', {}, clock(event.at)), make('span', { class: `what ${event.what}` }, event.what), words));
    before = { event, count, times: 1 };
  }
  if (!rows.length) rows.push(make('li', { class: 'none' }, 'Nothing yet.'));
  by('events').replaceChildren(...rows);
}

// === A session ===

/** Shows a session's last requests, and goes on to if it is to be followed. */
async function lookUp(id, move) {
  state.shown = id.trim().replace(/…$/, '');
  state.drawn = '';
  by('id').value = state.shown;
  history.replaceState(null, '', `#session=${encodeURIComponent(state.shown)}`);
  await drawSession();
  if (move) {
    by('look').scrollIntoView({ block: 'start' });
    by('id').focus({ preventScroll: true });
  }
}

/** Draws what is known of the session that is shown; a redraw that was begun to follow it ends with the following. */
async function drawSession(follows = false) {
  const id = state.shown;
  let told;
  try {
    const answer = await fetch(`api/sessions/${encodeURIComponent(id)}`);
    told = await answer.json();
    if (id !== state.shown || (follows && !by('follow').checked)) return;
    if (!answer.ok) {
      by('waterfall').hidden = true;
      return say(`${sentence(told.detail)} ${sentence(told.remedy)}`, true);
    }
  } catch {
    return say('onelane does not answer. Is it still running?', true);
  }
  const moves = told.requests.some((request) => !isOver(request));
  const text = JSON.stringify(told.requests.map(({ age_ms, ...rest }) => rest));
  if (text === state.drawn && !moves) return;
  state.drawn = text;
  say(`${told.session} its last ${many(told.requests.length, 'request')}, the newest burst first. Times are UTC, as in the logs.`);
  const open = new Set([...document.querySelectorAll('#bursts details[open]')].map((row) => row.dataset.number));
  const focused = document.activeElement?.closest?.('#bursts details')?.dataset.number;
  by('bursts').replaceChildren(...bursts(told.requests).reverse().map((burst) => drawBurst(burst, open)));
  by('waterfall').hidden = false;
  document.querySelector(`#bursts details[data-number="${focused}"] summary`)?.focus({ preventScroll: true });
}

function say(text, trouble = false) {
  by('said').classList.toggle('trouble', trouble);
  if (by('said').textContent !== text) by('said').textContent = text;
}

const isOver = (request) => (request.answer || request.left_ms !== null) && (request.sent_ms === null || request.ended);

/** When there is nothing more to come of a request, as far as is known. */
function end(request) {
  const { answer, left_ms, ended, age_ms } = request;
  return isOver(request) ? Math.max(answer?.at_ms ?? 0, left_ms ?? 0, ended?.at_ms ?? 0) : age_ms;
}

/** Requests that overlap, or nearly so, are shown over one axis. */
function bursts(requests) {
  const all = [];
  let until = -Infinity;
  for (const request of requests) {
    if (request.at > until + 50) all.push([]);
    all.at(-1).push(request);
    until = Math.max(until, request.at + end(request));
  }
  return all;
}

function drawBurst(requests, open) {
  const from = requests[0].at;
  const span = Math.max(...requests.map((request) => request.at - from + end(request)), 1);
  const title = make('h3', {}, `${clock(from)}.${String(from % 1000).padStart(3, '0')}`, make('span', {}, `${many(requests.length, 'request')}, ${time(span)}`));
  const rows = requests.map((request) => {
    const summary = make('summary', {}, name(request), bar(request, request.at - from, span), outcome(request));
    const row = make('details', { 'data-number': request.number }, summary, make('ol', { class: 'steps' }, ...steps(request)));
    row.open = open.has(String(request.number));
    return make('li', {}, row);
  });
  return make('div', { class: 'burst' }, title, make('ol', {}, ...rows));
}

const name = (request) => make('span', { class: 'name' }, request.playlist || request.kind, at(request));

/** What its time went to: [class, from, to], and whether it goes on. */
function parts(request) {
  const { sent_ms, attempts, ended, attached_to, answer, left_ms } = request;
  const over = end(request);
  const gone = answer?.at_ms ?? left_ms ?? Infinity;
  if (attached_to !== null) return [['attached', 0, Math.min(gone, over)]];
  if (sent_ms === null) return request.shielded ? [] : [['wait', 0, Math.min(gone, over)]];
  const all = [['wait', 0, sent_ms]];
  let from = sent_ms;
  let done = false;
  const upstream = (kind, to) => {
    // A millisecond later is the way to the player.
    const cut = to > gone + 1 ? Math.max(from, gone) : to;
    all.push([kind, from, cut], ['drain', cut, to]);
  };
  for (const attempt of attempts) {
    upstream(attempt.verdict === 'playlist' || attempt.verdict === 'passed' ? 'up' : 'bad', attempt.ended_ms);
    from = attempt.ended_ms;
    done = attempt.pause_ms === null;
    if (!done) all.push(['pause', from, Math.min((from += attempt.pause_ms), over)]);
  }
  if (!done || ended?.failed) upstream(ended?.failed ? 'bad' : 'up', Math.max(ended?.at_ms ?? over, from));
  // Who comes into an empty lane does not wait.
  return all.filter(([kind, begin, finish]) => finish - begin > (kind === 'wait' ? 1 : 0.05));
}

function bar(request, offset, span) {
  const place = (kind, from, to) => {
    const piece = make('i', { class: kind });
    piece.style.left = `${((offset + from) / span) * 100}%`;
    if (to !== undefined) piece.style.width = `${((to - from) / span) * 100}%`;
    return piece;
  };
  const pieces = parts(request).map((part) => place(...part));
  if (!isOver(request)) pieces.at(-1)?.classList.add('running');
  if (request.answer) pieces.push(place('answer', request.answer.at_ms));
  return make('span', { class: 'bar', 'aria-hidden': 'true' }, ...pieces);
}

function outcome(request) {
  const { answer, left_ms, sent_ms, attached_to } = request;
  const told = (kind, short, more) => make('span', { class: `outcome ${kind}` }, make('b', {}, short), more);
  if (answer?.rescue) return told('odd', String(answer.status), `rescue: ${words(answer.rescue)}`);
  if (answer?.reason) return told('bad', String(answer.status), words(answer.reason));
  if (answer) return told(answer.status < 400 ? 'good' : 'bad', String(answer.status), `after ${time(answer.at_ms)}`);
  if (left_ms !== null) return told('odd', 'left', `after ${time(left_ms)}`);
  if (attached_to !== null) return told('odd', 'attached', `to ${attached_to}`);
  return sent_ms === null ? told('odd', 'waits', time(request.age_ms)) : told('odd', 'upstream', `for ${time(request.age_ms - sent_ms)}`);
}

/** A request's story in words. */
function steps(request) {
  const { number, kind, playlist, sent_ms, attempts, ended, attached_to, attached, shielded, answer, left_ms } = request;
  const all = [[0, `Request ${number} came${request.upstream ? ` for upstream ${request.upstream}` : ''}: ${kind} ${playlist}`]];
  if (attached_to !== null) all.push([0, `It attached to request ${attached_to}, which asked for the same: one exchange, one answer for both.`]);
  if (shielded) all.push([answer?.at_ms ?? 0, `Answered here without the upstream: the session is known to be ${words(shielded)}.`]);
  if (sent_ms !== null) all.push([sent_ms, sent_ms < 1 ? 'Its lane was empty: it was sent at once.' : `Its turn came and it was sent, after a wait of ${time(sent_ms)}.`]);
  for (const { ended_ms, status, verdict, means, exception, request_id, pause_ms } of attempts) {
    const what = status === null ? 'No answer' : `The upstream answered ${status}`;
    const why = means ? `${exception ?? verdict}: ${means}.` : 'a playlist.';
    const again = pause_ms === null ? '' : ` It is sent again after ${time(pause_ms)}.`;
    all.push([ended_ms, `${what}, ${why}${request_id ? ` AWS request id ${request_id}.` : ''}${again}`]);
  }
  if (request.attempts_left_out) all.push([ended?.at_ms ?? 0, `${many(request.attempts_left_out, 'more attempt')} not shown.`]);
  if (answer?.rescue) all.push([answer.at_ms, answer.rescue === 'slow' ? 'The upstream was slow: the player got the last good playlist, and the exchange went on.' : `The player got the last good playlist in place of an answer that was ${words(answer.rescue)}.`]);
  else if (answer?.reason) all.push([answer.at_ms, `The player got ${answer.status}, made here: ${answer.means}. ${sentence(answer.remedy)}`]);
  else if (answer) all.push([answer.at_ms, `The player got ${answer.status}.`]);
  if (left_ms !== null) all.push([left_ms, sent_ms === null ? 'The player left; what waits for nobody is not sent.' : 'The player left; what was sent goes on to its end, so that it meets no other request.']);
  if (ended) all.push([ended.at_ms, `The exchange ended${ended.failed ? ` as ${words(ended.failed)}` : ''}; the turn went on${attached ? `. ${many(attached, 'repeat')} attached to it` : ''}.`]);
  return all.sort(([one], [other]) => one - other).map(([at, text]) => make('li', {}, make('time', {}, `+${time(at)}`), make('span', {}, text)));
}

// === News ===

function take(news) {
  const { second, events, seconds, version, upstream, ...levels } = news;
  if (version) by('about').textContent = `${version} before ${upstream}`;
  if (seconds) state.seconds = seconds;
  if (second && second.at > (state.seconds.at(-1)?.at ?? 0)) state.seconds.push(second);
  state.seconds = state.seconds.slice(-KEPT);
  const recorded = Boolean(state.levels.recorded) !== Boolean(levels.recorded);
  state.levels = levels;
  if (!levels.recorded && !state.shown) say('Sessions are not recorded. Start onelane with --record-sessions 1000 to look at one.');
  drawLevels();
  if (events) state.events = events;
  if (events || recorded) drawEvents();
}

async function overview() {
  take(await (await fetch('api/overview')).json());
}

const news = new EventSource('api/events');
news.addEventListener('open', () => {
  tell('live', 'live');
  overview().catch(() => tell('lost', 'onelane does not answer'));
});
news.addEventListener('second', (event) => {
  take(JSON.parse(event.data));
  if (state.levels.ready) tell('live', 'live');
  if (state.shown && by('follow').checked) drawSession(true);
});
news.addEventListener('error', () => {
  tell('lost', news.readyState === EventSource.CLOSED ? 'not live: reload the page' : 'not connected, trying again');
});

by('find').addEventListener('submit', (event) => {
  event.preventDefault();
  lookUp(by('id').value);
});

function fromAddress() {
  const id = new URLSearchParams(location.hash.slice(1)).get('session');
  if (id && id !== state.shown) lookUp(id);
}
addEventListener('hashchange', fromAddress);
fromAddress();
drawEvents();
