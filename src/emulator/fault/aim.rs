use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::requests::Sought;

/// Which sessions are meant: `"all"`, or a list of ids.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "Value", into = "Value")]
pub(in crate::emulator) enum Whose {
    #[default]
    All,
    These(Vec<Uuid>),
}

/// Which playlists of a session are meant: `"media"`, `"multivariant"`, `"all"`, or a list of numbers, which are
/// those of media playlists.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "Value", into = "Value")]
pub(in crate::emulator) enum Which {
    #[default]
    All,
    Media,
    Multivariant,
    These(Vec<u32>),
}

/// How long something lasts, as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub(in crate::emulator) struct Lasts(pub(in crate::emulator) Duration);

/// A request, as far as one can aim at it.
#[derive(Debug, Clone, Copy)]
pub(in crate::emulator) struct Asked<'a> {
    pub(in crate::emulator) whom: Whom<'a>,
    pub(in crate::emulator) sought: Sought,
}

/// Whose request it is.
#[derive(Debug, Clone, Copy)]
pub(in crate::emulator) struct Whom<'a> {
    pub(in crate::emulator) account: &'a str,
    pub(in crate::emulator) configuration: &'a str,
    /// None while it is about to be made.
    pub(in crate::emulator) session: Option<Uuid>,
}

// === impl Whose ===

impl Whose {
    pub(in crate::emulator) fn includes(&self, session: &Uuid) -> bool {
        match self {
            Self::All => true,
            Self::These(these) => these.contains(session),
        }
    }
}

impl TryFrom<Value> for Whose {
    type Error = &'static str;

    fn try_from(value: Value) -> Result<Self, Self::Error> {
        const WANTED: &str = "write \"all\", or a list of session ids";
        match value {
            Value::String(text) if text == "all" => Ok(Self::All),
            Value::Array(ids) => {
                let id = |id: Value| Uuid::try_parse(id.as_str()?).ok();
                ids.into_iter().map(id).collect::<Option<_>>().map(Self::These).ok_or(WANTED)
            }
            _ => Err(WANTED),
        }
    }
}

impl From<Whose> for Value {
    fn from(whose: Whose) -> Self {
        match whose {
            Whose::All => "all".into(),
            Whose::These(ids) => ids.iter().map(Uuid::to_string).collect(),
        }
    }
}

// === impl Which ===

impl Which {
    pub(in crate::emulator) fn includes(&self, number: Option<u32>) -> bool {
        match (self, number) {
            (Self::All, _) => true,
            (Self::Media, number) => number.is_some(),
            (Self::Multivariant, number) => number.is_none(),
            (Self::These(these), number) => number.is_some_and(|number| these.contains(&number)),
        }
    }
}

impl TryFrom<Value> for Which {
    type Error = &'static str;

    fn try_from(value: Value) -> Result<Self, Self::Error> {
        const WANTED: &str = "write \"media\", \"multivariant\", \"all\", or a list of playlist numbers";
        match &value {
            Value::String(text) => match &**text {
                "all" => Ok(Self::All),
                "media" => Ok(Self::Media),
                "multivariant" => Ok(Self::Multivariant),
                _ => Err(WANTED),
            },
            Value::Array(numbers) => {
                let number = |number: &Value| u32::try_from(number.as_u64()?).ok();
                numbers.iter().map(number).collect::<Option<_>>().map(Self::These).ok_or(WANTED)
            }
            _ => Err(WANTED),
        }
    }
}

impl From<Which> for Value {
    fn from(which: Which) -> Self {
        match which {
            Which::All => "all".into(),
            Which::Media => "media".into(),
            Which::Multivariant => "multivariant".into(),
            Which::These(numbers) => numbers.into(),
        }
    }
}

// === impl Lasts ===

impl TryFrom<String> for Lasts {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match humantime::parse_duration(&text) {
            Ok(lasts) if !lasts.is_zero() => Ok(Self(lasts)),
            _ => Err(format!("{text:?} is no duration; write one above nought, such as 7s or 500ms")),
        }
    }
}

impl From<Lasts> for String {
    fn from(Lasts(lasts): Lasts) -> Self {
        humantime::format_duration(lasts).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::serve::json::read;

    #[test]
    fn aims_at_what_was_named() {
        let one = "6f1b7c52-30aa-4c1e-9d0f-2a4d1f7be901";
        let whose: Whose = read(format!("[\"{one}\"]").as_bytes()).expect("a list of one");
        let id = Uuid::try_parse(one).expect("an id");
        assert!(whose.includes(&id) && !whose.includes(&Uuid::nil()));
        assert!(Whose::All.includes(&Uuid::nil()));

        for (text, included) in [
            ("\"all\"", [true, true, true]),
            ("\"media\"", [false, true, true]),
            ("\"multivariant\"", [true, false, false]),
            ("[3]", [false, false, true]),
            ("[]", [false; 3]),
        ] {
            let which: Which = read(text.as_bytes()).expect(text);
            assert_eq!([None, Some(0), Some(3)].map(|number| which.includes(number)), included, "{text}");
            assert_eq!(serde_json::to_string(&which).expect("JSON"), text);
        }
    }

    #[test]
    fn anything_else_is_told_what_to_write() {
        for text in ["\"some\"", "[\"x\"]", "[1]", "7", "null"] {
            assert!(read::<Whose>(text.as_bytes()).expect_err(text).contains("list of session ids"));
        }
        for text in ["\"some\"", "[-1]", "[4294967296]", "7", "null"] {
            assert!(read::<Which>(text.as_bytes()).expect_err(text).contains("list of playlist numbers"));
        }
        for text in ["\"\"", "\"0s\"", "\"soon\""] {
            assert!(read::<Lasts>(text.as_bytes()).expect_err(text).contains("such as 7s"));
        }
    }
}
