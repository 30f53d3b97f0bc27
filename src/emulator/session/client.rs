use http::{HeaderMap, HeaderName, header};

/// What the last request said of its sender.
#[derive(Debug, Default)]
pub(in crate::emulator) struct Client {
    pub(in crate::emulator) user_agent: Option<Box<str>>,
    pub(in crate::emulator) forwarded_for: Option<Box<str>>,
    pub(in crate::emulator) host: Option<Box<str>>,
}

// === impl Client ===

impl Client {
    pub(in crate::emulator) fn note(&mut self, headers: &HeaderMap, host: Option<&str>) {
        const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        note(&mut self.user_agent, text(header::USER_AGENT));
        note(&mut self.forwarded_for, text(FORWARDED_FOR));
        note(&mut self.host, host);
    }
}

/// Most requests of a session say the same: no allocation for those.
fn note(known: &mut Option<Box<str>>, said: Option<&str>) {
    if known.as_deref() != said {
        *known = said.map(Into::into);
    }
}
