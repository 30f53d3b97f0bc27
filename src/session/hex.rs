const DIGIT: [u8; 16] = *b"0123456789abcdef";

/// In lower-case hexadecimal digits, of which there are two for each byte.
pub(crate) fn hex<const BYTES: usize, const DIGITS: usize>(bytes: [u8; BYTES]) -> [u8; DIGITS] {
    const { assert!(DIGITS == 2 * BYTES) };
    let mut text = [0; DIGITS];
    for (digits, byte) in text.as_chunks_mut().0.iter_mut().zip(bytes) {
        *digits = [DIGIT[usize::from(byte >> 4)], DIGIT[usize::from(byte & 15)]];
    }
    text
}
