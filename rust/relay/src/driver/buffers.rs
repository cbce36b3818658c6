//! The buffers that an io_uring receives into: a ring of them shared with the kernel.

use std::io;
use std::mem;
use std::ops::Range;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::IoUring;
use io_uring::types::BufRingEntry;

use super::{Chunk, HEADROOM};

/// How many buffers a worker has (a power of two). They are filled in turn, so together
/// they should fit a core's cache: small ones are faster, for bulk too.
const COUNT: u16 = 64;
/// How many of them sends may hold at once; what comes beyond is copied. A session whose
/// reader has stopped keeps its share of these, and never all that the others receive into.
const LENT_MAX: usize = COUNT as usize / 2;
const BUFFER_BYTES_MAX: usize = 32 * 1024;
const PAGE_BYTES: usize = 4096;

/// One page-aligned page: room for the ring's entries.
#[repr(C, align(4096))]
struct Page([u8; PAGE_BYTES]);

pub(crate) struct Buffers {
    /// The ring's entries, shared with the kernel; never moved.
    page: Box<Page>,
    tail: u16,
    memory: Vec<Box<[u8]>>,
    /// Sends that still read from each buffer.
    loans: Vec<u16>,
    /// How many buffers have such sends.
    lent: usize,
    /// The buffer that is being processed: its number and its address range.
    current: Option<(u16, Range<usize>)>,
    with_kernel: usize,
}

impl Buffers {
    pub(crate) const GROUP: u16 = 0;

    pub(crate) fn register(ring: &IoUring, receive_bytes: usize) -> io::Result<Self> {
        const {
            assert!(
                COUNT.is_power_of_two() && COUNT as usize * size_of::<BufRingEntry>() <= PAGE_BYTES
            )
        };
        let bytes = HEADROOM + receive_bytes.clamp(4096, BUFFER_BYTES_MAX);
        let mut buffers = Self {
            page: Box::new(Page([0; PAGE_BYTES])),
            tail: 0,
            memory: (0..COUNT).map(|_| vec![0; bytes].into()).collect(),
            loans: vec![0; COUNT.into()],
            lent: 0,
            current: None,
            with_kernel: 0,
        };
        let address = (&raw mut *buffers.page) as u64;
        // SAFETY: the page is aligned, large enough (asserted above) and lives as long as
        // this struct, which its driver drops after the ring.
        unsafe {
            ring.submitter()
                .register_buf_ring_with_flags(address, COUNT, Self::GROUP, 0)?
        };
        (0..COUNT).for_each(|buffer| buffers.offer(buffer));
        Ok(buffers)
    }

    pub(crate) fn available(&self) -> usize {
        self.with_kernel
    }

    /// Puts a buffer at the tail of the ring.
    fn offer(&mut self, buffer: u16) {
        let memory = &mut self.memory[usize::from(buffer)];
        let entries: *mut BufRingEntry = (&raw mut *self.page).cast();
        let index = usize::from(self.tail & (COUNT - 1));
        // SAFETY: `index` is below COUNT, and so within the page; the kernel does not read
        // this entry before the tail says so.
        let entry = unsafe { &mut *entries.add(index) };
        entry.set_addr(memory[HEADROOM..].as_mut_ptr() as u64);
        entry.set_len((memory.len() - HEADROOM) as u32);
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the tail lies in the first entry of the page, aligned for a u16.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(entries).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
        self.with_kernel += 1;
    }

    /// Takes a filled buffer out to process it.
    pub(crate) fn take(&mut self, buffer: u16, length: usize) -> Chunk {
        self.with_kernel -= 1;
        let memory = mem::take(&mut self.memory[usize::from(buffer)]);
        let address = memory.as_ptr() as usize;
        self.current = Some((buffer, address..address + memory.len()));
        Chunk {
            buffer: memory,
            start: HEADROOM,
            end: HEADROOM + length,
        }
    }

    /// If `data` lies in the buffer being processed: lends it to a send.
    pub(crate) fn lend(&mut self, data: &[u8]) -> Option<(u16, Range<usize>)> {
        let (buffer, addresses) = self.current.as_ref()?;
        let address = data.as_ptr() as usize;
        if !addresses.contains(&address) {
            return None;
        }
        let loans = &mut self.loans[usize::from(*buffer)];
        if *loans == 0 {
            if self.lent == LENT_MAX {
                return None;
            }
            self.lent += 1;
        }
        *loans += 1;
        let start = address - addresses.start;
        Some((*buffer, start..start + data.len()))
    }

    /// Bytes of a lent buffer. While it is being processed its memory is with the chunk,
    /// at the same address.
    pub(crate) fn bytes(&self, buffer: u16, range: Range<usize>) -> &[u8] {
        match &self.current {
            Some((current, addresses)) if *current == buffer => {
                let start = (addresses.start + range.start) as *const u8;
                // SAFETY: the chunk that owns this memory is on loan from us and is given
                // back by `recycle`; until then nobody frees or moves its heap memory.
                unsafe { std::slice::from_raw_parts(start, range.len()) }
            }
            _ => &self.memory[usize::from(buffer)][range],
        }
    }

    /// Takes the processed buffer back; the kernel gets it unless sends still read it.
    pub(crate) fn recycle(&mut self, chunk: Chunk) {
        let Some((buffer, _)) = self.current.take() else {
            return;
        };
        self.memory[usize::from(buffer)] = chunk.buffer;
        if self.loans[usize::from(buffer)] == 0 {
            self.offer(buffer);
        }
    }

    /// A send has done with a lent buffer.
    pub(crate) fn give_back(&mut self, buffer: u16) {
        let loans = &mut self.loans[usize::from(buffer)];
        *loans -= 1;
        self.lent -= usize::from(*loans == 0);
        let current = self
            .current
            .as_ref()
            .is_some_and(|(current, _)| *current == buffer);
        if *loans == 0 && !current {
            self.offer(buffer);
        }
    }

    /// A buffer that the kernel has handed out and nobody will process.
    pub(crate) fn give_back_unlent(&mut self, buffer: u16) {
        self.with_kernel -= 1;
        self.offer(buffer);
    }
}
