//! How many connections each client has.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};

use crate::sync::{Arc, Mutex};

/// How many connections each client has, of those that are counted. Holds no more addresses than connections.
pub(super) struct Addresses {
    most: usize,
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// One connection of an address, while it lives.
pub(super) struct OfAddress {
    addresses: Arc<Addresses>,
    address: IpAddr,
}

// === impl Addresses ===

impl Addresses {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            open: Mutex::new(HashMap::new()),
        })
    }

    /// One more of this address; `None` if it has as many as it may.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<OfAddress> {
        let address = of_one_client(address);
        let mut open = self.open.lock();
        let count = open.entry(address).or_insert(0);
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(OfAddress {
            addresses: self.clone(),
            address,
        })
    }
}

/// What stands for a client: its address, or of version 6 the network that one site has at least (RFC 6177).
fn of_one_client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        address => address,
    }
}

// === impl OfAddress ===

impl Drop for OfAddress {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.addresses.open.lock().entry(self.address) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_so_many_and_what_leaves_is_forgotten() {
        let addresses = Addresses::new(2);
        let enter = |address: &str| addresses.enter(address.parse().expect("an address"));
        let first = enter("192.0.2.1").expect("one");
        let _second = enter("::ffff:192.0.2.1").expect("two");
        assert!(enter("192.0.2.1").is_none());
        assert!(enter("192.0.2.2").is_some());
        drop(first);
        assert!(enter("192.0.2.1").is_some());

        let six = ["2001:db8::1", "2001:db8::2"].map(enter);
        assert!(six.iter().all(Option::is_some));
        assert!(enter("2001:db8::3").is_none());
        assert!(enter("2001:db8:0:1::3").is_some());
        drop((six, _second));
        assert!(addresses.open.lock().is_empty());
    }
}
