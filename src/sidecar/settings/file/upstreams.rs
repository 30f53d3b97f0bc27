use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{
        Error as _, MapAccess, SeqAccess, Visitor,
        value::{MapAccessDeserializer, SeqAccessDeserializer},
    },
};

use super::{Site, value};
use crate::api::{self, Named};

/// `upstream`, where it is no URL: a playback configuration whose endpoint it is, or tables of several.
#[derive(Debug)]
pub(in crate::sidecar) enum Upstreams {
    Of(Named),
    Several(Vec<Site>),
}

/// `{ playback_configuration = "News", region = "eu-west-1" }`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Of {
    #[serde(deserialize_with = "required")]
    playback_configuration: String,
    #[serde(default, deserialize_with = "region")]
    region: Option<String>,
    #[serde(default, rename = "url", deserialize_with = "of_several")]
    _url: (),
}

struct Reader;

const NAME: &str = "a playback configuration's name as text, such as \"News\"";

const REGION: &str = "a region as text, such as \"eu-west-1\"";

fn required<'de, D: Deserializer<'de>>(reader: D) -> Result<String, D::Error> {
    reader.deserialize_str(value::Text { expected: NAME, read: api::name })
}

pub(super) fn name<'de, D: Deserializer<'de>>(reader: D) -> Result<Option<String>, D::Error> {
    required(reader).map(Some)
}

pub(super) fn region<'de, D: Deserializer<'de>>(reader: D) -> Result<Option<String>, D::Error> {
    reader.deserialize_str(value::Text { expected: REGION, read: api::region }).map(Some)
}

fn of_several<'de, D: Deserializer<'de>>(_: D) -> Result<(), D::Error> {
    Err(D::Error::custom(
        "a table with a url is one of several; write [[upstream]], or upstream = \"URL\" for one alone",
    ))
}

// === impl Upstreams ===

impl Upstreams {
    pub(super) fn is_none(&self) -> bool {
        matches!(self, Self::Several(tables) if tables.is_empty())
    }
}

impl Default for Upstreams {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

impl<'de> Deserialize<'de> for Upstreams {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_any(Reader)
    }
}

// === impl Reader ===

impl<'de> Visitor<'de> for Reader {
    type Value = Upstreams;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a URL, a table such as { playback_configuration = \"News\" }, or [[upstream]] tables")
    }

    fn visit_map<A: MapAccess<'de>>(self, keys: A) -> Result<Upstreams, A::Error> {
        let Of { playback_configuration: name, region, .. } =
            Of::deserialize(MapAccessDeserializer::new(keys))?;
        Ok(Upstreams::Of(Named { name, region }))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, tables: A) -> Result<Upstreams, A::Error> {
        let tables = Vec::deserialize(SeqAccessDeserializer::new(tables))?;
        match tables.is_empty() {
            true => {
                Err(A::Error::custom("the list is empty; write upstream = \"URL\", or [[upstream]] tables"))
            }
            false => Ok(Upstreams::Several(tables)),
        }
    }
}
