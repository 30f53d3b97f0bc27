use std::{
    collections::HashMap,
    fs,
    path::{Component, Path, PathBuf},
    time::Duration,
};

use m3u8_rs::{MasterPlaylist, MediaPlaylist, VariantStream};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::{
    reel::{MARK, Part, Piece, Template},
    track::{Footage, Track, grid_of},
};

/// A packaged asset in a folder, as ffmpeg writes it.
#[derive(Debug)]
pub(in crate::emulator) struct Packaged {
    grid: Vec<Duration>,
    breaks: Vec<bool>,
    parts: Vec<Part>,
    tracks: Vec<Track>,
    template: Template,
    files: HashMap<String, PathBuf>,
}

/// A folder is no asset that can be served.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", path.display())]
pub(in crate::emulator) struct Unplayable {
    path: PathBuf,
    why: String,
}

/// The files of an asset, by their path under its folder. Nothing else can be asked for.
#[derive(Debug)]
pub(in crate::emulator) struct Files {
    /// The folder, without links in its path.
    folder: PathBuf,
    /// Where players find it.
    root: &'static str,
    known: HashMap<String, PathBuf>,
}

/// What a URI keeps of a file's name.
const PLAIN: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// How far two renditions may differ in length, at least.
const SLACK: Duration = Duration::from_secs(1);

// === impl Packaged ===

impl Packaged {
    /// Reads the asset of a folder, whose media players find under `root`.
    ///
    /// # Errors
    ///
    /// [`Unplayable`] names the file that is wrong, and what to do.
    pub(in crate::emulator) fn read(folder: &Path, root: &'static str) -> Result<Self, Unplayable> {
        let canonical = fs::canonicalize(folder)
            .map_err(|error| Unplayable::at(folder, format!("cannot be opened ({error}); name a folder")))?;
        let (path, master) = multivariant(&canonical)?;
        let mut files = Files { folder: canonical, root, known: HashMap::new() };
        let (template, renditions) = number(master, &path)?;

        let mut parts = Vec::with_capacity(renditions.len());
        let mut footage = Vec::with_capacity(renditions.len());
        for (part, uri) in renditions {
            let playlist = files.resolve(&path, &uri)?;
            parts.push(part);
            footage.push((Footage::of(&media_playlist(&playlist)?, &playlist, &mut files)?, playlist));
        }
        let [(reference, _), ..] = &footage[..] else {
            return Err(Unplayable::at(
                &path,
                "it has no variant with a URI; package at least one".to_owned(),
            ));
        };
        let (grid, breaks) = grid_of(reference);
        let (whole, longest) = (reference.length(), grid.iter().copied().max().unwrap_or_default());
        for ((footage, playlist), part) in footage.iter().zip(&parts) {
            let apart = footage.length().abs_diff(whole);
            if *part != Part::Subtitles && apart > longest.max(SLACK) {
                let why = format!(
                    "it lasts {:.3} s and the first variant {:.3} s; package all renditions from one source",
                    footage.length().as_secs_f64(),
                    whole.as_secs_f64(),
                );
                return Err(Unplayable::at(playlist, why));
            }
        }
        let tracks = footage
            .into_iter()
            .zip(&parts)
            .map(|((footage, _), part)| Track::new(footage, *part, &grid))
            .collect();
        Ok(Self { grid, breaks, parts, tracks, template, files: files.known })
    }

    pub(in crate::emulator) fn parts(&self) -> &[Part] {
        &self.parts
    }

    pub(in crate::emulator) fn slots(&self) -> u64 {
        self.grid.len() as u64
    }

    pub(in crate::emulator) fn duration(&self, slot: u64) -> Duration {
        self.grid[self.place(slot)]
    }

    pub(in crate::emulator) fn breaks_before(&self, slot: u64) -> bool {
        self.breaks[self.place(slot)]
    }

    pub(in crate::emulator) fn count(&self, rendition: usize, slot: u64) -> u64 {
        self.tracks[rendition].count(self.place(slot))
    }

    pub(in crate::emulator) fn pieces(&self, rendition: usize, slot: u64) -> Vec<Piece<'_>> {
        self.tracks[rendition].pieces(self.place(slot))
    }

    pub(in crate::emulator) fn target(&self, rendition: usize) -> u64 {
        self.tracks[rendition].target()
    }

    pub(in crate::emulator) fn template(&self) -> &Template {
        &self.template
    }

    /// Whether segments are fMP4: they have a map.
    pub(in crate::emulator) fn is_fragmented(&self) -> bool {
        self.pieces(0, 0).first().is_some_and(|piece| piece.map.is_some())
    }

    /// The file at a path under the root, as a request has it.
    pub(in crate::emulator) fn file(&self, path: &str) -> Option<&Path> {
        let path = percent_decode_str(path).decode_utf8().ok()?;
        self.files.get(&*path).map(PathBuf::as_path)
    }

    fn place(&self, slot: u64) -> usize {
        (slot % self.slots()) as usize
    }
}

/// Finds the multivariant playlist of a folder, or makes one around its only playlist.
fn multivariant(folder: &Path) -> Result<(PathBuf, MasterPlaylist), Unplayable> {
    let entries = fs::read_dir(folder)
        .map_err(|error| Unplayable::at(folder, format!("cannot be read ({error}); name a folder")))?;
    let mut playlists: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "m3u8"))
        .collect();
    let rank = |path: &PathBuf| match path.file_name().and_then(|name| name.to_str()) {
        Some("master.m3u8") => 0,
        Some("index.m3u8") => 1,
        _ => 2,
    };
    playlists.sort_by_key(|path| (rank(path), path.clone()));

    let mut found = Vec::new();
    for path in &playlists {
        let text = fs::read_to_string(path).map_err(|error| {
            Unplayable::at(path, format!("cannot be read as text ({error}); package anew"))
        })?;
        if text.lines().any(|line| line.starts_with("#EXT-X-STREAM-INF")) {
            found.push((path, text));
        }
    }
    let (path, text) = match &found[..] {
        [] => match &playlists[..] {
            [only] => return Ok((only.clone(), around(only))),
            _ => {
                let why = "no multivariant playlist in it; package with ffmpeg's -master_pl_name master.m3u8";
                return Err(Unplayable::at(folder, why.to_owned()));
            }
        },
        [(path, text)] => (path, text),
        [(path, text), ..] if rank(path) < 2 => (path, text),
        _ => {
            let why = "several multivariant playlists in it; name the one to serve master.m3u8";
            return Err(Unplayable::at(folder, why.to_owned()));
        }
    };
    let master = m3u8_rs::parse_master_playlist_res(text.as_bytes())
        .map_err(|error| Unplayable::at(path, format!("no multivariant playlist ({error}); package anew")))?;
    Ok((path.to_path_buf(), master))
}

fn around(playlist: &Path) -> MasterPlaylist {
    let name = playlist.file_name().unwrap_or_default().to_string_lossy();
    let uri = utf8_percent_encode(&name, &PLAIN).to_string();
    let variant = VariantStream { uri, bandwidth: 2_000_000, ..VariantStream::default() };
    MasterPlaylist { version: Some(4), variants: vec![variant], ..MasterPlaylist::default() }
}

fn media_playlist(path: &Path) -> Result<MediaPlaylist, Unplayable> {
    let bytes = fs::read(path)
        .map_err(|error| Unplayable::at(path, format!("cannot be read ({error}); package anew")))?;
    m3u8_rs::parse_media_playlist_res(&bytes)
        .map_err(|error| Unplayable::at(path, format!("no media playlist ({error}); package anew")))
}

/// Gives each playlist its number, variants first, and marks its place in the text.
fn number(mut master: MasterPlaylist, path: &Path) -> Result<(Template, Vec<(Part, String)>), Unplayable> {
    let mut renditions: Vec<(Part, String)> = Vec::new();
    let mut mark = |part, uri: &mut String| {
        let known = renditions.iter().position(|(_, known)| known == uri);
        let number = known.unwrap_or_else(|| {
            renditions.push((part, uri.clone()));
            renditions.len() - 1
        });
        *uri = format!("{MARK}{number}{MARK}");
    };
    // Trick play is left out: MediaTailor numbers playlists that play.
    master.variants.retain(|variant| !variant.is_i_frame && !variant.uri.is_empty());
    master.variants.iter_mut().for_each(|variant| mark(Part::Variant, &mut variant.uri));
    for media in &mut master.alternatives {
        let part = match media.media_type {
            m3u8_rs::AlternativeMediaType::Audio => Part::Audio,
            m3u8_rs::AlternativeMediaType::Subtitles => Part::Subtitles,
            _ => Part::Variant,
        };
        if let Some(uri) = &mut media.uri {
            mark(part, uri);
        }
    }
    let mut text = Vec::new();
    master.write_to(&mut text).map_err(|error| Unplayable::at(path, error.to_string()))?;
    let text = String::from_utf8_lossy(&text);
    Ok((Template::new(&text), renditions))
}

// === impl Files ===

impl Files {
    /// The file behind a link in `playlist`.
    fn resolve(&self, playlist: &Path, uri: &str) -> Result<PathBuf, Unplayable> {
        let fail = |why: &str| Unplayable::at(playlist, format!("{uri:?} {why}"));
        if uri.contains("://") || uri.starts_with('/') {
            return Err(fail("is no relative link; package with relative URIs"));
        }
        let uri = uri.split(['?', '#']).next().unwrap_or_default();
        let name =
            percent_decode_str(uri).decode_utf8().map_err(|_| fail("is not UTF-8; rename the file"))?;
        let path = playlist.parent().unwrap_or(&self.folder).join(&*name);
        let path =
            fs::canonicalize(&path).map_err(|error| fail(&format!("is missing ({error}); package anew")))?;
        if !path.starts_with(&self.folder) {
            return Err(fail("leads out of the folder; keep the asset in one"));
        }
        Ok(path)
    }

    /// Lets players have the file behind a link in `playlist`, and says where.
    pub(in crate::emulator) fn publish(&mut self, playlist: &Path, uri: &str) -> Result<String, Unplayable> {
        let path = self.resolve(playlist, uri)?;
        let inside = path.strip_prefix(&self.folder).unwrap_or(&path);
        let names: Option<Vec<&str>> = inside
            .components()
            .map(|component| match component {
                Component::Normal(name) => name.to_str(),
                _ => None,
            })
            .collect();
        let Some(names) = names else {
            return Err(Unplayable::at(playlist, format!("{uri:?} is not UTF-8; rename the file")));
        };
        let inside = names.join("/");
        let public = format!("{}/{}", self.root, utf8_percent_encode(&inside, &PLAIN));
        self.known.insert(inside, path);
        Ok(public)
    }
}

// === impl Unplayable ===

impl Unplayable {
    pub(in crate::emulator) fn at(path: &Path, why: String) -> Self {
        Self { path: path.to_owned(), why }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::fixture::{Folder, Rendition},
        *,
    };

    fn error(folder: &Folder) -> String {
        Packaged::read(folder.path(), "/content").expect_err("it is no asset").to_string()
    }

    #[test]
    fn reads_variants_audio_and_captions() {
        let folder = Folder::asset("m4s");
        let asset = Packaged::read(folder.path(), "/content").expect("an asset");
        assert_eq!(asset.parts(), [Part::Variant, Part::Variant, Part::Audio, Part::Subtitles]);
        assert_eq!((asset.slots(), asset.is_fragmented()), (5, true));
        // The sliver that only audio has is left out; captions are there all along.
        for rendition in 0..4 {
            assert!((0..5).all(|slot| asset.count(rendition, slot) == 1), "{rendition}");
        }
        let piece = &asset.pieces(2, 8)[0];
        assert_eq!(piece.uri, "/content/a/seg3.m4s");
        assert_eq!(piece.map.map(|map| map.uri.as_str()), Some("/content/a/init.mp4"));
        assert_eq!(asset.pieces(3, 4)[0].uri, "/content/s/seg0.vtt");
        let file = asset.file("a/seg3.m4s").expect("it is named in a playlist");
        assert_eq!(fs::read_to_string(file).expect("a file"), "a 3");
    }

    #[test]
    fn serves_only_what_playlists_name() {
        let folder = Folder::asset("ts");
        folder.write("secret.txt", "");
        let asset = Packaged::read(folder.path(), "/content").expect("an asset");
        for path in
            ["secret.txt", "master.m3u8", "../secret.txt", "v0/../secret.txt", "v0/seg0.ts/", "", "%2e%2e/x"]
        {
            assert!(asset.file(path).is_none(), "{path}");
        }
        assert!(asset.file("v0/seg%30.ts").is_some(), "escapes are another spelling");
    }

    #[test]
    fn ranges_and_keys_are_spelt_out() {
        let folder = Folder::new();
        folder.write("all.ts", "0123456789");
        folder.write("k", "key");
        folder.write(
            "one.m3u8",
            "#EXTM3U\n#EXT-X-VERSION:4\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:7\n\
             #EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n\
             #EXTINF:2.0,\n#EXT-X-BYTERANGE:4@1\nall.ts\n#EXTINF:2.0,\n#EXT-X-BYTERANGE:3\nall.ts\n#EXT-X-ENDLIST\n",
        );
        let asset = Packaged::read(folder.path(), "/content").expect("a playlist alone is an asset");
        let second = &asset.pieces(0, 1)[0];
        assert_eq!(second.range.map(|range| (range.length, range.offset)), Some((3, 5)));
        let key = "METHOD=AES-128,URI=\"/content/k\",IV=0x00000000000000000000000000000008";
        assert_eq!(second.key, Some(key));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let folder = Folder::new();
        assert!(error(&folder).contains("no multivariant playlist"));

        let folder = Folder::asset("ts");
        fs::remove_file(folder.path().join("v1/seg3.ts")).expect("it was there");
        let text = error(&folder);
        assert!(
            text.contains("v1/index.m3u8") && text.contains("seg3.ts") && text.contains("missing"),
            "{text}"
        );

        let folder = Folder::asset("ts");
        folder.rendition(Rendition { name: "v1", lengths: &[2.0], extension: "ts" });
        let text = error(&folder);
        assert!(text.contains("v1/index.m3u8") && text.contains("lasts 2.000 s"), "{text}");

        let folder = Folder::asset("ts");
        folder.write("a/index.m3u8", "#EXTM3U\n#EXTINF:2.0,\n../../../../etc/hostname\n");
        assert!(error(&folder).contains("a/index.m3u8"));

        let folder = Folder::asset("ts");
        folder.write("a/index.m3u8", "#EXTM3U\n#EXTINF:2.0,\nhttps://elsewhere.example/a.ts\n");
        assert!(error(&folder).contains("relative"));

        let folder = Folder::asset("ts");
        folder.write("v0/index.m3u8", "no playlist at all");
        assert!(error(&folder).contains("no media playlist"));

        let folder = Folder::asset("ts");
        folder.write("v0/index.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-ENDLIST\n");
        assert!(error(&folder).contains("no segments"));
    }
}
