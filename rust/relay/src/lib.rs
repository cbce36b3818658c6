//! The data plane of pywire: threads and sockets around the pure `pywire-wire` crate.
//!
//! An [`Engine`] owns every socket from accept and connect to close. It forwards the bytes
//! of sessions by itself, and leaves notes about what its owner must decide: logins,
//! holds, moves. It never calls its owner, never decides where a session lives, and knows
//! nothing of SQL.
//!
//! A *link* is one connection; a *session* is a client link joined with a backend link,
//! named by its client link. Links speak in message mode (whole messages go to the owner)
//! until they are joined, and from then on are relayed.

mod accepting;
mod command;
mod direction;
mod driver;
mod ending;
mod engine;
mod guard;
mod hold;
mod link;
mod messages;
mod note;
mod preface;
mod ring;
mod session;
mod socket;
mod stats;
pub mod tls;
mod worker;

pub use command::{Dial, HoldMode};
pub use engine::{DriverChoice, Engine, Settings};
pub use note::{LinkId, Note};
pub use socket::adopt;
pub use stats::SessionStats;
