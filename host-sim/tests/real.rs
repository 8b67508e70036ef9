//! The proofs on real files and processes, small: `.ci/run` goes further with the same commands.

use std::{path::Path, process::Command};

use cowl_host::bugs::Harness;

/// Runs `cowl sim` and returns its JSON; `None` if the machine lacks what it needs, which is then said.
fn sim(arguments: &[&str]) -> Option<serde_json::Value> {
    let output = Command::new(env!("CARGO_BIN_EXE_cowl")).arg("sim").args(arguments).arg("--json").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.code() == Some(9) {
        assert!(std::env::var_os("COWL_REQUIRE_ALL").is_none(), "{arguments:?}: {said}");
        eprintln!("not run: {arguments:?}: {said}");
        return None;
    }
    assert!(output.status.success(), "{arguments:?}: {said}");
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

fn counts(report: &serde_json::Value) -> Vec<u64> {
    let counts = report["counts"].as_array().unwrap();
    counts.iter().map(|pair| pair[1].as_u64().unwrap()).collect()
}

#[test]
fn a_process_killed_at_any_moment_loses_nothing_it_acknowledged() {
    let memory = if Path::new("/dev/shm").is_dir() { "/dev/shm" } else { "/tmp" };
    let report = sim(&["kill", "--kills", "200", "--dir", memory]).expect("needs nothing");
    assert_eq!(report["violations"], 0);
    let counts = counts(&report);
    assert!(counts[0] == 200 && counts[1] > 1000 && counts[2] > 150, "{report}");
    // Killed while it opened the pool, and while it worked.
    assert!(counts[4] > 0 && counts[5..].iter().filter(|at| **at > 0).count() > 5, "{report}");
}

#[test]
fn a_run_of_kills_that_is_given_seconds_ends_with_its_counts() {
    let report = sim(&["kill", "--kills", "1000000000", "--seconds", "1"]).expect("needs nothing");
    assert_eq!(report["violations"], 0);
    assert!((1..1_000_000).contains(&counts(&report)[0]) && report["seconds"].as_f64().unwrap() < 60.0, "{report}");
}

#[test]
fn a_process_whose_disk_loses_power_loses_nothing_it_acknowledged() {
    let Some(report) = sim(&["powercut", "--cuts", "200"]) else { return };
    assert!(counts(&report)[2..].iter().all(|fate| *fate > 20), "{report}");
}

#[test]
fn the_harness_of_real_processes_finds_nothing_where_there_is_no_planted_bug() {
    if let Some(why) = Harness::Processes.missing() {
        assert!(std::env::var_os("COWL_REQUIRE_ALL").is_none(), "{why}");
        eprintln!("not run: {why}");
        return;
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_cowl"));
    let output = command.args(["sim", "bugs", "--harness", "processes", "--milliseconds", "1000"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_system_calls_of_a_process_are_those_that_the_simulator_predicts() {
    let Some(report) = sim(&["trace", "--count", "120"]) else { return };
    let counts = counts(&report);
    assert!(counts[1] > 300 && counts[2] > 50 && counts[3] > 20, "{report}");
}

#[test]
fn a_system_call_that_fails_is_reported_or_made_good_and_loses_nothing() {
    let Some(report) = sim(&["syscalls", "--count", "14"]) else { return };
    let counts = counts(&report);
    let (writes_and_syncs, holes) = counts.split_at(10);
    assert!(writes_and_syncs.iter().all(|count| *count > 20) && holes.iter().all(|count| *count > 5), "{report}");
}

#[test]
fn crash_images_opened_by_another_process_hold_what_they_must() {
    let report = sim(&["materialise", "--images", "120"]).expect("needs nothing");
    assert_eq!(counts(&report), [120]);
}

#[test]
fn no_room_below_the_pool_is_reported_and_loses_nothing() {
    let Some(report) = sim(&["full"]) else { return };
    let counts = counts(&report);
    assert!(counts.len() == 6 && counts[1..].iter().all(|acknowledged| *acknowledged > 10), "{report}");
}
