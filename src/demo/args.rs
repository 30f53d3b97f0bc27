use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::emulator::{Conflict, Latency};

/// What the demo shows: the flags of `onelane demo`.
#[derive(clap::Args, Debug, Clone)]
#[non_exhaustive]
pub struct Args {
    /// Players on each side, a session each
    ///
    /// All of them run in this process. Each makes some three requests a second and may hold eight files open:
    /// from about a thousand on, mind `ulimit -n` and the processors, which then decide the latencies. With --serve 20
    /// unless said otherwise.
    #[arg(long, value_name = "N", default_value_t = 200, default_value_if("serve", "true", "20"), value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub sessions: u32,

    /// How long each of the two sides runs
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub seconds: u32,

    /// How long the emulated MediaTailor takes for a playlist, evenly spread
    #[arg(long, value_name = "TIME[..TIME]", default_value = "20ms..60ms")]
    pub latency: Latency,

    /// Which request loses when two of a session meet: the second at once, or one of them at its end
    #[arg(long, value_name = "MODEL", default_value = "reject", value_parser = conflict())]
    pub conflict: Conflict,

    /// Seed of all that is random; a fresh one if not given
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,

    /// One JSON object in place of the table
    #[arg(long, conflicts_with = "serve")]
    pub json: bool,

    /// Run both sides at once, for people to look at, until SIGINT or SIGTERM: onelane with its page, and
    /// something that goes wrong every few seconds
    #[arg(long, conflicts_with = "seconds")]
    pub serve: bool,
}

/// The models that conflict: without conflicts there is nothing to show.
fn conflict() -> impl TypedValueParser<Value = Conflict> {
    PossibleValuesParser::new(["reject", "optimistic"]).map(|model| match model.as_str() {
        "optimistic" => Conflict::Optimistic,
        _ => Conflict::Reject,
    })
}
