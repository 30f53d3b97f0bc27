use serde_json::{Map, Value};

/// The largest body that is read for a name or a message, in bytes. AWS's own are a few hundred.
pub(super) const READ_UP_TO: usize = 64 * 1024;

/// How much of a message is shown, in characters.
const SHOWN: usize = 512;

/// What an error's body says in free text: its `message` or `Message`.
///
/// **For the log alone, never for a player**: MediaTailor writes the origin's URL, the account and the session
/// into it ("Playback errors" in its user guide). At most 512 characters are given and `…` where there are
/// more; what could break a line or turn its direction is escaped.
pub fn message(body: &[u8]) -> Option<String> {
    let body = object(body)?;
    let text = ["message", "Message"].into_iter().find_map(|key| body.get(key)?.as_str())?;
    let mut shown = String::with_capacity(text.len().min(SHOWN) + '…'.len_utf8());
    let mut length = 0;
    for character in text.chars() {
        let escape = is_unsafe(character).then(|| character.escape_unicode());
        length += escape.as_ref().map_or(1, ExactSizeIterator::len);
        if length > SHOWN {
            shown.push('…');
            break;
        }
        match escape {
            Some(escape) => shown.extend(escape),
            None => shown.push(character),
        }
    }
    Some(shown)
}

/// Controls, separators of lines, and what changes the direction of text.
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A body as a JSON object, if it is one and not too large to be an error's.
pub(super) fn object(body: &[u8]) -> Option<Map<String, Value>> {
    // A page or a compressed body is told from an object by its first byte.
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    if first != Some(&b'{') || body.len() > READ_UP_TO {
        return None;
    }
    serde_json::from_slice(body).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_are_read() {
        assert_eq!(message(br#" {"message":"a"}"#).as_deref(), Some("a"));
        assert_eq!(message(br#"{"Message":"b"}"#).as_deref(), Some("b"));
        for body in ["", "{}", "[]", r#"{"message":7}"#, "<html>", r#"{"message":"#, "\u{feff}{}"] {
            assert_eq!(message(body.as_bytes()), None, "{body}");
        }
    }

    #[test]
    fn it_stays_one_short_line() {
        let shown = message(r#"{"message":"a\nb\u001b[31m\u202e é"}"#.as_bytes()).expect("a message");
        assert_eq!(shown, r"a\u{a}b\u{1b}[31m\u{202e} é");
        let long = |text: &str| message(format!(r#"{{"message":"{}"}}"#, text.repeat(600)).as_bytes());
        let shown = long("é").expect("a message");
        assert_eq!((shown.chars().count(), shown.ends_with('…')), (513, true));
        let shown = long(r"\n").expect("a message");
        assert!(shown.chars().count() <= 513 && shown.ends_with(r"\u{a}…"), "an escape is not cut");
    }

    #[test]
    fn what_is_too_large_or_too_deep_is_left() {
        let large = format!(r#"{{"message":"{}"}}"#, "x".repeat(READ_UP_TO));
        assert_eq!(message(large.as_bytes()), None);
        let deep = format!(r#"{{"a":{}"#, "[".repeat(60_000));
        assert_eq!(message(deep.as_bytes()), None);
    }
}
