use std::borrow::Cow;

use serde_json::{Map, Value};

/// The largest body that is read for a name or a message, in bytes. AWS's own are a few hundred.
pub(super) const READ_UP_TO: usize = 64 * 1024;

/// How much of a message is shown, in characters.
const SHOWN: usize = 512;

/// What an error's body says in free text: its `message` or `Message`.
///
/// **For the log alone, never for a player**: MediaTailor writes the origin's URL, the account and the session
/// into it ("Playback errors" in its user guide). Anything in the shape of a UUID is cut to its first eight
/// characters, since a whole session id is all that it takes to watch the session's stream, and nothing of a
/// URL past its `?` is given. At most 512 characters are given, and `…` where there are more; anything that
/// could break a line or turn its direction is escaped.
pub fn message(body: &[u8]) -> Option<String> {
    let body = object(body)?;
    let text = ["message", "Message"].into_iter().find_map(|key| body.get(key)?.as_str())?;
    // Before it is cut: half an id may still be told.
    let text = without_ids(&without_queries(text)).into_owned();
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

/// What follows a `?` goes, up to the next space or quote, where a slash stands before it in the same word.
fn without_queries(text: &str) -> Cow<'_, str> {
    let ends = |character: char| character.is_whitespace() || matches!(character, '"' | '<' | '>');
    let query = |word: &str| word.find('/').and_then(|slash| Some(slash + word[slash..].find('?')?));
    if !text.contains('?') {
        return Cow::Borrowed(text);
    }
    let words = text.split_inclusive(ends).map(|word| {
        let (word, end) = word.strip_suffix(ends).map_or((word, ""), |rest| word.split_at(rest.len()));
        match query(word) {
            Some(at) => format!("{}?…{end}", &word[..at]),
            None => format!("{word}{end}"),
        }
    });
    Cow::Owned(words.collect())
}

/// Of what has the shape of a UUID the first group stays, as of every session id in the log.
fn without_ids(text: &str) -> Cow<'_, str> {
    const GROUPS: usize = 36;
    let is_id = |bytes: &[u8]| {
        bytes.iter().enumerate().all(|(nth, byte)| match nth {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
    };
    let (mut shown, mut done, mut at) = (String::new(), 0, 0);
    while let Some(bytes) = text.as_bytes().get(at..at + GROUPS) {
        if is_id(bytes) {
            // A UUID is ASCII, so both ends of it are ends of characters.
            shown.push_str(&text[done..at + 8]);
            shown.push('…');
            at += GROUPS;
            done = at;
        } else {
            at += 1;
        }
    }
    if done == 0 {
        return Cow::Borrowed(text);
    }
    shown.push_str(&text[done..]);
    Cow::Owned(shown)
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

    fn said(text: &str) -> String {
        message(serde_json::json!({ "message": text }).to_string().as_bytes()).expect("a message")
    }

    #[test]
    fn ids_are_short_and_queries_are_gone() {
        const ID: &str = "6f1b7c52-30aa-4c1e-9d0f-2a4d1f7be901";
        for (text, shown) in [
            (
                format!(
                    "https://origin.example/live/0.m3u8?token=abc&s={ID} failed, sessionId:[{ID}] customerId:[1234]"
                ),
                "https://origin.example/live/0.m3u8?… failed, sessionId:[6f1b7c52…] customerId:[1234]",
            ),
            (format!("sessionId:[{}]", ID.to_uppercase()), "sessionId:[6F1B7C52…]"),
            (format!("{ID}{ID}é"), "6f1b7c52…6f1b7c52…é"),
            (format!("\"/a?b=[c] d\"?{}", &ID[1..]), "\"/a?… d\"?f1b7c52-30aa-4c1e-9d0f-2a4d1f7be901"),
            ("GET /v1/x?a=<b>\n/c?d".to_owned(), r"GET /v1/x?…<b>\u{a}/c?…"),
            ("is it there? no: 8-4/4".to_owned(), "is it there? no: 8-4/4"),
        ] {
            assert_eq!(said(&text), shown, "{text}");
        }
        let at_the_end = said(&format!("{}{ID}", "x".repeat(SHOWN - 12)));
        assert!(at_the_end.ends_with("x6f1b7c52…"), "{at_the_end}");
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
