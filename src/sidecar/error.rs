use std::{io, net::SocketAddr, process::ExitCode};

use super::Upstream;

/// Why the sidecar could not start.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Error {
    what: String,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

// === impl Error ===

impl Error {
    pub(super) fn port(flag: &str, address: SocketAddr, source: io::Error) -> Self {
        let what = format!("{flag} {address}: {source}; choose another address or end what listens there");
        Self { what, source: Some(source.into()) }
    }

    pub(super) fn loops(upstream: &Upstream) -> Self {
        let what =
            format!("--upstream {upstream} is where this process listens; name MediaTailor's endpoint");
        Self { what, source: None }
    }

    pub(super) fn certificates(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let source = source.into();
        let what =
            format!("the system's certificates: {source}; install ca-certificates or set SSL_CERT_FILE");
        Self { what, source: Some(source) }
    }

    pub(super) fn signals(source: io::Error) -> Self {
        Self { what: format!("signals cannot be listened for: {source}"), source: Some(source.into()) }
    }

    /// Tells standard error in one line and gives the exit code.
    pub(super) fn report(&self) -> ExitCode {
        eprintln!("error: {self}");
        ExitCode::FAILURE
    }
}
