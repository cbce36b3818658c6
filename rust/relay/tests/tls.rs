//! TLS in memory, both sides against each other and against what an attacker or a network does.

use pywire_relay::tls::{ClientContext, ServerContext, Tls, TlsError, Verify, end_point_hash};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    PKCS_ECDSA_P384_SHA384, PKCS_ED25519,
};

struct Pki {
    ca: CertifiedIssuer<'static, KeyPair>,
}

struct Identity {
    certificate: String,
    key: String,
    der: Vec<u8>,
}

impl Pki {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { ca }
    }

    fn pem(&self) -> String {
        self.ca.pem()
    }

    fn issue(&self, names: &[&str], subject: &[(DnType, &str)]) -> Identity {
        let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in subject {
            params.distinguished_name.push(kind.clone(), *value);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.ca).unwrap();
        Identity {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            der: certificate.der().to_vec(),
        }
    }
}

fn server_context(identity: &Identity, client_ca: Option<&Pki>, required: bool) -> ServerContext {
    let ca = client_ca.map(Pki::pem);
    ServerContext::build(
        identity.certificate.as_bytes(),
        identity.key.as_bytes(),
        ca.as_deref().map(str::as_bytes),
        required,
    )
    .unwrap()
}

fn client_context(verify: Verify, ca: Option<&Pki>, own: Option<&Identity>) -> ClientContext {
    let ca = ca.map(Pki::pem);
    ClientContext::build(
        verify,
        ca.as_deref().map(str::as_bytes),
        own.map(|i| i.certificate.as_bytes()),
        own.map(|i| i.key.as_bytes()),
    )
    .unwrap()
}

/// Both ends of a connection, joined in memory.
struct Pair {
    client: Tls,
    server: Tls,
    at_client: Vec<u8>,
    at_server: Vec<u8>,
}

impl Pair {
    fn new(server: &ServerContext, client: &ClientContext, name: &str) -> Self {
        Self::with(server, client, name, false)
    }

    fn with(server: &ServerContext, client: &ClientContext, name: &str, direct: bool) -> Self {
        Self {
            client: Tls::client(client, name, direct).unwrap(),
            server: Tls::server(server, direct).unwrap(),
            at_client: Vec::new(),
            at_server: Vec::new(),
        }
    }

    /// Carries bytes over, `chunk` at a time, until neither side has anything to say.
    fn carry(&mut self, chunk: usize) -> Result<(), TlsError> {
        loop {
            let (mut up, mut down) = (Vec::new(), Vec::new());
            self.client.take_output(&mut up);
            self.server.take_output(&mut down);
            if up.is_empty() && down.is_empty() {
                return Ok(());
            }
            for bytes in up.chunks(chunk) {
                self.server.receive(bytes, &mut self.at_server)?;
            }
            for bytes in down.chunks(chunk) {
                self.client.receive(bytes, &mut self.at_client)?;
            }
        }
    }

    fn say(&mut self, data: &[u8], chunk: usize) -> Result<(), TlsError> {
        let mut cipher = Vec::new();
        self.client.transmit(data, &mut cipher)?;
        for bytes in cipher.chunks(chunk) {
            self.server.receive(bytes, &mut self.at_server)?;
        }
        cipher.clear();
        self.server.transmit(data, &mut cipher)?;
        for bytes in cipher.chunks(chunk) {
            self.client.receive(bytes, &mut self.at_client)?;
        }
        Ok(())
    }
}

const HOST: &str = "db.example.org";

fn host(pki: &Pki) -> Identity {
    pki.issue(&[HOST], &[(DnType::CommonName, HOST)])
}

#[test]
fn data_passes_both_ways_in_any_chunking() {
    let pki = Pki::new("ca");
    let server = server_context(&host(&pki), None, false);
    let client = client_context(Verify::Full, Some(&pki), None);
    let text: Vec<u8> = (0..100_000u32).map(|i| (i * 7) as u8).collect();
    for chunk in [1, 2, 5, 1000, usize::MAX] {
        let mut pair = Pair::new(&server, &client, HOST);
        assert!(pair.client.handshaking() && pair.server.handshaking());
        pair.carry(chunk).unwrap();
        assert!(!pair.client.handshaking() && !pair.server.handshaking());
        pair.say(&text, chunk).unwrap();
        pair.say(b"x", chunk).unwrap();
        pair.say(b"", chunk).unwrap();
        assert_eq!(pair.at_server.len(), text.len() + 1);
        assert_eq!(pair.at_server, pair.at_client);
        assert_eq!(&pair.at_server[..text.len()], &text);
    }
}

#[test]
fn twenty_megabytes_pass() {
    let pki = Pki::new("ca");
    let server = server_context(&host(&pki), None, false);
    let client = client_context(Verify::None, None, None);
    let mut pair = Pair::new(&server, &client, HOST);
    pair.carry(4096).unwrap();
    let block = vec![0x5a; 262_144];
    for _ in 0..80 {
        pair.say(&block, 65_536).unwrap();
    }
    assert_eq!(pair.at_server.len(), 80 * block.len());
    assert!(pair.at_client.iter().all(|b| *b == 0x5a));
}

#[test]
fn both_ends_know_what_was_agreed() {
    let pki = Pki::new("ca");
    let identity = host(&pki);
    let server = server_context(&identity, None, false);
    let client = client_context(Verify::Full, Some(&pki), None);
    let mut pair = Pair::with(&server, &client, HOST, true);
    pair.carry(100).unwrap();
    let (near, far) = (pair.server.info(), pair.client.info());
    for info in [&near, &far] {
        assert_eq!(info.version, "TLSv1.3");
        assert_eq!(info.cipher, "TLS_AES_256_GCM_SHA384");
        assert_eq!(info.alpn.as_deref(), Some("postgresql"));
    }
    assert_eq!(near.server_name.as_deref(), Some(HOST));
    assert_eq!(near.peer_certificate, None);
    assert_eq!(far.peer_certificate, Some(identity.der));
    assert_eq!(far.peer_common_name.as_deref(), Some(HOST));
}

#[test]
fn an_address_is_not_sent_as_server_name() {
    let pki = Pki::new("ca");
    let server = server_context(&pki.issue(&["127.0.0.1"], &[]), None, false);
    let client = client_context(Verify::Full, Some(&pki), None);
    let mut pair = Pair::new(&server, &client, "127.0.0.1");
    pair.carry(usize::MAX).unwrap();
    assert_eq!(pair.server.info().server_name, None);
}

#[test]
fn a_client_certificate_is_known_by_its_names() {
    let pki = Pki::new("ca");
    let alice = pki.issue(
        &[],
        &[
            (DnType::CountryName, "AT"),
            (DnType::OrganizationName, "A, B + C"),
            (DnType::CommonName, "alice"),
        ],
    );
    let server = server_context(&host(&pki), Some(&pki), true);
    let client = client_context(Verify::Ca, Some(&pki), Some(&alice));
    let mut pair = Pair::new(&server, &client, HOST);
    pair.carry(50).unwrap();
    let info = pair.server.info();
    assert_eq!(info.peer_common_name.as_deref(), Some("alice"));
    assert_eq!(
        info.peer_subject.as_deref(),
        Some("CN=alice,O=A\\, B \\+ C,C=AT")
    );
    assert_eq!(info.peer_certificate, Some(alice.der));
}

#[test]
fn a_missing_client_certificate_is_refused_only_where_it_is_required() {
    let pki = Pki::new("ca");
    let client = client_context(Verify::None, None, None);
    let optional = server_context(&host(&pki), Some(&pki), false);
    Pair::new(&optional, &client, HOST).carry(9).unwrap();
    let required = server_context(&host(&pki), Some(&pki), true);
    let mut pair = Pair::new(&required, &client, HOST);
    let error = pair.carry(9).unwrap_err();
    assert_eq!(error.to_string(), "the client sent no certificate");
    // The client has finished by then (TLS 1.3) and learns it from the alert.
    let mut alert = Vec::new();
    pair.server.take_output(&mut alert);
    assert!(!alert.is_empty());
    let told = pair.client.receive(&alert, &mut Vec::new()).unwrap_err();
    assert_eq!(
        told.to_string(),
        "the peer sent a TLS alert: CertificateRequired"
    );
}

#[test]
fn a_client_certificate_of_another_authority_is_refused() {
    let (pki, other) = (Pki::new("ca"), Pki::new("other"));
    let mallory = other.issue(&[], &[(DnType::CommonName, "alice")]);
    let server = server_context(&host(&pki), Some(&pki), false);
    let client = client_context(Verify::None, None, Some(&mallory));
    // The client picks no certificate when none of the announced authorities has issued it.
    let mut pair = Pair::new(&server, &client, HOST);
    match pair.carry(usize::MAX) {
        Ok(()) => assert_eq!(pair.server.info().peer_certificate, None),
        Err(error) => assert_eq!(
            error.to_string(),
            "certificate verify failed: unknown issuer"
        ),
    }
}

#[test]
fn sslmode_decides_what_is_checked() {
    let (pki, other) = (Pki::new("ca"), Pki::new("other"));
    let server = server_context(&host(&pki), None, false);
    let mut outcomes = Vec::new();
    for verify in [Verify::None, Verify::Ca, Verify::Full] {
        for (ca, name) in [(&pki, HOST), (&pki, "db.example.com"), (&other, HOST)] {
            let client = client_context(verify, Some(ca), None);
            let result = Pair::new(&server, &client, name).carry(usize::MAX);
            outcomes.push(result.map_err(|e| e.to_string()));
        }
    }
    let untrusted = Err("certificate verify failed: unknown issuer".to_owned());
    let misnamed =
        Err("certificate verify failed: certificate is not for this host name".to_owned());
    let good = Ok(());
    assert_eq!(
        outcomes,
        [
            [good.clone(), good.clone(), good.clone()],
            [good.clone(), good.clone(), untrusted.clone()],
            [good, misnamed, untrusted],
        ]
        .concat()
    );
}

#[test]
fn a_common_name_counts_where_there_is_no_alternative_name() {
    let pki = Pki::new("ca");
    let server = server_context(&pki.issue(&[], &[(DnType::CommonName, HOST)]), None, false);
    let client = client_context(Verify::Full, Some(&pki), None);
    Pair::new(&server, &client, HOST).carry(usize::MAX).unwrap();
    let error = Pair::new(&server, &client, "x.example.org").carry(usize::MAX);
    assert!(
        error
            .unwrap_err()
            .to_string()
            .ends_with("not for this host name")
    );
    // With an alternative name, another common name does not help.
    let both = pki.issue(&["other.example.org"], &[(DnType::CommonName, HOST)]);
    let server = server_context(&both, None, false);
    assert!(Pair::new(&server, &client, HOST).carry(usize::MAX).is_err());
}

#[test]
fn a_self_signed_certificate_that_is_its_own_root_is_trusted() {
    let pki = Pki::new(HOST);
    let identity = Identity {
        certificate: pki.pem(),
        key: pki.ca.key().serialize_pem(),
        der: Vec::new(),
    };
    let server = server_context(&identity, None, false);
    let client = client_context(Verify::Full, Some(&pki), None);
    Pair::new(&server, &client, HOST).carry(usize::MAX).unwrap();
    let stranger = client_context(Verify::Ca, Some(&Pki::new(HOST)), None);
    assert!(
        Pair::new(&server, &stranger, HOST)
            .carry(usize::MAX)
            .is_err()
    );
}

#[test]
fn a_changed_record_ends_the_connection() {
    let pki = Pki::new("ca");
    let server = server_context(&host(&pki), None, false);
    let client = client_context(Verify::None, None, None);
    let mut pair = Pair::new(&server, &client, HOST);
    pair.carry(usize::MAX).unwrap();
    let mut cipher = Vec::new();
    pair.client.transmit(b"pay 100", &mut cipher).unwrap();
    cipher[9] ^= 1;
    let error = pair
        .server
        .receive(&cipher, &mut pair.at_server)
        .unwrap_err();
    assert_eq!(error.to_string(), "a TLS record could not be decrypted");
    assert!(pair.at_server.is_empty());
    let mut alert = Vec::new();
    pair.server.take_output(&mut alert);
    assert!(pair.client.receive(&alert, &mut Vec::new()).is_err());
    // It stays ended, whatever comes and whoever asks.
    let error = pair
        .server
        .receive(&cipher, &mut pair.at_server)
        .unwrap_err();
    assert_eq!(error.to_string(), "the TLS connection has failed before");
    assert!(pair.server.transmit(b"x", &mut alert).is_err());
    let sent = alert.len();
    pair.server.close_notify(&mut alert);
    assert_eq!(alert.len(), sent);
}

#[test]
fn what_is_not_tls_is_refused_with_an_alert() {
    let pki = Pki::new("ca");
    let mut server = Tls::server(&server_context(&host(&pki), None, false), false).unwrap();
    let startup = b"\0\0\0\x0b\0\x03\0\0user\0a\0database\0b\0\0";
    let error = server.receive(startup, &mut Vec::new()).unwrap_err();
    assert_eq!(error.to_string(), "not a valid TLS message");
    assert!(server.has_output());
}

#[test]
fn a_proper_end_is_told_from_a_cut() {
    let pki = Pki::new("ca");
    let server = server_context(&host(&pki), None, false);
    let client = client_context(Verify::None, None, None);
    let mut pair = Pair::new(&server, &client, HOST);
    pair.carry(usize::MAX).unwrap();
    let mut cipher = Vec::new();
    pair.client.transmit(b"bye", &mut cipher).unwrap();
    let received = pair.server.receive(&cipher, &mut pair.at_server).unwrap();
    assert!(!received.closed);
    cipher.clear();
    pair.client.close_notify(&mut cipher);
    let received = pair.server.receive(&cipher, &mut pair.at_server).unwrap();
    assert!(received.closed);
    // The other direction is still open.
    cipher.clear();
    pair.server.transmit(b"late", &mut cipher).unwrap();
    pair.server.close_notify(&mut cipher);
    let received = pair.client.receive(&cipher, &mut pair.at_client).unwrap();
    assert!(received.closed);
    assert_eq!(pair.at_client, b"late");
}

#[test]
fn direct_tls_needs_the_application_protocol() {
    let pki = Pki::new("ca");
    let context = server_context(&host(&pki), None, false);
    let mut silent = rustls::ClientConfig::builder_with_provider(std::sync::Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_root_certificates({
        let mut roots = rustls::RootCertStore::empty();
        roots.add(pki.ca.der().clone()).unwrap();
        roots
    })
    .with_no_client_auth();
    let run = |config: &rustls::ClientConfig, direct: bool| -> Result<(), TlsError> {
        let name = rustls::pki_types::ServerName::try_from(HOST).unwrap();
        let mut client =
            rustls::ClientConnection::new(std::sync::Arc::new(config.clone()), name).unwrap();
        let mut server = Tls::server(&context, direct).unwrap();
        for _ in 0..4 {
            let (mut up, mut down) = (Vec::new(), Vec::new());
            while client.wants_write() {
                client.write_tls(&mut up).unwrap();
            }
            server.receive(&up, &mut Vec::new())?;
            server.take_output(&mut down);
            let mut rest = &down[..];
            while !rest.is_empty() {
                client.read_tls(&mut rest).unwrap();
            }
            client.process_new_packets().unwrap();
        }
        assert!(!server.handshaking());
        Ok(())
    };
    run(&silent, false).unwrap();
    let error = run(&silent, true).unwrap_err();
    assert!(error.to_string().contains("without ALPN"));
    silent.alpn_protocols = vec![b"http/1.1".to_vec()];
    let error = run(&silent, false).unwrap_err();
    assert_eq!(error.to_string(), "no common application protocol");
}

#[test]
fn version_1_2_works_too() {
    let pki = Pki::new("ca");
    let context = server_context(&host(&pki), None, false);
    let config = rustls::ClientConfig::builder_with_provider(std::sync::Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_protocol_versions(&[&rustls::version::TLS12])
    .unwrap()
    .with_root_certificates({
        let mut roots = rustls::RootCertStore::empty();
        roots.add(pki.ca.der().clone()).unwrap();
        roots
    })
    .with_no_client_auth();
    let name = rustls::pki_types::ServerName::try_from(HOST).unwrap();
    let mut client = rustls::ClientConnection::new(std::sync::Arc::new(config), name).unwrap();
    let mut server = Tls::server(&context, false).unwrap();
    while client.is_handshaking() || server.handshaking() {
        let (mut up, mut down) = (Vec::new(), Vec::new());
        while client.wants_write() {
            client.write_tls(&mut up).unwrap();
        }
        for byte in &up {
            server.receive(&[*byte], &mut Vec::new()).unwrap();
        }
        server.take_output(&mut down);
        let mut rest = &down[..];
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets().unwrap();
        }
    }
    assert_eq!(server.info().version, "TLSv1.2");
    assert_eq!(server.info().cipher, "ECDHE-ECDSA-AES256-GCM-SHA384");
}

#[test]
fn data_cannot_be_sent_before_the_handshake() {
    let pki = Pki::new("ca");
    let mut server = Tls::server(&server_context(&host(&pki), None, false), false).unwrap();
    let mut cipher = Vec::new();
    assert!(server.transmit(b"secret", &mut cipher).is_err());
    server.close_notify(&mut cipher);
    assert!(cipher.is_empty());
}

#[test]
fn channel_binding_uses_the_hash_of_the_signature() {
    let sizes = [
        (KeyPair::generate().unwrap(), Some(32)),
        (
            KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap(),
            Some(48),
        ),
        (KeyPair::generate_for(&PKCS_ED25519).unwrap(), None),
    ];
    for (key, size) in sizes {
        let params = CertificateParams::new(vec![HOST.to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let hash = end_point_hash(certificate.pem().as_bytes());
        assert_eq!(hash.as_ref().ok().map(Vec::len), size);
        if size == Some(32) {
            let expected = ring::digest::digest(&ring::digest::SHA256, certificate.der());
            assert_eq!(hash.unwrap(), expected.as_ref());
        }
    }
}

#[test]
fn wrong_files_are_named_without_their_contents() {
    let (pki, other) = (Pki::new("ca"), Pki::new("other"));
    let (one, two) = (host(&pki), host(&other));
    let build = |certificate: &str, key: &str| {
        ServerContext::build(certificate.as_bytes(), key.as_bytes(), None, false)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        build(&one.certificate, &two.key),
        "the private key does not belong to the certificate"
    );
    assert_eq!(
        build("", &one.key),
        "the certificate file has no certificate"
    );
    assert_eq!(
        build(&one.certificate, "x"),
        "the key file has no private key"
    );
    let locked =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    assert!(build(&one.certificate, locked).contains("encrypted"));
    let required = ServerContext::build(one.certificate.as_bytes(), one.key.as_bytes(), None, true);
    assert!(required.is_err());
    assert!(ClientContext::build(Verify::Full, None, None, None).is_err());
    let pem = one.certificate.as_bytes();
    assert!(ClientContext::build(Verify::None, None, Some(pem), None).is_err());
    let name = Tls::client(
        &client_context(Verify::Full, Some(&pki), None),
        "a b",
        false,
    );
    assert_eq!(name.unwrap_err().to_string(), "not a host name or address");
}
