use std::fmt;

use http::{HeaderMap, HeaderValue, header};

use crate::upstream::coding::Coding;

/// The content codings that a player takes, read from its `Accept-Encoding` (RFC 9110 section 12.5.3).
///
/// It takes one byte: read it while the request's head is at hand.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Accept(u8);

/// The bit of a request without the field.
const SILENT: u8 = 1 << 7;

/// What a field says of one coding.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Said {
    Nothing,
    Yes,
    No,
}

// === impl Accept ===

impl Accept {
    /// Reads the field; several lines of it count as one.
    ///
    /// Without the field the RFC lets every coding pass. Here its absence means `identity` alone, as it does
    /// to MediaTailor: ffmpeg and others that do not send it are never given a compressed playlist. A member
    /// that is malformed is passed over; one that is named twice is taken only if no mention refuses it.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        Self::of_lines(headers.get_all(header::ACCEPT_ENCODING))
    }

    pub(super) fn of_lines<'a>(lines: impl IntoIterator<Item = &'a HeaderValue>) -> Self {
        let mut said = [Said::Nothing; Coding::ALL.len()];
        let mut rest = Said::Nothing;
        let mut lines = lines.into_iter().peekable();
        let silent = if lines.peek().is_none() { SILENT } else { 0 };
        let lines = lines.filter_map(|line| line.to_str().ok());
        for member in lines.flat_map(|line| line.split(',')) {
            let mut parts = member.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let Some(taken) = weight(parts) else { continue };
            let place = match Coding::named(name) {
                Some(coding) => &mut said[coding as usize],
                None if name == "*" => &mut rest,
                None => continue,
            };
            *place = if taken && *place != Said::No { Said::Yes } else { Said::No };
        }
        let taken = |coding: &Coding| match said[*coding as usize] {
            Said::Nothing if *coding == Coding::Identity => rest != Said::No,
            Said::Nothing => rest == Said::Yes,
            said => said == Said::Yes,
        };
        Self(
            Coding::ALL
                .iter()
                .filter(|coding| taken(coding))
                .fold(silent, |bits, coding| bits | coding.bit()),
        )
    }

    /// Whether the player says nothing of it.
    pub(super) fn is_silent(self) -> bool {
        self.0 & SILENT != 0
    }

    pub(super) fn takes(self, coding: Coding) -> bool {
        self.0 & coding.bit() != 0
    }
}

impl fmt::Debug for Accept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(Coding::ALL.iter().filter(|coding| self.takes(**coding))).finish()
    }
}

/// Whether a member's weight is more than zero; `None` if it is none (RFC 9110 section 12.4.2).
fn weight<'a>(parameters: impl Iterator<Item = &'a str>) -> Option<bool> {
    let mut taken = true;
    for parameter in parameters {
        let (name, value) = parameter.split_once('=')?;
        if !name.trim().eq_ignore_ascii_case("q") {
            return None;
        }
        let value = value.trim();
        let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
        let digits = fraction.len() <= 3 && fraction.bytes().all(|byte| byte.is_ascii_digit());
        let zeros = fraction.bytes().all(|byte| byte == b'0');
        match whole {
            "0" if digits => taken = !zeros,
            "1" if digits && zeros => taken = true,
            _ => return None,
        }
    }
    Some(taken)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn accept(lines: &[&str]) -> Accept {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::ACCEPT_ENCODING, HeaderValue::from_str(line).expect("a value"));
        }
        Accept::of(&headers)
    }

    /// Whether identity and whether gzip is taken.
    fn takes(lines: &[&str]) -> (bool, bool) {
        let accept = accept(lines);
        (accept.takes(Coding::Identity), accept.takes(Coding::Gzip))
    }

    #[test]
    fn identity_unless_refused_and_gzip_only_if_asked_for() {
        for (line, expected) in [
            ("gzip", (true, true)),
            ("GZIP", (true, true)),
            ("x-gzip", (true, true)),
            ("gzip, deflate, br, zstd", (true, true)),
            ("br", (true, false)),
            ("", (true, false)),
            ("identity", (true, false)),
            ("gzip;q=0", (true, false)),
            ("gzip;q=0.0", (true, false)),
            ("gzip;q=0.000", (true, false)),
            ("gzip;q=0.001", (true, true)),
            ("gzip; q=1.000", (true, true)),
            ("gzip ; Q=0", (true, false)),
            ("identity;q=0", (false, false)),
            ("identity;q=0, gzip", (false, true)),
            ("*", (true, true)),
            ("*;q=0", (false, false)),
            ("*;q=0, gzip", (false, true)),
            ("*;q=0, identity", (true, false)),
            ("gzip;q=0, *", (true, false)),
            ("*, gzip;q=0", (true, false)),
            ("identity;q=0, *", (false, true)),
            ("gzip;q=0, gzip", (true, false)),
            ("gzip, gzip;q=0", (true, false)),
            // Chromium's own HLS player.
            ("gzip, identity;q=1, *;q=0", (true, true)),
            // Malformed members are as if they were not there.
            ("gzip;q=2", (true, false)),
            ("gzip;q=0.0001", (true, false)),
            ("gzip;q=", (true, false)),
            ("gzip;level=9", (true, false)),
            ("identity;q=no", (true, false)),
            (",,gzip,", (true, true)),
        ] {
            assert_eq!(takes(&[line]), expected, "{line:?}");
        }
        assert_eq!(takes(&[]), (true, false));
        assert_eq!(takes(&["identity;q=0", "gzip"]), (false, true));
    }

    proptest! {
        #[test]
        fn whatever_a_player_sends_is_read(line in "[ -~]{0,64}") {
            let accept = accept(&[&line]);
            // Nothing refuses identity but a zero.
            prop_assert!(accept.takes(Coding::Identity) || line.contains('0'));
        }
    }
}
