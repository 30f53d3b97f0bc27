//! What faults make of answers.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use rand::{Rng, rngs::SmallRng};

use super::{
    aim::Whom,
    damage::{Damage, Held},
    kind::Kind,
    what::Fault,
};
use crate::emulator::serve::answer::{Answer, Exception, Foreign, PLAYLIST, error, ok};

/// Bytes of garbage.
const GARBAGE: usize = 1024;

/// What a fault makes of an exchange: `usual` is the answer that it would have had, `held` keeps its session busy.
pub(in crate::emulator) fn answer(
    fault: &Fault,
    whom: Whom<'_>,
    dice: &mut SmallRng,
    usual: impl FnOnce() -> Answer,
    held: Held,
) -> Answer {
    match fault.kind() {
        Kind::Status | Kind::Throttle => refusal(fault, whom),
        Kind::Html => page(fault.status()),
        Kind::Empty => other(&usual(), ""),
        Kind::Garbage => {
            let mut bytes = vec![0; GARBAGE];
            dice.fill_bytes(&mut bytes);
            other(&usual(), bytes)
        }
        Kind::Truncated => usual().map(|body| body.slice(..body.len() / 2)),
        Kind::TruncatedGzip => damaged(usual(), Damage::HalfGzip),
        Kind::Reset => damaged(usual(), Damage::Reset),
        Kind::ResetMidBody => damaged(usual(), Damage::Cut(held)),
        Kind::SlowBody => damaged(usual(), Damage::Slow(fault.rate(), held)),
        Kind::Cached => cached(usual()),
        Kind::RedirectLoop => elsewhere(),
        Kind::Hang | Kind::LowerSequence | Kind::Unchanged | Kind::Delay => usual(),
    }
}

/// A fault's error.
pub(in crate::emulator) fn refusal(fault: &Fault, whom: Whom<'_>) -> Answer {
    let status = match fault.kind() {
        Kind::Throttle => StatusCode::SERVICE_UNAVAILABLE,
        _ => fault.status(),
    };
    failure(status, fault.exception(), whom)
}

/// An error as the service writes it. Its message tells the origin's address and the account, as the documented one
/// does ("playback errors"): neither is for players.
pub(in crate::emulator) fn failure(status: StatusCode, named: Option<Exception>, whom: Whom<'_>) -> Answer {
    let Whom { account, configuration, session } = whom;
    let session = session.map(|id| format!("sessionId:[{id}] ")).unwrap_or_default();
    let message = format!(
        "{} origin:[https://vault.origin.example/private/{configuration}/index.m3u8] {session}\
         customerId:[{account}] awsAccountId:[111122223333]",
        status.canonical_reason().unwrap_or("the request failed"),
    );
    error(status, named, &message)
}

/// A 200 with another body than the usual.
fn other(usual: &Answer, body: impl Into<Bytes>) -> Answer {
    let mut answer = ok(PLAYLIST, body);
    match usual.headers().get(header::CONTENT_TYPE) {
        Some(kind) => answer.headers_mut().insert(header::CONTENT_TYPE, kind.clone()),
        None => answer.headers_mut().remove(header::CONTENT_TYPE),
    };
    answer
}

/// An error page as a CDN or a load balancer writes it.
fn page(status: StatusCode) -> Answer {
    let title = format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or("Error"));
    let page = format!(
        "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n\
         </body>\r\n</html>\r\n"
    );
    let mut answer = Response::new(Bytes::from(page));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
    answer.extensions_mut().insert(Foreign);
    answer
}

/// An answer that a shared cache has kept for a while, for whoever asks.
fn cached(mut answer: Answer) -> Answer {
    let headers = answer.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=30"));
    headers.insert(header::AGE, HeaderValue::from_static("12"));
    answer
}

/// A redirect that leads back here, whatever the address was.
fn elsewhere() -> Answer {
    let mut answer = ok(PLAYLIST, "");
    *answer.status_mut() = StatusCode::FOUND;
    answer.headers_mut().insert(header::LOCATION, HeaderValue::from_static("?again"));
    answer
}

fn damaged(mut answer: Answer, damage: Damage) -> Answer {
    answer.extensions_mut().insert(damage);
    answer
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use uuid::Uuid;

    use super::*;

    fn broken(text: &str) -> Answer {
        let whom = Whom { account: "9f3c", configuration: "News", session: Some(Uuid::nil()) };
        let fault = text.parse().expect(text);
        let usual = || ok(PLAYLIST, "#EXTM3U\n#EXTINF:2.0,\n");
        answer(&fault, whom, &mut SmallRng::seed_from_u64(7), usual, None)
    }

    #[test]
    fn an_error_tells_what_the_service_tells() {
        let answer = broken(r#"{"status":502,"error_type":"UnsupportedManifestException"}"#);
        assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
        let name = answer.headers()["x-amzn-errortype"].to_str().expect("text");
        assert!(name.starts_with("UnsupportedManifestException:http://internal.amazon.com/coral/"), "{name}");
        let body: serde_json::Value = serde_json::from_slice(answer.body()).expect("JSON");
        let message = body["message"].as_str().expect("a message");
        for told in
            ["https://vault.origin.example/", "customerId:[9f3c]", "sessionId:[00000000-", "111122223333"]
        {
            assert!(message.contains(told), "{message}");
        }
        let bare = broken(r#"{"status":599,"header":false}"#);
        assert_eq!(bare.status().as_u16(), 599);
        assert!(!bare.headers().contains_key("x-amzn-errortype"));
        let throttled = broken(r#"{"kind":"throttle","above":0}"#);
        assert_eq!(throttled.status(), StatusCode::SERVICE_UNAVAILABLE);
    }

    #[test]
    fn bodies_are_what_their_kind_says() {
        let body = |text| broken(text).into_body();
        assert_eq!(body(r#"{"kind":"truncated"}"#), "#EXTM3U\n#E");
        assert_eq!(body(r#"{"kind":"empty"}"#), "");
        assert_eq!(body(r#"{"kind":"unchanged"}"#), "#EXTM3U\n#EXTINF:2.0,\n");
        let garbage = body(r#"{"kind":"garbage"}"#);
        assert!(garbage.len() == GARBAGE && std::str::from_utf8(&garbage).is_err());
        let page = broken(r#"{"kind":"html","status":503}"#);
        assert_eq!(
            (page.status().as_u16(), &page.headers()[header::CONTENT_TYPE]),
            (503, &HeaderValue::from_static("text/html"))
        );
        assert!(page.body().starts_with(b"<html>") && page.extensions().get::<Foreign>().is_some());
    }
}
