//! The transaction status ReadyForQuery reports, and where a transaction block begins and ends.

/// What the last ReadyForQuery said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum TransactionStatus {
    /// Not in a transaction block.
    #[default]
    Idle = b'I',
    /// In a transaction block.
    InBlock = b'T',
    /// In a failed transaction block: everything but its end is refused.
    InFailedBlock = b'E',
}

impl TransactionStatus {
    /// The status meant by the byte in ReadyForQuery.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            b'I' => Some(Self::Idle),
            b'T' => Some(Self::InBlock),
            b'E' => Some(Self::InFailedBlock),
            _ => None,
        }
    }

    /// The byte that stands for it in ReadyForQuery.
    #[must_use]
    pub const fn as_byte(self) -> u8 {
        self as u8
    }

    /// Is a transaction block open, failed or not?
    #[must_use]
    pub const fn in_block(self) -> bool {
        !matches!(self, Self::Idle)
    }
}

#[cfg(test)]
mod tests {
    use super::TransactionStatus as Status;

    #[test]
    fn bytes_round_trip() {
        for byte in 0..=u8::MAX {
            match Status::from_byte(byte) {
                Some(status) => assert_eq!(status.as_byte(), byte),
                None => assert!(!b"ITE".contains(&byte)),
            }
        }
        assert!(!Status::Idle.in_block());
        assert!(Status::InFailedBlock.in_block());
    }
}
