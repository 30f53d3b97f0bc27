use std::{path::PathBuf, time::Duration};

use clap::{Parser, ValueEnum};
use onelane::emulator::Latency;

/// How many conflicts and how much wait several onelane make of a crowd of sessions: a simulation in virtual time.
///
/// Every combination of `--way`, `--event` and `--instances` is a run of its own. The same flags give the same figures.
#[derive(Parser, Debug, Clone)]
#[command(name = "fleet")]
pub(crate) struct Flags {
    /// How a session's requests are kept apart.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Way::Alone, Way::Routed, Way::Leased])]
    pub(crate) way: Vec<Way>,

    /// What happens meanwhile.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Happening::Steady, Happening::Lost, Happening::Added, Happening::Deploy])]
    pub(crate) event: Vec<Happening>,

    /// Processes, 1 to 64.
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=64), default_values_t = [1, 2, 3, 8, 64])]
    pub(crate) instances: Vec<u32>,

    /// Sessions where nothing happens, 1 to 10,000,000.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000_000), default_value_t = 200_000)]
    pub(crate) sessions: u32,

    /// Sessions where something happens: such runs are longer.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000_000), default_value_t = 50_000)]
    pub(crate) event_sessions: u32,

    /// The seed of all dice.
    #[arg(long, default_value_t = 7)]
    pub(crate) seed: u64,

    /// Runs at once; each needs up to 1.3 GB for 1,000,000 sessions. Default: one a core.
    #[arg(long)]
    pub(crate) threads: Option<usize>,

    /// Writes the plots into this folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) svg: Option<PathBuf>,

    /// Does it for real as well, steady and killed runs, with this binary: as many `onelane serve` behind players that choose
    /// themselves, and `onelane emulate`. For small numbers of sessions; one balancer.
    #[arg(long, value_name = "ONELANE")]
    pub(crate) real: Option<PathBuf>,

    /// What each `onelane serve` of `--real` is told besides, such as `--real-serve=--lease=redis://127.0.0.1`.
    #[arg(long, value_name = "FLAG", requires = "real", allow_hyphen_values = true)]
    pub(crate) real_serve: Vec<String>,

    #[command(flatten)]
    pub(crate) crowd: Crowd,
}

/// What is the same in all runs: players, MediaTailor, balancers, engine.
#[derive(clap::Args, Debug, Clone)]
pub(crate) struct Crowd {
    /// How often a player loads its playlists.
    #[arg(long, value_name = "TIME", default_value = "6s", value_parser = time)]
    pub(crate) refresh: Duration,

    /// Playlists that it loads each time, 1 to 15.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=15), default_value_t = 3)]
    pub(crate) playlists: u32,

    /// Within which time after the first it asks for the others, evenly spread.
    #[arg(long, value_name = "TIME", default_value = "5ms", value_parser = time)]
    pub(crate) burst: Duration,

    /// How long MediaTailor takes for a playlist, evenly spread.
    #[arg(long, value_name = "TIME[..TIME]", default_value = "40ms..160ms")]
    pub(crate) latency: Latency,

    /// One in so many playlists is slow, as at an ad break. 0: none.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) slow_every: u64,

    /// How long a slow one takes.
    #[arg(long, value_name = "TIME[..TIME]", default_value = "500ms..3s")]
    pub(crate) slow_for: Latency,

    /// How long a session stays busy after an answer.
    #[arg(long, value_name = "TIME[..TIME]", default_value = "0s")]
    pub(crate) busy_after: Latency,

    /// How long it takes until a 409 is back.
    #[arg(long, value_name = "TIME[..TIME]", default_value = "2ms..10ms")]
    pub(crate) refused_in: Latency,

    /// Balancers side by side, each with its own idea of who is there, 1 to 64.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=64), default_value_t = 2)]
    pub(crate) balancers: u32,

    /// How they spread requests that they do not route by session.
    #[arg(long, value_enum, default_value_t = Turns::Random)]
    pub(crate) spread: Turns,

    /// How long a balancer takes to notice that a process is ready or unready.
    #[arg(long, value_name = "TIME[..TIME]", default_value = "0s..4s")]
    pub(crate) notices: Latency,

    /// The part of the processes that a deploy replaces at once; at least one.
    #[arg(long, default_value_t = 0.25)]
    pub(crate) deploy_part: f64,

    /// How long a process is away in a deploy.
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = time)]
    pub(crate) away: Duration,

    /// How long one operation of the lease takes, there and back.
    #[arg(long, value_name = "TIME[..TIME]", default_value = "300us..1ms")]
    pub(crate) lease_takes: Latency,

    /// An operation that takes longer is not waited for: the request goes on without a lease.
    #[arg(long, value_name = "TIME", default_value = "50ms", value_parser = time)]
    pub(crate) lease_within: Duration,

    /// When a lease ends that nobody gives back. Renewed while its exchange lasts.
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = time)]
    pub(crate) lease_ttl: Duration,

    /// How long a lease is kept for the process that is next.
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = time)]
    pub(crate) reserved: Duration,

    /// The pause before a waiting request asks for the lease again where no message wakes it: at first, and at most.
    #[arg(long, value_name = "TIME[..TIME]", default_value = "25ms..100ms")]
    pub(crate) poll: Latency,

    /// As of `onelane serve`.
    #[arg(long, value_name = "TIME", default_value = "6s", value_parser = time)]
    pub(crate) answer_within: Duration,
}

/// How a session's requests are kept apart.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Way {
    /// Any process may get any request, and none knows of the others.
    Alone,
    /// Balancers hash by session.
    Routed,
    /// Any process may get any request; the head of each lane takes a lease.
    Leased,
    /// Balancers hash by session, and the head of each lane takes a lease.
    Both,
}

/// What happens during a run.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Happening {
    /// Nothing.
    Steady,
    /// One process is killed.
    Lost,
    /// One comes.
    Added,
    /// All are replaced, some at a time.
    Deploy,
}

/// How a balancer spreads what it does not route by session.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turns {
    Random,
    RoundRobin,
}

fn time(text: &str) -> Result<Duration, humantime::DurationError> {
    humantime::parse_duration(text)
}

// === impl Crowd ===

impl Crowd {
    /// What clap cannot tell of one flag by itself.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.refresh < Duration::from_millis(100) {
            return Err(format!("--refresh {:?} is too short; at least 100ms", self.refresh));
        }
        if self.burst >= self.refresh {
            return Err(format!("--burst {:?} is no shorter than --refresh {:?}", self.burst, self.refresh));
        }
        if !(0.0..=1.0).contains(&self.deploy_part) {
            return Err(format!("--deploy-part {} is no part; 0 to 1", self.deploy_part));
        }
        let notices = self.notices.bounds().1;
        if self.away <= notices {
            return Err(format!(
                "--away {:?}: longer than --notices, {notices:?}, or players meet a process that is gone",
                self.away
            ));
        }
        Ok(())
    }
}

// === impl Way ===

impl Way {
    pub(crate) fn routed(self) -> bool {
        matches!(self, Self::Routed | Self::Both)
    }

    pub(crate) fn leased(self) -> bool {
        matches!(self, Self::Leased | Self::Both)
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Alone => "no coordination",
            Self::Routed => "routed by session",
            Self::Leased => "lease",
            Self::Both => "routed, and lease",
        }
    }
}

// === impl Happening ===

impl Happening {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Lost => "one is killed",
            Self::Added => "one is added",
            Self::Deploy => "rolling deploy",
        }
    }
}
