//! Per tag: what becomes of a message's body besides being forwarded.
//!
//! This table decides what anybody but the two ends ever sees of a message. `DataRow` and `CopyData`
//! are never handed out; at most they are counted into a digest.

use crate::tag::{backend, frontend};

/// What is done with the body of a message of the frontend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestTap {
    /// Nothing.
    Forward,
    /// The text is searched for words that may give the session state.
    Scan,
    /// Searched, and the frame is kept until the backend has answered.
    ScanKeep,
    /// The first byte says whether a statement or a portal is meant.
    Kind,
    /// As `Kind`, and the frame is kept until the backend has answered.
    KindKeep,
    /// There is no such message.
    Unknown,
}

/// What is done with the body of a message of the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReplyTap {
    /// Nothing.
    Forward,
    /// It is looked at whole.
    Whole,
    /// Severity and SQLSTATE are read from it.
    Fields,
    /// It goes into the digest of rows, if there is one.
    Row,
    /// It is looked at whole for the digest, if there is one.
    Shape,
    /// There is no such message after login.
    Unknown,
}

pub(crate) static REQUESTS: [RequestTap; 256] = requests();
pub(crate) static REPLIES: [ReplyTap; 256] = replies();

const fn requests() -> [RequestTap; 256] {
    let mut table = [RequestTap::Unknown; 256];
    let mut set = [
        (frontend::BIND, RequestTap::Forward),
        (frontend::CLOSE, RequestTap::KindKeep),
        (frontend::COPY_DATA, RequestTap::Forward),
        (frontend::COPY_DONE, RequestTap::Forward),
        (frontend::COPY_FAIL, RequestTap::Forward),
        (frontend::DESCRIBE, RequestTap::Kind),
        (frontend::EXECUTE, RequestTap::Forward),
        (frontend::FLUSH, RequestTap::Forward),
        (frontend::FUNCTION_CALL, RequestTap::Forward),
        (frontend::PARSE, RequestTap::ScanKeep),
        (frontend::QUERY, RequestTap::Scan),
        (frontend::SYNC, RequestTap::Forward),
        (frontend::TERMINATE, RequestTap::Forward),
    ]
    .as_slice();
    while let [(tag, tap), rest @ ..] = set {
        table[*tag as usize] = *tap;
        set = rest;
    }
    table
}

const fn replies() -> [ReplyTap; 256] {
    let mut table = [ReplyTap::Unknown; 256];
    let mut set = [
        (backend::BIND_COMPLETE, ReplyTap::Forward),
        (backend::CLOSE_COMPLETE, ReplyTap::Forward),
        (backend::COMMAND_COMPLETE, ReplyTap::Whole),
        (backend::COPY_BOTH_RESPONSE, ReplyTap::Forward),
        (backend::COPY_DATA, ReplyTap::Row),
        (backend::COPY_DONE, ReplyTap::Forward),
        (backend::COPY_IN_RESPONSE, ReplyTap::Shape),
        (backend::COPY_OUT_RESPONSE, ReplyTap::Shape),
        (backend::DATA_ROW, ReplyTap::Row),
        (backend::EMPTY_QUERY_RESPONSE, ReplyTap::Forward),
        (backend::ERROR_RESPONSE, ReplyTap::Fields),
        (backend::FUNCTION_CALL_RESPONSE, ReplyTap::Row),
        (backend::NO_DATA, ReplyTap::Forward),
        (backend::NOTICE_RESPONSE, ReplyTap::Forward),
        (backend::NOTIFICATION_RESPONSE, ReplyTap::Forward),
        (backend::PARAMETER_DESCRIPTION, ReplyTap::Shape),
        (backend::PARAMETER_STATUS, ReplyTap::Whole),
        (backend::PARSE_COMPLETE, ReplyTap::Forward),
        (backend::PORTAL_SUSPENDED, ReplyTap::Forward),
        (backend::READY_FOR_QUERY, ReplyTap::Whole),
        (backend::ROW_DESCRIPTION, ReplyTap::Shape),
    ]
    .as_slice();
    while let [(tag, tap), rest @ ..] = set {
        table[*tag as usize] = *tap;
        set = rest;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_exists_is_in_the_table_and_nothing_else() {
        let known = |table: &dyn Fn(u8) -> bool| (0..=u8::MAX).filter(|tag| table(*tag)).count();
        assert_eq!(
            known(&|tag| REQUESTS[tag as usize] != RequestTap::Unknown),
            13
        );
        assert_eq!(known(&|tag| REPLIES[tag as usize] != ReplyTap::Unknown), 21);
    }
}
