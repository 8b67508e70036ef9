//! Messages on the socket: a header of two lengths (little-endian, 32 bits each), a text in JSON, then bytes as they are.
//!
//! Lengths are judged before anything is allocated; who sends more than the limits is not listened to any further.

use std::io::{self, Read, Write};

use serde::{Serialize, de::DeserializeOwned};

/// Bytes of text in one message.
pub const MOST_TEXT: usize = 1 << 20;
/// Bytes of data in one message: a whole number of sectors of any size.
pub const MOST_DATA: usize = 1 << 20;

/// Sends one message.
///
/// # Errors
/// The stream's; a message over the limits.
pub fn send(mut stream: impl Write, message: &impl Serialize, data: &[u8]) -> io::Result<()> {
    let text = serde_json::to_vec(message)?;
    if text.len() > MOST_TEXT || data.len() > MOST_DATA {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the message is too long for the control socket"));
    }
    let mut head = Vec::with_capacity(8 + text.len());
    for length in [text.len(), data.len()] {
        head.extend(u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    }
    head.extend(text);
    stream.write_all(&head)?;
    stream.write_all(data)
}

/// Receives one message; its data replaces what is in `data`. `None` if the other side has ended the connection between two
/// messages.
///
/// # Errors
/// The stream's; [`io::ErrorKind::InvalidData`] for what is no message.
pub fn receive<T: DeserializeOwned>(mut stream: impl Read, data: &mut Vec<u8>) -> io::Result<Option<T>> {
    let mut head = [0; 8];
    let mut filled = 0;
    while filled < head.len() {
        match stream.read(&mut head[filled..]) {
            Ok(0) if filled == 0 => return Ok(None),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(more) => filled += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let [a, b, c, d, e, f, g, h] = head;
    let text = length(u32::from_le_bytes([a, b, c, d]), MOST_TEXT)?;
    let bytes = length(u32::from_le_bytes([e, f, g, h]), MOST_DATA)?;
    let mut words = vec![0; text];
    stream.read_exact(&mut words)?;
    let message = serde_json::from_slice(&words)?;
    data.resize(bytes, 0);
    stream.read_exact(data)?;
    Ok(Some(message))
}

fn length(said: u32, most: usize) -> io::Result<usize> {
    usize::try_from(said)
        .ok()
        .filter(|length| *length <= most)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "what was received is no message of cowl"))
}

#[cfg(test)]
mod tests {
    use super::{MOST_DATA, receive, send};

    #[test]
    fn a_message_comes_back_and_the_end_is_no_message() {
        let mut wire = Vec::new();
        send(&mut wire, &("hello", 7), b"data").unwrap();
        send(&mut wire, &("again", 8), b"").unwrap();
        let (mut stream, mut data) = (wire.as_slice(), Vec::new());
        assert_eq!(receive::<(String, u32)>(&mut stream, &mut data).unwrap(), Some(("hello".to_owned(), 7)));
        assert_eq!(data, b"data");
        assert_eq!(receive::<(String, u32)>(&mut stream, &mut data).unwrap(), Some(("again".to_owned(), 8)));
        assert_eq!(receive::<(String, u32)>(&mut stream, &mut data).unwrap(), None);
    }

    #[test]
    fn lengths_that_lie_are_refused_before_anything_is_allocated() {
        let mut data = Vec::new();
        for head in [[0xff; 8], [0, 0, 0, 1, 0, 0, 0, 0], [2, 0, 0, 0, 0, 0, 0, 0xff]] {
            assert!(receive::<u32>(head.as_slice(), &mut data).is_err());
            assert!(data.capacity() < 1 << 16);
        }
        let cut = [4, 0, 0, 0, 0, 0, 0, 0, b'1'];
        assert!(receive::<u32>(cut.as_slice(), &mut data).is_err());
        assert!(send(Vec::new(), &1, &vec![0; MOST_DATA + 1]).is_err());
    }
}
