use std::sync::atomic::{AtomicU64, Ordering};

use http::request::Parts;
use tokio::time::Instant;

use super::{
    answer::{Exception, Refused},
    args::Args,
    service::host_of,
};

/// What every request of the service passes before anything else: the account's quota and the endpoint's name.
#[derive(Debug)]
pub(super) struct Quota {
    started: Instant,
    /// The second that is counted in the upper half, its requests in the lower.
    count: AtomicU64,
}

/// The upper half of a count.
const SECOND: u64 = 0xffff_ffff_0000_0000;

// === impl Quota ===

impl Quota {
    pub(super) fn new() -> Self {
        Self { started: Instant::now(), count: AtomicU64::new(0) }
    }

    pub(super) fn admit(&self, args: &Args, head: &Parts) -> Result<(), Refused> {
        if args.throttle > 0 && self.take() > args.throttle {
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

    /// Counts a request; says how many there were in this second.
    fn take(&self) -> u64 {
        let second = self.started.elapsed().as_secs() << 32;
        let more = |count: u64| if count & SECOND == second { count + 1 } else { second + 1 };
        let before = self.count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| Some(more(count)));
        more(before.unwrap_or_else(|count| count)) - second
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_second_counts_anew() {
        let quota = Quota::new();
        assert_eq!([quota.take(), quota.take(), quota.take()], [1, 2, 3]);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!([quota.take(), quota.take()], [1, 2]);
    }

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
