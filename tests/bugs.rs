//! The planted bugs still fit the sources; running them is `cowl sim bugs`.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use cowl_host::bugs::{Harness, Kind, all, plant};

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
    let rules = [("J", 8), ("W", 5), ("A", 3), ("C", 5), ("M", 7), ("G", 2)];
    for rule in rules.iter().flat_map(|(letter, last)| (1..=*last).map(move |number| format!("{letter}{number}"))) {
        assert!(broken.contains(rule.as_str()), "no planted bug breaks {rule}");
    }
}

#[test]
fn no_harness_finds_anything_where_there_is_no_bug() {
    for harness in Harness::ALL {
        harness.run(Duration::from_secs(1)).unwrap_or_else(|why| panic!("{}: {why}", harness.name()));
    }
}
