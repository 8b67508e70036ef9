//! `defmt` frames from a Cortex-M4F, decoded with the help of the program that wrote them.

use std::fs;

use defmt_decoder::{DecodeError, Table};

use crate::{
    DISK,
    machine::{build, can_build_for, cortex_m4, has_program},
};

/// Every line that the frames stand for.
fn decoded(program: &[u8], frames: &[u8]) -> Vec<String> {
    let table = Table::parse(program).expect("a program").expect("a program with defmt");
    let mut decoder = table.new_stream_decoder();
    decoder.received(frames);
    let mut lines = Vec::new();
    loop {
        match decoder.decode() {
            Ok(frame) => lines.push(frame.display_message().to_string()),
            Err(DecodeError::UnexpectedEof) => return lines,
            Err(DecodeError::Malformed) => panic!("a malformed frame after {lines:?}"),
        }
    }
}

#[test]
fn errors_and_statistics_of_a_machine_are_decoded_on_the_host() {
    let target = "thumbv7em-none-eabihf";
    if !has_program("qemu-system-arm") || !can_build_for(target) {
        return;
    }
    let programs = build("cowl-cortex-m", target, &["--features", "defmt"]);
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("disk.img"), vec![0; DISK as usize]).unwrap();
    let (frames, _) = cortex_m4(&programs.join("life"), directory.path());
    let lines = decoded(&fs::read(programs.join("life")).unwrap(), &frames);
    let has = |text: &str| assert!(lines.iter().any(|line| line.contains(text)), "no {text:?} among {lines:#?}");
    has("mounted: generation 2, 0 records from the journal");
    has("checkpoint 2: ");
    has("Device(OutOfRange { sector: 3, length: 512 })");
    has("DeviceTooSmall { needed: 640, actual: 7 }");
    has("Damaged { what: Journal, block: 4, layer: None }");
    has("Stats { reads: 0, writes: 0, flushes: 0, copies: 0, checkpoints: 0, groups: 0 }");
    has("Counters { reads: 0,");
    has("Checked { findings: 0,");
    has("Space { total: 0,");
    has("Delta { data: 1, nodes: 2 }");
    has("the scenario ends: Lived");
    println!("| defmt, Cortex-M4F | {} frames decoded on the host |", lines.len());
}
