//! Attachments on their way in: `NAME=FILE` arguments, staged in the pool and filled before they are bound to a layer.

use std::{fs::File, io::Read, path::PathBuf};

use cowl::LayerId;

use super::{
    failure::{Failure, Kind},
    interrupt,
    pool::AnyPool,
    ui::{Ui, Unit},
    verbs::attributes,
};

/// Bytes moved at a time: a whole number of sectors of any size.
const CHUNK: usize = 1 << 20;

/// An attachment asked for on the command line.
#[derive(Debug, Clone)]
pub struct Request {
    /// What it is to be called.
    pub name: String,
    /// Where its bytes are.
    pub file: PathBuf,
}

/// Reads `NAME=FILE`, or `FILE`, which gets the file's own name.
///
/// # Errors
/// A text that says what is missing.
pub fn parse_request(text: &str) -> Result<Request, String> {
    let (name, file) = if let Some((name, file)) = text.split_once('=') {
        (name.to_owned(), PathBuf::from(file))
    } else {
        let file = PathBuf::from(text);
        (file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(), file)
    };
    if name.is_empty() || file.as_os_str().is_empty() {
        return Err("an attachment is given as NAME=FILE".to_owned());
    }
    Ok(Request { name, file })
}

/// Stages and fills the attachments. They belong to nobody yet: if the command stops here, merge reclaims them.
///
/// # Errors
/// A file cannot be read or changes while it is, two have the same name, or the pool fails.
pub fn stage(ui: &Ui, pool: &mut dyn AnyPool, requests: &[Request]) -> Result<Vec<LayerId>, Failure> {
    for (index, request) in requests.iter().enumerate() {
        if requests[..index].iter().any(|other| other.name == request.name) {
            return Err(Failure::new(Kind::Usage, format!("two attachments are called `{}`", request.name)));
        }
    }
    requests.iter().map(|request| stage_one(ui, pool, request)).collect()
}

fn stage_one(ui: &Ui, pool: &mut dyn AnyPool, request: &Request) -> Result<LayerId, Failure> {
    let failed = |error| Failure::file("read", &request.file, &error);
    let mut file = File::open(&request.file).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(Failure::new(Kind::Usage, format!("{} is not a regular file", request.file.display())));
    }
    let length = metadata.len();
    let id = pool
        .stage_attachment(&attributes(&request.name, ""), length)
        .map_err(|failure| failure.during(format_args!("cannot attach {}", request.file.display())))?;
    let sector = pool.units().sector as usize;
    let mut bar = ui.progress("attach", length, Unit::Bytes);
    let mut buffer = vec![0; CHUNK];
    let mut offset = 0;
    while offset < length {
        interrupt::check("nothing was attached", "run the command again")?;
        let want = usize::try_from(length - offset).unwrap_or(CHUNK).min(CHUNK);
        file.read_exact(&mut buffer[..want]).map_err(failed)?;
        let whole = want.next_multiple_of(sector);
        buffer[want..whole].fill(0);
        if buffer[..whole].iter().any(|byte| *byte != 0) {
            pool.write(id, offset / sector as u64, &buffer[..whole])?;
        }
        offset += want as u64;
        bar.set(offset);
    }
    bar.finish();
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::parse_request;

    #[test]
    fn an_attachment_has_a_name_or_takes_that_of_its_file() {
        let request = parse_request("memory=/tmp/vm.mem").unwrap();
        assert_eq!((request.name.as_str(), request.file.to_str()), ("memory", Some("/tmp/vm.mem")));
        assert_eq!(parse_request("/tmp/vm.mem").unwrap().name, "vm.mem");
        for text in ["", "=x", "x=", "/"] {
            assert!(parse_request(text).is_err(), "{text}");
        }
    }
}
