use std::{
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustls::pki_types::CertificateDer;

/// From when on it is told that a certificate is about to expire: those who renew theirs do so a month before.
const SOON: Duration = Duration::from_secs(7 * 86_400);

/// When a certificate expires; `None` where that cannot be read.
pub(super) fn expires(certificate: &CertificateDer<'_>) -> Option<SystemTime> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let seconds = u64::try_from(certificate.validity().not_after.timestamp()).ok()?;
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// What is to be said of a certificate in this file that has expired or soon will.
pub(super) fn trouble(path: &Path, expires: SystemTime, now: SystemTime) -> Option<String> {
    let left = expires.duration_since(now).unwrap_or_default();
    let when = humantime::format_rfc3339_seconds(expires);
    let what = match left {
        Duration::ZERO => format!("it has expired at {when}, and players refuse it; renew it"),
        left if left < SOON => format!("it expires at {when}; renew it"),
        _ => return None,
    };
    Some(format!("--tls-cert {}: {what} and send SIGHUP", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_a_week_before() {
        let day = Duration::from_secs(86_400);
        let now = UNIX_EPOCH + 20_000 * day;
        let told = |expires| trouble(Path::new("cert.pem"), expires, now);
        assert_eq!(told(now + 8 * day), None);
        assert_eq!(
            told(now + 6 * day).as_deref(),
            Some("--tls-cert cert.pem: it expires at 2024-10-10T00:00:00Z; renew it and send SIGHUP")
        );
        for expires in [now, now - day] {
            assert!(told(expires).is_some_and(|told| told.contains("it has expired at 2024-10-0")));
        }
    }
}
