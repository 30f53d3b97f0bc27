/// A short text, in place: a request id of AWS's and the name of a playlist need no memory of their own.
#[derive(Debug)]
pub(super) enum Text {
    Short { bytes: [u8; SHORT], length: u8 },
    Long(Box<str>),
}

/// What fits in place, in bytes: a UUID has 36.
const SHORT: usize = 38;

// === impl Text ===

impl Text {
    pub(super) fn read(&self) -> Box<str> {
        match self {
            Self::Short { bytes, length } => {
                let bytes = bytes.get(..usize::from(*length)).unwrap_or_default();
                std::str::from_utf8(bytes).unwrap_or_default().into()
            }
            Self::Long(text) => text.clone(),
        }
    }

    /// What it takes besides itself, in bytes.
    pub(super) fn heap(&self) -> usize {
        match self {
            Self::Short { .. } => 0,
            Self::Long(text) => text.len(),
        }
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        let mut bytes = [0; SHORT];
        match bytes.get_mut(..text.len()) {
            Some(place) => {
                place.copy_from_slice(text.as_bytes());
                Self::Short { bytes, length: text.len() as u8 }
            }
            None => Self::Long(text.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_as_it_was_written() {
        for length in 0..100 {
            let text = &"é0123456789".repeat(10)[..length + length % 2];
            let kept = Text::from(text);
            assert_eq!(&*kept.read(), text);
            assert_eq!(kept.heap(), if text.len() > SHORT { text.len() } else { 0 }, "{text}");
        }
    }
}
