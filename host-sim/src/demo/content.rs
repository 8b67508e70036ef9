//! Something real for the volume to hold: an ext4 file system with files of this machine, made by `mke2fs -d`, or, where there is
//! no mke2fs, generated text.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::sim::Rng;

/// Where files to copy are looked for.
const SOURCES: [&str; 4] = ["/etc", "/usr/share/common-licenses", "/usr/share/doc", "/usr/share/perl"];
/// Bytes of files that are copied at most.
const ENOUGH: u64 = 12 << 20;

/// An image that was made.
#[derive(Debug)]
pub struct Content {
    /// The image.
    pub image: PathBuf,
    /// What it is, in words.
    pub about: String,
    /// It is a file system that `e2fsck` can check.
    pub ext4: bool,
}

/// Makes an image of `size` bytes in `dir`.
///
/// # Errors
/// Files cannot be written.
pub fn make(dir: &Path, size: u64, seed: u64) -> io::Result<Content> {
    let image = dir.join("disk.img");
    let tree = dir.join("files");
    fs::create_dir_all(&tree)?;
    let (files, bytes) = collect(&tree)?;
    fs::File::create(&image)?.set_len(size)?;
    let made = Command::new("mke2fs")
        .args(["-q", "-F", "-t", "ext4", "-d"])
        .arg(&tree)
        .arg(&image)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    fs::remove_dir_all(&tree)?;
    if made.is_ok_and(|status| status.success()) {
        let about =
            format!("an ext4 file system, made by mke2fs from {files} files ({} KiB) of this machine", bytes >> 10);
        return Ok(Content { image, about, ext4: true });
    }
    generate(&image, size, seed)?;
    Ok(Content {
        image,
        about: "generated text (there is no mke2fs here to make a file system)".to_owned(),
        ext4: false,
    })
}

/// Whether `e2fsck` finds the file system in the image sound; `None` if there is no e2fsck.
pub fn fsck(image: &Path) -> Option<bool> {
    let status = Command::new("e2fsck").arg("-fn").arg(image).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.ok().map(|status| status.success())
}

/// Copies readable regular files into the directory until there are enough.
fn collect(tree: &Path) -> io::Result<(u64, u64)> {
    let mut waiting: Vec<PathBuf> = SOURCES.iter().rev().map(PathBuf::from).collect();
    let (mut files, mut bytes) = (0, 0);
    while let Some(dir) = waiting.pop() {
        let Ok(entries) = fs::read_dir(&dir) else { continue };
        let mut entries: Vec<_> = entries.flatten().collect();
        entries.sort_by_key(fs::DirEntry::path);
        for entry in entries {
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                waiting.push(entry.path());
            } else if kind.is_file() && bytes < ENOUGH {
                let Ok(content) = fs::read(entry.path()) else { continue };
                bytes += content.len() as u64;
                files += 1;
                fs::write(tree.join(format!("{files:05}-{}", entry.file_name().to_string_lossy())), content)?;
            }
        }
        if bytes >= ENOUGH {
            break;
        }
    }
    Ok((files, bytes))
}

/// Fills a third of the image with text, in pieces with holes between them.
fn generate(image: &Path, size: u64, seed: u64) -> io::Result<()> {
    let file = fs::OpenOptions::new().write(true).open(image)?;
    let mut random = Rng::new(seed);
    let mut at = 0;
    while at < size {
        let mut text = Vec::new();
        for line in 0..2000 {
            writeln!(text, "{at} {line} {:016x}", random.number())?;
        }
        let length = usize::try_from(size - at).unwrap_or(text.len()).min(text.len());
        file.write_all_at(&text[..length], at)?;
        at += 3 * text.len() as u64 / 4096 * 4096;
    }
    Ok(())
}
