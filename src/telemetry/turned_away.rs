use std::{fmt, time::Duration};

use http::StatusCode;
use tracing::{error, warn};

use super::{Meters, Name, SHOWN, Seldom, VERDICT, made_here, remapped};
use crate::{
    session::{Extracted, Kind},
    upstream::Verdict,
};

/// What to do where requests come back to the process that sent them.
pub(crate) const WENT_ROUND: &str = "operators: --upstream leads back to this onelane, directly or through a CDN; name MediaTailor's endpoint there";

/// A request was answered before it came to any stage, and by this: nobody else counts it. The host is
/// anybody's: it is shown without what could be taken for something else, and not at any length.
pub(crate) fn turned_away(
    named: &Extracted,
    host: &[u8],
    (verdict, status): (Verdict, StatusCode),
    (detail, remedy): (&str, &str),
    seldom: &Seldom,
) {
    let kind = named.kind;
    // No upstream has answered for the playback configuration.
    let name = if kind == Kind::Other { Name::NONE } else { Name::OTHER };
    Meters::get().request(name, kind, Some(status), Duration::ZERO);
    remapped(verdict, status);
    made_here(named.key(), kind, verdict, status);
    if let Some(silent) = seldom.due() {
        let host: String = host.escape_ascii().take(SHOWN).map(char::from).collect();
        let (kind, status) = (kind.as_str(), status.as_u16());
        warn!(target: VERDICT, host, kind, status, detail, remedy, silent, "turned away");
    }
}

/// A request has come back to the process that had sent it.
pub(crate) fn went_round(upstream: &impl fmt::Display) {
    let (verdict, status) = (Verdict::Misaddressed, StatusCode::LOOP_DETECTED);
    remapped(verdict, status);
    static SELDOM: Seldom = Seldom::new();
    if let Some(silent) = SELDOM.due() {
        let (verdict, status) = (verdict.as_str(), status.as_u16());
        error!(target: VERDICT, verdict, status, %upstream, remedy = WENT_ROUND, silent, "a request has come back");
    }
}
