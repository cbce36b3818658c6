//! What can be wrong with a stream of messages: one variant per violation.

use std::fmt;

/// Which side of the protocol sent the bytes in question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The client's side.
    Frontend,
    /// The server's side.
    Backend,
}

impl fmt::Display for Side {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Frontend => "frontend",
            Self::Backend => "backend",
        })
    }
}

/// The rule that was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Violation {
    /// A message says it is shorter than its own length word.
    LengthTooSmall,
    /// A message says it is longer than the limit allows.
    LengthTooLarge,
    /// A message type that does not exist after login.
    UnknownTag,
    /// A request the backend will not accept in its present state, such as Query during COPY IN.
    UnexpectedRequest,
    /// A reply that no outstanding request can have.
    UnexpectedReply,
    /// A reply whose body is not what its tag promises.
    MalformedReply,
    /// A startup packet whose length PostgreSQL would not accept.
    StartupLength,
    /// A startup packet whose parameters are not pairs of strings.
    StartupParameters,
    /// A CancelRequest whose key is missing or too long.
    CancelKey,
    /// Messages were injected while a request of the client was unfinished.
    InjectedInsideRequest,
    /// Injected bytes were not whole requests, or of a kind that may not be injected.
    InjectedMessage,
}

impl Violation {
    /// The rule in words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LengthTooSmall => "message length is too small",
            Self::LengthTooLarge => "message length is over the limit",
            Self::UnknownTag => "message type is unknown",
            Self::UnexpectedRequest => "request is not possible in this state",
            Self::UnexpectedReply => "reply answers no outstanding request",
            Self::MalformedReply => "reply is malformed",
            Self::StartupLength => "startup packet length is invalid",
            Self::StartupParameters => "startup packet layout is invalid",
            Self::CancelKey => "cancel request key is invalid",
            Self::InjectedInsideRequest => "messages were injected inside a request",
            Self::InjectedMessage => "injected messages are not whole requests",
        }
    }
}

/// A violation, and where in which stream it was found. Never carries bytes of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct WireError {
    /// The rule that was broken.
    pub violation: Violation,
    /// Who sent the message.
    pub side: Side,
    /// The tag of the message; 0 for startup packets, which have none.
    pub tag: u8,
    /// How far that side's stream was read when the violation showed, in bytes.
    pub offset: u64,
}

impl WireError {
    /// The SQLSTATE to report the violation with.
    #[must_use]
    pub const fn sqlstate(&self) -> &'static str {
        match self.violation {
            Violation::InjectedInsideRequest | Violation::InjectedMessage => "XX000",
            _ => "08P01",
        }
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            violation,
            side,
            tag,
            offset,
        } = self;
        write!(out, "{side} message ")?;
        match tag {
            0 => {}
            b' '..=b'~' => write!(out, "'{}' ", char::from(*tag))?,
            _ => write!(out, "0x{tag:02x} ")?,
        }
        write!(out, "at byte {offset}: {}", violation.as_str())
    }
}

impl std::error::Error for WireError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_who_what_and_where() {
        let mut error = WireError {
            violation: Violation::UnknownTag,
            side: Side::Frontend,
            tag: b'?',
            offset: 7,
        };
        assert_eq!(
            error.to_string(),
            "frontend message '?' at byte 7: message type is unknown"
        );
        assert_eq!(error.sqlstate(), "08P01");
        error.tag = 0xff;
        assert!(error.to_string().contains("0xff"));
        error.violation = Violation::InjectedMessage;
        assert_eq!(error.sqlstate(), "XX000");
    }
}
