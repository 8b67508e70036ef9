//! The planted bugs still fit the sources; running them is `cowl sim bugs`.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use cowl::Pool;
use cowl_host::{
    bugs::{Answer, Bug, Harness, Kind, Plan, Row, all, plant, run, tasks},
    sim::{Config, Fate, Op, SimDisk, apply, found, mount, start},
};
use tempfile::TempDir;

fn source(file: &str) -> Result<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    fs::read_to_string(root.join(file)).map_err(|error| format!("{file}: {error}"))
}

#[test]
fn every_planted_bug_has_its_place_in_the_sources_exactly_once() {
    let bugs = all();
    let planted =
        plant(&bugs, source).unwrap_or_else(|why| panic!("{why}: the source was rewritten, so plant it anew"));
    let choices: usize = planted.values().map(|text| text.matches("planted::on(").count()).sum();
    assert_eq!(choices, bugs.iter().map(|bug| bug.edits.len()).sum::<usize>());
    let in_the_core = bugs.iter().filter(|bug| bug.kind() == Kind::Core).count();
    assert!(in_the_core >= 60, "only {in_the_core} bugs in the core");
}

#[test]
fn every_rule_of_the_protocol_is_broken_by_a_planted_bug() {
    let bugs = all();
    let numbers: BTreeSet<u32> = bugs.iter().map(|bug| bug.number).collect();
    assert_eq!(numbers.len(), bugs.len(), "a number is given twice");
    let broken: BTreeSet<&str> = bugs.iter().map(|bug| bug.rule).collect();
    let rules = [("J", 8), ("W", 5), ("A", 3), ("C", 5), ("M", 7), ("G", 2), ("T", 6)];
    for rule in rules.iter().flat_map(|(letter, last)| (1..=*last).map(move |number| format!("{letter}{number}"))) {
        assert!(broken.contains(rule.as_str()), "no planted bug breaks {rule}");
    }
}

#[test]
fn no_harness_finds_anything_where_there_is_no_bug() {
    // What starts the program again is tried beside the program, in `host-sim/tests/real.rs`.
    for harness in Harness::ALL.into_iter().filter(|harness| *harness != Harness::Processes) {
        harness.run(Duration::from_secs(1)).unwrap_or_else(|why| panic!("{}: {why}", harness.name()));
    }
}

/// A program that stands in for the planted one. It is told the bug by the environment and the harness by its fourth word.
fn program(folder: &TempDir, script: &str) -> PathBuf {
    let path = folder.path().join("planted");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("a script");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("a script that can be run");
    path
}

/// A process that is started while another thread writes its script keeps that one busy: one at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// The table of some bugs with harnesses that do what the script says.
fn table(script: &str, bugs: &[Bug], all: bool) -> Result<Vec<Row>, String> {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().expect("a folder");
    let binary = program(&folder, script);
    run(&Plan { binary: &binary, longest: Duration::from_secs(8), all, jobs: 2 }, bugs, &|_| ())
}

fn three() -> Vec<Bug> {
    all().into_iter().filter(|bug| bug.kind() == Kind::Core).take(3).collect()
}

#[test]
fn harnesses_that_overlook_everything_make_the_run_fail() {
    let rows = table("echo 1000; exit 0", &three(), false).unwrap();
    assert_eq!(rows.len(), 4);
    assert!(rows[0].is_good() && rows[1..].iter().all(|row| !row.is_good() && row.kills() == 0), "{rows:?}");
    assert!(rows[1..].iter().all(|row| row.verdicts.len() == Harness::ALL.len() - 1), "the oracle concerns no core");
}

#[test]
fn harnesses_that_report_without_a_bug_make_the_run_fail() {
    let rows = table("echo 1000; echo lost >&2; exit 5", &three(), false).unwrap();
    assert!(!rows[0].is_good() && rows[1..].iter().all(Row::is_good), "{rows:?}");
    assert_eq!(rows[0].verdicts.len(), Harness::ALL.len(), "every harness runs without a bug");
    assert_eq!(rows[0].verdicts[0].answer, Answer::Found("lost".into()));
}

#[test]
fn one_kill_is_too_few_and_two_end_the_search() {
    let one = r#"echo 2000; [ "$COWL_PLANTED" != 0 ] && [ "$4" = cuts ] && exit 5; exit 0"#;
    let rows = table(one, &three(), false).unwrap();
    assert!(rows[1..].iter().all(|row| row.kills() == 1 && !row.is_good()), "{rows:?}");
    let everyone = r#"echo 2000; [ "$COWL_PLANTED" = 0 ] || exit 5"#;
    let rows = table(everyone, &three(), false).unwrap();
    assert!(rows[1..].iter().all(|row| row.kills() == 2 && row.verdicts.len() == 2), "{rows:?}");
    assert_eq!(rows[1].verdicts[0].time, Duration::from_millis(2));
    let rows = table(everyone, &three(), true).unwrap();
    assert!(rows[1..].iter().all(|row| row.kills() == Harness::ALL.len() - 1), "{rows:?}");
    assert_eq!(tasks(&three()), 3 + Harness::ALL.len() as u64);
}

#[test]
fn a_program_that_is_no_harness_kills_nothing() {
    assert!(table("echo unknown option >&2; exit 2", &three(), false).unwrap_err().contains("exit code 2"));
    let signal = table(r#"[ "$COWL_PLANTED" = 0 ] || kill -SEGV $$"#, &three(), false).unwrap();
    assert!(signal[0].is_good() && signal[1].is_good(), "a harness that crashes has found the bug: {signal:?}");
}

#[test]
fn a_flush_that_lies_loses_what_the_model_says_must_be_there() {
    let config = Config::TINY;
    for lying in [false, true] {
        let disk = SimDisk::new(config.sector_size, config.device_sectors());
        let mut workspace = config.workspace();
        Pool::format(disk.clone(), &mut workspace, &config.format()).unwrap();
        let mut pool = mount(disk.clone(), &mut workspace).unwrap();
        let mut model = start(&mut pool, &config).unwrap();
        if lying {
            disk.lie();
        }
        for op in [Op::Write(0, 0, 1, 5), Op::Flush] {
            apply(&mut pool, &mut model, op).unwrap();
        }
        drop(pool);
        let after = SimDisk::from_sectors(config.sector_size, disk.image().after_cut(|_| Fate::Old));
        let seen = found(&mut mount(after, &mut workspace).unwrap()).unwrap();
        assert_eq!(model.compare_after_crash(&seen, config.sector_size).is_err(), lying);
    }
}
