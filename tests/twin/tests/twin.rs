//! Is the asynchronous core what the blocking one makes? `COWL_REGENERATE=1 cargo test -p cowl-twin` writes it anew.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use cowl_twin::twins;

/// The text as `cargo fmt` would have it; `None` if there is no formatter.
fn formatted(text: &str, root: &Path) -> Option<String> {
    let mut formatter = Command::new("rustfmt");
    formatter.args(["--edition", "2024", "--config-path"]).arg(root).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut formatter = formatter.spawn().ok()?;
    formatter.stdin.take().unwrap().write_all(text.as_bytes()).ok()?;
    let output = formatter.wait_with_output().unwrap();
    // Without the component, what rustup has put in its place starts and fails.
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

#[test]
fn the_asynchronous_core_is_made_from_the_blocking_one() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let core = root.join("core/src");
    let regenerate = std::env::var_os("COWL_REGENERATE").is_some();
    let twins = twins(&core);
    assert!(twins.len() > 25, "{} sources have a twin", twins.len());
    for twin in twins {
        let path = core.join(&twin.path);
        let Some(text) = formatted(&twin.text, &root) else {
            assert!(std::env::var_os("COWL_REQUIRE_ALL").is_none(), "rustfmt is missing");
            eprintln!("skipped: rustfmt is missing (rustup component add rustfmt)");
            return;
        };
        if regenerate {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &text).unwrap();
            continue;
        }
        let there = fs::read_to_string(&path).unwrap_or_default();
        let line = there.lines().zip(text.lines()).position(|(there, made)| there != made);
        let line = line.unwrap_or(there.lines().count().min(text.lines().count()));
        assert!(
            there == text,
            "core/src/{}, line {}, is not what {} makes: COWL_REGENERATE=1 cargo test -p cowl-twin",
            twin.path,
            line + 1,
            twin.source,
        );
    }
}
