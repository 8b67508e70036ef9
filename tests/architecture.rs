//! Rules about the sources themselves.

use std::{fs, path::PathBuf};

fn sources() -> Vec<(String, String)> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../core/src");
    let mut files = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                // `twin.rs` sees to those.
                if !path.ends_with("asynch") {
                    folders.push(path);
                }
            } else {
                let name = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
                files.push((name, fs::read_to_string(path).unwrap()));
            }
        }
    }
    assert!(files.len() > 30);
    files
}

/// The code of a file without its tests.
fn code(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap()
}

#[test]
fn the_device_is_flushed_in_the_commit_path_in_mounting_and_in_formatting_alone() {
    for (name, text) in sources() {
        let flushes = code(&text).matches("device.flush()").count();
        let allowed = match name.as_str() {
            "commit.rs" | "newest.rs" => 1,
            // Superblocks wiped, journal wiped, and the end of a device that is shorter than it says.
            "mkfs.rs" => 3,
            _ => 0,
        };
        let adapters = name.starts_with("device/");
        assert!(adapters || flushes == allowed, "{name} flushes {flushes} times");
    }
}

#[test]
fn dependencies_point_one_way() {
    let io = ["store", "tree", "space", "allocate", "catalog", "commit", "pool", "mount", "recover"];
    let pure = ["bytes.rs", "cache.rs", "checksum.rs", "error.rs", "pending.rs", "types.rs", "window.rs"];
    for (name, text) in sources() {
        let lower = name.starts_with("format/") || name.starts_with("device/") || pure.contains(&name.as_str());
        if lower {
            for module in io {
                assert!(!code(&text).contains(&format!("{module}::")), "{name} uses {module}");
            }
        }
        if name.starts_with("device/") {
            assert!(!code(&text).contains("format::"), "{name} knows the format");
        }
    }
}

#[test]
fn no_file_of_the_core_is_long_and_none_can_panic_by_name() {
    for (name, text) in sources() {
        assert!(text.lines().count() <= 400, "{name} is too long");
        for word in [".unwrap()", ".expect(", "panic!(", "unreachable!(", "todo!(", "unimplemented!(", "unsafe "] {
            assert!(!code(&text).contains(word), "{name} has {word}");
        }
    }
    let lib = sources().into_iter().find(|(name, _)| name == "lib.rs").unwrap().1;
    for line in ["#![no_std]", "#![forbid(unsafe_code)]", "clippy::indexing_slicing"] {
        assert!(lib.contains(line));
    }
}
