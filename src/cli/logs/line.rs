use std::{
    cell::RefCell,
    fmt::{self, Debug, Write as _},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_log::NormalizeEvent as _;
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

use super::Format;

/// Writes an event as one line, in the words of tracing-subscriber's own formats.
///
/// Those took a sixth of the sidecar's time. This one knows that spans say nothing that the lines do not, puts
/// a line together in memory that it keeps, and writes numbers and plain text without the detour over `fmt`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line(pub(super) Format);

/// The memory for a thread's lines.
#[derive(Debug, Default)]
struct Scratch {
    line: String,
    /// The second that `stamp` shows.
    second: Option<u64>,
    /// That second as RFC 3339 has it, up to the fraction.
    stamp: String,
}

/// Writes the fields of one event.
struct Fields<'a> {
    format: Format,
    by_log: bool,
    line: &'a mut String,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Looks at all of them, since to stop early takes longer.
fn any(bytes: &[u8], such: impl Fn(u8) -> bool) -> bool {
    bytes.iter().fold(false, |any, byte| any | such(*byte))
}

// === impl Line ===

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        SCRATCH.with(|scratch| match scratch.try_borrow_mut() {
            Ok(mut scratch) => out.write_str(self.line(&mut scratch, event)),
            // A value that logs while it is written: its line is written first.
            Err(_) => out.write_str(self.line(&mut Scratch::default(), event)),
        })
    }
}

impl Line {
    fn line<'a>(&self, scratch: &'a mut Scratch, event: &Event<'_>) -> &'a str {
        // A line that came by the facade `log` has its target among its fields.
        let by_log = event.normalized_metadata();
        let metadata = by_log.as_ref().unwrap_or_else(|| event.metadata());
        let (level, target) = (metadata.level(), metadata.target());
        scratch.line.clear();
        if self.0 == Format::Json {
            scratch.line.push_str(r#"{"timestamp":""#);
        }
        scratch.now();
        let line = &mut scratch.line;
        match self.0 {
            Format::Text => {
                for _ in level.as_str().len()..6 {
                    line.push(' ');
                }
                line.push_str(level.as_str());
                line.push(' ');
                line.push_str(target);
                line.push(':');
            }
            Format::Json => {
                line.push_str(r#"","level":""#);
                line.push_str(level.as_str());
                line.push_str(r#"","target":""#);
                line.push_str(target);
                line.push('"');
            }
        }
        event.record(&mut Fields { format: self.0, by_log: by_log.is_some(), line });
        line.push_str(match self.0 {
            Format::Text => "\n",
            Format::Json => "}\n",
        });
        line
    }
}

// === impl Scratch ===

impl Scratch {
    /// Writes the time, to the microsecond. Most lines share their second with the one before.
    fn now(&mut self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        if self.second != Some(now.as_secs()) {
            self.second = Some(now.as_secs());
            self.stamp = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(now.as_secs()))
                .to_string()
                .replace('Z', ".");
        }
        self.line.push_str(&self.stamp);
        let micros = now.subsec_micros();
        let digits = [100_000, 10_000, 1_000, 100, 10, 1].map(|place| b'0' + (micros / place % 10) as u8);
        self.line.extend(digits.map(char::from));
        self.line.push('Z');
    }
}

// === impl Fields ===

impl Fields<'_> {
    fn name(&mut self, field: &Field) {
        let name = field.name();
        match self.format {
            Format::Text if name == "message" => self.line.push(' '),
            Format::Text => {
                self.line.push(' ');
                self.line.push_str(name);
                self.line.push('=');
            }
            Format::Json => {
                self.line.push_str(",\"");
                self.line.push_str(name);
                self.line.push_str("\":");
            }
        }
    }

    /// Whether it says from where in whose source a line came by the facade `log`: the paths of a machine that it was
    /// built on.
    fn is_place(&self, field: &Field) -> bool {
        self.by_log && field.name().starts_with("log.")
    }

    /// Makes what was written since `from` a text in a line of its own: no control character gets out, and in JSON
    /// no quote (RFC 8259 section 7).
    fn made_plain(&mut self, from: usize) {
        let json = self.format == Format::Json;
        // Nearly all are plain, which a look at the bytes tells: U+0080 to U+009F begin with 0xc2.
        let may_have_to_go =
            |byte: u8| byte < b' ' || matches!(byte, 0x7f | 0xc2) || json && matches!(byte, b'"' | b'\\');
        if !any(&self.line.as_bytes()[from..], may_have_to_go) {
            return;
        }
        let must_go = |char: char| char.is_control() || json && matches!(char, '"' | '\\');
        if !self.line[from..].contains(must_go) {
            return;
        }
        let written = self.line.split_off(from);
        for char in written.chars() {
            match char {
                '"' | '\\' if json => self.line.extend(['\\', char]),
                // JSON lets those from U+007F on stand; whoever reads the line in a terminal is better off without.
                _ if must_go(char) && json => self.put(format_args!("\\u{:04x}", u32::from(char))),
                _ if must_go(char) => self.line.extend(char.escape_default()),
                _ => self.line.push(char),
            }
        }
    }

    fn put(&mut self, value: fmt::Arguments<'_>) {
        // Into memory that grows, this fails only if a value's own `fmt` says so: what it has written stands.
        let _said = self.line.write_fmt(value);
    }

    fn quoted(&mut self, write: impl FnOnce(&mut Self)) {
        self.line.push('"');
        let from = self.line.len();
        write(self);
        self.made_plain(from);
        self.line.push('"');
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.name(field);
        match self.format {
            Format::Text => {
                let from = self.line.len();
                self.put(format_args!("{value:?}"));
                self.made_plain(from);
            }
            Format::Json => self.quoted(|fields| fields.put(format_args!("{value:?}"))),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if self.is_place(field) {
            return;
        }
        self.name(field);
        let is_odd = |byte: u8| !(b' '..0x7f).contains(&byte) || matches!(byte, b'"' | b'\\');
        match self.format {
            Format::Text if any(value.as_bytes(), is_odd) => self.put(format_args!("{value:?}")),
            _ => self.quoted(|fields| fields.line.push_str(value)),
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if self.is_place(field) {
            return;
        }
        self.name(field);
        self.line.push_str(itoa::Buffer::new().format(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.name(field);
        self.line.push_str(itoa::Buffer::new().format(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.name(field);
        self.line.push_str(if value { "true" } else { "false" });
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if !value.is_finite() {
            return self.record_debug(field, &value);
        }
        self.name(field);
        // A whole number keeps its point: its type is then the same in every line.
        self.line.push_str(zmij::Buffer::new().format_finite(value));
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

    fn written(format: Format, says: impl FnOnce()) -> String {
        let kept = Kept::default();
        let layer = fmt::layer().event_format(Line(format)).with_writer(kept.clone()).with_ansi(false);
        tracing::subscriber::with_default(registry().with(layer), says);
        let text = kept.0.lock().expect("no panic").clone();
        String::from_utf8(text).expect("text")
    }

    fn logged(format: Format) -> String {
        written(format, || {
            let none: Option<u16> = None;
            tracing::warn!(
                target: "onelane::exchange", session = %"0123…", kind = "media", odd = ODD, shown = %ODD,
                wait_ms = 0.132, most = u64::MAX, least = i64::MIN, yes = true, none, whole = 0.0, never = f64::NAN, "exchange"
            );
        })
    }

    #[test]
    fn a_line_of_a_library_says_whose_it_is_and_not_where_it_was_built() {
        for format in [Format::Text, Format::Json] {
            let line = written(format, || {
                let record = tracing_log::log::Record::builder()
                    .level(tracing_log::log::Level::Error)
                    .target("some_library")
                    .file(Some("/where/it/was/built.rs"))
                    .line(Some(4_711))
                    .module_path(Some("some_library::inner"))
                    .args(format_args!("it failed"))
                    .build();
                tracing_log::format_trace(&record).expect("it is written");
            });
            assert!(
                line.contains("ERROR") && line.contains("some_library") && line.contains("it failed"),
                "{line}"
            );
            assert!(!line.contains("log.") && !line.contains("built") && !line.contains("4711"), "{line}");
        }
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
        // Control characters beyond ASCII, and their neighbours.
        for (text, plain) in [("\u{7f}\u{80}\u{9f}", false), ("\u{a0}é¿…", true)] {
            let mut line = String::new();
            let mut fields = Fields { format: Format::Text, by_log: false, line: &mut line };
            fields.put(format_args!("{text}"));
            fields.made_plain(0);
            assert_eq!(line == text, plain, "{line}");
            assert!(line.chars().all(|char| !char.is_control()), "{line:?}");
        }
        assert!(
            said.is_some_and(|(_, rest)| rest.contains(" wait_ms=0.132 ") && rest.contains(" yes=true")),
            "{line}"
        );
    }
}
