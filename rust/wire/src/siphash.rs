//! SipHash-2-4 with 128 bits of output: a keyed hash, computed as bytes pass by.

/// One hash in the making.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SipHash {
    v: [u64; 4],
    /// Bytes that do not fill a word yet.
    tail: u64,
    /// Bytes fed so far.
    length: u64,
}

impl SipHash {
    pub(crate) const fn new(key: u128) -> Self {
        let (k0, k1) = (key as u64, (key >> 64) as u64);
        Self {
            v: [
                k0 ^ 0x736f_6d65_7073_6575,
                k1 ^ 0x646f_7261_6e64_6f6d ^ 0xee,
                k0 ^ 0x6c79_6765_6e65_7261,
                k1 ^ 0x7465_6462_7974_6573,
            ],
            tail: 0,
            length: 0,
        }
    }

    pub(crate) fn feed(&mut self, mut data: &[u8]) {
        while !self.length.is_multiple_of(8) {
            let Some((byte, rest)) = data.split_first() else {
                return;
            };
            self.push(*byte);
            data = rest;
        }
        let (words, rest) = data.as_chunks::<8>();
        for word in words {
            self.compress(u64::from_le_bytes(*word));
            self.length = self.length.wrapping_add(8);
        }
        for byte in rest {
            self.push(*byte);
        }
    }

    pub(crate) fn finish(mut self) -> u128 {
        let last = self.tail | self.length << 56;
        self.compress(last);
        self.v[2] ^= 0xee;
        self.rounds(4);
        let low = self.v[0] ^ self.v[1] ^ self.v[2] ^ self.v[3];
        self.v[1] ^= 0xdd;
        self.rounds(4);
        let high = self.v[0] ^ self.v[1] ^ self.v[2] ^ self.v[3];
        u128::from(low) | u128::from(high) << 64
    }

    fn push(&mut self, byte: u8) {
        self.tail |= u64::from(byte) << (8 * (self.length % 8));
        self.length = self.length.wrapping_add(1);
        if self.length.is_multiple_of(8) {
            let word = std::mem::take(&mut self.tail);
            self.compress(word);
        }
    }

    fn compress(&mut self, word: u64) {
        self.v[3] ^= word;
        self.rounds(2);
        self.v[0] ^= word;
    }

    fn rounds(&mut self, count: usize) {
        let [mut a, mut b, mut c, mut d] = self.v;
        for _ in 0..count {
            a = a.wrapping_add(b);
            c = c.wrapping_add(d);
            b = b.rotate_left(13) ^ a;
            d = d.rotate_left(16) ^ c;
            a = a.rotate_left(32);
            c = c.wrapping_add(b);
            a = a.wrapping_add(d);
            b = b.rotate_left(17) ^ c;
            d = d.rotate_left(21) ^ a;
            c = c.rotate_left(32);
        }
        self.v = [a, b, c, d];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first vectors of the reference implementation: key 00..0f, input 00..(n-1).
    const VECTORS: [[u8; 16]; 4] = [
        *b"\xa3\x81\x7f\x04\xba\x25\xa8\xe6\x6d\xf6\x72\x14\xc7\x55\x02\x93",
        *b"\xda\x87\xc1\xd8\x6b\x99\xaf\x44\x34\x76\x59\x11\x9b\x22\xfc\x45",
        *b"\x81\x77\x22\x8d\xa4\xa4\x5d\xc7\xfc\xa3\x8b\xde\xf6\x0a\xff\xe4",
        *b"\x9c\x70\xb6\x0c\x52\x67\xa9\x4e\x5f\x33\xb6\xb0\x29\x85\xed\x51",
    ];

    fn key() -> u128 {
        u128::from_le_bytes(std::array::from_fn(|at| at as u8))
    }

    #[test]
    fn agrees_with_the_reference() {
        for (length, expected) in VECTORS.iter().enumerate() {
            let mut hash = SipHash::new(key());
            hash.feed(&(0..length as u8).collect::<Vec<_>>());
            assert_eq!(hash.finish().to_le_bytes(), *expected, "{length} bytes");
        }
    }

    #[test]
    fn any_chunking_gives_the_same() {
        let data: Vec<u8> = (0..100).collect();
        let mut whole = SipHash::new(key());
        whole.feed(&data);
        for chunk in 1..100 {
            let mut pieces = SipHash::new(key());
            data.chunks(chunk).for_each(|piece| pieces.feed(piece));
            assert_eq!(pieces.finish(), whole.finish());
        }
    }
}
