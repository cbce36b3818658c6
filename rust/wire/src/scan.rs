//! A cheap search of statement texts for words that may give a session state.
//!
//! It is not a parser: words inside comments, quotes and names are found too, because a false alarm
//! costs little and a miss costs a session's state. Keywords that begin a statement (SET, LISTEN, ...)
//! count only where a statement can begin: first, after `;`, after the end of a comment. Works piece by
//! piece without allocating; a word may be split anywhere.

use crate::flags::StatementFlags as Flags;

/// Bytes of a word that are told apart; longer words are known by their beginning.
const WORD_BYTES: u32 = 16;

/// Class of a byte that belongs to no word and means nothing.
const SPACE: u8 = 0;
/// Class of a byte that belongs to no word and may mean something.
const MARK: u8 = 1;

/// Per byte: its class, or itself in lower case if it is part of a word.
static CLASSES: [u8; 256] = classes();

/// Per first byte of a word, less 96: for which lengths (bit 31: 16 and more) a word is known.
static LENGTHS: [u32; 32] = lengths();

const fn classes() -> [u8; 256] {
    let mut table = [MARK; 256];
    let mut byte = 0;
    while byte < 256 {
        let value = byte as u8;
        if value.is_ascii_alphanumeric() || value == b'_' || value >= 0x80 {
            table[byte] = value.to_ascii_lowercase();
        } else if value == b' ' || value == b'\t' || value == 0x0b || value == 0x0c {
            table[byte] = SPACE;
        }
        byte += 1;
    }
    table
}

/// Words that count anywhere. A trailing `*` stands for any ending.
static ANYWHERE: &[Word] = &[
    word("set_config", Flags::SET),
    word("currval", Flags::SEQUENCE),
    word("lastval", Flags::SEQUENCE),
    word("setseed", Flags::SETSEED),
    word("temp", Flags::TEMPORARY),
    word("temporary", Flags::TEMPORARY),
    word("pg_temp*", Flags::TEMPORARY),
    word("pg_advisory*", Flags::ADVISORY),
    word("pg_try_advisory*", Flags::ADVISORY),
    word("dblink*", Flags::CONNECTION),
    word("pg_replication_o*", Flags::CONNECTION),
];

/// Words that count where a statement can begin.
static FIRST: &[Word] = &[
    word("reset", Flags::RESET),
    word("discard", Flags::DISCARD),
    word("deallocate", Flags::DEALLOCATE),
    word("prepare", Flags::PREPARE),
    word("listen", Flags::LISTEN),
    word("unlisten", Flags::UNLISTEN),
    word("declare", Flags::DECLARE),
    word("load", Flags::LOAD),
    word("do", Flags::DO),
    word("call", Flags::CALL),
];

const SET: u128 = packed("set");
const SESSION: u128 = packed("session");
const SET_CONFIG: u128 = packed("set_config");
/// Words after SET that confine it to the transaction.
const CONFINED: [u128; 3] = [
    packed("local"),
    packed("transaction"),
    packed("constraints"),
];

/// A word that is looked for.
struct Word {
    packed: u128,
    /// Bytes of it, the trailing `*` not counted.
    length: u32,
    /// May it go on?
    open: bool,
    flag: Flags,
}

const fn word(text: &str, flag: Flags) -> Word {
    let open = text.as_bytes()[text.len() - 1] == b'*';
    let length = text.len() as u32 - open as u32;
    Word {
        packed: packed(text),
        length,
        open,
        flag,
    }
}

/// A word as the scanner holds it.
const fn packed(text: &str) -> u128 {
    let (mut value, mut at) = (0, 0);
    while at < text.len() && text.as_bytes()[at] != b'*' {
        value = value << 8 | text.as_bytes()[at] as u128;
        at += 1;
    }
    value
}

const fn lengths() -> [u32; 32] {
    let mut table = [0; 32];
    table[(b's' - 96) as usize] = 1 << 3;
    table[(b'u' - 96) as usize] = 1 << 1;
    let mut lists: &[&[Word]] = &[ANYWHERE, FIRST];
    while let [list, other @ ..] = lists {
        let mut words = *list;
        while let [
            Word {
                packed,
                length,
                open,
                ..
            },
            rest @ ..,
        ] = words
        {
            let first = (*packed >> (8 * (*length - 1))) as usize;
            table[first - 96] |= if *open {
                u32::MAX << *length
            } else {
                1 << *length
            };
            words = rest;
        }
        lists = other;
    }
    table
}

/// How much of `SET ...` has been seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum AfterSet {
    #[default]
    Not,
    /// SET; the next word decides.
    Set,
    /// SET and a name; a dot would make it a custom parameter's.
    Named,
    /// `set_config`; then `(`, a quote, the name, a quote, and a comma: with a name that is plain to see and has no
    /// dot, it is SET of a parameter the server lists. Anything else may be a custom one.
    Config,
    ConfigOpen,
    ConfigQuote,
    ConfigName,
    ConfigClosed,
    /// SET LOCAL or the like; only a dot can still make it the name of a parameter.
    Confined,
}

/// The search in one text, message by message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scanner {
    /// The first bytes of the present word, in lower case.
    word: u128,
    found: Flags,
    /// Bytes of the present word, as far as they count.
    length: u8,
    /// Could the next word begin a statement?
    first: bool,
    /// Has there been a dash: could the end of the line end a comment?
    dash: bool,
    after_set: AfterSet,
    /// Was the last word `U`?
    unicode: bool,
}

impl Default for Scanner {
    fn default() -> Self {
        Self {
            word: 0,
            found: Flags::NONE,
            length: 0,
            first: true,
            dash: false,
            after_set: AfterSet::Not,
            unicode: false,
        }
    }
}

impl Scanner {
    /// More of the text.
    pub(crate) fn feed(&mut self, text: &[u8]) {
        let (mut word, mut length) = (self.word, u32::from(self.length));
        for byte in text {
            let class = CLASSES[*byte as usize];
            if class > MARK {
                if length < WORD_BYTES {
                    word = word << 8 | u128::from(class);
                    length += 1;
                }
                continue;
            }
            if length > 0 {
                self.end_word(word, length);
                (word, length) = (0, 0);
            }
            if class == MARK {
                self.mark(*byte);
            }
        }
        (self.word, self.length) = (word, length as u8);
    }

    /// The text is over. What was found in it; ready for the next.
    pub(crate) fn finish(&mut self) -> Flags {
        if self.length > 0 {
            self.end_word(self.word, u32::from(self.length));
        }
        self.mark(0);
        std::mem::take(self).found
    }

    #[inline]
    fn end_word(&mut self, word: u128, length: u32) {
        let letter = (word >> (8 * (length - 1))) as u8;
        let known = LENGTHS[(letter & 31) as usize] & (1 << length) != 0;
        if known || self.after_set != AfterSet::Not {
            self.known_word(word, length);
        }
        self.first = false;
    }

    #[cold]
    fn known_word(&mut self, word: u128, length: u32) {
        match self.after_set {
            AfterSet::Set if CONFINED.contains(&word) => {
                self.after_set = AfterSet::Confined;
                return;
            }
            AfterSet::Set => {
                self.found |= Flags::SET;
                // SET SESSION work_mem is SET work_mem.
                self.after_set = if word == SESSION {
                    AfterSet::Set
                } else {
                    AfterSet::Named
                };
            }
            AfterSet::ConfigQuote => self.after_set = AfterSet::ConfigName,
            AfterSet::Config
            | AfterSet::ConfigOpen
            | AfterSet::ConfigName
            | AfterSet::ConfigClosed => self.config_not_plain(),
            AfterSet::Not | AfterSet::Named | AfterSet::Confined => self.after_set = AfterSet::Not,
        }
        self.unicode = word == u128::from(b'u');
        self.look_up(ANYWHERE, word, length);
        if self.first {
            self.look_up(FIRST, word, length);
            if word == SET {
                self.after_set = AfterSet::Set;
            }
        }
        if word == SET_CONFIG {
            self.after_set = AfterSet::Config;
        }
    }

    fn config_not_plain(&mut self) {
        self.found |= Flags::SET_CONFIG;
        self.after_set = AfterSet::Not;
    }

    fn look_up(&mut self, words: &[Word], word: u128, length: u32) {
        for known in words {
            let same = match length.checked_sub(known.length) {
                Some(0) => word == known.packed,
                Some(more) => known.open && word >> (8 * more) == known.packed,
                None => false,
            };
            if same {
                self.found |= known.flag;
            }
        }
    }

    /// A byte that is neither part of a word nor white space within a line.
    #[inline]
    fn mark(&mut self, byte: u8) {
        match byte {
            b';' | b'/' | 0 => self.first = true,
            b'-' => self.dash = true,
            b'\n' | b'\r' => {
                self.first |= self.dash;
                self.dash = false;
                return;
            }
            b'&' if self.unicode => self.found |= Flags::ESCAPED,
            _ => {}
        }
        if self.after_set != AfterSet::Not {
            self.mark_after_set(byte);
        }
        self.unicode = false;
    }

    #[cold]
    fn mark_after_set(&mut self, byte: u8) {
        match (self.after_set, byte) {
            (AfterSet::Config, b'(') => return self.after_set = AfterSet::ConfigOpen,
            (AfterSet::ConfigOpen, b'\'') => return self.after_set = AfterSet::ConfigQuote,
            (AfterSet::ConfigName, b'\'') => return self.after_set = AfterSet::ConfigClosed,
            (AfterSet::ConfigClosed, b',') => return self.after_set = AfterSet::Not,
            (
                AfterSet::Config
                | AfterSet::ConfigOpen
                | AfterSet::ConfigQuote
                | AfterSet::ConfigName
                | AfterSet::ConfigClosed,
                _,
            ) => return self.config_not_plain(),
            _ => {}
        }
        match byte {
            b';' | 0 if self.after_set == AfterSet::Set => self.found |= Flags::SET,
            b'.' | b'/' | b'-' => self.found |= Flags::SET | Flags::SET_CUSTOM,
            _ if self.after_set == AfterSet::Set => self.found |= Flags::SET | Flags::SET_CUSTOM,
            _ => {}
        }
        self.after_set = AfterSet::Not;
    }
}

/// What is found in a whole text.
#[must_use]
pub fn scan(text: &[u8]) -> Flags {
    let mut scanner = Scanner::default();
    scanner.feed(text);
    scanner.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_may_give_state() {
        for (text, flags) in [
            ("set x = 1", Flags::SET),
            (
                "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
                Flags::SET,
            ),
            ("begin;SET ROLE me", Flags::SET),
            ("/* a */ set\nx to 1", Flags::SET),
            ("-- a\r/*/**/*/set\tx = 1", Flags::SET),
            ("set session work_mem = '1.5MB'", Flags::SET),
            ("set search_path to a, b.c", Flags::SET),
            ("set", Flags::SET),
            ("select set_config('a", Flags::SET | Flags::SET_CONFIG),
            ("select nextval('s'),currval('s')", Flags::SEQUENCE),
            ("select lastval()", Flags::SEQUENCE),
            ("select setseed(.5)", Flags::SETSEED),
            ("load 'x'", Flags::LOAD),
            ("listen a", Flags::LISTEN),
            ("UNLISTEN *", Flags::UNLISTEN),
            ("prepare p as select 1", Flags::PREPARE),
            ("declare c cursor for select 1", Flags::DECLARE),
            ("create temp table t()", Flags::TEMPORARY),
            ("select 1 into temporary t", Flags::TEMPORARY),
            ("create table pg_temp.t()", Flags::TEMPORARY),
            ("select pg_advisory_lock(1)", Flags::ADVISORY),
            ("select pg_try_advisory_lock_shared(1)", Flags::ADVISORY),
            ("select pg_advisory_unlock_all()", Flags::ADVISORY),
            ("discard all", Flags::DISCARD),
            ("deallocate p", Flags::DEALLOCATE),
            ("reset all", Flags::RESET),
            ("do $$begin perform 1; end$$", Flags::DO),
            ("do language plpgsql 'x'", Flags::DO),
            ("call p()", Flags::CALL),
            ("select dblink_connect('x')", Flags::CONNECTION),
            (
                "select pg_replication_origin_session_setup('x')",
                Flags::CONNECTION,
            ),
            ("select $$x$$,$a$currval('s')$a$", Flags::SEQUENCE),
            ("set x=1;listen y", Flags::SET | Flags::LISTEN),
        ] {
            assert_eq!(scan(text.as_bytes()), flags, "{text}");
        }
    }

    #[test]
    fn tells_parameters_the_server_lists_from_custom_ones() {
        for (text, flags) in [
            ("-- a\nset \"x\" = 1", Flags::SET | Flags::SET_CUSTOM),
            ("set /* local */ x = 1", Flags::SET | Flags::SET_CUSTOM),
            ("set local.x = 1", Flags::SET | Flags::SET_CUSTOM),
            ("set local .x = 1", Flags::SET | Flags::SET_CUSTOM),
            ("set a.b = 1", Flags::SET | Flags::SET_CUSTOM),
            ("set session a\n.b to 1", Flags::SET | Flags::SET_CUSTOM),
            ("select Set_Config('a', 'b', false)", Flags::SET),
            ("select set_config ( 'TimeZone' , $1, false)", Flags::SET),
            (
                "select pg_catalog.\"set_config\"($1)",
                Flags::SET | Flags::SET_CONFIG,
            ),
            (
                "select set_config('a.b', 'c', false)",
                Flags::SET | Flags::SET_CONFIG,
            ),
            (
                "select set_config($1, 'c', false)",
                Flags::SET | Flags::SET_CONFIG,
            ),
            (
                "select set_config('a' || '.b', 'c', false)",
                Flags::SET | Flags::SET_CONFIG,
            ),
            (
                "select set_config('a'\n'.b', 'c', false)",
                Flags::SET | Flags::SET_CONFIG,
            ),
            (
                "select set_config(E'a\\x2eb', 'c', false)",
                Flags::SET | Flags::SET_CONFIG,
            ),
            (
                "select set_config(name, 'c', false) from t",
                Flags::SET | Flags::SET_CONFIG,
            ),
            ("select U&\"\\0073et_config\"('a')", Flags::ESCAPED),
        ] {
            assert_eq!(scan(text.as_bytes()), flags, "{text}");
        }
    }

    #[test]
    fn leaves_alone_what_everybody_does() {
        for text in [
            "",
            "select 1",
            "UPDATE t SET a = a - 1, b = 2 WHERE c",
            "update t\nset a = 1",
            "insert into t values (1) on conflict do nothing",
            "set local x = 1",
            "begin; set transaction isolation level serializable; commit",
            "SET CONSTRAINTS ALL DEFERRED",
            "notify a",
            "select template, temperature, reset, \"call\" from prepared",
            "select nextval('s')",
            "alter table t set (x = 1)",
            "select 'it''s', e'\\n', 1.5e3, a.b, $1, u.x & 1",
            "select * from current_values where pg_tempest",
        ] {
            let found = scan(text.as_bytes());
            let expected = if text.contains("pg_tempest") {
                Flags::TEMPORARY
            } else {
                Flags::NONE
            };
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn words_may_be_split_anywhere() {
        let text =
            b"-- x\nSET a;begin;/**/ unlisten *;select pg_try_advisory_lock(1),u&\"x\" into temp t";
        let whole = scan(text);
        assert_eq!(whole.names().count(), 5);
        for size in 1..text.len() {
            let mut scanner = Scanner::default();
            text.chunks(size).for_each(|piece| scanner.feed(piece));
            assert_eq!(scanner.finish(), whole, "by {size}");
        }
    }

    #[test]
    fn one_text_does_not_spoil_the_next() {
        let mut scanner = Scanner::default();
        scanner.feed(b"set");
        assert_eq!(scanner.finish(), Flags::SET);
        scanner.feed(b"local");
        assert_eq!(scanner.finish(), Flags::NONE);
        scanner.feed(b"tem");
        scanner.finish();
        scanner.feed(b"p");
        assert_eq!(scanner.finish(), Flags::NONE);
    }
}
