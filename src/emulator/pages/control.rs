//! The emulator's pages that change what it does.

use std::sync::{PoisonError, atomic::Ordering};

use http::{Method, request::Parts};
use http_body::Body;
use serde::Deserialize;
use serde_json::json;

use super::debug;
use crate::emulator::{
    choices::Numbering,
    fault::{aim::Whose, what::Fault},
    serve::{
        answer::{Answer, Exception},
        json::{self, page as told},
        route::Route,
        service::Service,
    },
    session::{create::small, latency::Latency},
};

/// How long sessions stay busy.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BusyAfter {
    time: Latency,
}

/// Which sessions end, and how those are numbered that are made from then on.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expire {
    sessions: Whose,
    numbering: Option<Numbering>,
}

/// The emulator's own pages, which never conflict and are not counted.
pub(in crate::emulator) async fn page<B: Body>(service: &Service, head: &Parts, body: B) -> Answer {
    let Route::Own(path) = Route::of(head.uri.path()) else {
        return Exception::NotFound.answer("no such page");
    };
    let asks = head.method == Method::GET || head.method == Method::HEAD;
    match (path, &head.method) {
        ("faults", _) if asks => told(&service.faults.list()),
        ("faults", &Method::DELETE) => {
            service.faults.clear();
            told(&service.faults.list())
        }
        ("busy-after", _) if asks => told(&json!({ "time": service.busy_after() })),
        ("faults" | "busy-after" | "expire", &Method::POST) => {
            let Some(body) = small(body).await else {
                return Exception::BadRequest.answer("the body cannot be read, or is longer than 64 KiB");
            };
            change(service, path, &body)
                .unwrap_or_else(|wrong| Exception::BadRequest.answer(&format!("{path}: {wrong}")))
        }
        ("faults", _) => Exception::MethodNotAllowed.answer("faults wants GET, POST or DELETE"),
        ("busy-after", _) => Exception::MethodNotAllowed.answer("busy-after wants GET or POST"),
        ("expire", _) => Exception::MethodNotAllowed.answer("expire wants POST"),
        _ => debug::page(service, head),
    }
}

/// Does what a body says, or tells what is wrong with it.
fn change(service: &Service, path: &str, body: &[u8]) -> Result<Answer, String> {
    Ok(match path {
        "faults" => {
            let fault: Fault = String::from_utf8_lossy(body).parse().map_err(|wrong| format!("{wrong}"))?;
            service.add_fault(fault)?;
            told(&service.faults.list())
        }
        "busy-after" => {
            let BusyAfter { time } = json::read(body)?;
            service.set_busy_after(time);
            told(&json!({ "time": time }))
        }
        _ => {
            let Expire { sessions, numbering } = json::read(body)?;
            if let Some(numbering) = numbering {
                service.number(numbering);
            }
            told(&json!({ "expired": service.expire(&sessions) }))
        }
    })
}

// === impl Service ===

impl Service {
    /// How long a session stays busy after an answer.
    pub(in crate::emulator) fn busy_after(&self) -> Latency {
        *self.busy_after.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets it for requests that come from now on.
    pub(in crate::emulator) fn set_busy_after(&self, time: Latency) {
        *self.busy_after.lock().unwrap_or_else(PoisonError::into_inner) = time;
    }

    /// Begins a fault.
    pub(in crate::emulator) fn add_fault(&self, fault: Fault) -> Result<(), &'static str> {
        match self.faults.add(fault, self.timeline.window()) {
            true => Ok(()),
            false => Err("there are too many; DELETE clears them"),
        }
    }

    /// Says how sessions are numbered that are made from now on.
    pub(in crate::emulator) fn number(&self, numbering: Numbering) {
        self.renumbers.store(numbering == Numbering::Reset, Ordering::Relaxed);
    }

    /// Ends sessions; says how many were alive.
    pub(in crate::emulator) fn expire(&self, whose: &Whose) -> usize {
        match whose {
            Whose::All => self.sessions.all().filter(|session| session.expire()).count(),
            Whose::These(ids) => {
                ids.iter().filter_map(|id| self.sessions.get(id)).filter(|session| session.expire()).count()
            }
        }
    }
}
