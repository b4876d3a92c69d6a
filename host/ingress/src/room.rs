//! How much memory bodies under way may take: all of them together, and those of one sender, so that nobody takes it all.

use crate::limits::{BODIES_BYTES_MAX, SENDER_BYTES_MAX};
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
};

/// The room of all bodies.
#[derive(Default)]
pub(crate) struct Room {
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    all: u64,
    of: HashMap<IpAddr, u64>,
}

/// What one body has of it, until it is dropped.
pub(crate) struct Part {
    room: Arc<Room>,
    sender: IpAddr,
    bytes: u64,
}

/// There is no more of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Room {
    /// For a body of which nothing came yet.
    pub(crate) fn part(self: &Arc<Self>, sender: IpAddr) -> Part {
        Part { room: Arc::clone(self), sender: of_one(sender), bytes: 0 }
    }
}

impl Part {
    /// For so many more bytes.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Full> {
        let bytes = bytes as u64;
        let mut taken = self.room.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let theirs = taken.of.get(&self.sender).copied().unwrap_or_default();
        if taken.all.saturating_add(bytes) > BODIES_BYTES_MAX
            || theirs.saturating_add(bytes) > SENDER_BYTES_MAX
        {
            return Err(Full);
        }
        taken.all += bytes;
        taken.of.insert(self.sender, theirs + bytes);
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let mut taken = self.room.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= self.bytes;
        let left = taken.of.get(&self.sender).copied().unwrap_or_default() - self.bytes;
        if left == 0 {
            taken.of.remove(&self.sender);
        } else {
            taken.of.insert(self.sender, left);
        }
    }
}

/// Who has one address of IPv6 has the other ones of its /64.
pub(crate) fn of_one(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn part(room: &Arc<Room>, sender: &str) -> Part {
        room.part(sender.parse().unwrap())
    }

    #[test]
    fn one_sender_leaves_room_for_others_and_all_of_it_comes_back() {
        let room = Arc::new(Room::default());
        let most = usize::try_from(SENDER_BYTES_MAX).unwrap();
        let (mut one, mut again) = (part(&room, "2001:db8::1"), part(&room, "2001:db8::2"));
        one.grow(most - 1).unwrap();
        assert_eq!(again.grow(2), Err(Full), "the same /64");
        again.grow(1).unwrap();
        assert_eq!(again.grow(1), Err(Full));
        let mut others = Vec::new();
        for sender in 1.. {
            let mut other = part(&room, &format!("192.0.2.{sender}"));
            if other.grow(most).is_err() {
                break;
            }
            others.push(other);
        }
        assert_eq!(others.len() as u64, BODIES_BYTES_MAX / SENDER_BYTES_MAX - 1);
        drop((one, again, others));
        assert!(room.taken.lock().unwrap().of.is_empty());
        assert_eq!(room.taken.lock().unwrap().all, 0);
    }
}
