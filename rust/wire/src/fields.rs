//! Severity and SQLSTATE of an ErrorResponse, read as its bytes pass by. Keeps nothing else.

/// Reads the fields of one ErrorResponse, over any chunking.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fields {
    /// Severity as PostgreSQL 9.6 and later give it in field V, never translated: first bytes.
    severity: [u8; 5],
    /// Field S, perhaps translated: what there is before 9.6.
    severity_translated: [u8; 5],
    sqlstate: [u8; 5],
    /// The field being read; 0 between fields.
    field: u8,
    /// Bytes of the field read, as far as they count.
    length: u8,
}

impl Fields {
    pub(crate) fn feed(&mut self, data: &[u8]) {
        for byte in data {
            if self.field == 0 {
                self.field = *byte;
                self.length = 0;
                continue;
            }
            let kept = match self.field {
                b'V' => &mut self.severity,
                b'S' => &mut self.severity_translated,
                b'C' => &mut self.sqlstate,
                _ => &mut [0; 5],
            };
            if *byte == 0 {
                self.field = 0;
            } else if let Some(place) = kept.get_mut(self.length as usize) {
                *place = *byte;
                self.length += 1;
            }
        }
    }

    /// Does the backend end the connection after this error?
    pub(crate) fn is_fatal(&self) -> bool {
        let severity = if self.severity[0] == 0 {
            &self.severity_translated
        } else {
            &self.severity
        };
        severity == b"FATAL" || severity == b"PANIC"
    }

    /// The SQLSTATE; zeros if there was none.
    pub(crate) const fn sqlstate(&self) -> [u8; 5] {
        self.sqlstate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &[u8], chunk: usize) -> Fields {
        let mut fields = Fields::default();
        body.chunks(chunk).for_each(|piece| fields.feed(piece));
        fields
    }

    #[test]
    fn any_chunking_reads_the_same() {
        let body = b"SFEHLER\0VERROR\0C42601\0Mkaputt VFATAL\0P7\0\0";
        for chunk in 1..=body.len() {
            let fields = read(body, chunk);
            assert!(!fields.is_fatal());
            assert_eq!(&fields.sqlstate(), b"42601");
        }
    }

    #[test]
    fn fatal_is_known_by_the_untranslated_field_or_else_the_other() {
        assert!(read(b"SFATAL\0VFATAL\0C57P01\0\0", 3).is_fatal());
        assert!(read(b"SPANIC\0C57P01\0\0", 3).is_fatal());
        assert!(!read(b"SFATAL\0VERROR\0\0", 3).is_fatal());
        assert!(!read(b"", 1).is_fatal());
    }
}
