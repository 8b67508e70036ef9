//! The strategies for `proptest`: they find nothing in cowl, they find what is planted, and what they find is shrunk.

use cowl_host::sim::{Op, crash_history, run_history, strategy};
use proptest::{
    prelude::*,
    test_runner::{Config as Runs, TestError, TestRunner},
};

proptest! {
    #![proptest_config(Runs { cases: 150, failure_persistence: None, ..Runs::default() })]

    #[test]
    fn any_history_on_any_shape_agrees_with_the_model(
        (config, ops) in strategy::config().prop_flat_map(|config| {
            (Just(config), strategy::history(config.sectors, 1..80))
        })
    ) {
        run_history(&config, &ops).map_err(|why| TestCaseError::fail(why.to_string()))?;
    }

    #[test]
    fn any_history_survives_power_cuts(ops in strategy::history(4, 1..12), seed in any::<u64>()) {
        let config = cowl_host::sim::Config::TINY;
        crash_history(&config, &ops, 2, seed).map_err(|why| TestCaseError::fail(why.to_string()))?;
    }
}

/// What is wrong only after a snapshot and a later write comes out as just these two, with the smallest numbers.
#[test]
fn a_failure_is_shrunk_to_the_operations_that_it_needs() {
    let needs = |ops: &[Op]| {
        let snapshot = ops.iter().position(|op| matches!(op, Op::Snapshot(_)));
        snapshot.is_some_and(|at| ops[at..].iter().any(|op| matches!(op, Op::Write(..))))
    };
    let mut runner = TestRunner::new(Runs { failure_persistence: None, ..Runs::default() });
    let found = runner.run(&strategy::history(10, 0..60), |ops| {
        if needs(&ops) { Err(TestCaseError::fail("planted")) } else { Ok(()) }
    });
    let Err(TestError::Fail(_, ops)) = found else { panic!("the planted failure was not found: {found:?}") };
    assert_eq!(ops, [Op::Snapshot(0), Op::Write(0, 0, 1, 1)]);
}
