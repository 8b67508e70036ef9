//! Disk images as files: where they have data, where holes, and chunks that are all zeros.

use std::{
    fs::File,
    io::{self, Seek, SeekFrom},
    os::unix::fs::FileTypeExt,
    path::Path,
};

use rustix::{fs, io::Errno};

use super::failure::{Failure, Kind};

/// A source image: a regular file or a block device.
#[derive(Debug)]
pub struct Image {
    /// Open to read.
    pub file: File,
    /// Its size in bytes.
    pub size: u64,
}

impl Image {
    /// Opens the image.
    ///
    /// # Errors
    /// It does not exist, cannot be read, or is neither a file nor a block device.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let failed = |error| Failure::file("read", path, &error);
        let mut file = File::open(path).map_err(failed)?;
        let kind = file.metadata().map_err(failed)?.file_type();
        if !kind.is_file() && !kind.is_block_device() {
            return Err(Failure::new(Kind::Usage, format!("{} is neither a file nor a block device", path.display())));
        }
        let size = file.seek(SeekFrom::End(0)).map_err(failed)?;
        Ok(Self { file, size })
    }

    /// The next part at or after `from` that is not a hole: `(start, end)`; `None` when there is no more.
    ///
    /// # Errors
    /// The system cannot tell; a file system without holes counts as all data.
    pub fn next_data(&self, from: u64) -> io::Result<Option<(u64, u64)>> {
        if from >= self.size {
            return Ok(None);
        }
        let start = match fs::seek(&self.file, fs::SeekFrom::Data(from)) {
            Ok(start) => start,
            Err(Errno::NXIO) => return Ok(None),
            Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(Some((from, self.size))),
            Err(error) => return Err(error.into()),
        };
        let end = fs::seek(&self.file, fs::SeekFrom::Hole(start)).map_err(io::Error::from)?;
        Ok(Some((start, end.min(self.size))))
    }
}

/// Whether every byte is zero.
pub fn is_zero(bytes: &[u8]) -> bool {
    // Whole words first: byte by byte would make import and export wait for it.
    let (words, rest) = bytes.as_chunks::<16>();
    words.iter().all(|word| u128::from_ne_bytes(*word) == 0) && rest.iter().all(|byte| *byte == 0)
}

/// Parts of `bytes`, cut at multiples of `unit`, that belong together: `(start, end, wanted)`, neighbours merged.
pub fn runs(length: usize, unit: usize, wanted: impl Fn(std::ops::Range<usize>) -> bool) -> Vec<(usize, usize, bool)> {
    let mut runs: Vec<(usize, usize, bool)> = Vec::new();
    let mut start = 0;
    while start < length {
        let end = (start + unit).min(length);
        let this = wanted(start..end);
        match runs.last_mut() {
            Some((_, last, kind)) if *kind == this => *last = end,
            _ => runs.push((start, end, this)),
        }
        start = end;
    }
    runs
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::{Image, is_zero, runs};

    #[test]
    fn one_bit_anywhere_is_not_zero() {
        let mut bytes = vec![0; 1000];
        assert!(is_zero(&bytes) && is_zero(&[]));
        for index in [0, 15, 16, 991, 999] {
            bytes[index] = 1;
            assert!(!is_zero(&bytes), "{index}");
            bytes[index] = 0;
        }
    }

    #[test]
    fn runs_join_neighbours_and_end_with_a_short_one() {
        let bytes = [1, 1, 0, 0, 0, 0, 1];
        assert_eq!(runs(7, 2, |part| !is_zero(&bytes[part])), [(0, 2, true), (2, 6, false), (6, 7, true)]);
        assert_eq!(runs(0, 2, |_| true), []);
    }

    #[test]
    fn holes_are_skipped() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(8 << 20).unwrap();
        file.as_file().write_all_at(&[1; 4096], 4 << 20).unwrap();
        let image = Image::open(file.path()).unwrap();
        let (start, end) = image.next_data(0).unwrap().unwrap();
        assert!(start <= 4 << 20 && end >= (4 << 20) + 4096);
        assert_eq!(image.size, 8 << 20);
        assert_eq!(image.next_data(8 << 20).unwrap(), None);
    }
}
