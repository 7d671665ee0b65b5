//! How much of bodies is kept at once, before anything of it is charged.

use super::{Coming, MAX_BYTES};
use axum::body::Body;
use clove::KeyId;
use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// For all bodies, in bytes.
const ALL: usize = 256 << 20;
/// For those of one key, in bytes: two of the largest, and any number of small ones.
const OF_ONE_KEY: usize = 2 * MAX_BYTES;

/// The room for bodies, of which each key has a part only. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    taken: Arc<Mutex<Taken>>,
    all: usize,
    of_one_key: usize,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    /// Of keys that have any.
    of: HashMap<KeyId, usize>,
}

/// Why a body is not kept.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotKept {
    /// It is larger than bodies may be.
    TooLarge,
    /// There is no room for it now.
    NoRoom,
    /// It broke off.
    Broken,
}

/// A body as far as it has come. Dropping it makes room.
#[derive(Debug)]
pub(super) struct Kept {
    bytes: Vec<u8>,
    /// How much room it has, which `bytes` has reserved.
    has: usize,
    key: KeyId,
    room: Room,
}

impl Room {
    pub(crate) fn new() -> Self {
        Self { taken: Arc::default(), all: ALL, of_one_key: OF_ONE_KEY }
    }

    /// A body that is to be kept here.
    pub(crate) fn for_body(&self, body: Body) -> Coming {
        Coming { body, room: self.clone() }
    }

    pub(super) fn of(self, key: KeyId) -> Kept {
        Kept { bytes: Vec::new(), has: 0, key, room: self }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, key: KeyId, bytes: usize) -> Result<(), NotKept> {
        let mut taken = self.taken();
        let of_key = taken.of.get(&key).copied().unwrap_or(0);
        if bytes > self.all.saturating_sub(taken.all) || bytes > self.of_one_key.saturating_sub(of_key) {
            return Err(NotKept::NoRoom);
        }
        taken.all += bytes;
        taken.of.insert(key, of_key + bytes);
        Ok(())
    }

    fn give_back(&self, key: KeyId, bytes: usize) {
        let mut taken = self.taken();
        taken.all = taken.all.saturating_sub(bytes);
        if let Entry::Occupied(mut of_key) = taken.of.entry(key) {
            *of_key.get_mut() = of_key.get().saturating_sub(bytes);
            if *of_key.get() == 0 {
                of_key.remove();
            }
        }
    }
}

impl Kept {
    /// Keeps a piece more of a body that says that it has so many bytes, `most`. Room is taken as they come: what is only announced
    /// takes none.
    pub(super) fn add(&mut self, piece: &[u8], most: usize) -> Result<(), NotKept> {
        let needed = self.bytes.len().saturating_add(piece.len());
        if needed > MAX_BYTES {
            return Err(NotKept::TooLarge);
        }
        if needed > self.has {
            let enough = self.has.saturating_mul(2).min(most).max(needed);
            self.room.take(self.key, enough - self.has)?;
            self.has = enough;
            self.bytes.reserve_exact(enough - self.bytes.len());
        }
        self.bytes.extend_from_slice(piece);
        Ok(())
    }
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if self.has > 0 {
            self.room.give_back(self.key, self.has);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::Utc;

    fn room() -> Room {
        Room { all: 100, of_one_key: 40, ..Room::new() }
    }

    fn key() -> KeyId {
        KeyId::new(Utc::now())
    }

    #[test]
    fn a_key_fills_its_part_of_the_room_and_no_more() {
        let (room, one, other) = (room(), key(), key());
        let (mut first, mut second) = (room.clone().of(one), room.clone().of(one));
        assert_eq!(first.add(&[1; 30], 30), Ok(()));
        assert_eq!(second.add(&[2; 11], 11), Err(NotKept::NoRoom));
        assert_eq!(second.add(&[2; 10], 10), Ok(()));
        assert_eq!(room.clone().of(one).add(&[3], 1), Err(NotKept::NoRoom));
        assert_eq!(room.clone().of(other).add(&[3; 40], 40), Ok(()));
    }

    #[test]
    fn all_keys_together_fill_the_room_and_no_more() {
        let room = room();
        let mut bodies: Vec<Kept> = (0..3).map(|_| room.clone().of(key())).collect();
        let added: Vec<_> = bodies.iter_mut().map(|body| body.add(&[1; 40], 40)).collect();
        assert_eq!(added, [Ok(()), Ok(()), Err(NotKept::NoRoom)]);
        bodies.truncate(1);
        assert_eq!(room.clone().of(key()).add(&[1; 40], 40), Ok(()));
    }

    #[test]
    fn what_is_dropped_leaves_nothing_behind() {
        let (room, key) = (room(), key());
        let mut body = room.clone().of(key);
        for _ in 0..39 {
            assert_eq!(body.add(b"x", 40), Ok(()));
        }
        assert_eq!(body.as_ref(), [b'x'; 39]);
        assert!(body.bytes.capacity() <= room.taken().all);
        drop(body);
        let taken = room.taken();
        assert_eq!((taken.all, taken.of.len()), (0, 0));
    }

    #[test]
    fn what_is_only_announced_takes_no_room_and_what_is_too_large_is_not_kept() {
        let room = Room::new();
        let mut body = room.clone().of(key());
        assert_eq!(body.add(b"x", MAX_BYTES), Ok(()));
        assert_eq!(room.taken().all, 1);
        assert_eq!(body.add(&vec![0; MAX_BYTES], MAX_BYTES), Err(NotKept::TooLarge));
    }
}
