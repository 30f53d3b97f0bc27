use std::{fmt, str::FromStr};

use http::Uri;
use opentelemetry_otlp::{
    RetryPolicy, SpanExporter, WithExportConfig as _, WithTonicConfig as _,
    tonic_types::transport::ClientTlsConfig,
};

/// Where spans go: a collector that takes OTLP over gRPC, as `http://HOST:4317`, or `https://` for one with a
/// certificate of the system's roots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collector(Uri);

/// Why a text is no [`Collector`], or why it cannot be used; in one line, with the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadCollector(String);

// === impl Collector ===

impl Collector {
    /// An exporter to this collector. It connects with the first batch.
    ///
    /// For what the URL does not say, the variables of OpenTelemetry's specification count:
    /// `OTEL_EXPORTER_OTLP_HEADERS`, for a token, say, and `OTEL_EXPORTER_OTLP_TIMEOUT`.
    ///
    /// # Errors
    ///
    /// When the system has no roots, or one of those variables makes no sense.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn exporter(&self) -> Result<SpanExporter, BadCollector> {
        let exporter = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(self.to_string())
            // A batch that was not taken is tried again by who exports, who knows when it is time to end.
            .with_retry_policy(RetryPolicy::disabled());
        let exporter = match self.0.scheme_str() {
            Some("https") => exporter.with_tls_config(ClientTlsConfig::new().with_native_roots()),
            _ => exporter,
        };
        exporter.build().map_err(|why| {
            BadCollector(format!("{why}; correct the variable that it names, or install ca-certificates"))
        })
    }
}

impl FromStr for Collector {
    type Err = BadCollector;

    fn from_str(text: &str) -> Result<Self, BadCollector> {
        let bad = |why: &str| BadCollector(format!("{why}; write http://HOST:4317 or https://HOST:4317"));
        if !text.contains("://") {
            return Err(bad("it has no scheme"));
        }
        let uri: Uri = text.parse().map_err(|_| bad("it is no URL"))?;
        let authority = uri.authority().ok_or_else(|| bad("it has no host"))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(bad("its scheme is neither http nor https"));
        }
        if authority.as_str().contains('@') {
            return Err(bad(
                "it has user information; put a token into the variable OTEL_EXPORTER_OTLP_HEADERS",
            ));
        }
        if authority.host().is_empty() {
            return Err(bad("its host is empty"));
        }
        if authority.port_u16().is_none_or(|port| port == 0) {
            return Err(bad("it names no port, which is mostly 4317 for gRPC"));
        }
        if uri.path() != "/" || uri.query().is_some() {
            return Err(bad("it has a path, which OTLP over gRPC has none of"));
        }
        Ok(Self(uri))
    }
}

impl fmt::Display for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, authority) = (self.0.scheme_str(), self.0.authority());
        write!(f, "{}://{}", scheme.unwrap_or_default(), authority.map_or("", |authority| authority.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_a_scheme_a_host_and_a_port() {
        for good in
            ["http://127.0.0.1:4317", "https://a.example:443", "http://a.example:4317/", "http://[::1]:4317"]
        {
            let collector: Collector = good.parse().expect(good);
            assert_eq!(collector.to_string(), good.trim_end_matches('/'));
        }
        for (bad, why) in [
            ("", "no scheme"),
            ("a.example:4317", "no scheme"),
            ("grpc://a.example:4317", "neither http nor https"),
            ("http://", "no URL"),
            ("http://a b:4317", "no URL"),
            ("http://a.example", "names no port"),
            ("http://a.example:", "names no port"),
            ("http://a.example:0", "names no port"),
            ("http://a.example:99999", "no"),
            ("http://:4317", "host"),
            ("http://me:s3cret@a.example:4317", "OTEL_EXPORTER_OTLP_HEADERS"),
            ("http://a.example:4318/v1/traces", "has a path"),
            ("http://a.example:4317?x", "has a path"),
        ] {
            let error = bad.parse::<Collector>().expect_err(bad).to_string();
            assert!(error.contains(why) && error.contains("write http"), "{bad}: {error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
}
