//! What pywire reads from an X.509 certificate itself: names, dates and the signature algorithm.
//!
//! A plain walk over DER. It never decides whether a certificate can be trusted (`verify.rs` and
//! rustls do) and it never panics on what a peer sent: whatever does not parse is `None`.

use ring::digest;

/// One DER element: its tag, its contents, and all of it with the header.
#[derive(Clone, Copy)]
struct Element<'a> {
    tag: u8,
    body: &'a [u8],
}

const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const OID: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const BMP_STRING: u8 = 0x1e;
const SEQUENCE: u8 = 0x30;
/// Context tags of a TBSCertificate: the version and the extensions.
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;

const OID_COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const OID_SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
const OID_RSASSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0a];

/// Short names of the attribute types that OpenSSL (and so PostgreSQL) abbreviates.
const ATTRIBUTES: &[(&[u8], &str)] = &[
    (OID_COMMON_NAME, "CN"),
    (&[0x55, 0x04, 0x04], "SN"),
    (&[0x55, 0x04, 0x05], "serialNumber"),
    (&[0x55, 0x04, 0x06], "C"),
    (&[0x55, 0x04, 0x07], "L"),
    (&[0x55, 0x04, 0x08], "ST"),
    (&[0x55, 0x04, 0x09], "street"),
    (&[0x55, 0x04, 0x0a], "O"),
    (&[0x55, 0x04, 0x0b], "OU"),
    (&[0x55, 0x04, 0x0c], "title"),
    (&[0x55, 0x04, 0x2a], "GN"),
    (
        &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x01],
        "UID",
    ),
    (
        &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x19],
        "DC",
    ),
    (
        &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x01],
        "emailAddress",
    ),
];

/// Walks the elements of a constructed value, front to back.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn next(&mut self) -> Option<Element<'a>> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let mut length = usize::from(first);
        if first & 0x80 != 0 {
            // Long form; four length bytes are 4 GiB, more than any certificate.
            let count = usize::from(first & 0x7f);
            if count == 0 || count > 4 {
                return None;
            }
            let (bytes, tail) = rest.split_at_checked(count)?;
            length = bytes.iter().fold(0, |n, b| n << 8 | usize::from(*b));
            rest = tail;
        }
        let (body, tail) = rest.split_at_checked(length)?;
        self.0 = tail;
        Some(Element { tag, body })
    }

    fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|e| e.tag == tag).map(|e| e.body)
    }

    /// The next element's contents if it has this tag; otherwise nothing is consumed.
    fn optional(&mut self, tag: u8) -> Option<&'a [u8]> {
        if self.0.first() == Some(&tag) {
            self.expect(tag)
        } else {
            None
        }
    }
}

/// The parts of a certificate that pywire looks at, borrowed from its DER.
pub(super) struct Certificate<'a> {
    signature_algorithm: &'a [u8],
    not_before: u64,
    not_after: u64,
    subject: &'a [u8],
    extensions: &'a [u8],
}

impl<'a> Certificate<'a> {
    pub(super) fn parse(der: &'a [u8]) -> Option<Self> {
        let mut certificate = Reader(Reader(der).expect(SEQUENCE)?);
        let mut tbs = Reader(certificate.expect(SEQUENCE)?);
        let signature_algorithm = certificate.expect(SEQUENCE)?;
        tbs.optional(VERSION);
        tbs.expect(INTEGER)?;
        tbs.expect(SEQUENCE)?;
        tbs.expect(SEQUENCE)?;
        let mut validity = Reader(tbs.expect(SEQUENCE)?);
        let not_before = seconds(validity.next()?)?;
        let not_after = seconds(validity.next()?)?;
        let subject = tbs.expect(SEQUENCE)?;
        tbs.expect(SEQUENCE)?;
        let mut extensions: &[u8] = &[];
        while let Some(element) = tbs.next() {
            if element.tag == EXTENSIONS {
                extensions = Reader(element.body).expect(SEQUENCE)?;
            }
        }
        Some(Certificate {
            signature_algorithm,
            not_before,
            not_after,
            subject,
            extensions,
        })
    }

    /// Whether `now` (seconds since 1970) lies within the certificate's dates.
    pub(super) fn valid_at(&self, now: u64) -> bool {
        self.not_before <= now && now <= self.not_after
    }

    /// Whether it names hosts in a subjectAltName; if so the common name counts for nothing.
    pub(super) fn has_alternative_names(&self) -> bool {
        let mut extensions = Reader(self.extensions);
        while let Some(extension) = extensions.expect(SEQUENCE) {
            if Reader(extension).expect(OID) == Some(OID_SUBJECT_ALT_NAME) {
                return true;
            }
        }
        false
    }

    /// The first common name. One with a NUL byte is refused, as it could be read as a shorter one.
    pub(super) fn common_name(&self) -> Option<String> {
        let mut names = Reader(self.subject);
        while let Some(set) = names.next() {
            let mut attributes = Reader(set.body);
            while let Some(attribute) = attributes.expect(SEQUENCE) {
                let mut attribute = Reader(attribute);
                if attribute.expect(OID)? == OID_COMMON_NAME {
                    return text(attribute.next()?).filter(|name| !name.contains('\0'));
                }
            }
        }
        None
    }

    /// The subject as RFC 2253 writes it, last name first: what PostgreSQL compares a
    /// `clientname=DN` with.
    pub(super) fn subject(&self) -> Option<String> {
        let mut parts = Vec::new();
        let mut names = Reader(self.subject);
        while let Some(set) = names.next() {
            let mut pairs = Vec::new();
            let mut attributes = Reader(set.body);
            while let Some(attribute) = attributes.expect(SEQUENCE) {
                let mut attribute = Reader(attribute);
                let kind = attribute.expect(OID)?;
                let value = text(attribute.next()?)?;
                pairs.push(format!("{}={}", attribute_name(kind), escaped(&value)));
            }
            parts.push(pairs.join("+"));
        }
        parts.reverse();
        Some(parts.join(","))
    }

    /// The hash that RFC 5929 prescribes for `tls-server-end-point`: the one of the certificate's
    /// own signature, but SHA-256 where that is MD5 or SHA-1. `None` where the signature names no
    /// hash (Ed25519) or one we do not have.
    pub(super) fn end_point_algorithm(&self) -> Option<&'static digest::Algorithm> {
        let mut algorithm = Reader(self.signature_algorithm);
        let oid = algorithm.expect(OID)?;
        if oid == OID_RSASSA_PSS {
            return pss_hash(algorithm.expect(SEQUENCE)?);
        }
        match oid {
            // sha1WithRSA and friends count as SHA-256 by the RFC.
            [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, n] => match n {
                0x04 | 0x05 | 0x0b => Some(&digest::SHA256),
                0x0c => Some(&digest::SHA384),
                0x0d => Some(&digest::SHA512),
                _ => None,
            },
            // ecdsa-with-SHA1, then ecdsa-with-SHA2.
            [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01] => Some(&digest::SHA256),
            [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, n] => match n {
                0x02 => Some(&digest::SHA256),
                0x03 => Some(&digest::SHA384),
                0x04 => Some(&digest::SHA512),
                _ => None,
            },
            _ => None,
        }
    }
}

/// The hash of RSASSA-PSS parameters; SHA-1, and so SHA-256, where they leave it out.
fn pss_hash(parameters: &[u8]) -> Option<&'static digest::Algorithm> {
    let Some(hash) = Reader(parameters).optional(0xa0) else {
        return Some(&digest::SHA256);
    };
    match Reader(Reader(hash).expect(SEQUENCE)?).expect(OID)? {
        [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, n] => match n {
            0x01 => Some(&digest::SHA256),
            0x02 => Some(&digest::SHA384),
            0x03 => Some(&digest::SHA512),
            _ => None,
        },
        _ => None,
    }
}

fn text(element: Element<'_>) -> Option<String> {
    match element.tag {
        UTF8_STRING => String::from_utf8(element.body.to_vec()).ok(),
        BMP_STRING => {
            let units = element.body.chunks_exact(2);
            char::decode_utf16(units.map(|u| u16::from_be_bytes([u[0], u[1]])))
                .collect::<Result<_, _>>()
                .ok()
        }
        BOOLEAN | INTEGER | OID | SEQUENCE => None,
        // PrintableString, IA5String and T61String: ASCII, or Latin-1 as everyone uses T61.
        _ => Some(element.body.iter().map(|b| char::from(*b)).collect()),
    }
}

fn attribute_name(oid: &[u8]) -> String {
    match ATTRIBUTES.iter().find(|(known, _)| *known == oid) {
        Some((_, name)) => (*name).to_owned(),
        None => dotted(oid),
    }
}

/// An object identifier in dotted numbers.
fn dotted(oid: &[u8]) -> String {
    let mut numbers: Vec<u64> = Vec::new();
    let mut value: u64 = 0;
    for byte in oid {
        value = value.wrapping_shl(7) | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            if numbers.is_empty() {
                let first = (value / 40).min(2);
                numbers.push(first);
                numbers.push(value - 40 * first);
            } else {
                numbers.push(value);
            }
            value = 0;
        }
    }
    let texts: Vec<String> = numbers.iter().map(u64::to_string).collect();
    texts.join(".")
}

/// A value with the escapes of RFC 2253.
fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (i, c) in value.chars().enumerate() {
        let edge = (c == ' ' && (i == 0 || i == last)) || (c == '#' && i == 0);
        if edge || matches!(c, ',' | '+' | '"' | '\\' | '<' | '>' | ';') {
            out.push('\\');
            out.push(c);
        } else if c.is_control() {
            out.push_str(&format!("\\{:02X}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

/// A UTCTime or GeneralizedTime as seconds since 1970; before that it is 0.
fn seconds(time: Element<'_>) -> Option<u64> {
    let digits = time.body.strip_suffix(b"Z")?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let pair = |i: usize| -> Option<u64> {
        let two = digits.get(i..i + 2)?;
        Some(u64::from(two[0] - b'0') * 10 + u64::from(two[1] - b'0'))
    };
    let (year, at) = match time.tag {
        UTC_TIME => {
            let short = pair(0)?;
            (
                if short < 50 {
                    2000 + short
                } else {
                    1900 + short
                },
                2,
            )
        }
        GENERALIZED_TIME => (pair(0)? * 100 + pair(2)?, 4),
        _ => return None,
    };
    let (month, day) = (pair(at)?, pair(at + 2)?);
    let (hour, minute, second) = (pair(at + 4)?, pair(at + 6)?, pair(at + 8)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Days since 1970 with March as the first month, so that a leap day is the year's last.
    let (y, m) = if month > 2 {
        (year, month - 3)
    } else {
        (year.checked_sub(1)?, month + 9)
    };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1;
    Some((days.saturating_sub(719_468) * 24 + hour) * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(tag: u8, body: &str) -> Option<u64> {
        seconds(Element {
            tag,
            body: body.as_bytes(),
        })
    }

    #[test]
    fn times_of_both_kinds() {
        assert_eq!(time(UTC_TIME, "700101000000Z"), Some(0));
        assert_eq!(time(UTC_TIME, "240229120000Z"), Some(1_709_208_000));
        assert_eq!(
            time(GENERALIZED_TIME, "20500101000000Z"),
            Some(2_524_608_000)
        );
        assert_eq!(time(GENERALIZED_TIME, "19500101000000Z"), Some(0));
        assert_eq!(time(UTC_TIME, "24022912"), None);
        assert_eq!(time(UTC_TIME, "241329120000Z"), None);
    }

    #[test]
    fn values_are_escaped_as_rfc_2253_wants() {
        assert_eq!(escaped("a,b+c"), "a\\,b\\+c");
        assert_eq!(escaped(" x "), "\\ x\\ ");
        assert_eq!(escaped("#1#"), "\\#1#");
        assert_eq!(escaped("a\nb"), "a\\0Ab");
    }

    #[test]
    fn object_identifiers() {
        assert_eq!(dotted(OID_RSASSA_PSS), "1.2.840.113549.1.1.10");
        assert_eq!(dotted(&[0x55, 0x04, 0x2d]), "2.5.4.45");
    }

    #[test]
    fn rubbish_is_not_a_certificate() {
        for der in [&b""[..], b"\x30", b"\x30\x84\xff\xff\xff\xff", b"\x30\x80"] {
            assert!(Certificate::parse(der).is_none());
        }
    }
}
