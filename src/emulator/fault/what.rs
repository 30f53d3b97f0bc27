use std::{fmt, num::NonZeroU64, str::FromStr};

use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::{
    aim::{Asked, Lasts, Which, Whose},
    kind::{Kind, names},
    requests::{Requests, Sought},
};
use crate::emulator::{
    serve::{answer::Exception, json},
    session::latency::Latency,
};

/// Something that goes wrong on demand, written as a JSON object.
///
/// ```
/// use onelane::emulator::Fault;
///
/// let fault: Fault = r#"{"status": 502, "error_type": "BadGatewayException", "for": "7s"}"#.parse()?;
/// let other: Fault = r#"{"kind": "slow-body", "rate": 50, "playlists": [2], "count": 3}"#.parse()?;
///
/// let error = r#"{"status": 502, "fro": "7s"}"#.parse::<Fault>().unwrap_err().to_string();
/// assert!(error.contains("`fro`") && error.contains("`for`"), "{error}");
/// # Ok::<(), onelane::emulator::MalformedFault>(())
/// ```
///
/// | Field | Value | Without it |
/// |---|---|---|
/// | `kind` | what goes wrong, as below | `status` if `status` or `error_type` is there |
/// | `status` | 400 to 599; for `status` and `html` | that of `error_type`; 502 for `html` |
/// | `error_type` | a name of MediaTailor's for `x-amzn-ErrorType`; for `status` | the first that has the status |
/// | `header` | `false` for no `x-amzn-ErrorType`; for `status` and `throttle` | `true` |
/// | `for` | how long, such as `"7s"` | until it is cleared |
/// | `count` | answers at most | any number |
/// | `sessions` | `"all"` or a list of ids | `"all"` |
/// | `requests` | `"playlist"`, `"session"` (the creation of one at `/v1/session`), `"tracking"`, `"segment"`, `"all"` or a list of these | `"playlist"` |
/// | `playlists` | `"media"`, `"multivariant"`, `"all"` or a list of media playlists' numbers | `"all"` |
/// | `configuration` | sessions of this playback configuration alone | all |
/// | `delay` | time on top of the usual, such as `"7s"` or `"1s..3s"`; not for `hang` and `throttle` | none |
/// | `rate` | bytes per second; for `slow-body` | 100 |
/// | `above` | requests per second that pass; for `throttle`, which must have it | |
/// | `by` | segments; for `lower-sequence` | 5 |
///
/// | Kind | What the client gets | Known how |
/// |---|---|---|
/// | `status` | MediaTailor's error, whose message tells origin and account as the real one does | documented |
/// | `html` | an error page as of a CDN or a load balancer, with none of MediaTailor's headers | inferred |
/// | `reset` | its connection reset before an answer; with HTTP/2 its stream | inferred |
/// | `reset-mid-body` | head and half of the body, then the connection is cut | inferred |
/// | `hang` | nothing, ever; its session is busy until it goes away | inferred |
/// | `slow-body` | the body, a few bytes at a time; its session is busy until the last | inferred |
/// | `truncated` | 200 with half of the playlist, of the length that `Content-Length` says | inferred |
/// | `truncated-gzip` | 200 with half of the gzip, asked for or not | inferred |
/// | `empty` | 200 without a body | inferred |
/// | `garbage` | 200 with random bytes | inferred |
/// | `lower-sequence` | media playlists whose media sequence is lower by some segments, at least 0 | inferred |
/// | `unchanged` | media playlists as they were when the fault began | inferred |
/// | `cached` | the usual answer, as a shared cache that should not keep it gives it: with an age, for everybody | inferred |
/// | `redirect-loop` | 302 to the playlist itself | inferred |
/// | `throttle` | 503 ThrottlingException beyond a rate of the requests that the fault is for | documented |
/// | `delay` | the usual answer, later | documented |
///
/// A fault befalls playlists of sessions, or the requests that it names, where MediaTailor would answer: conflicts come first, and a faulty exchange
/// keeps its session busy for its time. Only what is throttled is refused before it counts for its session. Where
/// several faults are for a request, the first befalls it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Fault(Fields);

/// Why a text is no [`Fault`]. It names the field, and what could be there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct MalformedFault(String);

/// What the JSON says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    kind: Option<Kind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_type: Option<Exception>,
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none", rename = "for")]
    lasts: Option<Lasts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<NonZeroU64>,
    #[serde(default)]
    sessions: Whose,
    #[serde(default, skip_serializing_if = "Requests::is_default")]
    requests: Requests,
    #[serde(default)]
    playlists: Which,
    #[serde(skip_serializing_if = "Option::is_none")]
    configuration: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delay: Option<Latency>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<NonZeroU64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    above: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<NonZeroU64>,
}

// === impl Fault ===

impl Fault {
    pub(in crate::emulator) fn kind(&self) -> Kind {
        self.0.kind.unwrap_or(Kind::Status)
    }

    pub(in crate::emulator) fn status(&self) -> StatusCode {
        let said = self.0.status.and_then(|status| StatusCode::from_u16(status).ok());
        let named = || self.0.error_type.map_or(StatusCode::BAD_GATEWAY, Exception::status);
        said.unwrap_or_else(named)
    }

    /// The exception that is named in the answer's header, if one is.
    pub(in crate::emulator) fn exception(&self) -> Option<Exception> {
        let fitting = || match self.kind() {
            Kind::Throttle => Some(Exception::Throttling),
            _ => Exception::with(self.status()),
        };
        self.0.error_type.or_else(fitting).filter(|_| self.0.header.unwrap_or(true))
    }

    pub(in crate::emulator) fn lasts(&self) -> Option<std::time::Duration> {
        self.0.lasts.map(|Lasts(lasts)| lasts)
    }

    pub(in crate::emulator) fn count(&self) -> Option<u64> {
        self.0.count.map(NonZeroU64::get)
    }

    pub(in crate::emulator) fn delay(&self) -> Latency {
        self.0.delay.unwrap_or(Latency::ZERO)
    }

    pub(in crate::emulator) fn rate(&self) -> u64 {
        self.0.rate.map_or(100, NonZeroU64::get)
    }

    pub(in crate::emulator) fn above(&self) -> u64 {
        self.0.above.unwrap_or(0).into()
    }

    pub(in crate::emulator) fn by(&self) -> u64 {
        self.0.by.map_or(5, NonZeroU64::get)
    }

    /// Whether a request is one that the fault is for.
    pub(in crate::emulator) fn is_for(&self, asked: &Asked<'_>) -> bool {
        let Fields { sessions, requests, playlists, configuration, .. } = &self.0;
        let Asked { whom, sought } = asked;
        requests.include(sought)
            && match *sought {
                Sought::Media(number) => playlists.includes(Some(number)),
                Sought::Multivariant => !self.kind().is_of_media() && playlists.includes(None),
                Sought::Creation | Sought::Tracking | Sought::Segment => true,
            }
            // What makes a session is none of those that are listed.
            && whom.session.map_or(*sessions == Whose::All, |session| sessions.includes(&session))
            && configuration.as_deref().is_none_or(|configuration| configuration == whom.configuration)
    }
}

impl FromStr for Fault {
    type Err = MalformedFault;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut fields: Fields = json::read(text.as_bytes()).map_err(MalformedFault)?;
        let kind = match fields.kind {
            Some(kind) => kind,
            None if fields.status.is_some() || fields.error_type.is_some() => Kind::Status,
            None => return Err(MalformedFault(format!("kind: missing; write one of {}", names(|_| true)))),
        };
        fields.check(kind).map_err(MalformedFault)?;
        fields.kind = Some(kind);
        Ok(Self(fields))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

// === impl Fields ===

impl Fields {
    /// Whether each field is one that the kind has, with a value that it can have.
    fn check(&self, kind: Kind) -> Result<(), String> {
        for (field, there) in [
            ("status", self.status.is_some()),
            ("error_type", self.error_type.is_some()),
            ("header", self.header.is_some()),
            ("delay", self.delay.is_some()),
            ("rate", self.rate.is_some()),
            ("above", self.above.is_some()),
            ("by", self.by.is_some()),
        ] {
            if there && !kind.has(field) {
                return Err(format!(
                    "{field}: kind {kind} does not have it; it is for {}",
                    names(|kind| kind.has(field))
                ));
            }
        }
        if self.status.is_some_and(|status| !(400..600).contains(&status)) {
            return Err("status: no error; write one from 400 to 599".to_owned());
        }
        if kind.is_of_media() && !self.requests.is_default() {
            return Err(format!("requests: kind {kind} is of media playlists alone; leave it out"));
        }
        if !self.requests.has_playlists() && self.playlists != Which::All {
            return Err("playlists: requests names none; leave it out, or add \"playlist\" there".to_owned());
        }
        match kind {
            Kind::Status if self.status.is_none() && self.error_type.is_none() => {
                Err("status: missing; write one from 400 to 599, or an error_type".to_owned())
            }
            Kind::Throttle if self.above.is_none() => {
                Err("above: missing; write how many requests per second pass".to_owned())
            }
            Kind::Delay if self.delay.is_none_or(|delay| delay.is_zero()) => {
                Err("delay: missing; write a duration, such as \"7s\"".to_owned())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::emulator::fault::aim::Whom;

    fn fault(text: &str) -> Fault {
        text.parse().expect(text)
    }

    #[test]
    fn what_is_not_said_is_sensible() {
        let name = |fault: &Fault| fault.exception().map(Exception::name);
        for (text, status, expected) in [
            (r#"{"status":502}"#, 502, Some("BadGatewayException")),
            (
                r#"{"status":502,"error_type":"UnsupportedManifestException"}"#,
                502,
                Some("UnsupportedManifestException"),
            ),
            (r#"{"status":503}"#, 503, Some("LoadShed")),
            (r#"{"status":503,"header":false}"#, 503, None),
            (r#"{"status":410}"#, 410, Some("Gone")),
            (r#"{"status":429}"#, 429, None),
            (r#"{"error_type":"GatewayTimeoutException"}"#, 504, Some("GatewayTimeoutException")),
        ] {
            let fault = fault(text);
            assert_eq!(
                (fault.kind(), fault.status().as_u16(), name(&fault)),
                (Kind::Status, status, expected),
                "{text}"
            );
        }
        assert_eq!(fault(r#"{"kind":"html"}"#).status(), StatusCode::BAD_GATEWAY);
        assert_eq!(name(&fault(r#"{"kind":"throttle","above":3}"#)), Some("ThrottlingException"));
    }

    #[test]
    fn reads_what_it_writes() {
        for text in [
            r#"{"kind":"status","status":502,"for":"7s","sessions":"all","playlists":"media"}"#,
            r#"{"kind":"throttle","header":false,"count":3,"sessions":["6f1b7c52-30aa-4c1e-9d0f-2a4d1f7be901"],"playlists":[1,2],"configuration":"News","above":0}"#,
            r#"{"kind":"slow-body","sessions":"all","playlists":"all","delay":"1s..3s","rate":50}"#,
            r#"{"kind":"hang","sessions":"all","requests":"segment","playlists":"all"}"#,
            r#"{"kind":"hang","sessions":"all","requests":["playlist","tracking"],"playlists":"media"}"#,
        ] {
            assert_eq!(fault(text).to_string(), text);
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_what_would_be_right() {
        for (text, named) in [
            ("", &["EOF"][..]),
            ("7", &["expected struct"]),
            ("{}", &["kind: ", "reset-mid-body"]),
            (r#"{"status":502,"fro":"7s"}"#, &["`fro`", "`for`"]),
            (r#"{"kind":"slow"}"#, &["kind: ", "`slow-body`"]),
            (r#"{"status":502}{"#, &["trailing"]),
            (r#"{"status":200}"#, &["status: ", "400 to 599"]),
            (r#"{"status":"x"}"#, &["status: "]),
            (r#"{"kind":"status"}"#, &["status: ", "error_type"]),
            (r#"{"error_type":"Conflict"}"#, &["error_type: ", "ConflictException"]),
            (r#"{"kind":"reset","status":502}"#, &["status: ", "reset", "status, html"]),
            (r#"{"status":502,"rate":5}"#, &["rate: ", "slow-body"]),
            (r#"{"kind":"throttle"}"#, &["above: "]),
            (r#"{"kind":"delay"}"#, &["delay: ", "7s"]),
            (r#"{"kind":"hang","delay":"7s"}"#, &["delay: ", "hang"]),
            (r#"{"kind":"delay","delay":"soon"}"#, &["delay: ", "no duration"]),
            (r#"{"status":502,"for":"soon"}"#, &["for: ", "7s"]),
            (r#"{"status":502,"count":0}"#, &["count: "]),
            (r#"{"status":502,"sessions":["x"]}"#, &["sessions: ", "all"]),
            (r#"{"status":502,"requests":"playlists"}"#, &["requests: ", "tracking"]),
            (r#"{"status":502,"requests":"segment","playlists":"media"}"#, &["playlists: ", "requests"]),
            (r#"{"kind":"unchanged","requests":"all"}"#, &["requests: ", "unchanged"]),
            (r#"{"status":502,"playlists":"video"}"#, &["playlists: ", "multivariant"]),
        ] {
            let error = text.parse::<Fault>().expect_err(text).to_string();
            assert!(named.iter().all(|part| error.contains(part)), "{text}: {error}");
        }
    }

    #[test]
    fn aims_at_configurations_and_kinds() {
        let asked = |configuration, sought| {
            let whom = Whom { account: "9f3c", configuration, session: Some(Uuid::nil()) };
            Asked { whom, sought }
        };
        let (media, multivariant) = (Sought::Media(0), Sought::Multivariant);
        let news = fault(r#"{"status":502,"configuration":"News","playlists":"media"}"#);
        assert!(news.is_for(&asked("News", media)));
        assert!(!news.is_for(&asked("News", multivariant)) && !news.is_for(&asked("Sport", media)));
        // A multivariant playlist has no media sequence.
        let lower = fault(r#"{"kind":"lower-sequence"}"#);
        assert!(lower.is_for(&asked("News", media)) && !lower.is_for(&asked("News", multivariant)));
    }

    #[test]
    fn aims_at_requests() {
        let sought =
            [Sought::Media(0), Sought::Multivariant, Sought::Creation, Sought::Tracking, Sought::Segment];
        let struck = |text: &str, session| {
            let whom = Whom { account: "9f3c", configuration: "News", session };
            sought.map(|sought| fault(text).is_for(&Asked { whom, sought }))
        };
        for (text, expected) in [
            (r#"{"status":502}"#, [true, true, false, false, false]),
            (r#"{"status":502,"requests":"session"}"#, [false, false, true, false, false]),
            (
                r#"{"status":502,"requests":["tracking","playlist"],"playlists":"media"}"#,
                [true, false, false, true, false],
            ),
            (r#"{"status":502,"requests":"all"}"#, [true; 5]),
        ] {
            assert_eq!(struck(text, Some(Uuid::nil())), expected, "{text}");
        }
        let listed = r#"{"status":502,"requests":"all","sessions":["00000000-0000-0000-0000-000000000000"]}"#;
        assert_eq!((struck(listed, Some(Uuid::nil())), struck(listed, None)), ([true; 5], [false; 5]));
    }
}
