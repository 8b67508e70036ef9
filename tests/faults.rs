//! Each fault.
