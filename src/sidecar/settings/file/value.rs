//! How the values of keys are read, each with what is allowed.

use std::{fmt, marker::PhantomData, time::Duration};

use bytesize::ByteSize;
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, Unexpected, Visitor,
    value::MapAccessDeserializer,
};

use crate::sidecar::settings::written;

/// A text that a function reads.
pub(super) struct Text<T> {
    pub(super) expected: &'static str,
    pub(super) read: fn(&str) -> Result<T, String>,
}

/// A table of keys. What serde derives for a struct would take a list of values as well.
pub(super) struct Table<T> {
    expected: &'static str,
    keys: PhantomData<T>,
}

/// A whole number of a range.
struct Count {
    least: u32,
    most: u32,
}

/// A number from 0 to 1.
struct Part;

struct Switch;

const SIZE: &str = "a size as text, such as \"512KiB\", \"2MiB\" or \"1GiB\"";

const TIME: &str = "a time as text, such as \"500ms\", \"6s\" or \"2m\"";

pub(super) fn section<'de, T: Deserialize<'de>, D: Deserializer<'de>>(reader: D) -> Result<T, D::Error> {
    Table::such_as("a section of keys").deserialize(reader)
}

/// A time of more than nothing.
pub(super) fn time<'de, D: Deserializer<'de>>(reader: D) -> Result<Option<Duration>, D::Error> {
    reader.deserialize_str(Text { expected: TIME, read: written::time }).map(Some)
}

/// A pause within a turn.
pub(super) fn pause<'de, D: Deserializer<'de>>(reader: D) -> Result<Option<Duration>, D::Error> {
    reader.deserialize_str(Text { expected: TIME, read: written::pause }).map(Some)
}

/// A pause within a turn, or none.
pub(super) fn gap<'de, D: Deserializer<'de>>(reader: D) -> Result<Option<Duration>, D::Error> {
    reader.deserialize_str(Text { expected: TIME, read: written::gap }).map(Some)
}

pub(super) fn size<'de, D: Deserializer<'de>>(reader: D) -> Result<Option<ByteSize>, D::Error> {
    reader.deserialize_str(Text { expected: SIZE, read: written::size }).map(Some)
}

pub(super) fn some_bytes<'de, D: Deserializer<'de>>(reader: D) -> Result<Option<ByteSize>, D::Error> {
    reader.deserialize_str(Text { expected: SIZE, read: written::some_bytes }).map(Some)
}

pub(super) fn count<'de, const LEAST: u32, const MOST: u32, D: Deserializer<'de>>(
    reader: D,
) -> Result<Option<u32>, D::Error> {
    reader.deserialize_u32(Count { least: LEAST, most: MOST }).map(Some)
}

pub(super) fn part<'de, D: Deserializer<'de>>(reader: D) -> Result<Option<f64>, D::Error> {
    reader.deserialize_f64(Part).map(Some)
}

pub(super) fn switch<'de, D: Deserializer<'de>>(reader: D) -> Result<Option<bool>, D::Error> {
    reader.deserialize_bool(Switch).map(Some)
}

// === impl Text ===

impl<T> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.read)(text).map_err(|wrong| E::custom(format!("{text:?}: {wrong}")))
    }
}

// === impl Table ===

impl<T> Table<T> {
    pub(super) fn such_as(expected: &'static str) -> Self {
        Self { expected, keys: PhantomData }
    }
}

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for Table<T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<T, D::Error> {
        reader.deserialize_map(self)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Table<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_map<A: MapAccess<'de>>(self, keys: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(keys))
    }
}

// === impl Count ===

impl Visitor<'_> for Count {
    type Value = u32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from {} to {}", self.least, self.most)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<u32, E> {
        let allowed = |number: &u32| (self.least..=self.most).contains(number);
        let number_or = u32::try_from(number).ok().filter(allowed);
        number_or.ok_or_else(|| E::invalid_value(Unexpected::Signed(number), &self))
    }
}

// === impl Part ===

impl Visitor<'_> for Part {
    type Value = f64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number from 0 to 1")
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<f64, E> {
        match (0.0..=1.0).contains(&number) {
            true => Ok(number),
            false => Err(E::invalid_value(Unexpected::Float(number), &self)),
        }
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<f64, E> {
        match number {
            0 => Ok(0.0),
            1 => Ok(1.0),
            _ => Err(E::invalid_value(Unexpected::Signed(number), &self)),
        }
    }
}

// === impl Switch ===

impl Visitor<'_> for Switch {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true or false")
    }

    fn visit_bool<E: Error>(self, on: bool) -> Result<bool, E> {
        Ok(on)
    }
}
