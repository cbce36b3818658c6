//! A running digest of what the client has been shown in answer to one request.
//!
//! Two runs of the same request have the same digest if their results have the same shape and the same
//! *multiset* of rows, and end with the same command tags, errors (by SQLSTATE) and transaction status.
//! Rows are added up modulo 2^128, so their order does not matter; everything else is chained.
//! Object identifiers of tables and of user types are masked: they differ between hosts.

use crate::siphash::SipHash;

/// The first object identifier PostgreSQL gives to what users make.
const FIRST_NORMAL_OBJECT: u32 = 16384;

/// The digest of one request's replies, in the making.
#[derive(Clone, Copy, Debug)]
pub struct Digest {
    key: u128,
    chain: u128,
    rows_sum: u128,
    rows: u64,
    row: SipHash,
}

impl Digest {
    /// Digests compare only if they have the same key.
    #[must_use]
    pub const fn new(key: u128) -> Self {
        Self {
            key,
            chain: 0,
            rows_sum: 0,
            rows: 0,
            row: SipHash::new(key),
        }
    }

    /// A DataRow, CopyData or FunctionCallResponse begins.
    pub fn begin_row(&mut self, tag: u8) {
        self.row = SipHash::new(self.key);
        self.row.feed(&[tag]);
    }

    /// More of its body.
    pub fn row(&mut self, data: &[u8]) {
        self.row.feed(data);
    }

    /// It is all there.
    pub fn end_row(&mut self) {
        self.rows_sum = self.rows_sum.wrapping_add(self.row.finish());
        self.rows += 1;
    }

    /// Any other message, by tag and what counts of it.
    pub fn event(&mut self, tag: u8, data: &[u8]) {
        self.chain_rows();
        self.chain(tag, data);
    }

    /// A RowDescription.
    pub fn row_description(&mut self, body: &[u8]) {
        let mut masked = Vec::with_capacity(body.len());
        mask_row_description(body, &mut masked);
        self.event(b'T', &masked);
    }

    /// A ParameterDescription.
    pub fn parameter_description(&mut self, body: &[u8]) {
        let (count, types) = body.split_at_checked(2).unwrap_or((body, &[]));
        let mut masked = count.to_vec();
        for oid in types.as_chunks::<4>().0 {
            masked.extend(masked_type(*oid));
        }
        self.event(b't', &masked);
    }

    /// The digest of all so far.
    #[must_use]
    pub fn value(mut self) -> u128 {
        self.chain_rows();
        self.chain
    }

    /// The digest of all so far; begins anew.
    pub fn finish(&mut self) -> u128 {
        let value = self.value();
        *self = Self::new(self.key);
        value
    }

    fn chain_rows(&mut self) {
        if self.rows > 0 {
            let mut sum = [0; 24];
            sum[..8].copy_from_slice(&self.rows.to_le_bytes());
            sum[8..].copy_from_slice(&self.rows_sum.to_le_bytes());
            (self.rows, self.rows_sum) = (0, 0);
            self.chain(0, &sum);
        }
    }

    fn chain(&mut self, tag: u8, data: &[u8]) {
        let mut hash = SipHash::new(self.key);
        hash.feed(&self.chain.to_le_bytes());
        hash.feed(&[tag]);
        hash.feed(data);
        self.chain = hash.finish();
    }
}

/// Types made by users have other identifiers elsewhere.
fn masked_type(oid: [u8; 4]) -> [u8; 4] {
    if u32::from_be_bytes(oid) < FIRST_NORMAL_OBJECT {
        oid
    } else {
        *b"user"
    }
}

/// Per column: name, table (masked), attribute (masked), type, size, modifier, format.
fn mask_row_description(body: &[u8], masked: &mut Vec<u8>) {
    let (count, mut rest) = body.split_at_checked(2).unwrap_or((body, &[]));
    masked.extend_from_slice(count);
    while let Some(end) = rest.iter().position(|byte| *byte == 0) {
        let (name, fields) = rest.split_at(end + 1);
        let Some((fields, next)) = fields.split_first_chunk::<18>() else {
            break;
        };
        masked.extend_from_slice(name);
        masked.extend_from_slice(&masked_type([fields[6], fields[7], fields[8], fields[9]]));
        masked.extend_from_slice(&fields[10..]);
        rest = next;
    }
    masked.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(digest: &mut Digest, rows: &[&[u8]]) {
        for row in rows {
            digest.begin_row(b'D');
            row.chunks(2).for_each(|piece| digest.row(piece));
            digest.end_row();
        }
    }

    fn of(actions: impl Fn(&mut Digest)) -> u128 {
        let mut digest = Digest::new(7);
        actions(&mut digest);
        digest.value()
    }

    #[test]
    fn the_order_of_rows_does_not_matter_but_their_number_and_content_do() {
        let one = of(|digest| rows(digest, &[b"a", b"bcd", b"bcd"]));
        assert_eq!(one, of(|digest| rows(digest, &[b"bcd", b"a", b"bcd"])));
        assert_ne!(one, of(|digest| rows(digest, &[b"bcd", b"a"])));
        assert_ne!(one, of(|digest| rows(digest, &[b"bcd", b"a", b"a"])));
    }

    #[test]
    fn the_order_of_results_matters() {
        let two = |first: &[u8], second: &[u8]| {
            of(|digest| {
                rows(digest, &[first]);
                digest.event(b'C', b"SELECT 1\0");
                rows(digest, &[second]);
                digest.event(b'C', b"SELECT 1\0");
            })
        };
        assert_eq!(two(b"a", b"b"), two(b"a", b"b"));
        assert_ne!(two(b"a", b"b"), two(b"b", b"a"));
    }

    fn column(name: &[u8], table: u32, attribute: u16, oid: u32) -> Vec<u8> {
        let mut column = name.to_vec();
        column.push(0);
        column.extend(table.to_be_bytes());
        column.extend(attribute.to_be_bytes());
        column.extend(oid.to_be_bytes());
        column.extend([0, 4, 255, 255, 255, 255, 0, 0]);
        column
    }

    #[test]
    fn identifiers_that_differ_between_hosts_are_masked() {
        let described = |columns: &[Vec<u8>]| {
            let mut body = (columns.len() as u16).to_be_bytes().to_vec();
            body.extend(columns.concat());
            of(|digest| digest.row_description(&body))
        };
        let one = described(&[column(b"a", 20000, 1, 23), column(b"b", 20000, 2, 20001)]);
        assert_eq!(
            one,
            described(&[column(b"a", 30000, 3, 23), column(b"b", 30000, 4, 30001)])
        );
        assert_ne!(
            one,
            described(&[column(b"a", 20000, 1, 25), column(b"b", 20000, 2, 20001)])
        );
        assert_ne!(
            one,
            described(&[column(b"x", 20000, 1, 23), column(b"b", 20000, 2, 20001)])
        );
        let types = |oid: u32| {
            let body = [&[0, 1][..], &oid.to_be_bytes()].concat();
            of(|digest| digest.parameter_description(&body))
        };
        assert_eq!(types(20000), types(30000));
        assert_ne!(types(23), types(25));
    }

    #[test]
    fn garbage_is_digested_too() {
        of(|digest| digest.row_description(b"\0"));
        of(|digest| digest.row_description(b"\0\x01abc\0short"));
        of(|digest| digest.parameter_description(b""));
    }
}
