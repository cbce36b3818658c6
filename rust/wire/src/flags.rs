//! What has been seen in a session that may give it state beyond what its messages tell.

use std::fmt;
use std::ops::{BitAnd, BitOr, BitOrAssign, Not};

/// A set of reasons to look closer at a session before it is moved. Sticky: once set, never cleared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct StatementFlags(u32);

macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident = $bit:expr;)*) => {
        impl StatementFlags {
            $($(#[$doc])* pub const $name: Self = Self(1 << $bit);)*

            /// Every flag with its name, lowest bit first.
            pub const NAMES: &'static [(Self, &'static str)] = &[$((Self::$name, stringify!($name)),)*];
        }
    };
}

flags! {
    /// SET, but for SET LOCAL, SET TRANSACTION and SET CONSTRAINTS.
    SET = 0;
    /// `set_config()`, unless the name is a plain literal without a dot: then it is SET.
    SET_CONFIG = 1;
    /// RESET.
    RESET = 2;
    /// DISCARD, in a text or as a command tag.
    DISCARD = 3;
    /// DEALLOCATE, in a text or as a command tag: a kept statement may be gone.
    DEALLOCATE = 4;
    /// PREPARE: a prepared statement the messages do not show.
    PREPARE = 5;
    /// LISTEN.
    LISTEN = 6;
    /// UNLISTEN.
    UNLISTEN = 7;
    /// TEMP, TEMPORARY or the schema `pg_temp`.
    TEMPORARY = 8;
    /// DECLARE: a cursor, perhaps WITH HOLD.
    DECLARE = 9;
    /// A function of the `pg_advisory_…` and `pg_try_advisory_…` families.
    ADVISORY = 10;
    /// `currval()` or `lastval()`.
    SEQUENCE = 11;
    /// `setseed()`.
    SETSEED = 12;
    /// LOAD.
    LOAD = 13;
    /// DO.
    DO = 14;
    /// CALL.
    CALL = 15;
    /// `dblink…()` or `pg_replication_origin_session…()`: connections and origins live in the backend.
    CONNECTION = 16;
    /// A Unicode-escaped identifier (`U&"…"`), which may hide any of the above.
    ESCAPED = 17;
    /// A FunctionCall message, which names its function by object identifier only.
    FUNCTION_CALL = 18;
    /// SET of a name with a dot, or of one that is quoted: it may be a custom parameter, which the server does not list.
    SET_CUSTOM = 19;
    /// More prepared statements than the tracker may keep: the list is no longer complete.
    STATEMENTS_OVERFLOW = 24;
    /// The session streams replication data (CopyBothResponse was seen).
    REPLICATION = 25;
}

impl StatementFlags {
    /// The empty set.
    pub const NONE: Self = Self(0);

    /// The set as a number, for crossing to other languages.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The set made of these bits; unknown bits are kept.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// Is nothing in the set?
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Is all of `other` in the set?
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The names of what is in the set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES
            .iter()
            .filter(move |(flag, _)| self.contains(*flag))
            .map(|(_, name)| *name)
    }
}

impl BitOr for StatementFlags {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for StatementFlags {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl BitAnd for StatementFlags {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl Not for StatementFlags {
    type Output = Self;
    fn not(self) -> Self {
        Self(!self.0)
    }
}

impl fmt::Display for StatementFlags {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.names().enumerate() {
            if index > 0 {
                out.write_str("|")?;
            }
            out.write_str(name)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct_bits() {
        let mut all = StatementFlags::NONE;
        for (flag, name) in StatementFlags::NAMES {
            assert!((all & *flag).is_empty(), "{name} shares a bit");
            all |= *flag;
        }
        assert_eq!(
            (StatementFlags::SET | StatementFlags::LOAD).to_string(),
            "SET|LOAD"
        );
    }
}
