use http::request::Parts;

use super::rate::Rate;
use crate::emulator::{
    args::Args,
    serve::{
        answer::{Exception, Refused},
        service::host_of,
    },
};

/// What every request of the service passes before anything else: the account's quota and the endpoint's name.
#[derive(Debug)]
pub(in crate::emulator) struct Quota {
    rate: Rate,
}

// === impl Quota ===

impl Quota {
    pub(in crate::emulator) fn new() -> Self {
        Self { rate: Rate::new() }
    }

    pub(in crate::emulator) fn admit(&self, args: &Args, head: &Parts) -> Result<(), Refused> {
        if args.throttle > 0 && self.rate.take() > args.throttle {
            return Err(Exception::Throttling.refuse("the account's quota of requests per second is used up"));
        }
        let Some(name) = &args.host else {
            return Ok(());
        };
        let host = host_of(head).unwrap_or_default();
        let bare = host.rsplit_once(':').map_or(host, |(bare, _)| bare);
        if name.eq_ignore_ascii_case(host) || name.eq_ignore_ascii_case(bare) {
            return Ok(());
        }
        Err(Exception::AccessDenied.refuse("the Host header is not the name of this endpoint"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_endpoints_own_name_is_let_in() {
        let admits = |name: &str, host: &str| {
            let args = Args { host: Some(name.to_owned()), ..Args::default() };
            let (head, ()) =
                http::Request::get("/").header("host", host).body(()).expect("a request").into_parts();
            Quota::new().admit(&args, &head).is_ok()
        };
        assert!(admits("a.example", "A.example") && admits("a.example", "a.example:8081"));
        assert!(admits("a.example:8081", "a.example:8081"));
        assert!(!admits("a.example", "b.example") && !admits("a.example:8081", "a.example:80"));
    }
}
