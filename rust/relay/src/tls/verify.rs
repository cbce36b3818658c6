//! Checking a host's certificate as libpq's `sslmode` does: not at all, its chain, or its name too.
//!
//! Two of libpq's habits that rustls does not share are kept, since servers rely on them: a
//! self-signed certificate that is itself in the root file is trusted, and a certificate without a
//! subjectAltName is matched by its common name.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::certificate::Certificate;

/// How a host's certificate is checked; the names are those of `sslmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// `require`: any certificate will do.
    None,
    /// `verify-ca`: the chain must end at a trusted root; the name does not matter.
    Ca,
    /// `verify-full`: the chain, and the name of the host.
    Full,
}

#[derive(Debug)]
pub(super) struct HostVerifier {
    verify: Verify,
    provider: Arc<CryptoProvider>,
    roots: RootCertStore,
    /// The certificates of the root file, to recognize a self-signed one.
    trusted: Vec<CertificateDer<'static>>,
}

impl HostVerifier {
    pub(super) fn new(
        verify: Verify,
        provider: Arc<CryptoProvider>,
        trusted: Vec<CertificateDer<'static>>,
    ) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(trusted.iter().cloned());
        Self {
            verify,
            provider,
            roots,
            trusted,
        }
    }

    fn chain(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        if self
            .trusted
            .iter()
            .any(|t| t.as_ref() == end_entity.as_ref())
        {
            let certificate = Certificate::parse(end_entity)
                .ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))?;
            return match certificate.valid_at(now.as_secs()) {
                true => Ok(()),
                false => Err(CertificateError::Expired.into()),
            };
        }
        verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(end_entity)?,
            &self.roots,
            intermediates,
            now,
            self.provider.signature_verification_algorithms.all,
        )
    }
}

fn name(end_entity: &CertificateDer<'_>, server_name: &ServerName<'_>) -> Result<(), Error> {
    let certificate = Certificate::parse(end_entity)
        .ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))?;
    if certificate.has_alternative_names() {
        return verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name);
    }
    let wanted = server_name.to_str();
    match certificate.common_name() {
        Some(common_name) if host_matches(&common_name, &wanted) => Ok(()),
        _ => Err(CertificateError::NotValidForName.into()),
    }
}

/// libpq's rule: equal but for case, or a `*.` in front that stands for one label.
fn host_matches(pattern: &str, host: &str) -> bool {
    if pattern.eq_ignore_ascii_case(host) {
        return true;
    }
    match (pattern.strip_prefix("*."), host.split_once('.')) {
        (Some(suffix), Some((label, rest))) => {
            !label.is_empty() && suffix.contains('.') && suffix.eq_ignore_ascii_case(rest)
        }
        _ => false,
    }
}

impl ServerCertVerifier for HostVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.verify != Verify::None {
            self.chain(end_entity, intermediates, now)?;
        }
        if self.verify == Verify::Full {
            name(end_entity, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        // Where any certificate will do, its signature tells nothing; and there are old
        // certificates (X.509 version 1) whose key rustls would not read.
        if self.verify == Verify::None {
            return Ok(HandshakeSignatureValid::assertion());
        }
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if self.verify == Verify::None {
            return Ok(HandshakeSignatureValid::assertion());
        }
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::host_matches;

    #[test]
    fn a_common_name_matches_as_libpq_matches_it() {
        assert!(host_matches("db.example.org", "DB.example.ORG"));
        assert!(host_matches("*.example.org", "db.example.org"));
        assert!(!host_matches("*.example.org", "a.db.example.org"));
        assert!(!host_matches("*.example.org", "example.org"));
        assert!(!host_matches("*.org", "example.org"));
        assert!(!host_matches("db.example.org", "db.example.com"));
    }
}
