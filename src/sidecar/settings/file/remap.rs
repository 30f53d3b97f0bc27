use std::{fmt, sync::LazyLock};

use clap::ValueEnum;
use http::StatusCode;
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Unexpected, Visitor},
};

use super::{
    bad::Wrong,
    value::{Table, Text, count},
};
use crate::{
    remap::{self, Rule},
    upstream::Verdict,
};

/// `[remap]`: what players get, one key for each verdict.
#[derive(Debug, Default)]
pub(in crate::sidecar) struct Remap {
    pub(in crate::sidecar) profile: Option<Profile>,
    pub(in crate::sidecar) rules: Vec<(Verdict, Rule)>,
}

/// The name of a [`remap::Profile`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::sidecar) enum Profile {
    /// Answers that players survive.
    Survive,
    /// What the upstream says, as it came.
    Transparent,
}

/// What a key of the section is for.
enum Key {
    Profile,
    Rule(Verdict),
}

/// `{ status = 502, retry_after = 1 }`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    #[serde(deserialize_with = "status")]
    status: Rule,
    #[serde(default, deserialize_with = "count::<0, 86_400, _>")]
    retry_after: Option<u32>,
}

struct Section;

struct Name;

struct Status;

/// All keys of the section.
static KEYS: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let ruled = Verdict::ALL.iter().filter(|verdict| ruled(**verdict).is_ok());
    ["profile"].into_iter().chain(ruled.map(|verdict| verdict.as_str())).collect()
});

/// Whether a verdict can have a rule.
fn ruled(verdict: Verdict) -> Result<(), remap::BadRule> {
    let any = Rule::status(StatusCode::BAD_GATEWAY)?;
    remap::Config::default().rule(verdict, any).map(drop)
}

fn status<'de, D: Deserializer<'de>>(reader: D) -> Result<Rule, D::Error> {
    reader.deserialize_u16(Status)
}

// === impl Remap ===

impl Remap {
    pub(super) fn over(self, other: Self) -> Self {
        Self {
            profile: self.profile.or(other.profile),
            // The last rule of a verdict counts.
            rules: other.rules.into_iter().chain(self.rules).collect(),
        }
    }

    pub(super) fn apply(self, config: &mut remap::Config) -> Result<(), Wrong> {
        super::set(&mut config.profile, self.profile.map(Into::into));
        for (verdict, rule) in self.rules {
            let ruled = config.clone().rule(verdict, rule);
            *config = ruled.map_err(|bad| Wrong::new("remap", bad.to_string()))?;
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Remap {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_map(Section)
    }
}

// === impl Profile ===

impl From<Profile> for remap::Profile {
    fn from(profile: Profile) -> Self {
        match profile {
            Profile::Survive => Self::Survive,
            Profile::Transparent => Self::Transparent,
        }
    }
}

impl<'de> Deserialize<'de> for Profile {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        let expected = "\"survive\" or \"transparent\"";
        let read = |text: &str| {
            Self::from_str(text, false).map_err(|_| "it must be \"survive\" or \"transparent\"".to_owned())
        };
        reader.deserialize_str(Text { expected, read })
    }
}

// === impl Section ===

impl<'de> Visitor<'de> for Section {
    type Value = Remap;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a section of keys")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut keys: A) -> Result<Remap, A::Error> {
        let mut remap = Remap::default();
        while let Some(key) = keys.next_key()? {
            match key {
                Key::Profile => remap.profile = Some(keys.next_value()?),
                Key::Rule(verdict) => {
                    let table = Table::<Fields>::such_as("a table such as { status = 502, retry_after = 1 }");
                    let Fields { status, retry_after } = keys.next_value_seed(table)?;
                    let rule = retry_after.map_or(status, |seconds| status.retry_after(seconds));
                    remap.rules.push((verdict, rule));
                }
            }
        }
        Ok(remap)
    }
}

// === impl Key ===

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_identifier(Name)
    }
}

// === impl Name ===

impl Visitor<'_> for Name {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("profile or a verdict")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Key, E> {
        if name == "profile" {
            return Ok(Key::Profile);
        }
        let verdict: Verdict = name.parse().map_err(|_| E::unknown_field(name, &KEYS))?;
        ruled(verdict).map(|()| Key::Rule(verdict)).map_err(E::custom)
    }
}

// === impl Status ===

impl Visitor<'_> for Status {
    type Value = Rule;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a status: 400 to 599 without 409 and 429")
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Rule, E> {
        let status = u16::try_from(number).ok().and_then(|code| StatusCode::from_u16(code).ok());
        let status = status.ok_or_else(|| E::invalid_value(Unexpected::Signed(number), &self))?;
        Rule::status(status).map_err(E::custom)
    }
}
