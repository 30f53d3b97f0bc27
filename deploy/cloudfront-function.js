// A CloudFront function (runtime 2.0, viewer request) that sends every request of a MediaTailor session to the same onelane, where no
// balancer stands between them: each has an address of its own. docs/fleet.md says when to take it.
import cf from 'cloudfront';
import crypto from 'crypto';

// Yours. When one is added or taken away, only the sessions of that one move.
const HOMES = ['onelane-a.example.com', 'onelane-b.example.com', 'onelane-c.example.com'];

// By MediaTailor's URLs; there may be a prefix before /v1. What the path says goes before the query.
const OF_PATH = [
  [/^.*\/v1\/manifest\/(?:[^\/]+\/)+([^\/]+)\/[^\/]+\.m3u8$/, 1],
  [/^.*\/v1\/tracking\/(?:[^\/]+\/)+([^\/]+)\/?$/, 1],
  [/^.*\/v1\/(?:dash)?segment\/(?:[^\/]+\/)?[^\/]+\/([^\/]+)\/[^\/]+\/[^\/]+$/, 1],
];
const BY_QUERY = /\/v1\/(?:master|dash|i-media)\//;

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch (e) {
    return text;
  }
}

function parameter(query, name) {
  return query[name] && query[name].value ? decoded(query[name].value) : undefined;
}

/** The session that a request names, if it names one. */
function sessionOf(request) {
  const path = decoded(request.uri);
  const query = request.querystring;
  for (let n = 0; n < OF_PATH.length; n += 1) {
    const found = OF_PATH[n][0].exec(path);
    if (found && !(path.indexOf('segment/') >= 0 && query['aws.segmentRelativePath'])) return found[OF_PATH[n][1]];
  }
  if (!BY_QUERY.test(path)) return undefined;
  return parameter(query, 'aws.sessionId') || parameter(query, 'sessionId');
}

/** The home whose hash with the session is the highest: it stays the same for as long as that home is there. */
function homeOf(session) {
  let best;
  let highest = '';
  for (let n = 0; n < HOMES.length; n += 1) {
    const hash = crypto.createHash('sha256').update(`${HOMES[n]} ${session}`).digest('hex');
    if (hash > highest) {
      highest = hash;
      best = HOMES[n];
    }
  }
  return best;
}

function handler(event) {
  const session = sessionOf(event.request);
  // Whoever has none yet goes to the origin of the behaviour, which may be any of them.
  if (session) cf.updateRequestOrigin({ domainName: homeOf(session) });
  return event.request;
}
