//! The `cowl` command on a pool that is being served: the same results as offline, and the same when things go wrong.
//!
//! The server runs in this process, so that tests can be its clients; commands are real processes.

mod online {
    pub mod bench;
    mod refusals;
    mod restart;
    mod twins;
    mod working;
}
