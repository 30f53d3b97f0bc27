use std::time::Duration;

use tower::{
    retry::{
        backoff::{ExponentialBackoff, ExponentialBackoffMaker, MakeBackoff as _},
        budget::TpsBudget,
    },
    util::rng::HasherRng,
};

/// More retries per second than this are no budget; tower's takes no more than twice as many.
const MOST_PER_SECOND: u32 = 1_000_000_000;

/// When, and how many times, a request is sent again within its turn.
///
/// The tries of one exchange are counted together, whatever each of them is for: with the defaults there are two more after a conflict
/// that comes after a broken connection, and none after 503 that comes after a conflict.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RetryConfig {
    /// How many times a request is sent again after a conflict. Default: 3.
    pub conflict: u32,
    /// How many times after 503 (overloaded or throttled), each time after four times the pause. Default: 1.
    pub overloaded: u32,
    /// How many times after 500, 504, a connection that was refused or broke, an answer that is no playlist,
    /// or a 5xx of a CDN or load balancer. Never after a 502 of MediaTailor's own: that one names a
    /// configuration or a manifest that will be no better in a moment. Default: 1.
    pub broken: u32,
    /// The least pause, before jitter; it doubles each time. Default: 50 ms.
    pub least_pause: Duration,
    /// The longest pause. Default: 250 ms.
    pub longest_pause: Duration,
    /// Whether a playlist that no rescue can bridge, because nothing is kept of it or all that is kept is too
    /// old, is tried again for as long as there is time: a player that starts has nothing to go on with, and
    /// most players give up at their first failure. It is tried again after a 502 of MediaTailor's own as
    /// well, and after conflicts as long as the session's quota of 4xx is not nearly spent, but not after throttling.
    /// The patience ends once one playlist of the session is kept, and another waits (after a conflict it may) or
    /// a target duration has passed. Without rescues this has no effect, but for a GET that creates a session and was not
    /// [sent](super::NotSent). Default: `true`.
    pub patient: bool,
    /// Whether a `GET` that creates a session is tried again like a playlist that no rescue can bridge, too, after an answer that
    /// [`conflict`](Self::conflict), [`overloaded`](Self::overloaded) or [`broken`](Self::broken) is about. A session that was made
    /// all the same expires unused, as far as is known. Never after throttling, nor where the connection broke; nor without
    /// [`patient`](Self::patient). Default: `false`.
    pub creations: bool,
    /// No attempt begins later than this after the first. Default: 5 s, which leaves some of the 6 s of
    /// [`answer_within`](crate::serialize::Config::answer_within).
    pub within: Duration,
    /// The retries per second that may always be made, over all sessions; at least 1.
    /// [Patient](Self::patient) retries have as many of their own. Default: 10.
    pub budget_per_second: u32,
    /// The retries that may be made beyond those, as a part of all requests. Default: 0.2.
    pub budget_part: f32,
}

// === impl RetryConfig ===

macro_rules! setters {
    ($($name:ident: $type:ty),* $(,)?) => {
        impl RetryConfig {
            $(
                #[doc = concat!("Sets [`", stringify!($name), "`](Self::", stringify!($name), ").")]
                #[must_use]
                pub fn $name(self, $name: $type) -> Self {
                    Self { $name, ..self }
                }
            )*
        }
    };
}

setters! {
    conflict: u32,
    overloaded: u32,
    broken: u32,
    least_pause: Duration,
    longest_pause: Duration,
    patient: bool,
    creations: bool,
    within: Duration,
    budget_per_second: u32,
    budget_part: f32,
}

impl RetryConfig {
    /// What pays for tries; a value that makes no sense is taken for the nearest that does.
    pub(crate) fn budget(&self) -> TpsBudget {
        let part = if self.budget_part.is_finite() { self.budget_part.clamp(0.0, 1_000.0) } else { 0.2 };
        let per_second = self.budget_per_second.clamp(1, MOST_PER_SECOND);
        TpsBudget::new(Duration::from_secs(10), per_second, part)
    }

    /// The pauses of one request. Their dice are its own: clones of one pair would all fall alike, and requests that
    /// failed together would meet again.
    pub(crate) fn pauses(&self) -> ExponentialBackoff<HasherRng> {
        let least = self.least_pause.clamp(Duration::from_millis(1), Duration::from_secs(60));
        let longest = self.longest_pause.clamp(least, Duration::from_secs(60));
        ExponentialBackoffMaker::new(least, longest, 0.5, HasherRng::default())
            .expect("the least is above zero and no more than the longest, and the jitter is a part")
            .make_backoff()
    }
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            conflict: 3,
            overloaded: 1,
            broken: 1,
            least_pause: Duration::from_millis(50),
            longest_pause: Duration::from_millis(250),
            patient: true,
            creations: false,
            within: Duration::from_secs(5),
            budget_per_second: 10,
            budget_part: 0.2,
        }
    }
}
