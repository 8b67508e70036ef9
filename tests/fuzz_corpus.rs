//! The fuzz targets on their committed corpora, with the stable compiler.

use std::{fs, path::Path};

use cowl_host::fuzzing::TARGETS;

/// The inputs of a target, by name. What a fuzzer has left there, named by its SHA-1, is not part of the test.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut inputs: Vec<_> = fs::read_dir(&folder)
        .unwrap_or_else(|why| panic!("{}: {why}", folder.display()))
        .map(|entry| entry.expect("an entry of the corpus"))
        .filter(|entry| entry.file_name().len() < 40)
        .map(|entry| (entry.file_name().display().to_string(), fs::read(entry.path()).expect("an input")))
        .collect();
    inputs.sort();
    inputs
}

#[test]
fn every_target_keeps_its_promise_on_its_corpus() {
    for (name, target) in TARGETS {
        let inputs = corpus(name);
        assert!(inputs.len() >= 5, "{name} has {} inputs", inputs.len());
        for (file, bytes) in inputs {
            println!("{name} {file}");
            target(&bytes);
        }
    }
}

#[test]
fn every_target_takes_any_bytes() {
    for (name, target) in TARGETS {
        for length in 0..40u8 {
            let bytes: Vec<u8> = (0..length).map(|i| i.wrapping_mul(97) ^ length.wrapping_mul(57)).collect();
            println!("{name} {bytes:x?}");
            target(&bytes);
        }
    }
}
