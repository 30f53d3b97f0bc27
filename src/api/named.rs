use std::fmt;

/// Which playback configuration is meant: its name, and where it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Named {
    pub(crate) name: String,
    /// `None` for the one that AWS's own variables and files name.
    pub(crate) region: Option<String>,
}

/// The longest name that is taken, in characters: AWS names no limit, and none has been seen that is near to this.
const LONGEST: usize = 256;

/// The longest region that is taken, in characters. It becomes a part of a host name.
const LONGEST_REGION: usize = 32;

/// A name as it can be asked for.
///
/// # Errors
///
/// What is wrong with it, and what would be right.
pub(crate) fn name(text: &str) -> Result<String, String> {
    let good = !text.is_empty() && text.chars().count() <= LONGEST && !text.contains(['/', '?', '#']);
    match good && !text.chars().any(|character| character.is_control() || character.is_whitespace()) {
        true => Ok(text.to_owned()),
        false => {
            Err("it is no name of a playback configuration; write it as MediaTailor's console shows it, such as News"
                .to_owned())
        }
    }
}

/// A region as hosts of AWS have it.
///
/// # Errors
///
/// What is wrong with it, and what would be right.
pub(crate) fn region(text: &str) -> Result<String, String> {
    let is_of_it =
        |character: char| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-';
    match text.contains('-') && text.len() <= LONGEST_REGION && text.chars().all(is_of_it) {
        true => Ok(text.to_owned()),
        false => Err("it is no region; write it like eu-west-1".to_owned()),
    }
}

// === impl Named ===

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "playback configuration {:?}", self.name)?;
        match &self.region {
            Some(region) => write!(f, " in {region}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_regions_that_can_be_none_are_refused() {
        for good in ["News", "news_live-2", "Nachrichten.ü"] {
            assert_eq!(name(good).as_deref(), Ok(good));
        }
        for bad in ["", " ", "a/b", "a?b", "a\nb", &"x".repeat(257)] {
            assert!(name(bad).is_err_and(|why| why.contains("such as News")), "{bad}");
        }
        for good in ["eu-west-1", "us-gov-east-1"] {
            assert_eq!(region(good).as_deref(), Ok(good));
        }
        for bad in ["", "Ireland", "eu-west-1.evil.example", "EU-WEST-1", "eu-west-1/", &"a-".repeat(17)] {
            assert!(region(bad).is_err_and(|why| why.contains("like eu-west-1")), "{bad}");
        }
    }
}
