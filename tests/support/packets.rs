//! A packet socket on `lo` that says who was dialled: each TCP SYN and UDP datagram with its destination, whatever the port and
//! whether or not anybody listens. Asks the kernel, never the product.
#![expect(unsafe_code, reason = "std has no packet sockets")]

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
};

/// How something was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A TCP segment with SYN and without ACK.
    Syn,
    /// A UDP datagram.
    Datagram,
}

/// One packet that asked for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Packet {
    /// How.
    pub kind: Kind,
    /// Where to.
    pub to: SocketAddr,
}

/// The socket.
pub struct Packets(OwnedFd);

/// Room for every packet of the longest test between two looks.
const BUFFER_BYTES: libc::c_int = 64 * 1024 * 1024;

impl Packets {
    /// Sees everything on `lo` from now on.
    pub fn on_lo() -> Self {
        let protocol = u16::try_from(libc::ETH_P_ALL).unwrap().to_be();
        // SAFETY: plain integers; the result is checked.
        let fd = unsafe {
            libc::socket(
                libc::AF_PACKET,
                libc::SOCK_DGRAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
                i32::from(protocol),
            )
        };
        assert!(fd >= 0, "a packet socket: {}", io::Error::last_os_error());
        // SAFETY: the descriptor was just made and nobody else owns it.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: a NUL-ended name that lives through the call.
        let index = unsafe { libc::if_nametoindex(c"lo".as_ptr()) };
        assert!(index > 0, "`lo` exists");
        // SAFETY: all zeros is a valid address, filled below.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = u16::try_from(libc::AF_PACKET).unwrap();
        address.sll_protocol = protocol;
        address.sll_ifindex = i32::try_from(index).unwrap();
        // SAFETY: both pointers live through the calls and the sizes are those of what they point to.
        unsafe {
            let bound =
                libc::bind(fd, (&raw const address).cast(), u32::try_from(size_of_val(&address)).unwrap());
            assert_eq!(bound, 0, "the packet socket binds to `lo`: {}", io::Error::last_os_error());
            let size = BUFFER_BYTES;
            let set =
                libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, (&raw const size).cast(), 4);
            assert_eq!(set, 0, "a large buffer: {}", io::Error::last_os_error());
        }
        Self(socket)
    }

    /// What was sent since the last look. Packets on `lo` are queued here before `send` returns, so after a process ended
    /// everything it sent is here.
    pub fn take(&self) -> Vec<Packet> {
        let mut found = Vec::new();
        let mut buffer = [0_u8; 256];
        loop {
            // SAFETY: all zeros is a valid address to be written over.
            let mut from: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
            let mut size = u32::try_from(size_of_val(&from)).unwrap();
            // SAFETY: buffer, address and size live through the call with the sizes that are given.
            let read = unsafe {
                libc::recvfrom(
                    self.0.as_raw_fd(),
                    buffer.as_mut_ptr().cast(),
                    buffer.len(),
                    0,
                    (&raw mut from).cast(),
                    &raw mut size,
                )
            };
            if read < 0 {
                let error = io::Error::last_os_error();
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "the packet socket reads: {error}");
                return found;
            }
            // Each packet passes twice, out and in.
            if from.sll_pkttype == libc::PACKET_OUTGOING {
                found.extend(packet(&buffer[..usize::try_from(read).unwrap()]));
            }
        }
    }
}

fn packet(bytes: &[u8]) -> Option<Packet> {
    let (ip, protocol, rest): (IpAddr, u8, &[u8]) = match bytes.first()? >> 4 {
        4 => {
            let length = usize::from(bytes[0] & 0x0f) * 4;
            let ip: [u8; 4] = bytes.get(16..20)?.try_into().ok()?;
            (Ipv4Addr::from(ip).into(), *bytes.get(9)?, bytes.get(length..)?)
        }
        6 => {
            let ip: [u8; 16] = bytes.get(24..40)?.try_into().ok()?;
            (Ipv6Addr::from(ip).into(), *bytes.get(6)?, bytes.get(40..)?)
        }
        _ => return None,
    };
    let port = u16::from_be_bytes(rest.get(2..4)?.try_into().ok()?);
    let kind = match protocol {
        6 if rest.get(13)? & 0x12 == 0x02 => Kind::Syn,
        17 => Kind::Datagram,
        _ => return None,
    };
    Some(Packet { kind, to: SocketAddr::new(ip, port) })
}
