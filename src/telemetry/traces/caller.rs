use std::fmt::Write as _;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::trace::{SpanId, TraceId, TraceState};

use crate::session::hex;

/// What a request says of the trace that it is part of (W3C Trace Context).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caller {
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
    /// Whether the caller keeps its own.
    pub(super) sampled: bool,
    pub(super) state: TraceState,
}

static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

static TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// How long the header is in the version that is known, in bytes; a later one may be longer.
const LENGTH: usize = 55;

// === impl Caller ===

impl Caller {
    /// `None` where nothing is said, or nothing that makes sense: the request begins a trace of its own.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        if !have(headers, &TRACEPARENT) {
            return None;
        }
        let mut parents = headers.get_all(&TRACEPARENT).iter();
        let (Some(parent), None) = (parents.next(), parents.next()) else { return None };
        let (trace, span, sampled) = read(parent.to_str().ok()?)?;
        Some(Self { trace, span, sampled, state: state(headers) })
    }
}

/// Hardly any have. Among as few as there are, comparing takes less than hashing.
fn have(headers: &HeaderMap, name: &HeaderName) -> bool {
    headers.keys().any(|other| other.as_str() == name.as_str())
}

/// `VERSION-TRACE-SPAN-FLAGS`, all in lower-case hexadecimal digits.
fn read(text: &str) -> Option<(TraceId, SpanId, bool)> {
    let text = text.trim();
    let (known, rest) = text.split_at_checked(LENGTH)?;
    let mut parts = known.split('-');
    let mut part = |digits: usize| {
        let part = parts.next().filter(|part| part.len() == digits)?;
        part.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')).then_some(part)
    };
    let (version, trace, span, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
    let is_known = match version {
        "ff" => false,
        "00" => rest.is_empty(),
        _ => rest.is_empty() || rest.starts_with('-'),
    };
    let trace = TraceId::from_hex(trace).ok().filter(|id| *id != TraceId::INVALID)?;
    let span = SpanId::from_hex(span).ok().filter(|id| *id != SpanId::INVALID)?;
    let flags = u8::from_str_radix(flags, 16).ok()?;
    is_known.then_some((trace, span, flags & 1 == 1))
}

/// One that makes no sense is none.
fn state(headers: &HeaderMap) -> TraceState {
    let mut lines = headers.get_all(&TRACESTATE).iter().filter_map(|line| line.to_str().ok());
    let Some(first) = lines.next() else { return TraceState::NONE };
    let mut all = first.to_owned();
    for line in lines {
        // Writing to a string does not fail.
        let _written = write!(all, ",{line}");
    }
    all.parse().unwrap_or_default()
}

/// Tells whoever gets the request whose child it is. What the caller says of its trace besides goes on as it
/// came, if it is the same.
pub(super) fn tell(headers: &mut HeaderMap, exchange: (TraceId, SpanId, bool), caller: Option<&Caller>) {
    headers.insert(&TRACEPARENT, parent(exchange));
    if caller.is_none_or(|caller| caller.state == TraceState::NONE) && have(headers, &TRACESTATE) {
        headers.remove(&TRACESTATE);
    }
}

/// In memory that all copies of the request share.
fn parent((trace, span, sampled): (TraceId, SpanId, bool)) -> HeaderValue {
    let mut text = *b"00-tttttttttttttttttttttttttttttttt-ssssssssssssssss-00";
    const { assert!(LENGTH == 55) };
    text[3..35].copy_from_slice(hex::<16, 32>(trace.to_bytes()).as_slice());
    text[36..52].copy_from_slice(hex::<8, 16>(span.to_bytes()).as_slice());
    text[54] += u8::from(sampled);
    HeaderValue::from_maybe_shared(Bytes::from_owner(text)).expect("digits and dashes are a value")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let line = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).expect("a value"))
        };
        lines.iter().map(line).collect()
    }

    #[test]
    fn a_parent_is_read() {
        let caller =
            Caller::of(&headers(&[("traceparent", PARENT), ("tracestate", "a=1"), ("tracestate", "b=2")]));
        let caller = caller.expect("a caller");
        assert_eq!(caller.trace.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!((caller.span.to_string().as_str(), caller.sampled), ("00f067aa0ba902b7", true));
        assert_eq!(caller.state.header(), "a=1,b=2");
        for (flags, sampled) in [("00", false), ("02", false), ("03", true), ("ff", true)] {
            let text = format!("{}{flags}", &PARENT[..53]);
            assert_eq!(
                Caller::of(&headers(&[("traceparent", &text)])).map(|caller| caller.sampled),
                Some(sampled)
            );
        }
        let later = format!("01{}-and-more", &PARENT[2..]);
        assert!(Caller::of(&headers(&[("traceparent", &later)])).is_some());
    }

    #[test]
    fn what_makes_no_sense_is_none() {
        let zero = "0".repeat(32);
        for text in [
            String::new(),
            "00".to_owned(),
            PARENT[..54].to_owned(),
            format!("{PARENT}-"),
            format!("{PARENT}0"),
            format!("ff{}", &PARENT[2..]),
            format!("01{}x", &PARENT[2..]),
            format!("0g{}", &PARENT[2..]),
            PARENT.to_uppercase(),
            PARENT.replace('-', "_"),
            format!("00-{zero}-00f067aa0ba902b7-01"),
            format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{}-01", &zero[..16]),
            "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01".to_owned(),
            "é".repeat(40),
        ] {
            assert_eq!(read(&text), None, "{text}");
        }
        assert_eq!(Caller::of(&headers(&[("traceparent", PARENT), ("traceparent", PARENT)])), None);
        let caller = Caller::of(&headers(&[("traceparent", PARENT), ("tracestate", "nonsense")]));
        assert_eq!(caller.map(|caller| caller.state), Some(TraceState::NONE));
    }

    #[test]
    fn what_goes_upstream_is_the_exchanges_own() {
        let (trace, span) = (TraceId::from(1), SpanId::from(2));
        let own = (trace, span, true);
        let mut with_state = headers(&[("traceparent", PARENT), ("tracestate", "a=1")]);
        let caller = Caller::of(&with_state);
        tell(&mut with_state, own, caller.as_ref());
        let expected = format!("00-{:032x}-{:016x}-01", 1, 2);
        assert_eq!(with_state, headers(&[("traceparent", &expected), ("tracestate", "a=1")]));
        let mut nonsense = headers(&[("traceparent", "x"), ("tracestate", "a=1")]);
        tell(&mut nonsense, own, None);
        assert_eq!(nonsense, headers(&[("traceparent", &expected)]));
        let (trace, span) = (0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128, 0x00f0_67aa_0ba9_02b7_u64);
        for (sampled, flags) in [(true, "01"), (false, "00")] {
            let expected = format!("00-{trace:032x}-{span:016x}-{flags}");
            assert_eq!(parent((trace.into(), span.into(), sampled)), expected);
        }
    }
}
