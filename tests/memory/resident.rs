//! What the tests of memory have in common.

/// Resident memory of this process, in bytes.
pub(crate) fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: usize =
        statm.split_whitespace().nth(1).and_then(|pages| pages.parse().ok()).expect("a number");
    pages * 4096
}

/// Holds when there is as much after the second wave as after the first, within a twentieth.
#[track_caller]
pub(crate) fn no_more(first: usize, second: usize) {
    println!("{first} bytes after the first wave, {second} after the second");
    assert!(second * 100 <= first * 105, "{first} bytes after the first wave, {second} after the second");
}
