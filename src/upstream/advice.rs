use super::Verdict;

/// What is told of a verdict, in answers and in `docs/errors.md`: sentences without their full stops.
struct Advice {
    meaning: &'static str,
    remedy: &'static str,
}

// === impl Verdict ===

impl Verdict {
    /// What has happened, in a sentence without its full stop. It names nobody's address and may go to a player.
    pub fn meaning(self) -> &'static str {
        self.advice().meaning
    }

    /// What to do about it, in a sentence without its full stop.
    pub fn remedy(self) -> &'static str {
        self.advice().remedy
    }

    fn advice(self) -> Advice {
        let (meaning, remedy) = match self {
            Self::Playlist => ("the upstream answered with a playlist", "nothing needs to be done"),
            Self::Conflict => (
                "MediaTailor saw two playlist requests of one session at the same time",
                "let every request of the session go through the same onelane; nothing else may load its playlists",
            ),
            Self::SessionLost => (
                "the session has expired or was never there",
                "start a new session: load the multivariant playlist again, without a session id",
            ),
            Self::Blocked => (
                "AWS Support has blocked the session or the playback configuration",
                "ask AWS Support why, and bring down the number of requests that fail with a 4xx",
            ),
            Self::Misaddressed => (
                "MediaTailor does not know the Host header that it got",
                "set --host rewrite for an endpoint of one configuration, --host preserve for the regional one, \
                 and see that --upstream names the endpoint",
            ),
            Self::Denied => (
                "something on the way to MediaTailor denied the request",
                "see the rules of the CDN, firewall or token check between onelane and MediaTailor",
            ),
            Self::BadRequest => (
                "MediaTailor takes the request for malformed",
                "check its parameters, and those of the playback configuration",
            ),
            Self::NotFound => (
                "the URL maps to nothing at MediaTailor",
                "check the account, the playback configuration and the asset's path in the URL",
            ),
            Self::Throttled => (
                "a quota of requests per second is used up",
                "let players load less often, or have the account's quota raised",
            ),
            Self::Incomplete => (
                "the request broke off before all of its body was there",
                "send it again, whole and framed as HTTP has it",
            ),
            Self::HeldBack => (
                "onelane did not send it, since its session or configuration had very many 4xx in the last minute",
                "find what makes them in the log, before AWS blocks the configuration; it goes on within a minute after",
            ),
            Self::Overloaded => (
                "MediaTailor has too much to do at the moment",
                "try again, a little later each time; if it stays, ask AWS Support with the request id",
            ),
            Self::OriginBroken => (
                "MediaTailor or the origin behind it failed",
                "see the exception in the log: the origin's address, its manifest and its ad markers",
            ),
            Self::TimedOut => (
                "no answer came in time",
                "load the playlist again; if it stays, see how long the origin and the ad server take, \
                 then --answer-within and --max-hold",
            ),
            Self::Unreachable => (
                "no connection to the upstream could be made, or it broke before the answer was there",
                "see that --upstream names the endpoint, and that name resolution, the network and TLS let it be reached",
            ),
            Self::NotPlaylist => (
                "the upstream answered with a success whose body is no usable playlist",
                "see the flaw in the log, and what stands between onelane and MediaTailor",
            ),
            Self::Failed => (
                "the upstream answered with a status that MediaTailor does not document",
                "see what stands between onelane and MediaTailor",
            ),
            Self::Passed => ("the answer was passed on without being judged", "nothing needs to be done"),
            Self::LaneFull => (
                "too many requests of this session, or of all sessions, wait for their turn",
                "load a session's playlists one at a time; operators: see --depth and --waiting",
            ),
            Self::ShuttingDown => (
                "the proxy is shutting down",
                "load the playlist again: another instance answers, or this one once it is back",
            ),
            Self::MalformedSession => (
                "the session id in the URL is malformed",
                "use the playlist address that MediaTailor gave, unchanged",
            ),
        };
        Advice { meaning, remedy }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Exception, *};

    #[test]
    fn texts_are_clauses_of_one_line() {
        let verdicts = Verdict::ALL.iter().map(|verdict| [verdict.meaning(), verdict.remedy()]);
        let exceptions = Exception::ALL.iter().map(|exception| [exception.meaning(), exception.remedy()]);
        for text in verdicts.chain(exceptions).flatten() {
            let length = text.chars().count();
            assert!((10..=160).contains(&length), "{length}: {text}");
            assert!(
                !text.ends_with(['.', ' ']) && !text.contains(['\n', '\r']) && !text.contains("  "),
                "{text}"
            );
        }
    }
}
