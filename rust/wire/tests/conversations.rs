//! Whole conversations, as PostgreSQL has them, in every chunking.

mod common;

use common::{Rig, Step, conversation, messages};
use pywire_wire::{StatementFlags, TrackerConfig, TransactionStatus};

struct Golden {
    name: &'static str,
    text: &'static str,
    quiescent: bool,
    status: char,
}

const fn golden(name: &'static str, text: &'static str, quiescent: bool, status: char) -> Golden {
    Golden {
        name,
        text,
        quiescent,
        status,
    }
}

const GOLDEN: &[Golden] = &[
    golden("simple", "> Q:select 1\n< T|D:1|C:SELECT 1|Z:I", true, 'I'),
    golden(
        "several statements",
        "> Q:a;b\n< C:SELECT 1|T|D|C:SELECT 1|Z:I",
        true,
        'I',
    ),
    golden("empty", "> Q:\n< I|Z:I", true, 'I'),
    golden("begin", "> Q:begin\n< C:BEGIN|Z:T", true, 'T'),
    golden("failed block", "> Q:x\n< E:42601|Z:E", true, 'E'),
    golden("unanswered", "> Q:select 1\n< T|D:1", false, 'I'),
    golden(
        "pipelined queries",
        "> Q:a|Q:b\n< C:A|Z:I|C:B|Z:I",
        true,
        'I',
    ),
    golden("one of two answered", "> Q:a|Q:b\n< C:A|Z:T", false, 'T'),
    golden(
        "extended",
        "> P:=select $1|B|D:P|E|S\n< 1|2|T|D:row|C:SELECT 1|Z:I",
        true,
        'I',
    ),
    golden(
        "describe statement",
        "> P:s=x|D:S|S\n< 1|t|T|Z:I",
        true,
        'I',
    ),
    golden(
        "describe statement without rows",
        "> P:s=x|D:S|S\n< 1|t|n|Z:I",
        true,
        'I',
    ),
    golden(
        "portal suspended",
        "> B|E|H\n< 2|D|s\n> E|S\n< D|C:SELECT 2|Z:I",
        true,
        'I',
    ),
    golden("flush leaves it unsynced", "> P:s=x|H\n< 1", false, 'I'),
    golden("query syncs", "> P:s=x|Q:y\n< 1|C:Y|Z:I", true, 'I'),
    golden("skip to sync", "> P:=x|B|E|S\n< E:42601|Z:I", true, 'I'),
    golden(
        "skip, sync later",
        "> P:=x|B|H\n< E:42601\n> E|Q:lost|S\n< Z:I",
        true,
        'I',
    ),
    golden(
        "skip, no sync",
        "> P:=x|B|H\n< E:42601\n> E|Q:lost",
        false,
        'I',
    ),
    golden(
        "skip swallows a query",
        "> P:=x|Q:lost|S\n< E:42601|Z:I",
        true,
        'I',
    ),
    golden(
        "skip does not pass sync",
        "> P:=x|B|S|P:=y|S\n< E:42601|Z:I|1|Z:I",
        true,
        'I',
    ),
    golden(
        "error at commit by sync",
        "> B|E|S\n< 2|C:INSERT 0 1|E:23503|Z:I",
        true,
        'I',
    ),
    golden("pipeline of syncs", "> S|S|S\n< Z:I|Z:I|Z:I", true, 'I'),
    golden("function call", "> F\n< V:x|Z:I", true, 'I'),
    golden("function call fails", "> F\n< E:42883|Z:I", true, 'I'),
    golden("close", "> C:Ss|C:Pp|S\n< 3|3|Z:I", true, 'I'),
    golden(
        "copy out",
        "> Q:copy\n< H|d:1|d:2|c|C:COPY 2|Z:I",
        true,
        'I',
    ),
    golden(
        "copy out extended",
        "> B|E|S\n< 2|H|d:1|c|C:COPY 1|Z:I",
        true,
        'I',
    ),
    golden(
        "copy in",
        "> Q:copy\n< G\n> d:1|d:2|c\n< C:COPY 2|Z:I",
        true,
        'I',
    ),
    golden("copy in is not over", "> Q:copy\n< G\n> d:1", false, 'I'),
    golden(
        "copy in fails by client",
        "> Q:copy\n< G\n> d:1|f:no\n< E:57014|Z:I",
        true,
        'I',
    ),
    golden(
        "copy in blind",
        "> Q:copy|d:1|c|Q:next\n< G|C:COPY 1|Z:I|C:NEXT|Z:I",
        true,
        'I',
    ),
    golden(
        "copy in refused",
        "> Q:copy\n< E:42P01|Z:I\n> d:1|c",
        true,
        'I',
    ),
    golden(
        "copy in blind, refused",
        "> Q:copy|d:1|c|Q:x\n< E:42P01|Z:I|C:X|Z:I",
        true,
        'I',
    ),
    golden(
        "two copies in one query",
        "> Q:a;b\n< G\n> d|c\n< C:COPY 1|G\n> d|c\n< C:COPY 1|Z:I",
        true,
        'I',
    ),
    golden(
        "two copies blind",
        "> Q:a;b|d|c|d|c|Q:x\n< G|C:COPY 1|G|C:COPY 1|Z:I|C:X|Z:I",
        true,
        'I',
    ),
    golden(
        "copy in swallows sync",
        "> B|E|S\n< 2|G\n> d|c|S\n< C:COPY 1|Z:I",
        true,
        'I',
    ),
    golden(
        "copy in swallows late sync",
        "> B|E|H\n< 2|G\n> S|H|d|S|c|S\n< C:COPY 1|Z:I",
        true,
        'I',
    ),
    golden(
        "copy in swallows sync, blind",
        "> B|E|S|d|S|c|S\n< 2|G|C:COPY 1|Z:I",
        true,
        'I',
    ),
    golden(
        "copy in swallowed its only sync",
        "> B|E|S\n< 2|G\n> d|c\n< C:COPY 1",
        false,
        'I',
    ),
    golden(
        "copy in extended fails",
        "> B|E|H\n< 2|G\n> d|d\n< E:22P02\n> d|c|S\n< Z:I",
        true,
        'I',
    ),
    golden(
        "copy in failure, syncs unclear",
        "> B|E|S\n< 2|G\n> d|c|S\n< E:22P02|Z:I",
        false,
        'I',
    ),
    golden(
        "unclear sync was swallowed",
        "> B|E|S\n< 2|G\n> d|c|S\n< E:22P02|Z:I\n> Q:x\n< C:X|Z:I",
        true,
        'I',
    ),
    golden(
        "unclear sync was answered",
        "> B|E|S\n< 2|G\n> d|c|S\n< E:22P02|Z:I|Z:I",
        true,
        'I',
    ),
    golden(
        "unclear sync answered late",
        "> B|E|S\n< 2|G\n> d|c|S\n< E:22P02|Z:I\n> Q:x\n< Z:I|C:X|Z:I",
        true,
        'I',
    ),
    golden(
        "unclear sync in a simple copy",
        "> Q:copy\n< G\n> S|d\n< E:22P02|Z:I\n> c|Q:x\n< C:X|Z:I",
        true,
        'I',
    ),
    golden(
        "replication",
        "> Q:START_REPLICATION\n< W|d\n> d|c\n< d|c|C:COPY 0|Z:I",
        true,
        'I',
    ),
    golden(
        "replication goes on",
        "> Q:START_REPLICATION\n< W|d\n> d",
        false,
        'I',
    ),
    golden("asynchronous", "< S:a=b|N|A|S:c=d", true, 'I'),
    golden(
        "asynchronous inside",
        "> Q:x\n< N|T|A|D|S:a=b|C:X|N|Z:I|A",
        true,
        'I',
    ),
    golden("fatal", "< E:!57P01", true, 'I'),
    golden("terminate", "> X", false, 'I'),
];

fn protected() -> TrackerConfig {
    TrackerConfig {
        protection: true,
        ..TrackerConfig::default()
    }
}

#[test]
fn every_conversation_ends_as_it_should() {
    for golden in GOLDEN {
        let mut rig = Rig::new(&protected());
        rig.steps(&conversation(golden.text));
        assert!(!rig.tracker.untracked(), "{}: {:?}", golden.name, rig.notes);
        assert_eq!(rig.quiescent(), golden.quiescent, "{}", golden.name);
        let status = char::from(rig.tracker.status().as_byte());
        assert_eq!(status, golden.status, "{}", golden.name);
    }
}

#[test]
fn any_chunking_gives_the_same() {
    for golden in GOLDEN {
        let steps = conversation(golden.text);
        let mut whole = Rig::new(&protected());
        whole.steps(&steps);
        for size in 1..20 {
            let mut rig = Rig::new(&protected());
            for step in &steps {
                match step {
                    Step::Frontend(data) => data
                        .chunks(size)
                        .for_each(|piece| rig.frontend(piece).unwrap()),
                    Step::Backend(data) => data
                        .chunks(size)
                        .for_each(|piece| rig.backend(piece).unwrap()),
                }
            }
            assert_eq!(rig.picture(), whole.picture(), "{} by {size}", golden.name);
            assert_eq!(rig.to_backend, whole.to_backend);
            assert_eq!(rig.to_client, whole.to_client);
        }
    }
}

#[test]
fn every_byte_is_forwarded() {
    for golden in GOLDEN {
        let mut rig = Rig::new(&TrackerConfig::default());
        let (mut frontend, mut backend) = (vec![], vec![]);
        for step in conversation(golden.text) {
            rig.step(&step);
            match step {
                Step::Frontend(data) => frontend.extend(data),
                Step::Backend(data) => backend.extend(data),
            }
        }
        assert_eq!(rig.to_backend, frontend, "{}", golden.name);
        assert_eq!(rig.to_client, backend, "{}", golden.name);
    }
}

#[test]
fn replies_that_answer_nothing_are_forwarded_and_noted_once() {
    for text in [
        "< Z:I",
        "< E:42601",
        "< C:X",
        "> P:=x\n< Z:I",
        "> P:=x\n< 2",
        "> Q:x\n< 1",
        "> S\n< C:X",
        "> B\n< 1",
        "> E|S\n< T",
        "> Q:copy\n< G|C:COPY 0",
        "> Q:x\n< d",
        "> Q:copy|Q:x\n< G",
        "> Q:copy\n< G\n> Q:x",
        "< ?",
        "< R:login",
        "> p:password",
        "> Q:x\n< Z:X",
        "< S:a=b=c\0",
    ] {
        let mut rig = Rig::new(&protected());
        rig.steps(&conversation(text));
        assert!(rig.tracker.untracked(), "{text:?}");
        rig.steps(&conversation("> Q:x|S\n< Z:T|C:X|Z:I|?|S:a=b|E:!57P01"));
        assert!(!rig.quiescent() && !rig.tracker.request_boundary());
        let untracked = rig
            .notes
            .iter()
            .filter(|note| note.starts_with("Untracked"))
            .count();
        assert_eq!(untracked, 1, "{text:?}");
        assert_eq!(
            rig.notes.len(),
            3,
            "parameters and farewells are noted all the same"
        );
    }
}

#[test]
fn broken_framing_is_an_error() {
    let config = TrackerConfig {
        message_bytes_max: 100,
        ..TrackerConfig::default()
    };
    for header in [&b"Q\0\0\0\x03"[..], b"Q\0\0\0\x65", b"Q\xff\xff\xff\xff"] {
        let mut rig = Rig::new(&config);
        assert!(rig.frontend(header).is_err());
        assert!(rig.backend(header).is_err());
    }
    let mut rig = Rig::new(&config);
    rig.frontend(b"Q\0\0\0\x64").unwrap();
}

#[test]
fn a_client_is_stopped_at_the_first_request_boundary() {
    let taken = |before: &str, data: &str| {
        let mut rig = Rig::new(&TrackerConfig::default());
        rig.steps(&conversation(before));
        rig.tracker
            .frontend(&messages(data), true, &mut |_: pywire_wire::Note<'_>| {})
            .unwrap()
    };
    assert_eq!(taken("", "Q:x"), 0);
    assert_eq!(taken("> P:=x", "B|E|S|Q:x"), messages("B|E|S").len());
    assert_eq!(taken("> P:=x", "Q:x|Q:y"), messages("Q:x").len());
    assert_eq!(taken("> Q:copy\n< G", "d:1|c|Q:y"), messages("d:1|c").len());
    assert_eq!(
        taken("> B|E|S\n< 2|G", "d:1|c|S|Q:y"),
        messages("d:1|c|S").len()
    );
    assert_eq!(
        taken("> P:=x|H\n< E:42601", "Q:x|S|Q:y"),
        messages("Q:x|S").len()
    );
    assert_eq!(taken("> Q:x\n< W", "d:1|c|Q:y"), messages("d:1|c").len());
}

#[test]
fn injected_requests_have_their_replies_to_themselves() {
    let mut rig = Rig::new(&protected());
    rig.steps(&conversation("> P:s=select 1|S\n< 1|Z:I"));
    rig.inject(&messages("P:own=x|B|E|C:Ss|H|S|Q:x")).unwrap();
    assert!(!rig.quiescent());
    rig.steps(&conversation("> Q:y"));
    let before = rig.to_client.len();
    let own = "1|2|D:1|C:SELECT 1|3|Z:T|T|D|N|E:22012|Z:I";
    rig.backend(&messages(&format!("A|{own}|S:a=b|C:Y|Z:I")))
        .unwrap();
    assert_eq!(rig.own, messages(own));
    assert_eq!(rig.to_client[before..], messages("A|S:a=b|C:Y|Z:I"));
    assert!(rig.quiescent());
    assert_eq!((rig.tracker.requests(), rig.tracker.answered()), (2, 2));
    assert_eq!(rig.tracker.statements().named().count(), 1);
}

#[test]
fn only_whole_requests_are_injected_and_only_between_requests() {
    for frames in ["P:=x", "Q:x|B", "c", "d:x", "X", "?", "p:secret"] {
        let mut rig = Rig::new(&TrackerConfig::default());
        assert!(rig.inject(&messages(frames)).is_err(), "{frames}");
        assert!(rig.quiescent());
    }
    let mut rig = Rig::new(&TrackerConfig::default());
    assert!(rig.inject(b"Q\0\0\0\x05").is_err());
    rig.steps(&conversation("> P:=x"));
    assert!(rig.inject(&messages("Q:x")).is_err());
}

#[test]
fn statements_follow_what_the_backend_accepted() {
    let mut rig = Rig::new(&TrackerConfig::default());
    let names = |rig: &Rig| -> Vec<String> {
        let names = rig.tracker.statements().named();
        names
            .map(|(name, _)| String::from_utf8_lossy(name).into_owned())
            .collect()
    };
    rig.steps(&conversation("> P:a=x|P:b=y|P:c=z|S\n< 1|1|E:42601|Z:I"));
    assert_eq!(names(&rig), ["a", "b"]);
    rig.steps(&conversation("> P:=u|S|C:Sa|S\n< 1|Z:I|3|Z:I"));
    assert_eq!(names(&rig), ["b"]);
    assert_eq!(
        rig.tracker.statements().unnamed(),
        Some(&messages("P:=u")[..])
    );
    rig.steps(&conversation("> Q:x\n< C:X|Z:I"));
    assert_eq!(rig.tracker.statements().unnamed(), None);
    rig.steps(&conversation("> C:Sb|P:d=z|P:=u|B|S\n< E:42601|Z:I"));
    assert_eq!(names(&rig), ["b"]);
    rig.steps(&conversation("> Q:x\n< C:DISCARD ALL|Z:I"));
    assert!(names(&rig).is_empty());
    assert!(rig.tracker.flags().contains(StatementFlags::DISCARD));
    assert!(rig.quiescent());
}

#[test]
fn the_journal_holds_the_open_block_and_its_digests() {
    let mut rig = Rig::new(&protected());
    rig.steps(&conversation(
        "> Q:begin
         < C:BEGIN|Z:T
         > P:=x|B|E|S
         < 1|2|D:1|D:2|C:SELECT 2|Z:T
         > B|E|S
         < 2|G
         > d:1|c|S
         < C:COPY 1|Z:T
         > P:=x|Q:lost|S|Q:x
         < E:42601|Z:E",
    ));
    let units: Vec<_> = rig.tracker.journal().unwrap().units().collect();
    let frames: Vec<_> = units.iter().map(|unit| unit.frames.to_vec()).collect();
    let expected = [
        "Q:begin",
        "P:=x|B|E|S",
        "B|E|S|d:1|c|S",
        "P:=x|Q:lost|S",
        "Q:x",
    ];
    assert_eq!(frames, expected.map(messages));
    let answers: Vec<_> = units
        .iter()
        .map(|unit| unit.answer.map(|(_, status)| status))
        .collect();
    use TransactionStatus::{InBlock, InFailedBlock};
    assert_eq!(
        answers,
        [
            Some(InBlock),
            Some(InBlock),
            Some(InBlock),
            Some(InFailedBlock),
            None
        ]
    );
    rig.steps(&conversation(
        "< E:25P02|Z:E\n> Q:rollback\n< C:ROLLBACK|Z:I",
    ));
    assert_eq!(rig.tracker.journal().unwrap().units().count(), 0);
}

#[test]
fn a_flag_is_noted_once() {
    let mut rig = Rig::new(&TrackerConfig::default());
    rig.steps(&conversation(
        "> Q:set x=1|Q:set y=1;listen z|P:=select currval(1)|F",
    ));
    assert_eq!(rig.notes.len(), 4, "{:?}", rig.notes);
    assert_eq!(
        rig.tracker.flags().to_string(),
        "SET|LISTEN|SEQUENCE|FUNCTION_CALL"
    );
}

#[test]
fn an_idle_tracker_is_small() {
    assert!(
        size_of::<pywire_wire::Tracker>() <= 300,
        "{}",
        size_of::<pywire_wire::Tracker>()
    );
}
