use std::{io, net::SocketAddr, path::Path, process::ExitCode};

use super::{LeaseEngine, OtlpCollector, Upstream, settings::file::BadFile};
#[cfg(feature = "aws")]
use crate::api::{Named, Reason, Refusal};
use crate::lease::StoreError;

/// Why the sidecar could not start.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Error {
    what: String,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
    code: u8,
}

/// The exit code where the world is not as it should be.
const FAILURE: u8 = 1;

/// The exit code where the upstream is of no use (`EX_UNAVAILABLE`).
const UNAVAILABLE: u8 = 69;

/// The exit code for settings that make no sense (`EX_USAGE` of sysexits.h).
const USAGE: u8 = 64;

/// The exit code where it is no fault of the settings, the upstream or a port (`EX_SOFTWARE`).
const INTERNAL: u8 = 70;

// === impl Error ===

impl Error {
    pub(super) fn port(flag: &str, address: SocketAddr, source: io::Error) -> Self {
        let what = format!("{flag} {address}: {source}; choose another address or end what listens there");
        Self { what, source: Some(source.into()), code: FAILURE }
    }

    /// Whether it is that somebody else has a port.
    pub(super) fn is_of_a_used_port(&self) -> bool {
        let source = self.source.as_ref().and_then(|source| source.downcast_ref::<io::Error>());
        source.is_some_and(|error| error.kind() == io::ErrorKind::AddrInUse)
    }

    pub(super) fn loops(upstream: &Upstream) -> Self {
        let what =
            format!("--upstream {upstream} is where this process listens; name MediaTailor's endpoint");
        Self { what, source: None, code: USAGE }
    }

    pub(super) fn unusable(upstream: &Upstream, why: &dyn std::fmt::Display) -> Self {
        let what = format!(
            "--upstream {upstream}: {why}; name MediaTailor's endpoint, let this machine reach it, or leave out --require-upstream"
        );
        Self { what, source: None, code: UNAVAILABLE }
    }

    /// `why` says what to do.
    pub(super) fn bad_lease(engine: &LeaseEngine, why: &dyn std::fmt::Display) -> Self {
        Self { what: format!("--lease {engine}: {why}"), source: None, code: USAGE }
    }

    pub(super) fn no_lease(why: &StoreError) -> Self {
        let what = format!("--lease {why}; let this machine reach it, or leave out --lease-required");
        Self { what, source: None, code: UNAVAILABLE }
    }

    /// `why` says what to do.
    pub(super) fn bad_otlp(collector: &OtlpCollector, why: &dyn std::fmt::Display) -> Self {
        Self { what: format!("--otlp {collector}: {why}"), source: None, code: USAGE }
    }

    pub(super) fn certificates(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let source = source.into();
        let what =
            format!("the system's certificates: {source}; install ca-certificates or set SSL_CERT_FILE");
        Self { what, source: Some(source), code: FAILURE }
    }

    pub(super) fn hand_over(path: &Path, why: &str) -> Self {
        Self { what: format!("--hand-over {}: {why}", path.display()), source: None, code: FAILURE }
    }

    /// `what` names the flag and the remedy.
    pub(super) fn usage(what: &str) -> Self {
        Self { what: what.to_owned(), source: None, code: USAGE }
    }

    /// What MediaTailor's API did not tell of a playback configuration; `why` says what to do.
    #[cfg(feature = "aws")]
    pub(super) fn not_told(named: &Named, why: &Refusal) -> Self {
        let code = match why.reason {
            Reason::Unknown => USAGE,
            Reason::Silent => UNAVAILABLE,
        };
        Self { what: format!("upstream: {named}: {why}"), source: None, code }
    }

    pub(super) fn signals(source: io::Error) -> Self {
        Self {
            what: format!("signals cannot be listened for: {source}"),
            source: Some(source.into()),
            code: INTERNAL,
        }
    }

    pub(super) fn threads(count: usize, source: io::Error) -> Self {
        let what = format!(
            "--threads {count}: {source}; try fewer, or allow this process more threads and open files"
        );
        Self { what, source: Some(source.into()), code: INTERNAL }
    }

    pub(super) fn settings(source: BadFile) -> Self {
        Self { what: source.to_string(), source: Some(source.into()), code: USAGE }
    }

    /// Tells standard error in one line and gives the exit code.
    pub fn report(&self) -> ExitCode {
        eprintln!("error: {self}");
        ExitCode::from(self.code)
    }
}
