//! What a connection's TLS is made from: certificates, keys and roots, read from PEM once.
//!
//! A context never changes: a reload builds a new one for new connections. Keys leave it for
//! nowhere, and its errors name the file's role, not its contents.

use std::fmt;
use std::sync::Arc;

use ring::digest;
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::certificate::Certificate;
use super::verify::HostVerifier;
use super::{ALPN, SERVER_NAME, TlsError, Verify};

/// Our certificate and key, and whom we trust among clients.
#[derive(Clone)]
pub struct ServerContext(pub(super) Arc<ServerConfig>);

impl fmt::Debug for ServerContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerContext").finish_non_exhaustive()
    }
}

impl ServerContext {
    /// Without `client_ca_pem` no client is asked for a certificate; with it one that is sent must
    /// be good, and one must be sent if it is `required`.
    pub fn build(
        certificate_pem: &[u8],
        key_pem: &[u8],
        client_ca_pem: Option<&[u8]>,
        client_certificate_required: bool,
    ) -> Result<Self, TlsError> {
        let provider = provider();
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let builder = match client_ca_pem {
            None if client_certificate_required => {
                return Err(TlsError::new(
                    "client certificates are required but no certificate authority is given",
                ));
            }
            None => builder.with_no_client_auth(),
            Some(pem) => {
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(certificates(pem, "client certificate authority")?);
                let mut verifier = WebPkiClientVerifier::builder_with_provider(
                    Arc::new(roots),
                    Arc::clone(&provider),
                );
                if !client_certificate_required {
                    verifier = verifier.allow_unauthenticated();
                }
                let verifier = verifier.build().map_err(|_| {
                    TlsError::new("the client certificate authority file has no usable certificate")
                })?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let key = certified_key(certificate_pem, key_pem, &provider)?;
        let mut config = builder.with_cert_resolver(Arc::new(Certified(Arc::new(key))));
        config.alpn_protocols = vec![ALPN.to_vec()];
        // As PostgreSQL: no resumption, so that nothing is kept for sessions that have ended.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self(Arc::new(config)))
    }
}

/// How we show ourselves to a host, and how we check it.
#[derive(Clone)]
pub struct ClientContext {
    pub(super) config: Arc<ClientConfig>,
    pub(super) verify: Verify,
}

impl fmt::Debug for ClientContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientContext")
            .field("verify", &self.verify)
            .finish_non_exhaustive()
    }
}

impl ClientContext {
    /// `certificate_pem` and `key_pem`: what we answer with when the host asks for a certificate;
    /// both or neither.
    pub fn build(
        verify: Verify,
        ca_pem: Option<&[u8]>,
        certificate_pem: Option<&[u8]>,
        key_pem: Option<&[u8]>,
    ) -> Result<Self, TlsError> {
        let provider = provider();
        let trusted = match ca_pem {
            Some(pem) => certificates(pem, "root certificate")?,
            None if verify == Verify::None => Vec::new(),
            None => return Err(TlsError::new("no root certificate to verify hosts with")),
        };
        let verifier = HostVerifier::new(verify, Arc::clone(&provider), trusted);
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match (certificate_pem, key_pem) {
            (Some(certificate), Some(key)) => {
                // Reads both first, for its clearer errors.
                certified_key(certificate, key, &provider)?;
                builder.with_client_auth_cert(
                    certificates(certificate, "certificate")?,
                    private_key(key)?,
                )?
            }
            (None, None) => builder.with_no_client_auth(),
            _ => {
                return Err(TlsError::new(
                    "a certificate needs its key, and a key its certificate",
                ));
            }
        };
        // libpq offers it with and without SSLRequest; servers before PostgreSQL 17 ignore it.
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.resumption = Resumption::disabled();
        Ok(Self {
            config: Arc::new(config),
            verify,
        })
    }
}

/// The channel binding data `tls-server-end-point` (RFC 5929) of a server's certificate, the first
/// of the file.
pub fn end_point_hash(certificate_pem: &[u8]) -> Result<Vec<u8>, TlsError> {
    let chain = certificates(certificate_pem, "certificate")?;
    let own = chain
        .first()
        .ok_or_else(|| TlsError::new("the certificate file has no certificate"))?;
    let algorithm = Certificate::parse(own)
        .ok_or_else(|| TlsError::new("the certificate could not be read"))?
        .end_point_algorithm()
        .ok_or_else(|| {
            TlsError::new("the certificate's signature has no hash for channel binding")
        })?;
    Ok(digest::digest(algorithm, own).as_ref().to_vec())
}

/// Always the same certificate; notes which name the client asked for on the way, as rustls's
/// unbuffered connections do not tell it afterwards.
#[derive(Debug)]
struct Certified(Arc<CertifiedKey>);

impl ResolvesServerCert for Certified {
    fn resolve(&self, client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        SERVER_NAME.set(client_hello.server_name().map(str::to_owned));
        Some(Arc::clone(&self.0))
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn certified_key(
    certificate_pem: &[u8],
    key_pem: &[u8],
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsError> {
    let chain = certificates(certificate_pem, "certificate")?;
    let key = provider
        .key_provider
        .load_private_key(private_key(key_pem)?)
        .map_err(|_| TlsError::new("the private key is of no supported kind"))?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {
            Ok(certified)
        }
        Err(_) => Err(TlsError::new(
            "the private key does not belong to the certificate",
        )),
    }
}

fn certificates(pem: &[u8], role: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|_| TlsError::new(format!("the {role} file is not valid PEM")))?;
    if certificates.is_empty() {
        return Err(TlsError::new(format!("the {role} file has no certificate")));
    }
    Ok(certificates)
}

fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| {
        let encrypted = pem.windows(9).any(|w| w == b"ENCRYPTED");
        TlsError::new(if encrypted {
            "the private key is encrypted; give one without a passphrase"
        } else {
            "the key file has no private key"
        })
    })
}
