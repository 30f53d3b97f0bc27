use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::emulator::{Emulator, Fault};

/// What goes wrong while the demo stays up, one after the other: each is something that onelane deals
/// with in another way.
const TROUBLES: [Trouble; 4] = [
    Trouble {
        told: "somebody else loads the same sessions: conflicts that onelane cannot keep from happening, and retries",
        fault: r#"{"status": 409, "for": "700ms", "playlists": "media"}"#,
    },
    Trouble {
        told: "MediaTailor fails: rescues, the last good playlist",
        fault: r#"{"status": 502, "error_type": "BadGatewayException", "for": "3s", "playlists": "media"}"#,
    },
    Trouble {
        told: "an ad server is slow: rescues, and exchanges that drain",
        fault: r#"{"kind": "delay", "delay": "3s", "count": 12, "for": "5s", "playlists": "media"}"#,
    },
    Trouble {
        told: "a few sessions are lost: remaps, a 404 that makes a player begin anew",
        fault: r#"{"status": 404, "count": 3, "for": "2s", "playlists": "media"}"#,
    },
];

/// The time from one to the next.
const EVERY: Duration = Duration::from_secs(6);

/// The first comes once playlists were good for a while.
const FIRST: Duration = Duration::from_secs(4);

/// Something that goes wrong.
#[derive(Debug)]
struct Trouble {
    told: &'static str,
    fault: &'static str,
}

/// Plants one after the other at all of these, for ever.
pub(super) async fn plant(emulators: [&Emulator; 2]) {
    let mut next = Instant::now() + FIRST;
    for Trouble { told, fault } in TROUBLES.iter().cycle() {
        sleep_until(next).await;
        next += EVERY;
        let fault: Fault = fault.parse().expect("it is well-formed: a test reads all");
        for emulator in emulators {
            if let Err(error) = emulator.add_fault(fault.clone()) {
                tracing::warn!(%error, "a fault that cannot be planted");
            }
        }
        eprintln!("now {told}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_well_formed_and_end() {
        for Trouble { fault, .. } in TROUBLES {
            let parsed: Fault = fault.parse().expect(fault);
            assert!(parsed.to_string().contains("for"), "{fault}");
        }
    }
}
