use std::{
    borrow::Cow,
    io::{self, BufRead, Read},
};

use flate2::bufread::{DeflateDecoder, GzDecoder, ZlibDecoder};
use http::HeaderValue;
use ruzstd::decoding::{
    StreamingDecoder,
    errors::{FrameDecoderError, ReadFrameHeaderError},
};

use super::{Flaw, coding::Coding};

/// The largest window of a zstd stream over HTTP, in bytes (RFC 9659).
const ZSTD_WINDOW: u64 = 8 * 1024 * 1024;

/// How much of a brotli stream is taken in at once, in bytes.
const BROTLI_PIECE: usize = 4 * 1024;

/// A body's pieces as one stream.
struct Source<'a, I> {
    piece: &'a [u8],
    rest: I,
    /// Whether more was asked for than there is: a decoder that fails then met a stream that is cut off.
    overrun: bool,
}

/// The text of a body in one piece: borrowed where it is that already, copied where it is in several or
/// compressed as the lines of its `Content-Encoding` say.
///
/// # Errors
///
/// [`Flaw::TooLong`] past `limit` bytes, which is as far as anything is unpacked; [`Flaw::UnknownEncoding`],
/// [`Flaw::Encoding`] or [`Flaw::Truncated`].
pub(crate) fn decode<'a, 'b>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    content_encoding: impl IntoIterator<Item = &'b HeaderValue>,
    limit: usize,
) -> Result<Cow<'a, [u8]>, Flaw> {
    let coding = Coding::of_lines(content_encoding);
    let mut pieces = pieces.into_iter().filter(|piece| !piece.is_empty());
    let first = pieces.next().unwrap_or_default();
    match coding.ok_or(Flaw::UnknownEncoding)? {
        Coding::Identity => join(first, pieces, limit),
        // Nothing is no stream at all; it is the playlist that is missing.
        _ if first.is_empty() => Ok(Cow::Borrowed(first)),
        coding => {
            let mut source = Source { piece: first, rest: pieces, overrun: false };
            unpack(coding, &mut source, limit).map(Cow::Owned)
        }
    }
}

fn join<'a>(
    first: &'a [u8],
    mut rest: impl Iterator<Item = &'a [u8]>,
    limit: usize,
) -> Result<Cow<'a, [u8]>, Flaw> {
    let fits = |length: usize| if length > limit { Err(Flaw::TooLong) } else { Ok(()) };
    fits(first.len())?;
    let Some(second) = rest.next() else {
        return Ok(Cow::Borrowed(first));
    };
    let mut whole = first.to_vec();
    for piece in std::iter::once(second).chain(rest) {
        fits(whole.len().saturating_add(piece.len()))?;
        whole.extend_from_slice(piece);
    }
    Ok(Cow::Owned(whole))
}

fn unpack<'a>(
    coding: Coding,
    source: &mut Source<'a, impl Iterator<Item = &'a [u8]>>,
    limit: usize,
) -> Result<Vec<u8>, Flaw> {
    let mut text = Vec::new();
    // One byte more shows that there is more.
    let most = (limit as u64).saturating_add(1);
    let done = match coding {
        Coding::Identity => source.take(most).read_to_end(&mut text),
        Coding::Gzip => unpack_gzip(source, most, &mut text),
        // The standard wraps it in zlib's format, some servers do not, and browsers take both.
        Coding::Deflate if source.is_zlib() => {
            ZlibDecoder::new(&mut *source).take(most).read_to_end(&mut text)
        }
        Coding::Deflate => DeflateDecoder::new(&mut *source).take(most).read_to_end(&mut text),
        Coding::Brotli => {
            let brotli = brotli_decompressor::Decompressor::new(&mut *source, BROTLI_PIECE);
            brotli.take(most).read_to_end(&mut text)
        }
        Coding::Zstd => unpack_zstd(source, most, &mut text),
    };
    match done {
        _ if text.len() > limit => Err(Flaw::TooLong),
        Ok(_) => Ok(text),
        Err(_) if source.overrun => Err(Flaw::Truncated),
        Err(_) => Err(Flaw::Encoding),
    }
}

/// A gzip stream is a row of members (RFC 1952 section 2.2); what else follows is passed over, as browsers do.
fn unpack_gzip(source: &mut impl BufRead, most: u64, text: &mut Vec<u8>) -> io::Result<usize> {
    loop {
        let left = most.saturating_sub(text.len() as u64);
        GzDecoder::new(&mut *source).take(left).read_to_end(text)?;
        if text.len() as u64 >= most || source.fill_buf()?.first() != Some(&0x1f) {
            return Ok(text.len());
        }
    }
}

/// A zstd stream is a row of frames, some of which hold nothing that is meant for us (RFC 8878 section 3.1).
fn unpack_zstd(source: &mut impl BufRead, most: u64, text: &mut Vec<u8>) -> io::Result<usize> {
    while (text.len() as u64) < most && !source.fill_buf()?.is_empty() {
        let left = most - text.len() as u64;
        match StreamingDecoder::new_with_max_window_size(&mut *source, ZSTD_WINDOW) {
            Ok(frame) => frame.take(left).read_to_end(text)?,
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length, ..
            })) => {
                io::copy(&mut (&mut *source).take(length.into()), &mut io::sink())?;
                continue;
            }
            Err(error) => return Err(io::Error::other(error)),
        };
    }
    Ok(text.len())
}

// === impl Source ===

impl<'a, I: Iterator<Item = &'a [u8]>> Source<'a, I> {
    /// Whether it begins as zlib's format does (RFC 1950 section 2.2). In a stream without that format the same
    /// four bits would begin a stored block, with padding that is not zero.
    fn is_zlib(&self) -> bool {
        self.piece.first().is_some_and(|method| method & 0x0f == 8)
    }
}

impl<'a, I: Iterator<Item = &'a [u8]>> BufRead for Source<'a, I> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.piece.is_empty() {
            match self.rest.next() {
                Some(piece) => self.piece = piece,
                None => self.overrun = true,
            }
        }
        Ok(self.piece)
    }

    fn consume(&mut self, amount: usize) {
        self.piece = self.piece.get(amount..).unwrap_or_default();
    }
}

impl<'a, I: Iterator<Item = &'a [u8]>> Read for Source<'a, I> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(to)?;
        self.consume(count);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{
        Compression,
        write::{DeflateEncoder, GzEncoder, ZlibEncoder},
    };
    use proptest::prelude::*;

    use super::*;

    const TEXT: &[u8] = b"#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:41200\n#EXTINF:6.0,\na.ts\n#EXTINF:6.0,\nb.ts\n";

    /// Made of `TEXT` by Node's zlib.
    const BROTLI: &str = "1b5f008014a1d2d75b7fa9aa7f873d3c63133cb1a9848a53ce03d53c495b22d9c1f1e1681726037b5cdd73a405c18d4701bb2c4f724da5d30a2cb41b8fe61099b79f6e4d85d8c3a1ff0a2e";
    /// Made of `TEXT` by the `zstd` program, with its checksum.
    const ZSTD: &str = "28b52ffd24607d02001404234558544d33550a2d582d5441524745544455524154494f4e3a364d454449412d53455155454e43453a3431323030494e463a362e302c0a612e7473622e74730a040035e5f753b03b290c6e1c17c8bf09";
    /// `#EXTM3U` and 64 MiB of line ends.
    const BROTLI_BOMB: &str = "cbffff3ff88d94ab936b3d525485a515669aa8c46f8100d9fb3ffc0cfeffffc12f0110874500baf77ffcffff835f02200e0b0074effff8ffff07bf04401c1600e8defff1ffff0f7e0980382c00d0bdffe3ffff1ffc1200715800a07bffc7ffff3ff82500e2b00040f7fe8fffff7ff04b00c4610180eefd5f1c00e0970008030200";

    fn hex(text: &str) -> Vec<u8> {
        let byte =
            |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("hex"), 16).expect("hex");
        text.as_bytes().chunks(2).map(byte).collect()
    }

    fn packed(coding: &str, text: &[u8]) -> Vec<u8> {
        let best = Compression::best();
        let done = match coding {
            "gzip" => {
                let mut encoder = GzEncoder::new(Vec::new(), best);
                encoder.write_all(text).and_then(|()| encoder.finish())
            }
            "deflate" => {
                let mut encoder = ZlibEncoder::new(Vec::new(), best);
                encoder.write_all(text).and_then(|()| encoder.finish())
            }
            _ => {
                let mut encoder = DeflateEncoder::new(Vec::new(), best);
                encoder.write_all(text).and_then(|()| encoder.finish())
            }
        };
        done.expect("a Vec takes all")
    }

    fn all() -> [(&'static str, Vec<u8>); 6] {
        [
            ("gzip", packed("gzip", TEXT)),
            ("X-GZip", packed("gzip", TEXT)),
            ("deflate", packed("deflate", TEXT)),
            ("deflate", packed("raw", TEXT)),
            ("br", hex(BROTLI)),
            (" zstd ", hex(ZSTD)),
        ]
    }

    fn read<'a>(
        pieces: impl IntoIterator<Item = &'a [u8]>,
        coding: &str,
        limit: usize,
    ) -> Result<Cow<'a, [u8]>, Flaw> {
        decode(pieces, Some(&HeaderValue::from_str(coding).expect("a header's value")), limit)
    }

    #[test]
    fn one_piece_is_not_copied() {
        let pieces = [&b""[..], TEXT, b""];
        assert!(matches!(decode(pieces, None, 1 << 20), Ok(Cow::Borrowed(text)) if text == TEXT));
        let pieces = [&TEXT[..7], &TEXT[7..]];
        assert!(matches!(read(pieces, "identity", 1 << 20), Ok(Cow::Owned(text)) if text == TEXT));
        assert_eq!(decode(pieces, None, TEXT.len()).as_deref(), Ok(TEXT));
        assert_eq!(decode(pieces, None, TEXT.len() - 1), Err(Flaw::TooLong));
        assert_eq!(decode([TEXT], None, TEXT.len() - 1), Err(Flaw::TooLong));
    }

    #[test]
    fn every_coding_is_read_in_any_pieces() {
        for (coding, packed) in all() {
            for size in [1, 2, 7, packed.len()] {
                assert_eq!(
                    read(packed.chunks(size), coding, TEXT.len()).as_deref(),
                    Ok(TEXT),
                    "{coding} {size}"
                );
            }
            assert_eq!(read([&packed[..]], coding, TEXT.len() - 1), Err(Flaw::TooLong), "{coding}");
        }
        // Both formats may be a row of streams.
        let twice = [&packed("gzip", TEXT)[..], &packed("gzip", b"more")].concat();
        assert_eq!(read([&twice[..]], "gzip", 1 << 20).as_deref(), Ok(&[TEXT, b"more"].concat()[..]));
        let followed = [&packed("gzip", TEXT)[..], &[0; 20]].concat();
        assert_eq!(read(followed.chunks(3), "gzip", 1 << 20).as_deref(), Ok(TEXT));
        let skipped = [&b"\x50\x2a\x4d\x18\x03\0\0\0abc"[..], &hex(ZSTD), &hex(ZSTD)].concat();
        assert_eq!(read(skipped.chunks(5), "zstd", 1 << 20).as_deref(), Ok(&[TEXT, TEXT].concat()[..]));
    }

    #[test]
    fn a_stream_that_is_cut_is_not_a_playlist() {
        for (coding, packed) in all() {
            for end in 1..packed.len() {
                let flaw = read([&packed[..end]], coding, 1 << 20);
                // What is missing may be no more than a checksum, which zstd's decoder does not ask for.
                assert!(
                    flaw == Err(Flaw::Truncated) || coding == " zstd " && end >= packed.len() - 4,
                    "{coding} {end} {flaw:?}"
                );
            }
            assert_eq!(read([&b""[..]], coding, 1 << 20).as_deref(), Ok(&b""[..]), "{coding}");
        }
    }

    #[test]
    fn what_is_no_stream_is_broken_and_what_is_unknown_is_left() {
        for coding in ["gzip", "br", "zstd"] {
            assert_eq!(read([TEXT], coding, 1 << 20), Err(Flaw::Encoding), "{coding}");
        }
        let mut broken = packed("gzip", TEXT);
        let middle = broken.len() / 2;
        broken[middle] ^= 0x55;
        assert_eq!(read([&broken[..]], "gzip", 1 << 20), Err(Flaw::Encoding));
        for coding in ["dcz", "gzip, br", "compress"] {
            assert_eq!(read([TEXT], coding, 1 << 20), Err(Flaw::UnknownEncoding), "{coding}");
        }
    }

    #[test]
    fn bombs_stop_at_the_limit() {
        let bomb = packed("gzip", &vec![b'\n'; 16 << 20]);
        assert_eq!(read([&bomb[..]], "gzip", 4 << 20), Err(Flaw::TooLong));
        assert_eq!(read([&hex(BROTLI_BOMB)[..]], "br", 4 << 20), Err(Flaw::TooLong));
        // A frame that asks for a window of 1 GiB.
        let window = [&b"\x28\xb5\x2f\xfd\x00\xa0"[..], b"\x01\0\0"].concat();
        assert_eq!(read([&window[..]], "zstd", 4 << 20), Err(Flaw::Encoding));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_end_in_a_flaw_or_a_text(
            coding in prop::sample::select(vec!["gzip", "deflate", "br", "zstd"]),
            cut in 0_usize..80,
            garbage: Vec<u8>,
        ) {
            let begin = all().into_iter().find(|(name, _)| name.trim() == coding).map(|(_, packed)| packed);
            let begin = begin.unwrap_or_default();
            let bytes = [&begin[..cut.min(begin.len())], &garbage].concat();
            if let Ok(text) = read([&bytes[..]], coding, 4096) {
                prop_assert!(text.len() <= 4096);
            }
        }
    }
}
