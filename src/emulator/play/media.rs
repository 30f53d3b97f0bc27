use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use super::{reel::Reel, synthetic};
use crate::emulator::serve::answer::{Answer, Exception, ok};

/// Media under a reel's root: content or ads.
pub(in crate::emulator) async fn answer(reel: Option<&Reel>, path: &str, asked: &HeaderMap) -> Answer {
    let missing = || Exception::NotFound.answer("no such media; playlists name what there is");
    let file = match reel {
        Some(Reel::Packaged(reel)) => reel.file(path).map(Path::to_owned),
        Some(Reel::Synthetic(_)) | None => {
            return synthetic::media(path).map_or_else(missing, |(body, kind)| cacheable(ok(kind, body)));
        }
    };
    let Some(file) = file else {
        return missing();
    };
    let kind = kind_of(&file);
    let range = asked.get(header::RANGE).and_then(|range| range.to_str().ok()).and_then(Span::parse);
    // The runtime's threads serve others while a disk is slow.
    let Ok(read) = tokio::task::spawn_blocking(move || read(&file, range)).await else {
        return Exception::Internal.answer("reading media was cut short");
    };
    match read {
        Ok(Some((body, length, None))) => {
            debug_assert_eq!(body.len() as u64, length);
            accepts_ranges(cacheable(ok(kind, body)))
        }
        Ok(Some((body, length, Some(first)))) => {
            let last = first + body.len() as u64 - 1;
            let mut answer = accepts_ranges(cacheable(ok(kind, body)));
            *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
            with_range(answer, &format!("bytes {first}-{last}/{length}"))
        }
        Ok(None) => {
            let mut answer = Response::new(Bytes::new());
            *answer.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            with_range(answer, "bytes */*")
        }
        Err(error) => Exception::NotFound.answer(&format!("media cannot be read ({error})")),
    }
}

/// A single range of bytes, as a request has it. Others are answered with the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Span {
    From(u64, Option<u64>),
    Last(u64),
}

// === impl Span ===

impl Span {
    fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
        match (first, last) {
            ("", last) => Some(Self::Last(last.parse().ok()?)),
            (first, "") => Some(Self::From(first.parse().ok()?, None)),
            (first, last) => {
                let (first, last) = (first.parse().ok()?, last.parse().ok()?);
                (first <= last).then_some(Self::From(first, Some(last)))
            }
        }
    }

    /// First byte and length within a file, if there are any.
    fn within(self, length: u64) -> Option<(u64, u64)> {
        let (first, end) = match self {
            Self::From(first, last) => {
                (first, last.map_or(length, |last| last.saturating_add(1).min(length)))
            }
            Self::Last(count) => (length.saturating_sub(count), length),
        };
        (first < end).then(|| (first, end - first))
    }
}

/// The bytes of a file, its length, and where they begin if they are not all; none if a range is outside of it.
fn read(path: &PathBuf, span: Option<Span>) -> io::Result<Option<(Bytes, u64, Option<u64>)>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let Some(span) = span else {
        let mut body = Vec::with_capacity(length as usize);
        file.read_to_end(&mut body)?;
        let length = body.len() as u64;
        return Ok(Some((body.into(), length, None)));
    };
    let Some((first, count)) = span.within(length) else {
        return Ok(None);
    };
    file.seek(SeekFrom::Start(first))?;
    let mut body = Vec::with_capacity(count as usize);
    file.take(count).read_to_end(&mut body)?;
    // A file that shrank meanwhile has nothing there any more.
    Ok((!body.is_empty()).then(|| (body.into(), length, Some(first))))
}

fn kind_of(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("ts" | "m2ts") => "video/mp2t",
        Some("mp4" | "m4s" | "m4v" | "cmfv") => "video/mp4",
        Some("m4a" | "cmfa") => "audio/mp4",
        Some("aac") => "audio/aac",
        Some("mp3") => "audio/mpeg",
        Some("vtt" | "webvtt") => "text/vtt",
        _ => "application/octet-stream",
    }
}

fn cacheable(mut answer: Answer) -> Answer {
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=3600"));
    answer
}

fn accepts_ranges(mut answer: Answer) -> Answer {
    answer.headers_mut().insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    answer
}

fn with_range(mut answer: Answer, range: &str) -> Answer {
    if let Ok(range) = HeaderValue::from_str(range) {
        answer.headers_mut().insert(header::CONTENT_RANGE, range);
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_a_file() {
        for (text, within) in [
            ("bytes=0-", Some((0, 100))),
            ("bytes=10-19", Some((10, 10))),
            ("bytes=90-1000", Some((90, 10))),
            ("bytes=-5", Some((95, 5))),
            ("bytes=100-", None),
            ("bytes=-0", None),
        ] {
            assert_eq!(Span::parse(text).expect(text).within(100), within, "{text}");
        }
        for text in ["bytes=", "bytes=9-1", "items=0-1", "bytes=0-1,4-5", "bytes=-"] {
            assert_eq!(Span::parse(text), None, "{text}");
        }
    }
}
