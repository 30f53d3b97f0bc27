use serde_json::{Value, json};

use super::{Door, Proxy, Readiness, history::Second, live::Live, session::unix_ms};
use crate::{
    observe::record::Recorder,
    session::SessionKey,
    telemetry::{Event, Meters, Recent, What},
    upstream::Verdict,
};

/// How it goes with all sessions together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Overview<'a> {
    pub(super) upstream: &'a str,
    pub(super) readiness: &'a Readiness,
    pub(super) proxy: &'a Proxy,
    pub(super) door: &'a Door,
}

/// How many lanes are shown: those in which the most wait.
const LANES: usize = 10;

// === impl Overview ===

impl Overview<'_> {
    pub(super) fn waiting(&self) -> usize {
        self.proxy.layer().lanes().waiting()
    }

    /// All there is, the last minutes included.
    pub(super) fn whole(&self, live: &Live) -> Value {
        let mut all = self.levels();
        all["version"] = env!("CARGO_PKG_VERSION").into();
        all["upstream"] = self.upstream.into();
        all["seconds"] = live.history();
        all["events"] = events();
        all
    }

    /// What is new after a second.
    pub(super) fn now(&self, second: &Second, with_events: bool) -> Value {
        let mut news = self.levels();
        news["second"] = second.told();
        if with_events {
            news["events"] = events();
        }
        news
    }

    fn levels(&self) -> Value {
        let lanes = self.proxy.layer().lanes();
        let longest = lanes.longest(LANES).into_iter();
        let longest = longest.map(|(key, waiting)| {
            json!({ "session": key.to_string(), "upstream": upstream(&key), "waiting": waiting })
        });
        let recorded = self.proxy.recorder().map(|recorder| {
            json!({ "sessions": recorder.sessions_now(), "bytes": recorder.bytes(), "each": Recorder::EACH })
        });
        let leases = self.proxy.layer().leases();
        let lease = leases.map(|leases| {
            let why = leases.trouble().map(|why| why.to_string());
            json!({ "up": why.is_none(), "why": why })
        });
        json!({
            "ready": self.readiness.is_ready(),
            "lanes": lanes.len(),
            "waiting": lanes.waiting(),
            "exchanges": self.proxy.exchanges(),
            "connections": self.door.connections(),
            "longest": longest.collect::<Value>(),
            "recorded": recorded,
            "lease": lease,
        })
    }
}

fn events() -> Value {
    Recent::get().all().iter().map(told).collect()
}

fn told(event: &Event) -> Value {
    let Event { at, key, kind, what } = event;
    let (name, reason, words, remedy) = match *what {
        What::Conflict => {
            let verdict = Verdict::Conflict;
            let words = format!("409: {}; it is tried again within the turn.", verdict.meaning());
            ("conflict", verdict.as_str(), words, Some(verdict.remedy()))
        }
        What::Rescue { reason, age } => {
            let verdict: Option<Verdict> = reason.parse().ok();
            let why = verdict.map_or("the upstream has not answered in time", Verdict::meaning);
            let age = age.as_secs_f64();
            let words = format!("{}; the player got the last good playlist, {age:.1} s old.", sentence(why));
            ("rescue", reason, words, verdict.map(Verdict::remedy))
        }
        What::MadeHere { reason, status } => {
            let words = format!("{}; the player got {}.", sentence(reason.meaning()), status.as_u16());
            ("remap", reason.as_str(), words, Some(reason.remedy()))
        }
    };
    json!({
        "at": unix_ms(*at),
        "session": key.as_ref().map(ToString::to_string),
        "upstream": key.as_ref().and_then(upstream),
        "kind": kind.as_str(),
        "what": name,
        "reason": reason,
        "words": words,
        "remedy": remedy,
    })
}

/// What a session's upstream is called, where there are several; once it has answered for the configuration.
fn upstream(key: &SessionKey) -> Option<String> {
    Meters::get().upstream(key.scope_id()).map(|upstream| upstream.to_string())
}

/// With a capital.
fn sentence(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
