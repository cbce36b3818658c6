//! The replies a backend still owes: one item per request, in the order they were sent.
//!
//! Knows which reply ends which request, how an error drops what was pipelined behind it, and how COPY
//! swallows messages. Never sees a byte of a body. Every transition is in this file.
//!
//! COPY IN needs care because the server reads on its own while it copies: Sync and Flush sent before
//! CopyDone or CopyFail are swallowed, although a client may have pipelined them before it, or we, knew
//! that a copy would begin. So CopyDone and CopyFail leave a `CopyEnd` mark in the queue; when
//! CopyInResponse arrives, the Syncs up to the first mark are struck out. If a copy *fails* with Syncs
//! swallowed, nobody can tell how many of them the server read before the error: the others are answered
//! by a ReadyForQuery each. Such Syncs are counted as ambiguous, and the session is not quiescent until
//! a later reply shows that they are behind.

use std::collections::VecDeque;

use crate::tag::backend as tag;
use crate::tracker::Owner;

/// Queues larger than this give their memory back when they run empty.
const ITEMS_KEPT: usize = 256;

/// What was asked of the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Request {
    Query,
    FunctionCall,
    Parse,
    Bind,
    DescribeStatement,
    /// ParameterDescription has come; RowDescription or NoData is due.
    DescribeStatementRows,
    DescribePortal,
    Execute,
    CloseStatement,
    ClosePortal,
    Sync,
    /// Not a request: where a COPY IN that may be running ends.
    CopyEnd,
}

impl Request {
    /// Does ReadyForQuery end it?
    const fn ends_with_ready(self) -> bool {
        matches!(self, Self::Query | Self::FunctionCall | Self::Sync)
    }

    /// Is its frame kept by `Statements` until the reply comes?
    const fn is_kept(self) -> bool {
        matches!(self, Self::Parse | Self::CloseStatement)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) request: Request,
    pub(crate) owner: Owner,
}

/// Who is copying, as the backend told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Copying {
    #[default]
    No,
    /// COPY FROM STDIN, and the frontend has not ended it.
    In,
    /// COPY FROM STDIN, ended by the frontend, not answered yet.
    InEnded,
    Out,
    /// Streaming replication; lasts until ReadyForQuery.
    Both,
    /// Streaming replication, ended by the frontend.
    BothEnded,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// Its reply is awaited.
    Awaited,
    /// The backend will not answer it: it skips to Sync, or ignores the end of a copy that is over.
    Ignored,
    /// COPY IN swallows it.
    Swallowed,
    /// The backend will not survive it, or never saw it.
    Unexpected,
}

/// What a reply did to the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Effect {
    /// The request it was the last reply to.
    pub(crate) ended: Option<Item>,
    /// Requests of the client struck out whose frames are kept, the failed one not counted.
    pub(crate) kept_dropped: u32,
    /// Requests of the client struck out that would have ended with ReadyForQuery...
    pub(crate) ready_dropped: u32,
    /// ...and how many such requests stay in front of them.
    pub(crate) ready_before: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Expected {
    items: VecDeque<Item>,
    /// Items that are ours.
    own: u32,
    /// Syncs swallowed by the present COPY IN.
    copy_syncs: u32,
    /// Syncs that may or may not be answered.
    ambiguous_syncs: u32,
    copying: Copying,
    /// Has the first item had a reply?
    replied: bool,
    /// The backend ignores everything until Sync, and none has been sent yet.
    skipping: bool,
    /// Messages of the extended query protocol were sent after the last Sync.
    unsynced: bool,
}

impl Expected {
    pub(crate) fn is_quiescent(&self) -> bool {
        self.items.is_empty()
            && !self.skipping
            && !self.unsynced
            && self.copying == Copying::No
            && self.ambiguous_syncs == 0
    }

    /// May a request begin here, as far as the requests before it are concerned?
    #[inline]
    pub(crate) fn at_request_boundary(&self) -> bool {
        !self.unsynced && !self.skipping && !matches!(self.copying, Copying::In | Copying::Both)
    }

    pub(crate) fn outstanding(&self) -> usize {
        let is_request = |item: &&Item| item.request != Request::CopyEnd;
        self.items.iter().filter(is_request).count() + self.ambiguous_syncs as usize
    }

    /// Whose the next reply is.
    #[inline]
    pub(crate) fn owner(&self) -> Owner {
        if self.own == 0 {
            return Owner::Client;
        }
        self.items.front().map_or(Owner::Client, |item| item.owner)
    }

    /// A request of the extended query protocol, or anything else that adds an item, was sent.
    pub(crate) fn send(&mut self, request: Request, owner: Owner) -> Sent {
        match request {
            Request::CopyEnd => return self.send_copy_end(owner),
            Request::Sync if self.copying == Copying::In => {
                self.copy_syncs += 1;
                return Sent::Swallowed;
            }
            _ if matches!(self.copying, Copying::In | Copying::Both) => return Sent::Unexpected,
            Request::Sync => self.skipping = false,
            _ if self.skipping => return Sent::Ignored,
            _ => {}
        }
        self.unsynced = !request.ends_with_ready();
        self.push(Item { request, owner });
        Sent::Awaited
    }

    fn send_copy_end(&mut self, owner: Owner) -> Sent {
        match self.copying {
            Copying::In => self.copying = Copying::InEnded,
            Copying::Both => self.copying = Copying::BothEnded,
            _ if self.skipping || self.items.is_empty() => return Sent::Ignored,
            _ => {
                self.push(Item {
                    request: Request::CopyEnd,
                    owner,
                });
                return Sent::Awaited;
            }
        }
        Sent::Swallowed
    }

    /// A reply that is neither asynchronous nor ErrorResponse nor ReadyForQuery has come.
    #[inline]
    pub(crate) fn reply(&mut self, reply: u8) -> Option<Effect> {
        let head = self.items.front_mut()?;
        let mut effect = Effect::default();
        let ends = match (head.request, reply) {
            (Request::Query | Request::Execute, tag::DATA_ROW) => false,
            (Request::Query, tag::ROW_DESCRIPTION) => false,
            (Request::Parse, tag::PARSE_COMPLETE)
            | (Request::Bind, tag::BIND_COMPLETE)
            | (Request::CloseStatement | Request::ClosePortal, tag::CLOSE_COMPLETE)
            | (Request::Execute, tag::PORTAL_SUSPENDED)
            | (
                Request::DescribePortal | Request::DescribeStatementRows,
                tag::ROW_DESCRIPTION | tag::NO_DATA,
            ) => true,
            (Request::DescribeStatement, tag::PARAMETER_DESCRIPTION) => {
                head.request = Request::DescribeStatementRows;
                false
            }
            (Request::FunctionCall, tag::FUNCTION_CALL_RESPONSE) => false,
            (Request::Query | Request::Execute, tag::COMMAND_COMPLETE) => {
                let ends = head.request == Request::Execute;
                match self.copying {
                    Copying::In => return None,
                    Copying::Both | Copying::BothEnded => {}
                    _ => self.end_copy(),
                }
                ends
            }
            (Request::Query | Request::Execute, tag::EMPTY_QUERY_RESPONSE) => {
                head.request == Request::Execute
            }
            (Request::Query | Request::Execute, _) => return self.copy_reply(reply),
            _ => return None,
        };
        self.ambiguous_syncs = 0;
        self.replied = true;
        if ends {
            effect.ended = self.pop();
        }
        Some(effect)
    }

    /// The part of `reply` that is about COPY.
    fn copy_reply(&mut self, reply: u8) -> Option<Effect> {
        let mut effect = Effect::default();
        match (reply, self.copying) {
            (tag::COPY_DATA, Copying::Out | Copying::Both | Copying::BothEnded) => {}
            (tag::COPY_DONE, Copying::Out) => self.copying = Copying::No,
            (tag::COPY_DONE, Copying::Both | Copying::BothEnded) => {}
            (tag::COPY_OUT_RESPONSE, Copying::No) => self.copying = Copying::Out,
            (tag::COPY_BOTH_RESPONSE, Copying::No) => self.begin_copy_both(),
            (tag::COPY_IN_RESPONSE, Copying::No) => effect = self.begin_copy_in()?,
            _ => return None,
        }
        self.ambiguous_syncs = 0;
        self.replied = true;
        Some(effect)
    }

    /// Strikes out what COPY IN swallows of the messages sent already.
    fn begin_copy_in(&mut self) -> Option<Effect> {
        let head = self.items.front()?.request;
        let behind = self.items.iter().skip(1);
        let syncs = behind
            .take_while(|item| item.request == Request::Sync)
            .count();
        self.copying = match self.items.get(1 + syncs).map(|item| item.request) {
            None => Copying::In,
            Some(Request::CopyEnd) => Copying::InEnded,
            Some(_) => return None, // the backend ends the connection over this one
        };
        let ended = usize::from(self.copying == Copying::InEnded);
        self.own -= self
            .items
            .drain(1..1 + syncs + ended)
            .filter(Item::is_own)
            .count() as u32;
        self.copy_syncs = syncs as u32;
        // What was synced by a Sync struck out is not synced any more.
        let mut requests = self.items.iter().rev().map(|item| item.request);
        let last = requests.find(|request| *request != Request::CopyEnd)?;
        self.unsynced = !last.ends_with_ready();
        Some(Effect {
            ready_dropped: syncs as u32,
            ready_before: u32::from(head.ends_with_ready()),
            ..Effect::default()
        })
    }

    /// CopyDone may have been sent already.
    fn begin_copy_both(&mut self) {
        self.copying = Copying::Both;
        if self
            .items
            .get(1)
            .is_some_and(|item| item.request == Request::CopyEnd)
        {
            self.copying = Copying::BothEnded;
            self.own -= self
                .items
                .remove(1)
                .map_or(0, |item| u32::from(item.is_own()));
        }
    }

    /// ErrorResponse with severity ERROR has come.
    pub(crate) fn error(&mut self) -> Option<Effect> {
        let head = *self.items.front()?;
        // Errors of a Sync come at commit; a Sync that was swallowed and not read fails no more.
        if head.request != Request::Sync {
            self.ambiguous_syncs = 0;
        }
        if !matches!(self.copying, Copying::Both | Copying::BothEnded) {
            self.ambiguous_syncs += self.copy_syncs;
            self.end_copy();
        }
        self.replied = true;
        if head.request.ends_with_ready() {
            return Some(Effect::default());
        }
        let mut effect = Effect {
            ended: Some(head),
            ..Effect::default()
        };
        self.pop_one();
        while let Some(item) = self.items.front() {
            if item.request == Request::Sync {
                break;
            }
            if item.owner == Owner::Client {
                effect.kept_dropped += u32::from(item.request.is_kept());
                effect.ready_dropped += u32::from(item.request.ends_with_ready());
            }
            self.pop_one();
        }
        self.skipping = self.items.is_empty();
        if self.skipping {
            self.unsynced = false;
        }
        self.settle();
        Some(effect)
    }

    /// ReadyForQuery has come. `ended` is empty if it was for a Sync of which that was not known.
    pub(crate) fn ready(&mut self) -> Option<Effect> {
        let fits = match self.items.front() {
            Some(Item {
                request: Request::Sync,
                ..
            }) => true,
            Some(Item {
                request: Request::Query | Request::FunctionCall,
                ..
            }) => self.replied || self.ambiguous_syncs == 0,
            _ => false,
        };
        if fits {
            self.copying = Copying::No;
            return Some(Effect {
                ended: self.pop(),
                ..Effect::default()
            });
        }
        if self.ambiguous_syncs == 0 {
            return None;
        }
        self.ambiguous_syncs -= 1;
        self.skipping = false; // the backend has found its Sync
        Some(Effect::default())
    }

    fn end_copy(&mut self) {
        self.copying = Copying::No;
        self.copy_syncs = 0;
    }

    fn push(&mut self, item: Item) {
        self.own += u32::from(item.is_own());
        self.items.push_back(item);
    }

    /// Ends the first request.
    #[inline]
    fn pop(&mut self) -> Option<Item> {
        let ended = self.pop_one();
        self.settle();
        ended
    }

    #[inline]
    fn pop_one(&mut self) -> Option<Item> {
        self.replied = false;
        let item = self.items.pop_front()?;
        self.own -= u32::from(item.is_own());
        Some(item)
    }

    /// Leaves a request in front, or nothing: the backend ignores the end of a copy that is over.
    #[inline]
    fn settle(&mut self) {
        while matches!(
            self.items.front(),
            Some(Item {
                request: Request::CopyEnd,
                ..
            })
        ) {
            self.pop_one();
        }
        if self.items.is_empty() && self.items.capacity() > ITEMS_KEPT {
            self.items.shrink_to(ITEMS_KEPT);
        }
    }
}

impl Item {
    fn is_own(&self) -> bool {
        self.owner == Owner::Own
    }
}
