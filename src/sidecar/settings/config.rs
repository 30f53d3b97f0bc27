use std::{net::SocketAddr, path::PathBuf, time::Duration};

use bytesize::ByteSize;
use clap::ValueEnum;

use super::{
    lease::LeaseEngine,
    otlp::OtlpCollector,
    written::{address, at_least_one, count, duration, share, size, threads, time},
};
use crate::{
    lane::Limits,
    lease, remap, rescue, resume, serialize, shield,
    sidecar::{relay::site::Site, upstream::endpoint::Upstream},
    stack,
    upstream::RetryConfig,
};

/// How the sidecar runs: what the flags of `onelane serve` and the file of `--config` come to.
#[derive(Debug, Clone, clap::Args)]
#[non_exhaustive]
pub struct Config {
    /// MediaTailor's endpoint, scheme and host alone: the ManifestEndpointPrefix of the playback configuration
    #[arg(long, env = "ONELANE_UPSTREAM", value_name = "URL")]
    pub upstream: Upstream,

    /// Where players or their CDN connect; HTTP/1.1 and h2c, or both over TLS with --tls-cert
    #[arg(long, env = "ONELANE_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:8080", value_parser = address)]
    pub listen: SocketAddr,

    /// The PEM file with the certificate that players are shown and those of its issuers; --listen then
    /// speaks TLS, with HTTP/2 where a player wants it. SIGHUP has it read again
    #[arg(long, env = "ONELANE_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,

    /// The PEM file with the private key of --tls-cert
    #[arg(long, env = "ONELANE_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,

    /// Where the page that shows the lanes is, /healthz, /readyz, /metrics and POST /reload; keep it off
    /// the public network
    #[arg(long, env = "ONELANE_ADMIN", value_name = "ADDRESS", default_value = "127.0.0.1:9090", value_parser = address)]
    pub admin: SocketAddr,

    /// The Host header upstream: the upstream's own name, as a configuration's endpoint wants it, or the
    /// viewer's, as the regional manifests host does
    #[arg(long, env = "ONELANE_HOST", value_name = "MODE", default_value = "rewrite")]
    pub host: HostHeader,

    /// HTTP version upstream: auto negotiates HTTP/2 over TLS
    #[arg(long, env = "ONELANE_UPSTREAM_HTTP", value_name = "VERSION", default_value = "auto")]
    pub upstream_http: UpstreamHttp,

    /// How long a player waits for its answer, lane and upstream together; past it 504, and the exchange goes
    /// on
    #[arg(long, env = "ONELANE_ANSWER_WITHIN", value_name = "TIME", default_value = "6s", value_parser = time)]
    pub answer_within: Duration,

    /// How long one exchange may hold its turn; past it the call is dropped and the next is sent. A request
    /// that makes a session may take as long, or --answer-within if that is more, and then gets 504
    #[arg(long, env = "ONELANE_MAX_HOLD", value_name = "TIME", default_value = "10s", value_parser = time)]
    pub max_hold: Duration,

    /// The largest playlist that is collected before it is answered; a larger one streams and keeps its turn
    #[arg(long, env = "ONELANE_COLLECT_UP_TO", value_name = "SIZE", default_value = "2MiB", value_parser = size)]
    pub collect_up_to: ByteSize,

    /// The most requests of one session in its lane, the one in flight included
    #[arg(long, env = "ONELANE_DEPTH", value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..))]
    pub depth: u32,

    /// The most requests that wait in all lanes together
    #[arg(long, env = "ONELANE_WAITING", value_name = "N", default_value_t = 100_000, value_parser = count)]
    pub waiting: usize,

    /// Let tracking requests take turns as well
    #[arg(long, env = "ONELANE_SERIALIZE_TRACKING")]
    pub serialize_tracking: bool,

    /// Let DASH manifests take turns as well
    ///
    /// MediaTailor's MPDs name where they are in a Location, with MediaTailor's own host: players load them
    /// there from then on, past onelane, which changes no manifest. Switch it off in the playback
    /// configuration: MpdLocation DISABLED.
    #[arg(long, env = "ONELANE_SERIALIZE_DASH")]
    pub serialize_dash: bool,

    /// Take _HLS_msn, _HLS_part and _HLS_skip off requests before they go upstream
    #[arg(long, env = "ONELANE_STRIP_DIRECTIVES")]
    pub strip_directives: bool,

    /// When a session is lost whose creation passed through here, make a new one, and go on with that where
    /// its numbering proves to continue; see docs/resume.md for what AWS sees of it
    #[arg(long, env = "ONELANE_RESUME")]
    pub resume: bool,

    /// Threads that serve, each with its own connections to the upstream; one for each core unless said
    /// otherwise
    #[arg(long, env = "ONELANE_THREADS", value_name = "N", default_value_t = cores(), value_parser = threads)]
    pub threads: usize,

    /// The most client connections; more wait to be accepted
    #[arg(long, env = "ONELANE_CONNECTIONS", value_name = "N", default_value_t = 20_000, value_parser = at_least_one)]
    pub connections: usize,

    /// How long a client connection may be idle, or take for the head of a request
    #[arg(long, env = "ONELANE_IDLE", value_name = "TIME", default_value = "75s", value_parser = time)]
    pub idle: Duration,

    /// How long a connection to the upstream may take to come about
    #[arg(long, env = "ONELANE_CONNECT_WITHIN", value_name = "TIME", default_value = "3s", value_parser = time)]
    pub connect_within: Duration,

    /// How long an idle connection to the upstream is kept; below the upstream's own limit
    #[arg(long, env = "ONELANE_UPSTREAM_IDLE", value_name = "TIME", default_value = "30s", value_parser = time)]
    pub upstream_idle: Duration,

    /// How long to finish what waits and what is in flight after SIGTERM or SIGINT
    #[arg(long, env = "ONELANE_DRAIN", value_name = "TIME", default_value = "15s", value_parser = duration)]
    pub drain: Duration,

    /// How long to go on taking connections after SIGTERM or SIGINT with /readyz unready, so that a balancer notices
    #[arg(long, env = "ONELANE_UNREADY_FOR", value_name = "TIME", default_value = "0s", value_parser = duration)]
    pub unready_for: Duration,

    /// Share --listen with other processes that do, for the time that one takes over from another
    #[arg(long, env = "ONELANE_REUSE_PORT")]
    pub reuse_port: bool,

    /// A Unix socket by which the next process that is started with it takes --listen and --admin over from
    /// this one, which finishes and ends. No connection is lost, and the next begins when this has finished
    #[arg(long, env = "ONELANE_HAND_OVER", value_name = "PATH")]
    pub hand_over: Option<PathBuf>,

    /// Do not start, with exit code 69, unless the upstream answers
    #[arg(long, env = "ONELANE_REQUIRE_UPSTREAM")]
    pub require_upstream: bool,

    /// Where instances agree on turns, if the balancer cannot always send a session to the same one: Redis or
    /// Valkey, as redis://HOST, rediss://USER:PASSWORD@HOST, redis-cluster://HOST,HOST or
    /// redis-sentinel://HOST,HOST/MASTER
    #[arg(long, env = "ONELANE_LEASE", value_name = "URL", hide_env_values = true)]
    pub lease: Option<LeaseEngine>,

    /// How long one call to the engine of --lease may take; past it the turn goes without
    #[arg(long, env = "ONELANE_LEASE_BUDGET", value_name = "TIME", default_value = "50ms", value_parser = time)]
    pub lease_budget: Duration,

    /// Do not start, with exit code 69, unless the engine of --lease answers
    #[arg(long, env = "ONELANE_LEASE_REQUIRED")]
    pub lease_required: bool,

    /// Sessions whose last 32 requests are kept for inspection on the admin port; 0 for none. Some 16 KiB
    /// each, and 64 MiB for all at the most
    #[arg(long, env = "ONELANE_RECORD_SESSIONS", value_name = "N", default_value_t = 0, value_parser = count)]
    pub record_sessions: usize,

    /// Where traces of requests go: a collector that takes OTLP over gRPC, as http://HOST:4317 or https://HOST:4317
    #[arg(long, env = "ONELANE_OTLP", value_name = "URL", hide_env_values = true)]
    pub otlp: Option<OtlpCollector>,

    /// The share of requests that went well whose traces are kept, from 0 to 1; requests that something
    /// failed for are always kept, and so are those whose traceparent says that it is kept
    #[arg(long, env = "ONELANE_OTLP_SAMPLE", value_name = "SHARE", default_value_t = 0.01, value_parser = share)]
    pub otlp_sample: f64,

    /// What players get where something fails.
    #[arg(skip = stack::Config::default().remap)]
    pub remap: remap::Config,

    /// When players get the last good playlist; with `None` they never do.
    #[arg(skip = stack::Config::default().rescue)]
    pub rescue: Option<rescue::Config>,

    /// When sessions are answered without the upstream.
    #[arg(skip = stack::Config::default().shield)]
    pub shield: shield::Config,

    /// When a request is sent again.
    #[arg(skip = stack::Config::default().retry)]
    pub retry: RetryConfig,

    /// The longest gap between two turns of a session that may be learned.
    #[arg(skip = stack::Config::default().settle)]
    pub settle: Duration,

    /// The upstreams, where there are several; [`upstream`](Self::upstream) is then the first one's.
    #[arg(skip)]
    pub sites: Vec<Site>,
}

/// Which `Host` the upstream sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[non_exhaustive]
pub enum HostHeader {
    /// The upstream's own name: the endpoint of a playback configuration answers 403 to any other.
    Rewrite,
    /// The viewer's: the regional `manifests.mediatailor.<region>` host wants it. Speaks HTTP/1.1 upstream.
    Preserve,
}

/// Which HTTP the upstream is spoken to with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[non_exhaustive]
pub enum UpstreamHttp {
    /// HTTP/2 where TLS negotiates it, HTTP/1.1 elsewhere.
    Auto,
    /// HTTP/1.1 alone.
    #[value(name = "1.1")]
    Http1,
}

// === impl Config ===

impl Config {
    /// The defaults, for one upstream.
    pub fn new(upstream: Upstream) -> Self {
        let stack::Config { remap, rescue, shield, retry, settle, strip_directives, .. } =
            stack::Config::default();
        Self {
            upstream,
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            tls_cert: None,
            tls_key: None,
            admin: SocketAddr::from(([127, 0, 0, 1], 9090)),
            host: HostHeader::Rewrite,
            upstream_http: UpstreamHttp::Auto,
            answer_within: Duration::from_secs(6),
            max_hold: Duration::from_secs(10),
            collect_up_to: ByteSize::mib(2),
            depth: 16,
            waiting: 100_000,
            serialize_tracking: false,
            serialize_dash: false,
            resume: false,
            threads: cores(),
            connections: 20_000,
            idle: Duration::from_secs(75),
            connect_within: Duration::from_secs(3),
            upstream_idle: Duration::from_secs(30),
            drain: Duration::from_secs(15),
            unready_for: Duration::ZERO,
            reuse_port: false,
            hand_over: None,
            require_upstream: false,
            lease: None,
            lease_budget: lease::BUDGET,
            lease_required: false,
            record_sessions: 0,
            otlp: None,
            otlp_sample: 0.01,
            remap,
            rescue,
            shield,
            retry,
            settle,
            strip_directives,
            sites: Vec::new(),
        }
    }

    pub(in crate::sidecar) fn stack(&self) -> stack::Config {
        stack::Config::default()
            .remap(self.remap.clone())
            .rescue(self.rescue.clone())
            .shield(self.shield.clone())
            .serialize(self.serialize())
            .retry(self.retry.clone())
            .settle(self.settle)
            .strip_directives(self.strip_directives)
    }

    /// The settings of each upstream.
    pub(in crate::sidecar) fn each(&self) -> impl Iterator<Item = &Self> {
        let one = self.sites.is_empty().then_some(self);
        one.into_iter().chain(self.sites.iter().map(|site| &site.config))
    }

    pub(in crate::sidecar) fn resume(&self) -> Option<resume::Config> {
        self.resume.then(resume::Config::default)
    }

    fn serialize(&self) -> serialize::Config {
        serialize::Config::default()
            // hyper polls every request until it is answered or dropped.
            .driven_by_players(true)
            .answer_within(self.answer_within)
            .bound_all(true)
            .max_hold(self.max_hold)
            .collect_up_to(usize::try_from(self.collect_up_to.as_u64()).unwrap_or(usize::MAX))
            .tracking(self.serialize_tracking)
            .dash(self.serialize_dash)
            .limits(Limits::default().depth(self.depth).waiting(self.waiting))
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        config: Config,
    }

    #[test]
    fn the_defaults_of_flags_and_code_are_the_same() {
        let cli = Cli::try_parse_from(["serve", "--upstream", "http://a.example"]).expect("valid flags");
        let code = Config::new("http://a.example".parse().expect("an upstream"));
        assert_eq!(format!("{:?}", cli.config), format!("{code:?}"));
    }

    #[test]
    fn bad_flags_are_named() {
        for (flag, value, why) in [
            ("--answer-within", "0s", "more than zero"),
            ("--answer-within", "6", "write it like"),
            ("--idle", "500000000000y", "a day at most"),
            ("--depth", "0", "--depth"),
            ("--connections", "0", "above zero"),
            ("--collect-up-to", "lots", "--collect-up-to"),
            ("--host", "keep", "rewrite"),
        ] {
            let arguments = ["serve", "--upstream", "http://a.example", flag, value];
            let error = Cli::try_parse_from(arguments).expect_err(flag).to_string();
            assert!(error.contains(flag) && error.contains(why), "{error}");
        }
    }
}
