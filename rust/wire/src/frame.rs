//! Where messages begin and end, over any chunking. Never looks into a body.

use crate::error::{Side, Violation, WireError};

/// Bytes of a header: the tag and the length word.
pub const HEADER_BYTES: usize = 5;

/// The longest message length PostgreSQL can produce or accept (1 GiB of body and the length word).
pub const MESSAGE_BYTES_MAX: u32 = 0x3fff_ffff + 4;

/// The first five bytes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The message type.
    pub tag: u8,
    /// The length word: everything after the tag, itself included.
    pub length: u32,
}

impl Header {
    /// The header at the start of `data`, or nothing if it is not all there.
    #[must_use]
    #[inline]
    pub const fn read(data: &[u8]) -> Option<Self> {
        match data {
            [tag, a, b, c, d, ..] => Some(Self {
                tag: *tag,
                length: u32::from_be_bytes([*a, *b, *c, *d]),
            }),
            _ => None,
        }
    }

    /// The header as it is on the wire.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let [a, b, c, d] = self.length.to_be_bytes();
        [self.tag, a, b, c, d]
    }

    /// Bytes of the whole message.
    #[must_use]
    pub const fn message_bytes(self) -> u64 {
        self.length as u64 + 1
    }

    /// The rule this header breaks, if any.
    #[inline]
    pub(crate) const fn violation(self, message_bytes_max: u32) -> Option<Violation> {
        if self.length < 4 {
            Some(Violation::LengthTooSmall)
        } else if self.length > message_bytes_max {
            Some(Violation::LengthTooLarge)
        } else {
            None
        }
    }
}

/// One message, whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// The message type.
    pub tag: u8,
    /// What follows the length word.
    pub body: &'a [u8],
    /// All of it, header included.
    pub frame: &'a [u8],
}

/// The first message of `data` if it is all there.
///
/// # Errors
/// If the length word is not acceptable. The offset is relative to `data`.
pub fn message(
    data: &[u8],
    side: Side,
    message_bytes_max: u32,
) -> Result<Option<Message<'_>>, WireError> {
    let Some(header) = Header::read(data) else {
        return Ok(None);
    };
    if let Some(violation) = header.violation(message_bytes_max) {
        return Err(WireError {
            violation,
            side,
            tag: header.tag,
            offset: 0,
        });
    }
    let end = usize::try_from(header.message_bytes()).unwrap_or(usize::MAX);
    Ok(data.get(..end).map(|frame| Message {
        tag: header.tag,
        body: &frame[HEADER_BYTES..],
        frame,
    }))
}

/// How many bytes at the start of `data` are whole messages.
///
/// # Errors
/// If a length word is not acceptable.
pub fn whole_messages(data: &[u8], side: Side, message_bytes_max: u32) -> Result<usize, WireError> {
    let mut end = 0;
    loop {
        match message(&data[end..], side, message_bytes_max) {
            Ok(Some(message)) => end += message.frame.len(),
            Ok(None) => return Ok(end),
            Err(error) => {
                return Err(WireError {
                    offset: end as u64,
                    ..error
                });
            }
        }
    }
}

/// Position in one side's stream: inside a message, or between two.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Framer {
    /// Where the stream stands, in bytes.
    offset: u64,
    /// Bytes of the present message's body still to come.
    remaining: u32,
    /// The tag of the present, or last, message.
    tag: u8,
    /// Is a message begun and not ended?
    open: bool,
}

impl Framer {
    pub(crate) const fn tag(&self) -> u8 {
        self.tag
    }

    #[inline]
    pub(crate) const fn at_boundary(&self) -> bool {
        !self.open
    }

    /// An error about the message being begun or ended here.
    pub(crate) const fn error(&self, violation: Violation, side: Side, tag: u8) -> WireError {
        WireError {
            violation,
            side,
            tag,
            offset: self.offset,
        }
    }

    /// The header of the present message, of whose body only the last `body_bytes` were taken.
    pub(crate) fn header_before(&self, body_bytes: usize) -> Header {
        Header {
            tag: self.tag,
            length: self.remaining + body_bytes as u32 + 4,
        }
    }

    #[inline]
    pub(crate) fn begin(
        &mut self,
        header: Header,
        side: Side,
        message_bytes_max: u32,
    ) -> Result<(), WireError> {
        debug_assert!(!self.open);
        if let Some(violation) = header.violation(message_bytes_max) {
            return Err(self.error(violation, side, header.tag));
        }
        self.tag = header.tag;
        self.remaining = header.length - 4;
        self.offset += HEADER_BYTES as u64;
        self.open = true;
        Ok(())
    }

    /// Takes the next piece of the present message's body; the message may end with it.
    #[inline]
    pub(crate) fn take<'a>(&mut self, data: &'a [u8]) -> &'a [u8] {
        let bytes = (self.remaining as usize).min(data.len());
        self.remaining -= bytes as u32;
        self.offset += bytes as u64;
        self.open = self.remaining > 0;
        &data[..bytes]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_round_trips() {
        let header = Header {
            tag: b'Q',
            length: 0x0102_0304,
        };
        assert_eq!(Header::read(&header.to_bytes()), Some(header));
        assert_eq!(Header::read(&header.to_bytes()[..4]), None);
    }

    #[test]
    fn lengths_have_limits() {
        let at = |length| Header { tag: b'Q', length }.violation(10);
        assert_eq!(at(3), Some(Violation::LengthTooSmall));
        assert_eq!(at(4), None);
        assert_eq!(at(10), None);
        assert_eq!(at(11), Some(Violation::LengthTooLarge));
    }

    #[test]
    fn whole_messages_stop_before_a_partial_one() {
        let data = b"S\0\0\0\x04Q\0\0\0\x06a\0P\0\0\0\x09";
        assert_eq!(whole_messages(data, Side::Frontend, 100).unwrap(), 12);
        let error = whole_messages(b"S\0\0\0\x04Q\0\0\0\x03", Side::Frontend, 100).unwrap_err();
        assert_eq!(error.offset, 5);
        assert_eq!(error.tag, b'Q');
    }

    #[test]
    fn a_framer_follows_any_chunking() {
        let mut framer = Framer::default();
        framer
            .begin(
                Header {
                    tag: b'Q',
                    length: 9,
                },
                Side::Frontend,
                100,
            )
            .unwrap();
        assert_eq!(framer.take(b"abc"), b"abc");
        assert!(!framer.at_boundary());
        assert_eq!(framer.take(b""), b"");
        assert_eq!(framer.take(b"defg"), b"de");
        assert!(framer.at_boundary());
        framer
            .begin(
                Header {
                    tag: b'S',
                    length: 4,
                },
                Side::Frontend,
                100,
            )
            .unwrap();
        assert!(!framer.at_boundary());
        framer.take(b"Q");
        assert!(framer.at_boundary());
        assert_eq!(
            framer
                .error(Violation::UnknownTag, Side::Frontend, 0)
                .offset,
            15
        );
    }
}
