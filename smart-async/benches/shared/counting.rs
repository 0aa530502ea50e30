//! An allocator that counts: what lives, and how often somebody asked.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

/// To be named by `#[global_allocator]`.
pub(crate) struct Counting;

/// How many bytes are allocated.
pub(crate) fn live_bytes() -> usize {
    LIVE.load(Ordering::Relaxed)
}

/// How often memory was asked for, growing what was there included.
pub(crate) fn allocations() -> usize {
    ALLOCATIONS.load(Ordering::Relaxed)
}

/// Waits until whatever was going on in the background has let go of its memory.
pub(crate) async fn settled() {
    let mut before = usize::MAX;
    while live_bytes().abs_diff(before) > 10_000 {
        before = live_bytes();
        tokio::time::sleep(Duration::from_millis(1500)).await;
    }
}

#[expect(unsafe_code, reason = "an allocator is made of it; each call is passed on as it came")]
// SAFETY: every call goes to the system's allocator with the same arguments, and its answer is given back.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the promises of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the promises of `dealloc`, and what it has is from `System`.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LIVE.fetch_add(size, Ordering::Relaxed);
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the promises of `realloc`, and what it has is from `System`.
        unsafe { System.realloc(memory, layout, size) }
    }
}
