//! How many connections each address has: one that takes all would keep the others out.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The connections of each address. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Peers {
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
    most: usize,
}

/// A connection's place; dropping it gives it back.
#[derive(Debug)]
pub(super) struct Place {
    peers: Peers,
    address: IpAddr,
}

impl Peers {
    pub(super) fn new(most: usize) -> Self {
        Self { counts: Arc::default(), most }
    }

    /// A place for one more connection from an address, if it has not too many.
    pub(super) fn enter(&self, address: IpAddr) -> Option<Place> {
        let address = network(address);
        let mut counts = self.lock();
        let count = counts.entry(address).or_default();
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Place { peers: self.clone(), address })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.peers.lock();
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

/// An address of IPv4 by itself; of IPv6 its /64, since that is what one machine is given (RFC 6177).
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn at(address: &str) -> IpAddr {
        address.parse().unwrap()
    }

    #[test]
    fn an_address_has_so_many_places_and_leaves_the_others_theirs() {
        let peers = Peers::new(2);
        let first = peers.enter(at("10.0.0.1")).unwrap();
        let _second = peers.enter(at("::ffff:10.0.0.1")).unwrap();
        assert!(peers.enter(at("10.0.0.1")).is_none());
        assert!(peers.enter(at("10.0.0.2")).is_some());
        drop(first);
        let again = peers.enter(at("10.0.0.1"));
        assert!(again.is_some() && peers.enter(at("10.0.0.1")).is_none());
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let peers = Peers::new(1);
        let _one = peers.enter(at("2001:db8::1")).unwrap();
        assert!(peers.enter(at("2001:db8::ffff:2")).is_none());
        assert!(peers.enter(at("2001:db8:0:1::1")).is_some());
    }

    #[test]
    fn nothing_is_kept_of_who_is_gone() {
        let peers = Peers::new(2);
        drop((peers.enter(at("10.0.0.1")), peers.enter(at("10.0.0.1"))));
        assert!(peers.lock().is_empty());
    }
}
