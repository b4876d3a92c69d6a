//! What the allocator keeps of memory that is free.

/// Gives it back to the system. While a manifest is read, it takes hundreds of megabytes at most, on a thread whose heap serves
/// nobody else: in a process that goes on for months, each such heap would stay as large as it once was.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "std has no word for it")]
    // SAFETY: it takes no pointer, and holds the lock of each heap while it looks at it (malloc_trim(3), MT-Safe).
    let _whether_any = unsafe { libc::malloc_trim(0) };
}
