//! Locks and atomics: the standard library's. Built with `--cfg shuttle` they are shuttle's, which tries out schedules.

#[cfg(not(shuttle))]
pub(crate) use std::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard, atomic};

#[cfg(shuttle)]
pub(crate) use shuttle::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard, atomic};

pub(crate) use std::sync::{Arc, OnceLock, PoisonError, TryLockError, Weak};
