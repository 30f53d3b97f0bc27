// A CloudFront function (runtime 2.0, viewer request) that sends every request of a MediaTailor session to the same onelane, where no
// balancer stands between them: each is an origin of the distribution. docs/fleet.md says when to take it, and how to set the origins.
import cf from 'cloudfront';
import crypto from 'crypto';

// Yours: the ids of the origins. When one is added or taken away, only the sessions of that one move.
const HOMES = ['onelane-a', 'onelane-b', 'onelane-c'];

const KINDS = ['manifest', 'master', 'dash', 'i-media', 'session', 'tracking', 'segment', 'dashsegment', 'channel', 'interstitials', 'webvtt'];

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch (e) {
    return text;
  }
}

/** The first value of a query parameter; an empty one counts as none. */
function parameter(query, name) {
  for (const key in query) {
    if (decoded(key) !== name) continue;
    const values = query[key].multiValue || [query[key]];
    for (let n = 0; n < values.length; n += 1) if (values[n].value) return decoded(values[n].value);
  }
  return undefined;
}

/** What a request is for, by MediaTailor's URLs: its kind, and the parts behind that. What stands before the first /v1/<kind> is a CDN's. */
function routeOf(request) {
  const parts = request.uri.split('/').map(decoded);
  let at = 1;
  while (at < parts.length && !(parts[at - 1] === 'v1' && KINDS.indexOf(parts[at]) >= 0)) at += 1;
  return { kind: parts[at], rest: parts.slice(at + 1) };
}

/** The session that a request names, if it names one. */
function sessionOf(request, route) {
  const rest = route.rest;
  const last = rest.length - 1;
  switch (route.kind) {
    case 'manifest':
      return last >= 2 && rest[last].endsWith('.m3u8') ? rest[last - 1] : undefined;
    case 'tracking': {
      const end = rest[last] === '' ? last - 1 : last;
      return end >= 1 ? rest[end] : undefined;
    }
    case 'segment':
    case 'dashsegment':
      if (parameter(request.querystring, 'aws.segmentRelativePath')) return undefined;
      return last === 3 || last === 4 ? rest[last - 2] : undefined;
    case 'master':
    case 'dash':
    case 'i-media':
      return parameter(request.querystring, 'aws.sessionId') || parameter(request.querystring, 'sessionId');
    default:
      return undefined;
  }
}

/** The homes, that with the highest hash of itself and the session first: it stays so for as long as that home is there. */
function homesOf(session) {
  const hashed = HOMES.map((home) => ({ home, hash: crypto.createHash('sha256').update(`${home} ${session}`).digest('hex') }));
  return hashed.sort((a, b) => (a.hash < b.hash ? 1 : -1)).map((one) => one.home);
}

function handler(event) {
  const route = routeOf(event.request);
  const session = sessionOf(event.request, route);
  // Whoever has none yet goes to the origin of the behaviour, which may be any of them.
  if (!session) return event.request;
  const homes = homesOf(session);
  // Segments pass through onelane as they come, MediaTailor's 503 when the quota is used up as well: a second one would use up more.
  if (homes.length === 1 || route.kind === 'segment' || route.kind === 'dashsegment') {
    cf.selectRequestOriginById(homes[0]);
  } else {
    // The second is where the session would live without the first. CloudFront asks it where it cannot connect to the first, and for
    // 503, which is what onelane says while it shuts down, and for a blocking reload that took too long; other answers are not repeated.
    cf.createRequestOriginGroup({
      originIds: [{ originId: homes[0] }, { originId: homes[1] }],
      failoverCriteria: { statusCodes: [503] },
    });
  }
  return event.request;
}
