use http::{HeaderMap, HeaderValue, header};

/// A content coding (RFC 9110 section 8.4.1) in which a playlist is read and kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Coding {
    Identity,
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

// === impl Coding ===

impl Coding {
    pub(crate) const ALL: [Self; 5] = [Self::Identity, Self::Gzip, Self::Deflate, Self::Brotli, Self::Zstd];

    /// What a response's body is coded in; `None` for what is not known, or for several on top of each other.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        Self::of_lines(headers.get_all(header::CONTENT_ENCODING))
    }

    /// The same of the lines of a `Content-Encoding`, which are one list (RFC 9110 section 5.3).
    pub(crate) fn of_lines<'a>(lines: impl IntoIterator<Item = &'a HeaderValue>) -> Option<Self> {
        let mut all = Self::Identity;
        for line in lines {
            // An empty member is none (RFC 9110 section 5.6.1).
            for name in line.to_str().ok()?.split(',').map(str::trim).filter(|name| !name.is_empty()) {
                all = match (all, Self::named(name)?) {
                    (Self::Identity, coding) | (coding, Self::Identity) => coding,
                    _ => return None,
                };
            }
        }
        Some(all)
    }

    /// Names are case-insensitive, and `x-gzip` is gzip (RFC 9110 section 8.4.1.3).
    pub(crate) fn named(name: &str) -> Option<Self> {
        const NAMES: [(&str, Coding); 6] = [
            ("identity", Coding::Identity),
            ("gzip", Coding::Gzip),
            ("x-gzip", Coding::Gzip),
            ("deflate", Coding::Deflate),
            ("br", Coding::Brotli),
            ("zstd", Coding::Zstd),
        ];
        NAMES.iter().find(|(known, _)| name.eq_ignore_ascii_case(known)).map(|(_, coding)| *coding)
    }

    pub(crate) fn bit(self) -> u8 {
        1 << self as u8
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(values: &[&'static str]) -> Option<Coding> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::CONTENT_ENCODING, HeaderValue::from_static(value));
        }
        Coding::of(&headers)
    }

    #[test]
    fn one_known_coding_or_none() {
        assert_eq!(of(&[]), Some(Coding::Identity));
        assert_eq!(of(&["identity"]), Some(Coding::Identity));
        assert_eq!(of(&["gzip"]), Some(Coding::Gzip));
        assert_eq!(of(&[" X-GZip "]), Some(Coding::Gzip));
        assert_eq!(of(&["br"]), Some(Coding::Brotli));
        assert_eq!(of(&["identity", "gzip, identity,"]), Some(Coding::Gzip));
        assert_eq!(of(&[""]), Some(Coding::Identity));
        for unknown in [&["gzip, br"][..], &["gzip", "br"], &["gzip", "gzip"], &["dcb"], &["gzip", "dcb"]] {
            assert_eq!(of(unknown), None, "{unknown:?}");
        }
    }

    #[test]
    fn each_has_a_bit_of_its_own() {
        assert_eq!(Coding::ALL.iter().fold(0, |bits, coding| bits | coding.bit()), 0b1_1111);
    }
}
