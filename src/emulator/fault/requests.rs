use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Which kinds of request are meant: `"playlist"`, `"session"`, `"tracking"`, `"segment"`, a list of these, or
/// `"all"`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "Value", into = "Value")]
pub(in crate::emulator) struct Requests(Vec<&'static str>);

/// What a request is after, as far as one can aim at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::emulator) enum Sought {
    /// The media playlist of a number.
    Media(u32),
    Multivariant,
    /// A session, at `/v1/session`.
    Creation,
    Tracking,
    Segment,
}

const NAMES: [&str; 4] = [PLAYLIST, "session", "tracking", "segment"];

/// What is meant if nothing is said.
const PLAYLIST: &str = "playlist";

// === impl Requests ===

impl Requests {
    pub(super) fn include(&self, sought: &Sought) -> bool {
        self.0.contains(&sought.name())
    }

    pub(super) fn has_playlists(&self) -> bool {
        self.0.contains(&PLAYLIST)
    }

    /// Whether playlists are meant and nothing else.
    pub(super) fn is_default(&self) -> bool {
        self.0 == [PLAYLIST]
    }
}

impl Default for Requests {
    fn default() -> Self {
        Self(vec![PLAYLIST])
    }
}

impl TryFrom<Value> for Requests {
    type Error = &'static str;

    fn try_from(value: Value) -> Result<Self, Self::Error> {
        const WANTED: &str =
            "write \"playlist\", \"session\", \"tracking\", \"segment\", a list of these, or \"all\"";
        let name = |value: &Value| NAMES.into_iter().find(|name| value.as_str() == Some(name));
        let names = match &value {
            Value::String(text) if text == "all" => Some(NAMES.to_vec()),
            Value::Array(names) if !names.is_empty() => names.iter().map(name).collect(),
            one => name(one).map(|name| vec![name]),
        };
        names.map(Self).ok_or(WANTED)
    }
}

impl From<Requests> for Value {
    fn from(Requests(names): Requests) -> Self {
        match &names[..] {
            _ if names == NAMES => "all".into(),
            [one] => (*one).into(),
            _ => names.into(),
        }
    }
}

// === impl Sought ===

impl Sought {
    fn name(&self) -> &'static str {
        match self {
            Self::Media(_) | Self::Multivariant => PLAYLIST,
            Self::Creation => "session",
            Self::Tracking => "tracking",
            Self::Segment => "segment",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::serve::json::read;

    #[test]
    fn reads_what_it_writes() {
        for text in ["\"playlist\"", "\"tracking\"", "[\"session\",\"segment\"]", "\"all\""] {
            let requests: Requests = read(text.as_bytes()).expect(text);
            assert_eq!(serde_json::to_string(&requests).expect("JSON"), text);
            assert_eq!(requests.is_default(), text == "\"playlist\"");
        }
    }

    #[test]
    fn anything_else_is_told_what_to_write() {
        for text in ["\"media\"", "[]", "[\"all\"]", "[1]", "7", "null"] {
            assert!(read::<Requests>(text.as_bytes()).expect_err(text).contains("\"tracking\""), "{text}");
        }
    }
}
