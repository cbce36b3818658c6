//! What comes before messages: a client's first, untyped packets, and a backend link's
//! way from connect to readiness. Nothing of this reaches the control plane until it is
//! complete.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use pywire_wire::startup::{self, Startup};

use crate::command::Dial;
use crate::driver::{Driver, Kind};
use crate::link::{Link, Preface, Role, Stage};
use crate::note::{LinkId, Note};
use crate::socket;
use crate::tls::Tls;
use crate::worker::{Worker, send_failure};

const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
/// The first byte of a TLS handshake record: a client that begins TLS without asking.
const TLS_HANDSHAKE: u8 = 0x16;

impl<D: Driver> Worker<D> {
    /// More of a client's first bytes, decrypted if TLS is up already.
    pub(crate) fn on_preface(&mut self, slot: u32, data: &[u8]) {
        let Some(link) = self.link(slot) else { return };
        link.input.extend_from_slice(data);
        loop {
            let Some(link) = self.link(slot) else { return };
            if link.input.first() == Some(&TLS_HANDSHAKE) && link.tls.is_none() {
                self.start_tls(slot, true);
                return;
            }
            match startup::parse(&link.input) {
                Ok(Startup::Incomplete) => return,
                Ok(Startup::SslRequest) => {
                    if !self.answer_request(slot, true) {
                        return;
                    }
                }
                Ok(Startup::GssEncRequest) => {
                    if !self.answer_request(slot, false) {
                        return;
                    }
                }
                Ok(Startup::Cancel { process_id, key }) => {
                    let key = key.to_vec();
                    self.opened(slot, |link, preface| Note::CancelRequested {
                        link,
                        process_id,
                        key,
                        peer: preface.peer,
                    });
                    return;
                }
                Ok(Startup::Start {
                    protocol,
                    parameters,
                }) => {
                    let startup = parameters.to_vec();
                    let tls = link.tls.as_ref().map(|tls| Box::new(tls.info()));
                    self.opened(slot, |link, preface| Note::Opened {
                        link,
                        listener: preface.listener,
                        peer: preface.peer,
                        protocol,
                        startup,
                        tls,
                    });
                    return;
                }
                Err(e) => {
                    // As PostgreSQL: whoever cannot speak the protocol gets no answer.
                    self.remove(slot, &format!("invalid startup packet: {e}"));
                    return;
                }
            }
        }
    }

    /// Answers SSLRequest or GSSENCRequest; whether there may be more to parse.
    fn answer_request(&mut self, slot: u32, ssl: bool) -> bool {
        let Some(link) = self.link(slot) else {
            return false;
        };
        let left = link.input.len() - SSL_REQUEST.len();
        link.input.drain(..SSL_REQUEST.len());
        let encrypted = link.tls.is_some();
        let Stage::Preface(preface) = &mut link.stage else {
            return false;
        };
        let asked = if ssl {
            &mut preface.tls_asked
        } else {
            &mut preface.gss_asked
        };
        if std::mem::replace(asked, true) || encrypted {
            self.remove(slot, "encryption was asked for twice");
            return false;
        }
        if !ssl || preface.tls.is_none() {
            self.emit(slot, b"N");
            return true;
        }
        if left > 0 {
            // Bytes sent in the clear must not be taken for encrypted ones (CVE-2021-23214).
            self.remove(slot, "received unencrypted data after SSLRequest");
            return false;
        }
        self.emit(slot, b"S");
        self.start_tls(slot, false);
        false
    }

    fn start_tls(&mut self, slot: u32, direct: bool) {
        let Some(link) = self.link(slot) else { return };
        let Stage::Preface(preface) = &mut link.stage else {
            return;
        };
        let context = if direct && preface.tls_asked {
            None
        } else {
            preface.tls.clone()
        };
        let Some(context) = context else {
            self.remove(slot, "TLS is not offered here");
            return;
        };
        preface.tls_asked = true;
        match Tls::server(&context, direct) {
            Ok(tls) => {
                link.tls = Some(Box::new(tls));
                let first = std::mem::take(&mut link.input);
                if !first.is_empty() {
                    self.on_cipher(slot, &first);
                }
            }
            Err(e) => self.remove(slot, &format!("TLS: {e}")),
        }
    }

    /// Hands a client over to the control plane.
    fn opened(&mut self, slot: u32, note: impl FnOnce(LinkId, Preface) -> Note) {
        let Some(link) = self.link(slot) else { return };
        // What follows the packet is the first of the messages (or nothing, as a rule).
        let length = link
            .input
            .first_chunk()
            .map_or(0, |word| u32::from_be_bytes(*word) as usize);
        let rest = link.input.split_off(length.min(link.input.len()));
        link.input = Vec::new();
        let Stage::Preface(preface) = std::mem::replace(&mut link.stage, Stage::Messages) else {
            return;
        };
        let note = note(link.id, *preface);
        self.startup_done();
        self.note(note, false);
        if !rest.is_empty() {
            self.on_messages(slot, &rest);
        }
    }

    // ---- backend links ----

    pub(crate) fn dial(&mut self, id: LinkId, fd: OwnedFd, dial: Box<Dial>) {
        let raw = fd.as_raw_fd();
        let link = Link::new(id, fd, Role::Backend, Stage::Connecting(dial));
        let result = socket::prepare(raw, self.settings().socket_options());
        if let Err(e) = result.and_then(|()| self.insert(link, Kind::Connecting).map(drop)) {
            self.note(
                Note::Closed {
                    link: id,
                    reason: send_failure(&e),
                },
                false,
            );
        }
    }

    pub(crate) fn on_connected(&mut self, slot: u32, result: io::Result<()>) {
        if let Err(e) = result {
            self.remove(slot, &send_failure(&e));
            return;
        }
        let Some(link) = self.link(slot) else { return };
        if !matches!(link.stage, Stage::Connecting(_)) {
            return;
        }
        let Stage::Connecting(dial) = std::mem::replace(&mut link.stage, Stage::Messages) else {
            return;
        };
        if dial.tls.is_none() {
            self.link_up(slot, &dial.hello);
        } else if dial.direct_tls {
            self.start_backend_tls(slot, dial);
        } else {
            link.stage = Stage::TlsAsked(dial);
            self.emit(slot, &SSL_REQUEST);
        }
    }

    /// The host's one-byte answer to SSLRequest.
    pub(crate) fn on_tls_answer(&mut self, slot: u32, data: &[u8]) {
        let Some(link) = self.link(slot) else { return };
        let Stage::TlsAsked(dial) = std::mem::replace(&mut link.stage, Stage::Messages) else {
            return;
        };
        match data {
            b"S" => self.start_backend_tls(slot, dial),
            b"N" if !dial.tls_required => self.link_up(slot, &dial.hello),
            b"N" => self.remove(slot, "the host does not support TLS"),
            // More than one byte would be data injected in front of the handshake.
            _ => self.remove(slot, "the host's answer to SSLRequest is not understood"),
        }
    }

    fn start_backend_tls(&mut self, slot: u32, dial: Box<Dial>) {
        let Some(link) = self.link(slot) else { return };
        let Some(context) = &dial.tls else { return };
        match Tls::client(context, &dial.server_name, dial.direct_tls) {
            Ok(mut tls) => {
                let mut first = Vec::new();
                tls.take_output(&mut first);
                link.tls = Some(Box::new(tls));
                link.stage = Stage::TlsHandshake(dial);
                if let Err(e) = self.driver.send(slot, &first) {
                    self.mark_broken(slot, send_failure(&e));
                }
            }
            Err(e) => self.remove(slot, &format!("TLS: {e}")),
        }
    }

    /// A handshake has ended well. A client goes on with its startup; a backend link is up.
    pub(crate) fn on_tls_up(&mut self, slot: u32) {
        let Some(link) = self.link(slot) else { return };
        if !matches!(link.stage, Stage::TlsHandshake(_)) {
            return;
        }
        let Stage::TlsHandshake(dial) = std::mem::replace(&mut link.stage, Stage::Messages) else {
            return;
        };
        self.link_up(slot, &dial.hello);
    }

    fn link_up(&mut self, slot: u32, hello: &[u8]) {
        let Some(link) = self.link(slot) else { return };
        link.stage = Stage::Messages;
        let id = link.id;
        let tls = link.tls.as_ref().map(|tls| Box::new(tls.info()));
        self.emit(slot, hello);
        // Without a hello there is no answer to come: the control plane must be woken.
        self.note(Note::Connected { link: id, tls }, !hello.is_empty());
    }
}
