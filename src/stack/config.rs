use std::time::Duration;

use crate::{
    remap, rescue, serialize, shield,
    upstream::{JudgeLayer, RetryConfig, playlist::Limits},
};

/// How every stage works.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// What players get.
    pub remap: remap::Config,
    /// When players get the last good playlist; with `None` they never do, and none is kept.
    pub rescue: Option<rescue::Config>,
    /// When sessions are answered without the upstream.
    pub shield: shield::Config,
    /// The lanes.
    pub serialize: serialize::Config,
    /// When a request is sent again.
    pub retry: RetryConfig,
    /// The longest gap between two turns of a session that may be learned. Default: 250 ms; zero for none.
    pub settle: Duration,
    /// Whether `_HLS_msn`, `_HLS_part` and `_HLS_skip` are taken off requests before anything else looks at them; see
    /// [`StripDirectives`](crate::upstream::StripDirectives). Default: no.
    pub strip_directives: bool,
}

// === impl Config ===

impl Config {
    /// Sets [`remap`](Self::remap).
    #[must_use]
    pub fn remap(self, remap: remap::Config) -> Self {
        Self { remap, ..self }
    }

    /// Sets [`rescue`](Self::rescue). `None` switches it off.
    #[must_use]
    pub fn rescue(self, rescue: impl Into<Option<rescue::Config>>) -> Self {
        Self { rescue: rescue.into(), ..self }
    }

    /// Sets [`shield`](Self::shield).
    #[must_use]
    pub fn shield(self, shield: shield::Config) -> Self {
        Self { shield, ..self }
    }

    /// Sets [`serialize`](Self::serialize).
    #[must_use]
    pub fn serialize(self, serialize: serialize::Config) -> Self {
        Self { serialize, ..self }
    }

    /// Sets [`retry`](Self::retry).
    #[must_use]
    pub fn retry(self, retry: RetryConfig) -> Self {
        Self { retry, ..self }
    }

    /// Sets [`settle`](Self::settle).
    #[must_use]
    pub fn settle(self, settle: Duration) -> Self {
        Self { settle, ..self }
    }

    /// Sets [`strip_directives`](Self::strip_directives).
    #[must_use]
    pub fn strip_directives(self, strip_directives: bool) -> Self {
        Self { strip_directives, ..self }
    }

    pub(super) fn attempts(&self) -> RetryConfig {
        // No attempt may begin that its players or its turn would not see the end of.
        let within = self.retry.within.min(self.serialize.answer_within).min(self.serialize.max_hold);
        self.retry.clone().within(within)
    }

    pub(super) fn judge(&self) -> JudgeLayer {
        let collect_up_to = self.serialize.collect_up_to;
        let limits = Limits::default();
        // What is collected is read as well, and a playlist is at least as long without its coding.
        let decode_up_to = limits.decode_up_to.max(collect_up_to.saturating_mul(2));
        JudgeLayer::new(limits.decode_up_to(decode_up_to)).collect_up_to(collect_up_to)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            remap: remap::Config::default(),
            rescue: Some(rescue::Config::default()),
            shield: shield::Config::default(),
            serialize: serialize::Config::default(),
            retry: RetryConfig::default(),
            settle: Duration::from_millis(250),
            strip_directives: false,
        }
    }
}
