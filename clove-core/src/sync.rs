//! Locks and atomics: the standard library's. Built with `--cfg shuttle` they are shuttle's, which tries out schedules.

#[cfg(not(shuttle))]
pub(crate) use std::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard, atomic};

#[cfg(shuttle)]
pub(crate) use shuttle::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard, atomic};

pub(crate) use std::sync::{Arc, OnceLock, PoisonError, TryLockError, Weak};

/// Locks. A panic of whoever held it before is no reason to fail: what it guards is whole after each statement.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks at a lock, and leaves it alone.
#[cfg(not(shuttle))]
#[inline(always)]
pub(crate) fn look<T>(mutex: &Mutex<T>) -> bool {
    mutex.is_poisoned()
}

/// Where schedules are tried out, there is nothing to be seen.
#[cfg(shuttle)]
pub(crate) fn look<T>(_: &Mutex<T>) -> bool {
    false
}
