//! Message mode: whole messages go up to the control plane, which answers them. Logins,
//! the admin console and service connections live here.

use crate::driver::Driver;
use crate::link::{Role, Stage, pause};
use crate::note::{LinkId, Note};
use crate::worker::Worker;

/// The length of a message header: tag and length word.
const HEADER: usize = 5;
/// What a client may say before anybody has answered it; more waits in the kernel.
const EARLY_BYTES_MAX: usize = 64 * 1024;

/// Bytes of whole messages at the start of `data`, or what is wrong with the next one.
pub(crate) fn whole_messages(data: &[u8], message_bytes_max: usize) -> Result<usize, &'static str> {
    let mut at = 0;
    while let Some(header) = data.get(at..at + HEADER) {
        let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]) as usize;
        if length < 4 {
            return Err("invalid message length");
        }
        if length > message_bytes_max {
            return Err("message is too long");
        }
        if data.len() - at < 1 + length {
            break;
        }
        at += 1 + length;
    }
    Ok(at)
}

impl<D: Driver> Worker<D> {
    /// Bytes of a link in message mode.
    pub(crate) fn on_messages(&mut self, slot: u32, data: &[u8]) {
        let message_bytes_max = self.settings().message_bytes_max;
        let Some(link) = self.link(slot) else { return };
        let fresh = link.input.is_empty();
        if !fresh || link.unasked {
            link.input.extend_from_slice(data);
        }
        if link.unasked {
            // A trusted client need not wait for its login before it sends its first request.
            let flood = link.input.len() > message_bytes_max.min(EARLY_BYTES_MAX);
            if flood {
                self.set_pause(slot, pause::UNANSWERED, true);
            }
            return;
        }
        let bytes = if fresh { data } else { &link.input };
        let whole = match whole_messages(bytes, message_bytes_max) {
            Ok(whole) => whole,
            Err(reason) => {
                self.remove(slot, reason);
                return;
            }
        };
        let told = bytes[..whole].to_vec();
        if fresh {
            link.input = bytes[whole..].to_vec();
        } else {
            link.input.drain(..whole);
        }
        if told.is_empty() {
            return;
        }
        link.unanswered += told.len();
        let (id, flood) = (
            link.id,
            link.role == Role::Client && link.unanswered > message_bytes_max,
        );
        self.note(
            Note::Messages {
                link: id,
                data: told,
            },
            false,
        );
        if flood {
            self.set_pause(slot, pause::UNANSWERED, true);
        }
    }

    pub(crate) fn send_messages(&mut self, id: LinkId, data: &[u8]) {
        let Some(slot) = self.slot_of(id) else { return };
        let Some(link) = self.link(slot) else { return };
        if matches!(link.stage, Stage::Messages) {
            link.unanswered = 0;
            let early = std::mem::take(&mut link.unasked) && !link.input.is_empty();
            self.emit(slot, data);
            self.set_pause(slot, pause::UNANSWERED, false);
            if early {
                self.on_messages(slot, &[]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::whole_messages;

    #[test]
    fn only_whole_messages_are_counted() {
        let data = [
            b'Z', 0, 0, 0, 5, b'I', b'S', 0, 0, 0, 4, b'Q', 0, 0, 0, 9, b'x',
        ];
        assert_eq!(whole_messages(&data, 100), Ok(11));
        assert_eq!(whole_messages(&data[..9], 100), Ok(6));
        assert_eq!(whole_messages(&data[..3], 100), Ok(0));
    }

    #[test]
    fn impossible_and_oversized_lengths_are_refused() {
        assert!(whole_messages(&[b'Z', 0, 0, 0, 3], 100).is_err());
        assert!(whole_messages(&[b'Z', 0, 0, 1, 0], 100).is_err());
    }
}
