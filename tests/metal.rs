//! Firmware, really run in emulated machines, and its disks judged on the host.
//!
//! One scenario (`firmware/scenario`) runs on every machine. On the host it runs too, beside a model of what the pool must show:
//! - `reference`: the scenario on the host, its device writes, and what the model says at each of them;
//! - `record`: the writes that a machine made, as QEMU or the firmware itself has written them down;
//! - `machine`: what the machines are, how their firmware is built and run;
//! - `budgets`: code, stack, memory and instructions, each with its limit;
//! - `attached`: what attachments must hold, which the model does not know;
//! - `log_lines`: `defmt` frames from a machine, decoded;
//! - `cuts`: the states that a power cut may leave, each opened on the host, some by the machine itself.
//!
//! A machine that is missing (its emulator or its compiler target) is named and left out, unless `COWL_REQUIRE_ALL` is set.

#![allow(clippy::cast_possible_truncation)]

#[path = "metal/attached.rs"]
mod attached;
#[path = "metal/budgets.rs"]
mod budgets;
#[path = "metal/cuts.rs"]
mod cuts;
#[path = "metal/log_lines.rs"]
mod log_lines;
#[path = "metal/machine.rs"]
mod machine;
#[path = "metal/record.rs"]
mod record;
#[path = "metal/reference.rs"]
mod reference;

use std::{env, fs, path::Path, process::Command};

use cowl::{Attributes, FormatOptions, LayerFlags, MountOptions, Pool};
use cowl_host::{
    FileDevice,
    sim::{bytes_of, found, sound, value_of},
};
use cowl_scenario::{DISK_SECTORS, HANDED, MARK, SCRATCH, WORKSPACE};
use cowl_tests::named;
use machine::{MACHINES, Machine};
use reference::Reference;

/// Bytes of the disk.
const DISK: u64 = DISK_SECTORS * 512;

/// The disk as a file. A process that another test is just starting shares what is open here, locks included, until it runs.
fn file(disk: &Path) -> FileDevice {
    let again = |_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        FileDevice::open(disk).ok()
    };
    let device = FileDevice::open(disk).ok().or_else(|| (0..200).find_map(again));
    device.expect("nobody else has the disk open")
}

/// Opens the disk that a machine has written, as any pool on a host is opened.
fn opened<T>(disk: &Path, work: impl FnOnce(&mut Pool<'_, FileDevice>) -> T) -> T {
    let mut workspace = vec![0; 1 << 20];
    let device = file(disk);
    let mut pool = Pool::mount(device, &mut workspace, &MountOptions::default()).expect("a pool");
    let result = work(&mut pool);
    pool.unmount().expect("in order");
    result
}

/// The pool on the disk is sound and shows what the model says.
fn judged(disk: &Path, reference: &Reference) {
    opened(disk, |pool| {
        sound(pool, true).unwrap();
        let seen = found(pool).expect("readable");
        reference.model.compare(&seen, 512).unwrap();
        attached::judged(pool).unwrap();
    });
}

/// Every machine that is there, each in a directory of its own.
fn on_each_machine(test: impl Fn(&Machine, &Path)) {
    for machine in MACHINES {
        if !machine.is_missing() {
            let directory = tempfile::tempdir().expect("a temporary directory");
            test(machine, directory.path());
        }
    }
}

#[test]
fn the_scenario_on_the_host_shows_what_the_model_says() {
    let lived = Reference::of_life();
    let seen = lived.found();
    lived.model.compare(&seen, 512).unwrap();
    assert!(lived.spans.len() > 300, "{} actions", lived.spans.len());
    assert!(lived.filled > 300, "the pool was filled with {} sectors", lived.filled);
    assert!(lived.merges > 10, "{} steps of merge", lived.merges);
}

#[test]
fn every_machine_writes_the_same_pool_and_the_host_goes_on_with_it() {
    let lived = Reference::of_life();
    on_each_machine(|machine, directory| {
        let disk = directory.join("disk.img");
        let zeros = vec![0; DISK as usize];
        fs::write(&disk, &zeros).expect("a disk");
        let said = machine.run(directory, true);
        let code = budgets::code_of(&machine.program());
        println!("| {} | {} | {code} bytes with its driver |", machine.name, said.lines().last().unwrap_or_default());
        assert!(said.contains("Lived"), "{}: {said}", machine.name);
        assert!(!machine.has_log() || said.contains("mounted: generation"), "{}: {said}", machine.name);
        let log = record::read(&directory.join("writes.log"));
        record::assert_same(machine.name, &log, &lived.log);
        assert!(fs::read(&disk).unwrap() == lived.image, "{}: the disk is another one", machine.name);
        judged(&disk, &lived);
        assert_eq!(opened(&disk, attached::judged), Ok(1), "{}: attachments", machine.name);
        goes_on_here_and_there(machine, directory, &disk);
        println!("| {} | goes on where the host has rolled back and merged |", machine.name);
    });
}

/// The command `cowl`, on the disk of a machine.
fn command(arguments: &[&str], disk: &Path) {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["run", "--quiet", "--package", "cowl-host", "--bin", "cowl", "--"]);
    let (verb, rest) = arguments.split_first().expect("a verb");
    command.arg(verb).arg(disk).args(rest).current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    let output = command.output().expect("cargo runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cowl {arguments:?}: {said}{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn the_command_checks_rolls_back_and_merges_what_a_cortex_m0_has_written() {
    let machine = &MACHINES[0];
    if machine.is_missing() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let disk = directory.path().join("disk.img");
    fs::write(&disk, vec![0; DISK as usize]).unwrap();
    assert!(machine.run(directory.path(), false).contains("Lived"));
    command(&["check", "--scrub"], &disk);
    command(&["rollback", "log", "history", "--keep", "undone", "--no-merge"], &disk);
    command(&["delete", "history", "--no-merge"], &disk);
    command(&["merge"], &disk);
    command(&["check", "--scrub"], &disk);
    let before = opened(&disk, |pool| found(pool).unwrap());
    assert!(before.values().any(|(name, _)| name == "undone"), "what was rolled back is kept");
    let said = machine.run(directory.path(), false);
    assert!(said.contains("Recovered"), "{said}");
    marked(&disk, &before, machine.name);
    command(&["check", "--scrub"], &disk);
    println!("| {} | its disk was checked, rolled back and merged by the command |", machine.name);
}

/// The host rolls back and merges; the machine takes the pool back, and leaves its mark.
fn goes_on_here_and_there(machine: &Machine, directory: &Path, disk: &Path) {
    let before = opened(disk, |pool| {
        let id = |pool: &mut Pool<'_, FileDevice>, name| pool.find(name).unwrap().expect("a layer").id;
        let (log, history, system) = (id(pool, "log"), id(pool, "history"), id(pool, "system"));
        pool.rollback(log, history, 2, Some(&named("undone"))).unwrap();
        pool.snapshot(system, &named("host")).unwrap();
        pool.write(system, 0, &bytes_of(0x5_0000, 1024)).unwrap();
        pool.delete(history).unwrap();
        pool.merge_all(1000).unwrap();
        sound(pool, true).unwrap();
        found(pool).unwrap()
    });
    let said = machine.run(directory, false);
    assert!(said.contains("Recovered"), "{}: {said}", machine.name);
    marked(disk, &before, machine.name);
}

/// All layers are there as before, and the mark.
fn marked(disk: &Path, before: &cowl_host::sim::Found, what: &str) {
    opened(disk, |pool| {
        sound(pool, true).unwrap();
        let mut after = found(pool).unwrap();
        let mark = pool.find(MARK).unwrap().unwrap_or_else(|| panic!("{what}: no mark")).id;
        let (_, bytes) = after.remove(&mark.0).expect("the mark can be read");
        assert_eq!(value_of(&bytes), 0xf000, "{what}: what the machine wrote");
        let mut before = before.clone();
        before.retain(|_, (name, _)| name != MARK);
        if !after.values().any(|(name, _)| name == SCRATCH) {
            before.retain(|_, (name, _)| name != SCRATCH);
        }
        assert!(before == after, "{what}: a layer has changed");
    });
}

/// What a host hands to a machine: a volume with a snapshot, as the scenario describes it.
fn hand_over(disk: &Path) {
    let mut workspace = vec![0; 1 << 20];
    let mut device = cowl_host::FileOptions::new().physical_size(512).create(disk, DISK).expect("a new file");
    let options = FormatOptions { checksum: cowl_host::crc32c, ..FormatOptions::new(512, [9; 16]) };
    Pool::format(&mut device, &mut workspace, &options).unwrap();
    let mut pool = Pool::mount(&mut device, &mut workspace, &MountOptions::default()).unwrap();
    let volume = pool.create(&named(HANDED), 40, LayerFlags::empty()).unwrap();
    for sector in (0..40).step_by(2) {
        pool.write(volume, sector, &bytes_of(0x1_0000 + sector, 1024)).unwrap();
    }
    pool.snapshot(volume, &Attributes { description: "made on a host", ..named("theirs") }).unwrap();
    for sector in (10..20).step_by(2) {
        pool.write(volume, sector, &bytes_of(0x2_0000 + sector, 1024)).unwrap();
    }
    pool.unmount().unwrap();
}

#[test]
fn every_machine_works_on_a_pool_that_the_host_has_made() {
    let directory = tempfile::tempdir().unwrap();
    let disk = directory.path().join("disk.img");
    hand_over(&disk);
    let handed = fs::read(&disk).unwrap();
    let visited = Reference::of_visit(&handed);
    on_each_machine(|machine, directory| {
        let disk = directory.join("disk.img");
        fs::write(&disk, &handed).unwrap();
        let said = machine.run(directory, false);
        assert!(said.contains("Visited"), "{}: {said}", machine.name);
        assert!(fs::read(&disk).unwrap() == visited.image, "{}: the disk is another one", machine.name);
        judged(&disk, &visited);
        println!("| {} | works on a pool that the host has made |", machine.name);
    });
}

/// Pending sectors of which all combinations of old, new and torn are opened; where there are more, a sample.
const EXACT: usize = 3;

#[test]
fn a_power_cut_at_every_write_leaves_a_pool_that_recovers() {
    let lived = Reference::of_life();
    let tally = cuts::explore(&lived, &lived.log, EXACT).unwrap();
    println!(
        "| power cuts | {} writes, each cut; all combinations of up to {EXACT} pending sectors, 6 beyond: {} images, {} of them worked on |",
        tally.writes, tally.images, tally.worked_on
    );
    assert!(tally.writes > 1000 && tally.images > 10_000 && tally.attachments > 500, "{tally:?}");
}

#[test]
fn every_machine_recovers_by_itself() {
    let lived = Reference::of_life();
    let cuts = cuts::sample(&lived, 6);
    assert_eq!(cuts.len(), 6);
    let formatting = cuts::while_formatting(&lived);
    assert!(formatting.iter().any(|byte| *byte != 0), "something was written");
    on_each_machine(|machine, directory| {
        let disk = directory.join("disk.img");
        fs::write(&disk, &formatting).unwrap();
        let said = machine.run(directory, false);
        assert!(said.contains("Lived"), "{} after a cut in formatting: {said}", machine.name);
        judged(&disk, &lived);
        let few = if machine.is_slow() { 2 } else { cuts.len() };
        for (number, image) in cuts.iter().enumerate().rev().take(few) {
            fs::write(&disk, image).unwrap();
            let before = cuts::seen(image);
            let said = machine.run(directory, false);
            assert!(said.contains("Recovered"), "{} after cut {number}: {said}", machine.name);
            marked(&disk, &before, &format!("{} after cut {number}", machine.name));
            judged_sizes(&disk);
        }
        println!("| {} | recovers by itself, after {few} cuts and one in formatting |", machine.name);
    });
}

/// The workspace of the machines is enough for the pool as it is now.
fn judged_sizes(disk: &Path) {
    let mut workspace = vec![0; WORKSPACE];
    Pool::mount(file(disk), &mut workspace, &MountOptions::default()).expect("fits into the machines' memory");
}
