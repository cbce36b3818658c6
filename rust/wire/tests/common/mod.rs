//! A tracker with the little a caller must do around it, and messages to feed it.

#![allow(dead_code, reason = "each test uses a part")]

use pywire_wire::{Note, Owner, Tracker, TrackerConfig, TransactionStatus, WireError};

/// One message or more, and who sends them.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Frontend(Vec<u8>),
    Backend(Vec<u8>),
}

/// Feeds a tracker and keeps what comes out.
pub(crate) struct Rig {
    pub(crate) tracker: Tracker,
    pub(crate) notes: Vec<String>,
    pub(crate) to_backend: Vec<u8>,
    pub(crate) to_client: Vec<u8>,
    pub(crate) own: Vec<u8>,
    frontend: Vec<u8>,
    backend: Vec<u8>,
}

impl Rig {
    pub(crate) fn new(config: &TrackerConfig) -> Self {
        Self {
            tracker: Tracker::new(config, TransactionStatus::Idle),
            notes: vec![],
            to_backend: vec![],
            to_client: vec![],
            own: vec![],
            frontend: vec![],
            backend: vec![],
        }
    }

    pub(crate) fn frontend(&mut self, data: &[u8]) -> Result<(), WireError> {
        self.frontend.extend(data);
        let notes = &mut self.notes;
        let mut sink = |note: Note<'_>| notes.push(format!("{note:?}"));
        let taken = self.tracker.frontend(&self.frontend, false, &mut sink)?;
        self.to_backend.extend(self.frontend.drain(..taken));
        assert!(self.frontend.len() < 5);
        Ok(())
    }

    pub(crate) fn backend(&mut self, data: &[u8]) -> Result<(), WireError> {
        self.backend.extend(data);
        loop {
            let notes = &mut self.notes;
            let mut sink = |note: Note<'_>| notes.push(format!("{note:?}"));
            let span = self.tracker.backend(&self.backend, &mut sink)?;
            let taken = self.backend.drain(..span.bytes);
            match span.owner {
                Owner::Client => self.to_client.extend(taken),
                Owner::Own => self.own.extend(taken),
            }
            if span.bytes == 0 {
                break;
            }
        }
        assert!(self.backend.len() < 5);
        Ok(())
    }

    pub(crate) fn inject(&mut self, data: &[u8]) -> Result<(), WireError> {
        self.tracker
            .inject(data, &mut |_: Note<'_>| panic!("injecting notes nothing"))
    }

    pub(crate) fn step(&mut self, step: &Step) {
        match step {
            Step::Frontend(data) => self.frontend(data),
            Step::Backend(data) => self.backend(data),
        }
        .unwrap();
    }

    pub(crate) fn steps(&mut self, steps: &[Step]) -> &mut Self {
        steps.iter().for_each(|step| self.step(step));
        self
    }

    pub(crate) fn quiescent(&self) -> bool {
        self.tracker.quiescent()
    }

    /// Everything about the tracker that must not depend on chunking.
    pub(crate) fn picture(&self) -> String {
        let tracker = &self.tracker;
        let statements: Vec<_> = tracker
            .statements()
            .named()
            .map(|(name, _)| name.to_vec())
            .collect();
        let units: Vec<_> = tracker
            .journal()
            .map(|journal| {
                journal
                    .units()
                    .map(|unit| (unit.frames.to_vec(), unit.answer))
                    .collect()
            })
            .unwrap_or_default();
        format!(
            "{} {:?} {} {} {} {} {} {:?} {:?} {:?} {:?} {:?} {:?}",
            tracker.quiescent(),
            tracker.status(),
            tracker.request_boundary(),
            tracker.flags(),
            tracker.requests(),
            tracker.answered(),
            tracker.outstanding(),
            statements,
            tracker.statements().unnamed(),
            self.notes,
            self.own,
            units as Vec<(Vec<u8>, Option<(u128, TransactionStatus)>)>,
            tracker.digest(),
        )
    }
}

/// One message.
pub(crate) fn message(tag: char, body: &[u8]) -> Vec<u8> {
    let mut data = vec![tag as u8];
    data.extend((body.len() as u32 + 4).to_be_bytes());
    data.extend(body);
    data
}

/// Messages in short: `Q:select 1`, `P:name=text`, `B D:S D:P E C:Sname S H F d:data c f X` of the
/// frontend; `1 2 3 T D:row C:tag I Z:I E:23505 t n s G H W d c V S:a=b N A` of the backend.
pub(crate) fn messages(text: &str) -> Vec<u8> {
    text.split('|').flat_map(|part| one(part.trim())).collect()
}

fn one(part: &str) -> Vec<u8> {
    let tag = part.chars().next().unwrap();
    let rest = part.get(2..).unwrap_or_default();
    let body = match (tag, part.len()) {
        ('Q', _) => format!("{rest}\0"),
        ('P', _) => {
            let (name, text) = rest.split_once('=').unwrap();
            format!("{name}\0{text}\0\0\0")
        }
        ('C', n) if n > 1 => format!("{rest}\0"),
        ('D', _) if rest == "S" || rest == "P" => format!("{rest}\0"),
        ('E', n) if n > 1 => match rest.strip_prefix('!') {
            Some(state) => format!("SFATAL\0VFATAL\0C{state}\0Mmessage\0\0"),
            None => format!("SERROR\0VERROR\0C{rest}\0Mmessage\0\0"),
        },
        ('E', _) => "\0\0\0\0\0".to_owned(),
        ('S', n) if n > 1 => {
            let (name, value) = rest.split_once('=').unwrap();
            format!("{name}\0{value}\0")
        }
        ('B', _) => "\0\0\0\0\0\0\0\0".to_owned(),
        _ => rest.to_owned(),
    };
    message(tag, body.as_bytes())
}

/// A conversation in short, a line per turn: `> ` the frontend, `< ` the backend.
pub(crate) fn conversation(text: &str) -> Vec<Step> {
    let mut steps = vec![];
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (side, text) = line.split_at(1);
        steps.push(match side {
            ">" => Step::Frontend(messages(text)),
            _ => Step::Backend(messages(text)),
        });
    }
    steps
}
