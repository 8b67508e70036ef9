//! What cowl takes on a small machine, measured and held to a limit: code, stack, memory, instructions.
//!
//! The limits are what is reached, with a little room; what is aimed at stands beside them. Code is that of a program that calls
//! everything, less that of the same program without cowl; calling it is counted too. That these programs link at all says that no
//! panic can be reached in them: their panic handler calls a function that nobody has defined.

use std::{fs, path::Path};

use object::{Object, ObjectSection, ObjectSymbol, SectionKind};

use crate::{
    DISK, hand_over,
    machine::{FRAMES, MACHINES, build, can_build_for, cortex_m4, has_program},
};

/// Target; bytes of code of all there is, of it without transfers, cursors and base devices, and of the small reader: the limit. The last is
/// what is aimed at.
const CODE: [(&str, u64, u64, u64); 2] =
    [("thumbv7em-none-eabihf", 78_000, 63_200, CODE_AIM.1), ("thumbv6m-none-eabi", 86_800, 69_200, CODE_AIM.1)];
/// What is aimed at.
const CODE_AIM: (u64, u64) = (24 << 10, 8 << 10);
/// Bytes of stack of the whole scenario, the pool in it.
const STACK: u64 = 3_000;
const STACK_AIM: u64 = 2 << 10;
/// Bytes of stack of the one call of the pool that takes most, with the driver below it.
const CALL: u64 = 1_850;
/// Bytes of stack of the one function of the core that takes most, on each target.
const FRAME: u64 = 700;
/// Bytes of the pool itself: what cowl needs beside its workspace.
const MEMORY: u64 = 512;
const MEMORY_AIM: u64 = 512;

/// Bytes of stack that the small reader takes to mount, find and read, with the driver below it and what calls it; bytes of itself.
const READER: (u64, u64) = (1_400, 160);

/// Instructions of a call on a Cortex-M4F, in blocks of 512 bytes on a disk in memory, the copying of data counted: the row in README, the limit.
const INSTRUCTIONS: [(&str, &str, u64); 12] = [
    ("read", "read a block", 5_000),
    ("overwrite, own block", "overwrite a block of one's own", 7_900),
    ("overwrite, shared block", "overwrite a shared block", 18_400),
    ("write, first block", "write a first block", 25_700),
    ("flush, one record", "flush, one record", 11_100),
    ("snapshot", "snapshot, 24 records pending", 139_000),
    ("delete", "delete", 133_000),
    ("merge step", "merge step", 168_000),
    ("mount, six units in the journal", "mount, six units in the journal", 195_000),
    ("small reader, mount", "small reader: mount, six units in the journal", 185_000),
    ("small reader, find", "small reader: find a layer, the catalog one page", 17_500),
    ("small reader, read", "small reader: read a block", 6_700),
];

/// Bytes of what a program has in read-only memory.
pub fn code_of(program: &Path) -> u64 {
    let bytes = fs::read(program).expect("a program");
    let file = object::File::parse(&*bytes).expect("an ELF or PE file");
    let is_code = |kind| matches!(kind, SectionKind::Text | SectionKind::ReadOnlyData | SectionKind::Data);
    file.sections().filter(|section| is_code(section.kind())).map(|section| section.size()).sum()
}

/// README says this number, in this row and the column of the target, or one that is at most a thirtieth away: compilers differ.
fn told_in_readme(row: &str, target: &str, measured: u64) {
    let (_, readme) = include_str!("../../README.md").split_once("### On small machines").expect("the chapter");
    let start = format!("| {row} |");
    let line = readme.lines().find(|line| line.starts_with(&start)).unwrap_or_else(|| panic!("no row {row}"));
    let column = if target == "thumbv6m-none-eabi" { 3 } else { 2 };
    let digits: String = line.split('|').nth(column).expect("a column").chars().filter(char::is_ascii_digit).collect();
    let told: u64 = digits.parse().expect("a number");
    assert!(told.abs_diff(measured) * 30 <= measured, "README: {row}: {told}, measured for {target}: {measured}");
}

/// The number behind a text.
fn after(said: &str, text: &str) -> u64 {
    let tail = said.rsplit_once(text).unwrap_or_else(|| panic!("no {text:?} in {said}")).1;
    let digits: String = tail.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().expect("a number")
}

#[test]
fn code_is_within_its_limit_and_no_panic_can_be_reached() {
    for (target, all_limit, whole_limit, reader_limit) in CODE {
        if !can_build_for(target) {
            continue;
        }
        let programs = build("cowl-size", target, &[]);
        let frame = code_of(&programs.join("nothing"));
        let all = code_of(&programs.join("any")) - frame;
        let whole = code_of(&programs.join("whole")) - frame;
        let reader = code_of(&programs.join("reader")) - frame;
        println!("| code, {target}: all there is | {all} bytes | aim {} |", CODE_AIM.0);
        println!("| code, {target}: without transfers, cursors, base devices | {whole} bytes | |");
        println!("| code, {target}: mount and read only, the small reader | {reader} bytes | aim {} |", CODE_AIM.1);
        told_in_readme("code: all there is", target, all);
        told_in_readme("code: without transfers, cursors and base devices", target, whole);
        told_in_readme("code: mount and read only, the small reader", target, reader);
        let within = all <= all_limit && whole <= whole_limit && reader <= reader_limit;
        assert!(within, "{target}: {all}, {whole} and {reader} bytes");
        assert!(all > whole && whole > reader && reader > 1024, "{target}: nothing was linked");
    }
}

/// What the compiler has noted: the stack of every function of the core, by name.
fn frames_of(program: &Path) -> Vec<(u64, String)> {
    let bytes = fs::read(program).expect("a program");
    let file = object::File::parse(&*bytes).expect("an ELF file");
    // The lowest bit of an address says that the code is Thumb.
    let named =
        |address: u64| file.symbols().find(|symbol| symbol.is_definition() && symbol.address() & !1 == address & !1);
    let section = file.section_by_name(".stack_sizes").expect("what the compiler was asked for");
    let mut notes = section.data().expect("notes").iter().copied();
    let mut frames = Vec::new();
    while let Some(first) = notes.next() {
        let rest: Vec<u8> = notes.by_ref().take(3).collect();
        let address = u64::from(u32::from_le_bytes([first, rest[0], rest[1], rest[2]]));
        // LEB128.
        let (mut size, mut shift) = (0, 0);
        for byte in notes.by_ref() {
            size |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let name = named(address).and_then(|symbol| symbol.name().ok()).unwrap_or_default();
        if name.contains("4cowl") {
            frames.push((size, name.to_owned()));
        }
    }
    frames
}

#[test]
fn no_function_takes_more_stack_than_its_limit() {
    for (target, ..) in CODE {
        if !can_build_for(target) {
            continue;
        }
        let frames = frames_of(&build("cowl-size", target, &["--config", FRAMES]).join("any"));
        let (most, name) = frames.iter().max().expect("functions of the core");
        println!("| largest frame, {target} | {most} bytes, {name} | limit {FRAME} |");
        told_in_readme("largest frame of a function", target, *most);
        assert!(frames.len() > 150 && *most > 100, "{} functions, {most} bytes", frames.len());
        assert!(*most <= FRAME, "{name}: {most} bytes of stack");
    }
}

#[test]
fn stack_and_memory_are_within_their_limits() {
    for machine in MACHINES.iter().filter(|machine| machine.measures_stack()) {
        if machine.is_missing() {
            continue;
        }
        // A life from the beginning; what is done with the pool after a power cut; and with one that a host has made.
        let (lived, handed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(lived.path().join("disk.img"), vec![0; DISK as usize]).unwrap();
        hand_over(&handed.path().join("disk.img"));
        let said = [lived.path(), lived.path(), handed.path()].map(|disk| machine.run(disk, false));
        for (said, done) in said.iter().zip(["Lived", "Recovered", "Visited"]) {
            assert!(said.contains(done), "{}: {said}", machine.name);
        }
        let most = |what: &str| said.iter().map(|said| after(said, what)).max().expect("three runs");
        let (stack, call, pool) = (most("stack: "), most("call: "), most("pool: "));
        println!(
            "| stack, {} | {stack} bytes, {pool} of them the pool | aim {STACK_AIM}, {MEMORY_AIM} |",
            machine.name
        );
        println!("| stack, {}: the deepest call, with its driver | {call} bytes | aim {STACK_AIM} |", machine.name);
        told_in_readme("peak stack of a call, its driver in it", machine.target, call);
        told_in_readme("peak stack of the scenario, the pool itself in it", machine.target, stack);
        assert!(call > 500 && call <= CALL, "{}: {call} bytes of stack in a call", machine.name);
        told_in_readme("memory beside the workspace (the pool itself; no statics)", machine.target, pool);
        assert!(stack <= STACK, "{}: {stack} bytes of stack", machine.name);
        assert!(pool <= MEMORY, "{}: the pool has {pool} bytes", machine.name);
    }
}

#[test]
fn a_boot_loader_reads_what_a_life_has_left_with_little() {
    for machine in MACHINES.iter().filter(|machine| machine.measures_stack()) {
        if machine.is_missing() {
            continue;
        }
        let directory = tempfile::tempdir().unwrap();
        let disk = directory.path().join("disk.img");
        fs::write(&disk, vec![0; DISK as usize]).unwrap();
        machine.run(directory.path(), false);
        let left = fs::read(&disk).unwrap();
        let said = machine.run_program(&machine.program_of("boot"), directory.path(), true);
        assert!(said.contains("Read"), "{}: {said}", machine.name);
        let (stack, reader) = (after(&said, "stack: "), after(&said, "reader: "));
        println!("| stack, {}: the small reader, with its driver | {stack} bytes | aim {STACK_AIM} |", machine.name);
        told_in_readme("peak stack of the small reader, its driver in it", machine.target, stack);
        told_in_readme("memory of the small reader beside its workspace", machine.target, reader);
        assert!(stack > 500 && stack <= READER.0, "{}: {stack} bytes of stack", machine.name);
        assert!(reader <= READER.1, "{}: the reader has {reader} bytes", machine.name);
        assert!(fs::read(&disk).unwrap() == left, "{}: it has written", machine.name);
        // One flush, when it mounts; no write.
        let log = crate::record::read(&directory.path().join("writes.log"));
        assert!(matches!(&*log, [crate::record::Entry::Flush]), "{}: {log:?}", machine.name);
    }
}

#[test]
fn calls_take_no_more_instructions_than_their_limits() {
    let target = "thumbv7em-none-eabihf";
    if !has_program("qemu-system-arm") || !can_build_for(target) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let program = build("cowl-cortex-m", target, &["--bin", "counts"]).join("counts");
    let (_, said) = cortex_m4(&program, directory.path());
    let (_, again) = cortex_m4(&program, directory.path());
    assert_eq!(said, again, "the counts are the same each time");
    for (call, row, limit) in INSTRUCTIONS {
        let line = said.lines().find(|line| line.starts_with(call) && line[call.len()..].starts_with(':'));
        let count = after(line.unwrap_or_else(|| panic!("no {call:?} in {said}")), ": ");
        println!("| instructions, {call} | {count} | limit {limit} |");
        told_in_readme(row, target, count);
        assert!(count <= limit, "{call}: {count} instructions");
    }
}
