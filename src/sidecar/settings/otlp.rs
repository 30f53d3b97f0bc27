use std::{convert::Infallible, fmt, str::FromStr};

use super::bare::Bare;
#[cfg(feature = "otlp")]
use crate::telemetry::traces::{Collector, Exporting, Traces};
use crate::{
    sidecar::{Config, Error},
    stack::Stack,
};

/// Where traces go: the URL of a collector.
///
/// It is taken as it is written and looked at later, so that no error repeats it whole; `Display` and `Debug`
/// leave out what may be a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct OtlpCollector(String);

/// Traces, and the task that exports them.
#[cfg(feature = "otlp")]
#[derive(Debug)]
pub(in crate::sidecar) struct Tracing {
    traces: Traces,
    exporting: Exporting,
}

#[cfg(not(feature = "otlp"))]
#[derive(Debug)]
pub(in crate::sidecar) enum Tracing {}

/// How long the last spans may take at the end.
#[cfg(feature = "otlp")]
const LAST_SPANS: std::time::Duration = std::time::Duration::from_secs(2);

// === impl OtlpCollector ===

#[cfg(feature = "otlp")]
impl OtlpCollector {
    /// Says whether it can be one.
    pub(in crate::sidecar) fn check(&self) -> Result<(), Error> {
        self.url().map(drop)
    }

    fn url(&self) -> Result<Collector, Error> {
        self.0.parse().map_err(|why| Error::bad_otlp(self, &why))
    }
}

#[cfg(not(feature = "otlp"))]
impl OtlpCollector {
    pub(in crate::sidecar) fn check(&self) -> Result<(), Error> {
        let why = "this onelane was built without traces; build it with --features otlp, or leave out --otlp";
        Err(Error::bad_otlp(self, &why))
    }
}

impl FromStr for OtlpCollector {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for OtlpCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Bare(&self.0), f)
    }
}

impl fmt::Debug for OtlpCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

// === impl Tracing ===

#[cfg(feature = "otlp")]
impl Tracing {
    /// Begins to export, if that is asked for.
    pub(in crate::sidecar) fn start(config: &Config) -> Result<Option<Self>, Error> {
        let Some(collector) = &config.otlp else { return Ok(None) };
        let exporter = collector.url()?.exporter().map_err(|why| Error::bad_otlp(collector, &why))?;
        let (traces, exporting) = Traces::new(exporter, config.otlp_sample);
        Ok(Some(Self { traces, exporting }))
    }

    /// Stages whose requests are traced.
    pub(in crate::sidecar) fn onto<E, R>(tracing: Option<&Self>, stack: Stack<E, R>) -> Stack<E, R> {
        stack.tracing(tracing.map(|tracing| tracing.traces.clone()))
    }

    /// Exports what there is, within a bound.
    pub(in crate::sidecar) async fn finish(self) {
        self.exporting.finish(LAST_SPANS).await;
    }
}

#[cfg(not(feature = "otlp"))]
impl Tracing {
    pub(in crate::sidecar) fn start(config: &Config) -> Result<Option<Self>, Error> {
        config.otlp.as_ref().map_or(Ok(()), OtlpCollector::check)?;
        Ok(None)
    }

    pub(in crate::sidecar) fn onto<E, R>(_: Option<&Self>, stack: Stack<E, R>) -> Stack<E, R> {
        stack
    }

    pub(in crate::sidecar) async fn finish(self) {
        match self {}
    }
}
