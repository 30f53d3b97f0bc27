//! What single answers tell.

use http::{Uri, header};

use super::{
    answer::Answer,
    examine::{Examination, Over},
    finding::Finding,
    visits::{NoAnswer, ORIGIN},
};
use crate::{rescue::RESCUE, session::ShownPath, upstream::Verdict};

/// What to do about a body that cannot be unpacked.
const REPACK: &str = "compress in one place only, and let Content-Length be that of what is sent";

/// What an answer is that was asked for as a playlist and is not judged, and what to do about it.
const NO_PLAYLIST: (&str, &str) =
    ("it is no playlist, and leads to none", "give the URL of a playlist, or one that makes a session");

/// What to do about a certificate that is refused, by what is said against it.
fn certificate(refused: &str) -> &'static str {
    if refused.contains("expired") {
        "renew the certificate, and see that the server has loaded the new one"
    } else if refused.contains("not valid for name") {
        "use a name that the certificate is for, or have one made for this name"
    } else {
        "let the server send its whole chain; a private CA belongs among the system's (SSL_CERT_FILE)"
    }
}

/// Host and port.
fn host(url: &Uri) -> &str {
    let authority = url.authority().map_or("", |authority| authority.as_str());
    authority.rsplit('@').next().unwrap_or_default()
}

// === impl Examination ===

impl Examination {
    pub(super) fn came(&mut self, url: &Uri, answer: Result<Answer, NoAnswer>) -> Result<Answer, Over> {
        let why = match answer {
            Ok(answer) => return Ok(answer),
            Err(why) => why,
        };
        let host = host(url);
        let text = why.to_string();
        self.tell(match why {
            NoAnswer::NoConnection(_) if text.contains("certificate") => {
                Finding::error("tls", format!("{host}: {text}")).remedy(certificate(&text))
            }
            NoAnswer::NoConnection(_) => Finding::error("reach", format!("{host}: {text}"))
                .remedy("check the name and the port, and that this machine may connect there"),
            NoAnswer::Broken(_) => Finding::error("answer", format!("{}: {text}", ShownPath(url)))
                .remedy("see what stands between here and MediaTailor: it broke off, or waits for too long"),
            NoAnswer::Enough(_) => Finding::note("enough", text),
        });
        Err(Over)
    }

    pub(super) fn reached(&mut self, url: &Uri, answer: &Answer) {
        let took = answer.took.as_millis();
        let host = host(url);
        self.tell(Finding::ok("reach", format!("{host} answers {} in {took} ms", answer.status())));
        if url.scheme_str() == Some("http") {
            self.tell(Finding::note("tls", "plain HTTP: pages served over HTTPS cannot load it"));
        }
    }

    /// What an answer means, unless it is a playlist.
    pub(super) fn judge(&mut self, answer: &Answer) -> bool {
        let judgement = answer.judgement();
        let path = ShownPath(&answer.url);
        if answer.is_html() {
            let saw = format!("{path} answers {} with a web page", answer.status());
            self.tell(Finding::warning("html", saw).remedy(
                "something in front of MediaTailor writes errors of its own; let it pass on MediaTailor's, or make them JSON with CORS",
            ));
        }
        let name = match answer.own_reason() {
            Some(reason) => format!(", made by a onelane ({reason})"),
            None => judgement.named_exception().map(|name| format!(" {name}")).unwrap_or_default(),
        };
        let why = judgement.exception.filter(|_| judgement.named);
        let (meaning, remedy) = match judgement.verdict {
            Verdict::Passed => NO_PLAYLIST,
            verdict => (verdict.meaning(), verdict.remedy()),
        };
        let meaning = why.map_or(meaning, |exception| exception.meaning());
        let saw = match judgement.flaw {
            Some(flaw) => format!("{path}: {}", flaw.meaning()),
            None => format!("{path} answers {}{name}: {meaning}", answer.status().as_u16()),
        };
        let packed =
            answer.status().is_success() && answer.head.headers.contains_key(header::CONTENT_ENCODING);
        let remedy = match why {
            Some(exception) => exception.remedy(),
            None if packed => REPACK,
            None => remedy,
        };
        let (check, is_error) = match judgement.verdict {
            Verdict::Playlist => return true,
            Verdict::Conflict => ("conflict", false),
            Verdict::SessionLost => ("session", true),
            Verdict::Blocked => ("blocked", true),
            Verdict::Misaddressed => ("host", true),
            Verdict::Denied => ("denied", true),
            Verdict::Throttled => ("throttled", false),
            Verdict::NotPlaylist | Verdict::Passed if packed => ("gzip", true),
            Verdict::NotPlaylist => ("playlist", true),
            Verdict::BadRequest | Verdict::NotFound | Verdict::Passed => ("url", true),
            _ => ("upstream", true),
        };
        let finding = if is_error { Finding::error(check, saw) } else { Finding::warning(check, saw) };
        self.tell(finding.remedy(remedy));
        false
    }

    /// Whether it is a playlist that a onelane had kept, since its upstream failed or was slow. What its
    /// headers and its clock say is of then, and tells nothing of who is asked now.
    pub(super) fn is_bridged(&mut self, answer: &Answer) -> bool {
        let Some(reason) = answer.header(RESCUE) else { return false };
        let age = answer.header(header::AGE).map(|age| format!(", {age} s old")).unwrap_or_default();
        let saw = format!("bridged by onelane: {reason}{age}: the last good playlist in place of an answer");
        self.tell(Finding::warning("upstream", saw).remedy(
            "onelane's upstream fails or is slow: docs/errors.md has what the reason means; examine again once it answers",
        ));
        self.bridged = true;
        true
    }

    /// Whether a script on a page can read it.
    pub(super) fn is_for_pages(&mut self, answer: &Answer, of: &str) {
        match answer.readers() {
            Some("*" | ORIGIN) => return self.tell(Finding::ok("cors", "pages may read it")),
            Some(origin) => {
                let saw = format!("pages of {origin} alone may read it: see whether your players are there");
                return self.tell(Finding::note("cors", saw));
            }
            None => {}
        }
        let saw = format!("no Access-Control-Allow-Origin on {} ({of})", answer.status().as_u16());
        let finding = match of {
            "error" => Finding::warning("cors", saw)
                .remedy("let errors have CORS headers as well: players on pages see no status without them"),
            _ => Finding::error("cors", saw)
                .remedy("pass Origin on to MediaTailor, or add the header in the CDN"),
        };
        self.tell(finding);
    }

    /// Whether it is as it was asked for: not compressed.
    pub(super) fn is_plain(&mut self, answer: &Answer) {
        if answer.is_packed() {
            let saw = "compressed for who did not ask for that and may not be able to read it";
            self.tell(Finding::warning("gzip", saw).remedy(
                "pass Accept-Encoding on to MediaTailor, and have caches keep an answer for each (Vary)",
            ));
        }
    }

    /// Whether a shared cache may give it to another viewer.
    pub(super) fn is_personal(&mut self, answer: &Answer) {
        let control = answer.header(header::CACHE_CONTROL).unwrap_or_default();
        let age = answer.header(header::AGE);
        let never = "do not cache /v1/manifest, /v1/master and /v1/session in the CDN: minimum, default and maximum TTL 0";
        self.tell(match may_be_kept(control, age) {
            Some(true) => {
                let age = age.map(|age| format!(", Age: {age}")).unwrap_or_default();
                let saw = format!("a session's playlist may be kept for others: Cache-Control: {control}{age}");
                Finding::error("cache", saw).remedy(never)
            }
            Some(false) => Finding::ok("cache", "no shared cache keeps it"),
            None => {
                let saw = "Cache-Control does not say whether a session's playlist may be kept for others: a CDN goes by its default TTL";
                Finding::warning("cache", saw).remedy(never)
            }
        });
    }
}

/// Whether a shared cache may keep an answer with these headers; `None` where they leave it to the cache (RFC
/// 9111 section 4.2.2).
fn may_be_kept(control: &str, age: Option<&str>) -> Option<bool> {
    let control = control.to_ascii_lowercase();
    let has = |word: &str| control.contains(word);
    if age.and_then(|age| age.parse().ok()).is_some_and(|age: u32| age > 0) {
        return Some(true);
    }
    if ["no-store", "private", "no-cache"].into_iter().any(has) {
        return Some(false);
    }
    let lives = |name: &str| {
        let mut directives = control.split(',').map(str::trim);
        directives.find_map(|directive| directive.strip_prefix(name)?.parse::<u32>().ok())
    };
    // Of a shared cache, s-maxage is what counts (RFC 9111 section 5.2.2.10).
    match lives("s-maxage=").or_else(|| lives("max-age=")) {
        Some(seconds) => Some(seconds > 0),
        None => has("public").then_some(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cache_that_is_told_nothing_may_do_as_it_likes() {
        for (control, age, kept) in [
            ("", None, None),
            ("must-revalidate", None, None),
            ("", Some("0"), None),
            ("", Some("3"), Some(true)),
            ("no-store", Some("3"), Some(true)),
            ("No-Store", None, Some(false)),
            ("private, max-age=60", None, Some(false)),
            ("max-age=0", None, Some(false)),
            ("max-age=0, s-maxage=5", None, Some(true)),
            ("max-age=5, s-maxage=0", None, Some(false)),
            ("public, max-age=0, must-revalidate", None, Some(false)),
            ("public, max-age=30", None, Some(true)),
            ("max-age=1", None, Some(true)),
            ("public", None, Some(true)),
        ] {
            assert_eq!(may_be_kept(control, age), kept, "{control} {age:?}");
        }
    }
}
