//! A packaged asset for tests: playlists as ffmpeg writes them, and files that tell which they are.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

/// A folder that goes away with this.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

/// A rendition to write: its folder, the lengths of its segments in seconds, and the kind of its files.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rendition<'a> {
    pub(crate) name: &'a str,
    pub(crate) lengths: &'a [f64],
    pub(crate) extension: &'a str,
}

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("onelane-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a folder for the test");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().expect("inside the folder")).expect("a folder for the test");
        fs::write(path, text).expect("a file for the test");
    }

    pub(crate) fn rendition(&self, Rendition { name, lengths, extension }: Rendition<'_>) {
        let mut text =
            String::from("#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:3\n#EXT-X-MEDIA-SEQUENCE:0\n");
        if extension == "m4s" {
            text.push_str("#EXT-X-MAP:URI=\"init.mp4\"\n");
            self.write(&format!("{name}/init.mp4"), &format!("{name} init"));
        }
        for (place, length) in lengths.iter().enumerate() {
            text.push_str(&format!("#EXTINF:{length:.6},\nseg{place}.{extension}\n"));
            self.write(&format!("{name}/seg{place}.{extension}"), &format!("{name} {place}"));
        }
        text.push_str("#EXT-X-ENDLIST\n");
        self.write(&format!("{name}/index.m3u8"), &text);
    }

    /// Two variants of 9 s, audio apart that is a little longer, and captions in one file.
    pub(crate) fn asset(extension: &str) -> Self {
        let folder = Self::new();
        for name in ["v0", "v1"] {
            folder.rendition(Rendition { name, lengths: &[2.0, 2.0, 2.0, 2.0, 1.0], extension });
        }
        let lengths = &[2.005333, 2.005333, 1.984, 2.005333, 1.0, 0.05];
        folder.rendition(Rendition { name: "a", lengths, extension });
        folder.rendition(Rendition { name: "s", lengths: &[9.0], extension: "vtt" });
        folder.write(
            "master.m3u8",
            "#EXTM3U\n#EXT-X-VERSION:7\n\
             #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"aud\",NAME=\"en\",DEFAULT=YES,URI=\"a/index.m3u8\"\n\
             #EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"cc\",NAME=\"en\",DEFAULT=NO,URI=\"s/index.m3u8\"\n\
             #EXT-X-STREAM-INF:BANDWIDTH=300000,AUDIO=\"aud\",SUBTITLES=\"cc\"\nv0/index.m3u8\n\n\
             #EXT-X-STREAM-INF:BANDWIDTH=600000,AUDIO=\"aud\",SUBTITLES=\"cc\"\nv1/index.m3u8\n\n",
        );
        folder
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
