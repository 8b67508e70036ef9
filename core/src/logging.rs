//! Log lines, through `defmt` or `log` if one of them is a feature; else nothing.
//!
//! What an operator wants to find when something went wrong:
//! - `error`: the pool is poisoned, or damage was found;
//! - `warn`: the pool lives on one copy of its superblock, a change was refused for want of space, a finding of `check`;
//! - `info`: mounted, a layer merged, the pool has grown;
//! - `debug`: a checkpoint, made or dropped.
//!
//! None is on the path of a read or an overwrite in place.

/// One line for a rare event, of the level given first.
macro_rules! event {
    ($level:ident, $($argument:tt)*) => {{
        #[cfg(feature = "defmt")]
        defmt::$level!($($argument)*);
        #[cfg(all(feature = "log", not(feature = "defmt")))]
        log::$level!($($argument)*);
        #[cfg(not(any(feature = "defmt", feature = "log")))]
        let _ = || ($($argument)*);
    }};
}

pub(crate) use event;
