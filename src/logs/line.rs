use std::fmt::{self, Debug, Write};

use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::Writer,
        time::{FormatTime as _, SystemTime},
    },
    registry::LookupSpan,
};

use super::Format;

/// Writes an event as one line, in the words of tracing-subscriber's own formats.
///
/// Those took a sixth of the sidecar's time. This one knows that there are no spans, and writes numbers and text
/// as they come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line(pub(super) Format);

/// The fields of one event, and whether they could be written.
struct Fields<'a> {
    format: Format,
    out: Writer<'a>,
    written: fmt::Result,
}

/// Text between quotes, as JSON wants it (RFC 8259 section 7).
struct Json<'a, 'w>(&'a mut Writer<'w>);

/// Text in a line of its own: no control character gets out.
struct Plain<'a, 'w>(&'a mut Writer<'w>);

// === impl Line ===

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let (level, target) = (event.metadata().level(), event.metadata().target());
        match self.0 {
            Format::Text => {
                SystemTime.format_time(&mut out)?;
                write!(out, " {level:>5} {target}:")?;
            }
            Format::Json => {
                out.write_str(r#"{"timestamp":""#)?;
                SystemTime.format_time(&mut out)?;
                write!(out, r#"","level":"{level}","target":"{target}""#)?;
            }
        }
        let mut fields = Fields { format: self.0, out, written: Ok(()) };
        event.record(&mut fields);
        fields.written?;
        match self.0 {
            Format::Text => fields.out.write_str("\n"),
            Format::Json => fields.out.write_str("}\n"),
        }
    }
}

// === impl Fields ===

impl Fields<'_> {
    /// Writes one field, its value by `value`.
    fn field(&mut self, field: &Field, value: impl FnOnce(&mut Self) -> fmt::Result) {
        self.written = self.written.and_then(|()| {
            let name = field.name();
            match self.format {
                Format::Text if name == "message" => self.out.write_str(" ")?,
                Format::Text => write!(self.out, " {name}=")?,
                Format::Json => write!(self.out, r#","{name}":"#)?,
            }
            value(self)
        });
    }

    fn text(&mut self, text: &dyn Debug) -> fmt::Result {
        match self.format {
            Format::Text => write!(Plain(&mut self.out), "{text:?}"),
            Format::Json => {
                self.out.write_str("\"")?;
                write!(Json(&mut self.out), "{text:?}")?;
                self.out.write_str("\"")
            }
        }
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.field(field, |fields| fields.text(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.field(field, |fields| match fields.format {
            Format::Text => write!(fields.out, "{value:?}"),
            Format::Json => fields.text(&format_args!("{value}")),
        });
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.field(field, |fields| write!(fields.out, "{value}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.field(field, |fields| write!(fields.out, "{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.field(field, |fields| write!(fields.out, "{value}"));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.field(field, |fields| match value.is_finite() {
            // Debug keeps the point of a whole number: its type is then the same in every line.
            true => write!(fields.out, "{value:?}"),
            false => fields.text(&value),
        });
    }
}

// === impl Json ===

impl Write for Json<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut plain = 0;
        for (at, byte) in text.bytes().enumerate() {
            if byte >= b' ' && byte != b'"' && byte != b'\\' {
                continue;
            }
            self.0.write_str(&text[plain..at])?;
            plain = at + 1;
            match byte {
                b'"' => self.0.write_str(r#"\""#)?,
                b'\\' => self.0.write_str(r"\\")?,
                _ => write!(self.0, r"\u{byte:04x}")?,
            }
        }
        self.0.write_str(&text[plain..])
    }
}

// === impl Plain ===

impl Write for Plain<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if !text.chars().any(char::is_control) {
            return self.0.write_str(text);
        }
        text.chars().try_for_each(|char| match char.is_control() {
            true => write!(self.0, "{}", char.escape_default()),
            false => self.0.write_char(char),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::{fmt, fmt::MakeWriter, layer::SubscriberExt as _, registry};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Kept {
        fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("no panic").extend_from_slice(text);
            Ok(text.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Kept {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    const ODD: &str = "a \"quote\", a \\, a\nline and \u{1b}[31m é…";

    fn logged(format: Format) -> String {
        let kept = Kept::default();
        let layer = fmt::layer().event_format(Line(format)).with_writer(kept.clone()).with_ansi(false);
        tracing::subscriber::with_default(registry().with(layer), || {
            let none: Option<u16> = None;
            tracing::warn!(
                target: "onelane::exchange", session = %"0123…", kind = "media", odd = ODD, shown = %ODD,
                wait_ms = 0.132, most = u64::MAX, least = i64::MIN, yes = true, none, whole = 0.0, never = f64::NAN, "exchange"
            );
        });
        let text = kept.0.lock().expect("no panic").clone();
        String::from_utf8(text).expect("text")
    }

    #[test]
    fn json_is_one_object_a_line_whatever_the_values() {
        let line = logged(Format::Json);
        assert_eq!(line.matches('\n').count(), 1);
        let object: serde_json::Value = serde_json::from_str(&line).expect(&line);
        assert_eq!(object["message"], "exchange");
        assert_eq!((&object["level"], &object["target"]), (&"WARN".into(), &"onelane::exchange".into()));
        assert_eq!((&object["session"], &object["kind"]), (&"0123…".into(), &"media".into()));
        assert_eq!((&object["odd"], &object["shown"]), (&ODD.into(), &ODD.into()));
        assert_eq!((&object["wait_ms"], &object["most"]), (&0.132.into(), &u64::MAX.into()));
        assert_eq!((&object["least"], &object["yes"]), (&i64::MIN.into(), &true.into()));
        assert!(object["whole"].is_f64());
        assert_eq!((object.get("none"), &object["never"]), (None, &"NaN".into()));
        assert!(object["timestamp"].as_str().expect("text").ends_with('Z'));
    }

    #[test]
    fn text_is_one_line_without_control_characters() {
        let line = logged(Format::Text);
        assert!(line.ends_with('\n') && line.trim_end().chars().all(|char| !char.is_control()), "{line:?}");
        let said = line.split_once("  WARN onelane::exchange: exchange session=0123… kind=\"media\" odd=");
        assert!(
            said.is_some_and(|(_, rest)| rest.contains(" wait_ms=0.132 ") && rest.contains(" yes=true")),
            "{line}"
        );
    }
}
