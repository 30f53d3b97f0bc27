//! Values as people write them, in flags and in the file alike.

use std::{net::SocketAddr, time::Duration};

use bytesize::ByteSize;

/// Clocks overflow somewhere; nothing here is meant to take longer.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// The longest pause within a turn.
const MINUTE: Duration = Duration::from_secs(60);

/// The least pause that is one.
const LEAST_PAUSE: Duration = Duration::from_millis(1);

/// More than the largest machines have cores for; a slip of the pen would take all their memory.
const MOST_THREADS: usize = 4096;

/// A duration, `6s` or `1m 30s`.
pub(in crate::sidecar) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("it is no time ({error}); write it like 500ms, 6s or 2m"))
}

/// A duration of more than nothing.
pub(in crate::sidecar) fn time(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("it must be more than zero; write it like 500ms, 6s or 2m".to_owned()),
        time if time > LONGEST => Err("it must be a day at most; write it like 500ms, 6s or 2m".to_owned()),
        time => Ok(time),
    }
}

/// A duration within a turn.
pub(in crate::sidecar) fn pause(text: &str) -> Result<Duration, String> {
    let allowed = || "it must be between 1ms and 1m; write it like 50ms or 1s".to_owned();
    Some(duration(text)?).filter(|pause| (LEAST_PAUSE..=MINUTE).contains(pause)).ok_or_else(allowed)
}

/// The same, or nothing.
pub(in crate::sidecar) fn gap(text: &str) -> Result<Duration, String> {
    let allowed = || "it must be between 0s, for none, and 1m; write it like 250ms".to_owned();
    Some(duration(text)?).filter(|gap| *gap <= MINUTE).ok_or_else(allowed)
}

/// Where to listen.
pub(in crate::sidecar) fn address(text: &str) -> Result<SocketAddr, String> {
    let none =
        "it is no address to listen at; write it as IP:PORT, like 127.0.0.1:8080, 0.0.0.0:8080 or [::]:8080";
    text.parse().map_err(|_| none.to_owned())
}

/// A number of bytes.
pub(in crate::sidecar) fn size(text: &str) -> Result<ByteSize, String> {
    text.trim().parse().map_err(|_| "it is no size; write it like 512KiB, 2MiB or 1GiB".to_owned())
}

/// A number of bytes, and not none.
pub(in crate::sidecar) fn some_bytes(text: &str) -> Result<ByteSize, String> {
    let none = || "it must be more than zero; write it like 512KiB, 2MiB or 1GiB".to_owned();
    Some(size(text)?).filter(|size| size.as_u64() > 0).ok_or_else(none)
}

/// A part of a whole.
pub(in crate::sidecar) fn share(text: &str) -> Result<f64, String> {
    let allowed = || "it must be a number from 0 to 1; write it like 0.01".to_owned();
    text.parse().ok().filter(|share| (0.0..=1.0).contains(share)).ok_or_else(allowed)
}

pub(in crate::sidecar) fn count(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "it must be a whole number; write it like 1000".to_owned())
}

pub(in crate::sidecar) fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| *n > 0).ok_or_else(|| "it must be a whole number above zero".to_owned())
}

pub(in crate::sidecar) fn threads(text: &str) -> Result<usize, String> {
    let allowed =
        || format!("it must be a whole number from 1 to {MOST_THREADS}; one for each core is enough");
    text.parse().ok().filter(|n| (1..=MOST_THREADS).contains(n)).ok_or_else(allowed)
}
