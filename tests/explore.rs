//! The explorer, at bounds that a test can afford; `cowl sim explore` goes further.

use cowl_host::sim::explore::{Bound, Report, Scenario, Seed, Shape, Shard, Token, Watch, explore, narrate};

const WHOLE: Shard = Shard { index: 0, of: 1 };

fn places(shapes: &[Shape], seeds: &[Seed]) -> Vec<(Shape, Seed)> {
    shapes.iter().flat_map(|shape| seeds.iter().map(|seed| (*shape, *seed))).collect()
}

fn run(places: &[(Shape, Seed)], bound: &Bound, shard: Shard) -> Report {
    explore(places, bound, shard, 2, &Watch::default()).unwrap()
}

fn assert_kept(report: &Report) {
    assert!(report.violations.is_empty(), "{}", report.violations[0].token);
    assert!(!report.stopped);
}

#[test]
fn no_crash_in_any_operation_on_any_seed_and_shape_breaks_a_promise() {
    let bound = Bound { errors: 1, ..Bound::new(1) };
    let report = run(&places(&Shape::ALL, &Seed::ALL), &bound, WHOLE);
    assert_kept(&report);
    assert_eq!(report.sampled_cuts, 0);
    assert!(report.workloads > 1500 && report.exact > 10_000_000 && report.faults > 3000, "{report:?}");
}

#[test]
fn no_crash_in_two_operations_in_a_row_breaks_a_promise() {
    let bound = Bound { errors: 0, ..Bound::new(2) };
    let report = run(&places(&[Shape::Tiny, Shape::Journal], &Seed::ALL), &bound, WHOLE);
    assert_kept(&report);
    assert!(report.exact > 100_000_000, "{report:?}");
}

#[test]
fn a_second_crash_after_the_recovery_breaks_no_promise() {
    let bound = Bound { second: 1, errors: 0, ..Bound::new(1) };
    let seeds = [Seed::Diverged, Seed::HalfMerged, Seed::Dirty, Seed::JournalWrap];
    let report = run(&places(&[Shape::Tiny, Shape::Journal], &seeds), &bound, WHOLE);
    assert_kept(&report);
    assert!(report.exact > 1_000_000, "{report:?}");
}

#[test]
fn the_parts_of_an_exploration_add_up() {
    let bound = Bound { errors: 1, ..Bound::new(2) };
    let places = places(&[Shape::Tiny], &[Seed::Empty, Seed::Branching]);
    let whole = run(&places, &bound, WHOLE);
    let mut sum = Report::default();
    (0..3).for_each(|index| sum.add(run(&places, &bound, Shard { index, of: 3 })));
    assert_eq!(sum, whole);
}

#[test]
fn a_flush_that_lies_is_noticed_and_its_token_tells_the_story_again() {
    let bound = Bound { lying: true, ..Bound::new(2) };
    let report = run(&places(&[Shape::Journal], &[Seed::Diverged]), &bound, WHOLE);
    let violation = report.violations.first().expect("a lying flush breaks a promise");
    let token: Token = violation.token.to_string().parse().unwrap();
    assert_eq!(token, violation.token);
    let (story, broken) = narrate(&token).unwrap();
    assert_eq!(broken.as_ref(), Some(&violation.broken));
    assert!(story.iter().any(|line| line.contains("the power fails")), "{story:?}");
    let honest = Scenario::new(Shape::Journal, Seed::Diverged).unwrap();
    assert_eq!(token.run(&honest, &mut honest.bench()), Ok(()));
}

#[test]
fn a_violation_is_shrunk_to_the_operations_that_it_needs() {
    let bound = Bound { lying: true, errors: 0, ..Bound::new(2) };
    let report = run(&places(&[Shape::Tiny], &[Seed::Empty]), &bound, WHOLE);
    let scenario = Scenario { lying: true, ..Scenario::new(Shape::Tiny, Seed::Empty).unwrap() };
    for violation in report.violations {
        let again = violation.clone().shrink(&scenario, &bound, &mut scenario.bench());
        assert!(again.token.letters.len() <= violation.token.letters.len());
        assert!(again.token.run(&scenario, &mut scenario.bench()).is_err());
    }
}

#[test]
fn a_line_that_is_no_token_is_refused() {
    for text in [
        "",
        "cowl1",
        "cowl1:tiny:empty::t2:c0:",
        "cowl1:tiny:nowhere:0:t2:c0:",
        "cowl1:tiny:empty:0:t2:x0:",
        "cowl2:tiny:empty:0:t2:c0:",
    ] {
        assert!(text.parse::<Token>().is_err(), "{text}");
    }
}
