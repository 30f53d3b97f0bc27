use std::{convert::Infallible, fmt, str::FromStr, time::Duration};

use super::bare::Bare;
use crate::{lease::Leases, sidecar::Error};

/// Where the engine of leases is: a URL that may have a password in it.
///
/// It is taken as it is written and looked at later, so that no error repeats it whole; `Display` and `Debug`
/// leave out the user and the password.
#[derive(Clone, PartialEq, Eq)]
pub struct LeaseEngine(String);

// === impl LeaseEngine ===

#[cfg(feature = "redis")]
impl LeaseEngine {
    /// Says whether it can be one.
    pub(in crate::sidecar) fn check(&self) -> Result<(), Error> {
        self.url().map(drop)
    }

    /// Begins to use it.
    pub(in crate::sidecar) fn start(&self, budget: Duration) -> Result<Leases, Error> {
        let url = self.url()?;
        if url.is_tls() {
            // The client takes the process's; if there is one already, it will do.
            let _there = rustls::crypto::ring::default_provider().install_default();
        }
        Ok(Leases::within(budget, crate::lease::redis::Redis::new(url)))
    }

    fn url(&self) -> Result<crate::lease::redis::LeaseUrl, Error> {
        self.0.parse().map_err(|why| Error::bad_lease(self, &why))
    }
}

#[cfg(not(feature = "redis"))]
impl LeaseEngine {
    pub(in crate::sidecar) fn check(&self) -> Result<(), Error> {
        let why =
            "this onelane was built without leases; build it with --features redis, or leave out --lease";
        Err(Error::bad_lease(self, &why))
    }

    pub(in crate::sidecar) fn start(&self, _: Duration) -> Result<Leases, Error> {
        self.check().map(|()| unreachable!("it is always refused"))
    }
}

impl FromStr for LeaseEngine {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for LeaseEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Bare(&self.0), f)
    }
}

impl fmt::Debug for LeaseEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        for (text, shown) in [
            ("redis://me:s3cret@a.example:6379/0?x=s3cret", "redis://a.example:6379/0"),
            ("me:s3cret@a.example", "a.example"),
            ("http://s3cret@", "http://"),
            ("a.example\n:6379", "a.example\\n:6379"),
        ] {
            let engine: LeaseEngine = text.parse().expect("any text");
            assert_eq!((format!("{engine}"), format!("{engine:?}")), (shown.to_owned(), shown.to_owned()));
            if let Err(error) = engine.check() {
                let told = error.to_string();
                assert!(told.starts_with("--lease ") && !told.contains("s3cret"), "{told}");
                assert!(!told.contains(char::is_control), "{told:?}");
            }
        }
    }
}
