//! A playlist's bytes, in every encoding and in pieces.
#![no_main]

use http::HeaderValue;
use libfuzzer_sys::fuzz_target;
use onelane::upstream::playlist::{self, Limits};

const ENCODINGS: [&str; 5] = ["identity", "gzip", "deflate", "br", "zstd"];

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (encoding, size, body) = input;
    let encoding = HeaderValue::from_static(ENCODINGS[usize::from(encoding) % ENCODINGS.len()]);
    let limits = Limits::default().decode_up_to(64 * 1024);
    let whole = playlist::read([body], Some(&encoding), &limits);
    let in_pieces = playlist::read(body.chunks(usize::from(size) + 1), Some(&encoding), &limits);
    assert_eq!(whole.is_ok(), in_pieces.is_ok(), "{whole:?} {in_pieces:?}");
});
