//! The tree that holds every bug: a copy of the sources beside the build's own files, planted, and built once.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use super::{all, plant::plant};

/// What the copy consists of.
const PARTS: [&str; 7] = ["Cargo.toml", "Cargo.lock", ".rustfmt.toml", "core", "host-sim", "tests", "fuzz/corpus"];
/// The environment variable that names the bug that is on.
pub const PLANTED: &str = "COWL_PLANTED";

const MODULE: &str = "
//! Which planted bug is on.
use core::sync::atomic::{AtomicU32, Ordering};
static ON: AtomicU32 = AtomicU32::new(0);
/// Puts a bug on; 0 is none.
pub fn set(number: u32) { ON.store(number, Ordering::Relaxed); }
/// The bug is on.
#[inline]
pub fn on(number: u32) -> bool { ON.load(Ordering::Relaxed) == number }
";

/// The sources that this program was built from, if they are still there.
pub fn own_sources() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    root.join("core/src/lib.rs").is_file().then(|| root.to_owned())
}

/// Copies the sources, plants every bug, builds: the binary.
///
/// # Errors
/// Sources that are not there or no longer fit a bug, and cargo's own complaint.
pub fn build(source: &Path) -> Result<PathBuf, String> {
    let scratch = match std::env::var_os("CARGO_TARGET_DIR") {
        Some(target) => std::path::absolute(PathBuf::from(target)).map_err(|error| error.to_string())?,
        None => source.join("target"),
    };
    let (tree, target) = (scratch.join("bugs/tree"), scratch.join("bugs/target"));
    for part in PARTS {
        copy(&source.join(part), &tree.join(part)).map_err(|error| format!("cannot copy {part}: {error}"))?;
    }
    write_planted(source, &tree)?;
    compile(&tree, &target)
}

fn write_planted(source: &Path, tree: &Path) -> Result<(), String> {
    let read = |file: &str| {
        fs::read_to_string(source.join(file)).map_err(|error| format!("{}: {error}", source.join(file).display()))
    };
    let mut files = plant(&all(), read)?;
    let library = "core/src/lib.rs";
    let text = files.remove(library).map_or_else(|| read(library), Ok)?;
    files.insert(library.to_owned(), text + "\npub mod planted;\n");
    files.insert("core/src/planted.rs".to_owned(), MODULE.to_owned());
    let main = "host-sim/src/main.rs";
    let start = "cowl_host::cli::main()";
    let chosen = format!(
        "let bug = std::env::var(\"{PLANTED}\").ok().and_then(|number| number.parse().ok());\n    \
         cowl::planted::set(bug.unwrap_or(0));\n    {start}"
    );
    let text = read(main)?;
    if text.matches(start).count() != 1 {
        return Err(format!("{main}: `{start}` is not there exactly once"));
    }
    files.insert(main.to_owned(), text.replace(start, &chosen));
    for (file, text) in files {
        write_if_new(&tree.join(&file), text.as_bytes()).map_err(|error| format!("cannot write {file}: {error}"))?;
    }
    Ok(())
}

/// Copies a file or folder; what is in the copy already and the same keeps its time, so that cargo builds only what changed.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        // A source that bugs are planted into is written later; the original here would make cargo build it every time.
        let planted = all().iter().flat_map(|bug| bug.edits).any(|edit| from.ends_with(edit.file));
        let special = ["core/src/lib.rs", "host-sim/src/main.rs"].iter().any(|file| from.ends_with(file));
        return if planted || special { Ok(()) } else { write_if_new(to, &fs::read(from)?) };
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_name() != "target" {
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
    }
    forget_removed(from, to)
}

/// Removes sources from the copy that are no longer in the original; what the generator adds stays.
fn forget_removed(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(to)? {
        let entry = entry?;
        let ours = entry.file_name() == "planted.rs";
        if ours || from.join(entry.file_name()).exists() {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn write_if_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, bytes)
}

/// Builds the tree; without the network if everything is at hand.
fn compile(tree: &Path, target: &Path) -> Result<PathBuf, String> {
    let offline = cargo(tree, target, &["metadata", "--locked", "--offline", "--format-version", "1"])
        .is_ok_and(|output| output.status.success());
    let mut line = vec!["build", "--release", "--locked", "--package", "cowl-host", "--bin", "cowl"];
    if offline {
        line.push("--offline");
    }
    let output = cargo(tree, target, &line).map_err(|error| format!("cannot run cargo: {error}"))?;
    if output.status.success() {
        return Ok(target.join("release/cowl"));
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    let errors: Vec<&str> = complaint.lines().skip_while(|line| !line.starts_with("error")).take(60).collect();
    Err(format!("the sources with the planted bugs do not compile:\n{}", errors.join("\n")))
}

fn cargo(tree: &Path, target: &Path, line: &[&str]) -> io::Result<Output> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    Command::new(cargo)
        .args(line)
        .current_dir(tree)
        .env("CARGO_TARGET_DIR", target)
        .env("CARGO_PROFILE_RELEASE_DEBUG", "0")
        // Optimisation across the units of a crate would cost a third of the build.
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        // What a choice looks like is nobody's style.
        .env("RUSTFLAGS", "--allow warnings")
        .env("CARGO_TERM_COLOR", "never")
        .output()
}
