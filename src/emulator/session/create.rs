use bytes::Bytes;
use http::{Method, request::Parts};
use http_body::Body;
use http_body_util::{BodyExt as _, Limited};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use super::state::{Session, Terms};
use crate::emulator::{
    fault::{
        aim::{Asked, Whom},
        broken,
        kind::Kind,
        requests::Sought,
    },
    serve::{
        answer::{Answer, Exception, JSON, Refused, ok},
        route::{Home, pairs},
        service::Service,
    },
};

/// The longest body that is read, in bytes.
const LONGEST: usize = 64 * 1024;

/// What a query keeps of a text.
const PLAIN: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Makes a session by `POST` with a body, or by `GET` with a query.
pub(in crate::emulator) async fn session<B: Body>(
    service: &Service,
    home: Home<'_>,
    asset: &str,
    head: &Parts,
    body: B,
) -> Result<Answer, Refused> {
    let carry = service.args.manifest_params;
    let mut terms = terms_of_query(home, head.uri.query().unwrap_or_default(), carry);
    if head.method == Method::POST {
        let Some(body) = small(body).await else {
            return Err(Exception::BadRequest.refuse("the body cannot be read, or is longer than 64 KiB"));
        };
        // An empty one sets nothing; its type is not looked at, since samples send the wrong one.
        match serde_json::from_slice(if body.is_empty() { b"{}" } else { &body }) {
            Ok(Value::Object(body)) => terms.read(&body, carry),
            _ => return Err(Exception::BadRequest.refuse("the body is no JSON object")),
        }
    }
    let whom = Whom { account: home.account, configuration: home.configuration, session: None };
    let asked = Asked { whom, sought: Sought::Creation };
    if let Some(strike) = service.faults.throttles(&asked) {
        service.tally.faulty();
        return Ok(broken::refusal(&strike.fault, whom));
    }
    let mut dice = service.chance.draw();
    let mut delay = service.args.latency.sample(&mut dice);
    let strike = service.faults.strike(&asked);
    if let Some(strike) = &strike {
        service.tally.faulty();
        delay += strike.fault.delay().sample(&mut dice);
        if strike.fault.kind() == Kind::Hang {
            return std::future::pending().await;
        }
    }
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    // It is the session's first sign of life, not a request of it.
    let usual = || ok(JSON, urls(&service.create(terms), home, asset).to_string());
    Ok(match strike {
        Some(strike) => broken::answer(&strike.fault, whom, &mut dice, usual, None),
        None => usual(),
    })
}

/// What a query asks of the session that it makes.
pub(in crate::emulator) fn terms_of_query(home: Home<'_>, query: &str, carry: bool) -> Terms {
    let mut terms = Terms::of(home);
    let mut carried = Carried::default();
    for (key, value) in pairs(query) {
        let parameter = key.strip_prefix("manifest.").or_else(|| key.strip_prefix("manifestParams."));
        match parameter {
            Some(parameter) if carry => carried.add(parameter, &value),
            Some(_) => {}
            None => terms.set(key.strip_prefix("aws.").unwrap_or(&key), &value),
        }
    }
    terms.carried = carried.0.into();
    terms
}

/// The whole of a body, unless it is too long or breaks off.
pub(in crate::emulator) async fn small<B: Body>(body: B) -> Option<Bytes> {
    let body = body.map_err(|_| std::io::Error::from(std::io::ErrorKind::UnexpectedEof));
    Limited::new(Box::pin(body), LONGEST).collect().await.ok().map(|body| body.to_bytes())
}

/// Both relative to the host, as documented. A guided session has no tracking of its own.
fn urls(session: &Session, home: Home<'_>, asset: &str) -> Value {
    let (Home { account, configuration }, id, carried) = (home, session.id, &session.terms.carried);
    let kind = if asset.ends_with(".mpd") { "dash" } else { "master" };
    let (with, first) = match carried.is_empty() {
        true => (String::new(), String::new()),
        false => (format!("&{carried}"), format!("?{carried}")),
    };
    let mut urls = json!({ "manifestUrl": format!("/v1/{kind}/{account}/{configuration}/{asset}?aws.sessionId={id}{with}") });
    if !session.terms.guided {
        urls["trackingUrl"] = format!("/v1/tracking/{account}/{configuration}/{id}{first}").into();
    }
    urls
}

/// A query under construction.
#[derive(Default)]
struct Carried(String);

// === impl Carried ===

impl Carried {
    fn add(&mut self, key: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        self.0.extend(utf8_percent_encode(key, &PLAIN));
        self.0.push('=');
        self.0.extend(utf8_percent_encode(value, &PLAIN));
    }
}

// === impl Terms ===

impl Terms {
    pub(in crate::emulator) fn of(home: Home<'_>) -> Self {
        Self { account: home.account.into(), configuration: home.configuration.into(), ..Self::default() }
    }

    fn read(&mut self, body: &Map<String, Value>, carry: bool) {
        for key in ["insertionMode", "reportingMode"] {
            if let Some(value) = body.get(key).and_then(Value::as_str) {
                self.set(key, value);
            }
        }
        let Some(params) = body.get("manifestParams").and_then(Value::as_object).filter(|_| carry) else {
            return;
        };
        let mut carried = Carried(std::mem::take(&mut self.carried).into());
        for (key, value) in params {
            match value {
                Value::String(text) => carried.add(key, text),
                other => carried.add(key, &other.to_string()),
            }
        }
        self.carried = carried.0.into();
    }

    fn set(&mut self, key: &str, value: &str) {
        match key {
            "insertionMode" => self.guided = value.eq_ignore_ascii_case("guided"),
            "reportingMode" => self.client_side = value.eq_ignore_ascii_case("client"),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: Home<'_> = Home { account: "9f3c", configuration: "News" };

    #[test]
    fn a_query_sets_the_terms() {
        let query = "ads.a=1&manifest.tok=a%20b&manifest.x=&aws.insertionMode=GUIDED&start=7";
        let terms = terms_of_query(HOME, query, true);
        assert_eq!((&*terms.carried, terms.guided, terms.client_side), ("tok=a%20b&x=", true, false));
        assert_eq!(&*terms_of_query(HOME, query, false).carried, "");
    }

    #[test]
    fn a_body_adds_to_them() {
        let mut terms = terms_of_query(HOME, "manifestParams.a=1", true);
        let body =
            json!({ "manifestParams": { "tok": "é", "n": 3 }, "reportingMode": "client", "adsParams": {} });
        terms.read(body.as_object().expect("an object"), true);
        let mut carried: Vec<_> = terms.carried.split('&').collect();
        carried.sort_unstable();
        assert_eq!((carried, terms.client_side), (vec!["a=1", "n=3", "tok=%C3%A9"], true));
    }

    #[test]
    fn urls_are_relative_to_the_host() {
        let id = uuid::Uuid::from_u128(7);
        let session = |terms| Session::new(id, terms, 0);
        let stitched = session(terms_of_query(HOME, "manifest.tok=abc", true));
        assert_eq!(
            urls(&stitched, HOME, "out/v1/index.m3u8"),
            json!({
                "manifestUrl": format!("/v1/master/9f3c/News/out/v1/index.m3u8?aws.sessionId={id}&tok=abc"),
                "trackingUrl": format!("/v1/tracking/9f3c/News/{id}?tok=abc"),
            })
        );
        let guided = session(terms_of_query(HOME, "aws.insertionMode=GUIDED", true));
        assert!(urls(&guided, HOME, "index.m3u8").get("trackingUrl").is_none());
    }
}
