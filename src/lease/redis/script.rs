use std::{fmt::Display, time::Duration};

use redis::{Script, ScriptInvocation};

use crate::lease::{RESERVED, TTL, Token};

/// Grants a lease that nobody has, that is kept for this instance, or that an earlier turn of it has not
/// given up yet while nobody is in line: the lane has seen to it that that turn is over. Otherwise the
/// instance gets in line.
const ACQUIRE: &str = r"
local lease, line, me, token, ttl = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3]
if not redis.call('SET', lease, token, 'NX', 'PX', ttl) then
  local held = redis.call('GET', lease) or ''
  local earlier = string.sub(held, 1, #me + 1) == me .. ':' and redis.call('EXISTS', line) == 0
  if held ~= 'next:' .. me and not earlier then
    if not redis.call('LPOS', line, me) then redis.call('RPUSH', line, me) end
    redis.call('PEXPIRE', line, ARGV[4])
    return 0
  end
  redis.call('SET', lease, token, 'PX', ttl)
end
redis.call('LREM', line, 0, me)
return 1
";

const RENEW: &str = r"
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
";

/// Gives a lease up, or the claim to be next for it, and keeps it for a moment for whoever is first in line.
const RELEASE: &str = r"
local held = redis.call('GET', KEYS[1])
if held ~= ARGV[2] and held ~= 'next:' .. ARGV[1] then return 0 end
local first = redis.call('LPOP', KEYS[2])
if first then
  redis.call('SET', KEYS[1], 'next:' .. first, 'PX', ARGV[3])
  redis.call('PUBLISH', ARGV[4] .. first, ARGV[5])
else
  redis.call('DEL', KEYS[1])
end
return 1
";

/// Somebody in line, so that a release has something to do.
const LINE_UP: &str = r"
redis.call('RPUSH', KEYS[1], 'nobody')
return redis.call('PEXPIRE', KEYS[1], ARGV[1])
";

/// Counts over a minute, in slices of ten seconds, the newest first. Which slice it is says a key that lives
/// as long as one: no clock but the engine's has a say.
const SPEND: &str = r"
local slices, slice = KEYS[1], KEYS[2]
if redis.call('SET', slice, '', 'NX', 'PX', ARGV[2]) or redis.call('LLEN', slices) == 0 then
  redis.call('LPUSH', slices, 0)
  redis.call('LTRIM', slices, 0, ARGV[3] - 1)
end
redis.call('LSET', slices, 0, redis.call('LINDEX', slices, 0) + ARGV[1])
redis.call('PEXPIRE', slices, ARGV[2] * ARGV[3])
local all = 0
for _, count in ipairs(redis.call('LRANGE', slices, 0, -1)) do all = all + count end
return all
";

/// How long a slice is: how exact the minute.
pub(super) const SLICE: Duration = Duration::from_secs(10);

/// A minute has six slices, and the one that it began in.
const SLICES: usize = 7;

/// Where the instances are told that they are next; the instance follows.
const CHANNEL: &str = "onelane:next:";

/// What is asked of the engine. Each is one step there.
pub(super) struct Scripts {
    acquire: Script,
    renew: Script,
    release: Script,
    line_up: Script,
    spend: Script,
}

/// Where an instance is told that it is next.
pub(super) fn channel(instance: &str) -> String {
    format!("{CHANNEL}{instance}")
}

/// In braces, so that both are on one node of a cluster.
fn key(lease: &impl Display) -> String {
    format!("onelane:{{{lease}}}")
}

fn line(lease: &impl Display) -> String {
    format!("onelane:{{{lease}}}line")
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}

// === impl Scripts ===

impl Scripts {
    pub(super) fn new() -> Self {
        let [acquire, renew, release, line_up, spend] =
            [ACQUIRE, RENEW, RELEASE, LINE_UP, SPEND].map(Script::new);
        Self { acquire, renew, release, line_up, spend }
    }

    pub(super) fn acquire(&self, lease: &impl Display, token: &Token, ttl: Duration) -> ScriptInvocation<'_> {
        let mut ask = self.acquire.prepare_invoke();
        ask.key(key(lease)).key(line(lease));
        // The line outlives the lease that it is for.
        ask.arg(token.instance()).arg(token.as_str()).arg(ms(ttl)).arg(ms(TTL * 2));
        ask
    }

    pub(super) fn renew(&self, lease: &impl Display, token: &Token, ttl: Duration) -> ScriptInvocation<'_> {
        let mut ask = self.renew.prepare_invoke();
        ask.key(key(lease)).arg(token.as_str()).arg(ms(ttl));
        ask
    }

    pub(super) fn release(&self, lease: &impl Display, token: &Token) -> ScriptInvocation<'_> {
        let mut ask = self.release.prepare_invoke();
        ask.key(key(lease)).key(line(lease));
        ask.arg(token.instance()).arg(token.as_str()).arg(ms(RESERVED)).arg(CHANNEL).arg(lease.to_string());
        ask
    }

    pub(super) fn line_up(&self, lease: &impl Display) -> ScriptInvocation<'_> {
        let mut ask = self.line_up.prepare_invoke();
        ask.key(line(lease)).arg(ms(RESERVED));
        ask
    }

    pub(super) fn spend(&self, scope: &str, more: u32, slice: Duration) -> ScriptInvocation<'_> {
        let mut ask = self.spend.prepare_invoke();
        ask.key(format!("onelane:{{4xx-{scope}}}")).key(format!("onelane:{{4xx-{scope}}}slice"));
        ask.arg(more).arg(ms(slice)).arg(SLICES);
        ask
    }
}
