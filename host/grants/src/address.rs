//! Which addresses may be dialled (RFC 6890 and the IANA special-purpose registries; cloud metadata addresses).
//! Refuses whatever is not globally reachable, and reads the address inside IPv4-mapped and NAT64 forms.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The address guard of one connection: public addresses pass; loopback and private ranges only where listed;
/// metadata, link-local, unspecified, multicast and broadcast never.
#[derive(Clone, Debug, Default)]
pub struct AddressPolicy {
    allowed: Vec<IpNet>,
}

/// What kind of address it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressClass {
    /// In words, with the article: `a private address (RFC 1918)`.
    pub name: &'static str,
    /// Who may dial it.
    pub reach: Reach,
}

/// Who may dial an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Everyone.
    Public,
    /// This machine: only where listed.
    Loopback,
    /// Only where listed.
    Listed,
    /// No one, whatever is listed.
    Never,
}

/// Why an address is refused. `Display` names the class and, where listing it would help, the `addresses` entry to add.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{address} is {class}{}", self.entry().map(|e| format!("; `addresses = [\"{e}\"]` would allow it")).unwrap_or_default())]
pub struct AddressDenied {
    /// The address as it would be dialled.
    pub address: IpAddr,
    /// Its class, in words.
    pub class: &'static str,
    /// Whether an `addresses` entry may allow it.
    pub listable: bool,
}

impl AddressDenied {
    /// The narrowest `addresses` entry that allows it, where one can.
    pub fn entry(&self) -> Option<IpNet> {
        self.listable.then(|| IpNet::from(unmapped(self.address)))
    }
}

/// An `addresses` entry that can never allow anything.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{entry}` lies wholly within {class}, which no entry can allow")]
pub struct AddressEntryError {
    /// The entry.
    pub entry: IpNet,
    /// The class, in words.
    pub class: &'static str,
}

impl AddressPolicy {
    /// A policy with these ranges listed.
    pub fn new(listed: Vec<IpNet>) -> Result<Self, AddressEntryError> {
        for entry in &listed {
            if let Some(class) = never_wholly(entry) {
                return Err(AddressEntryError { entry: *entry, class });
            }
        }
        Ok(Self { allowed: listed })
    }

    /// Whether `https` may dial this address.
    pub fn check(&self, address: IpAddr) -> Result<(), AddressDenied> {
        let class = classify(address);
        let denied = |listable| Err(AddressDenied { address, class: class.name, listable });
        match class.reach {
            Reach::Public => Ok(()),
            Reach::Loopback | Reach::Listed if self.lists(address) => Ok(()),
            Reach::Loopback | Reach::Listed => denied(true),
            Reach::Never => denied(false),
        }
    }

    /// Whether `http` may dial this address: loopback alone, and it must be listed as well.
    pub fn check_plain(&self, address: IpAddr) -> Result<(), AddressDenied> {
        match classify(address) {
            AddressClass { reach: Reach::Loopback | Reach::Never, .. } => self.check(address),
            AddressClass { reach: Reach::Public, .. } => Err(AddressDenied {
                address,
                class: "a public address, and `http://` reaches loopback alone",
                listable: false,
            }),
            AddressClass { reach: Reach::Listed, .. } => Err(AddressDenied {
                address,
                class: "not loopback, which is all that `http://` reaches",
                listable: false,
            }),
        }
    }

    fn lists(&self, address: IpAddr) -> bool {
        let address = unmapped(address);
        self.allowed.iter().any(|range| range.contains(&address))
    }
}

/// The kind of an address. IPv4-mapped: that of the address inside. 64:ff9b::/96: public where the one inside is.
pub fn classify(address: IpAddr) -> AddressClass {
    match unmapped(address) {
        IpAddr::V4(address) => classify_v4(address),
        IpAddr::V6(address) => classify_v6(address),
    }
}

/// The kernel dials a mapped address as the IPv4 one inside; a NAT64 gateway is another machine, so that its form
/// stays as it is.
fn unmapped(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

fn classify_v4(address: Ipv4Addr) -> AddressClass {
    let hit = V4.iter().find(|(base, length, ..)| contains_v4(*base, *length, address));
    hit.map_or(PUBLIC, |(_, _, reach, name)| AddressClass { name, reach: *reach })
}

fn classify_v6(address: Ipv6Addr) -> AddressClass {
    let hit = V6.iter().find(|(base, length, ..)| contains_v6(*base, *length, address));
    let Some((base, _, reach, name)) = hit else { return PUBLIC };
    if *base == NAT64 {
        let [.., a, b, c, d] = address.octets();
        if classify_v4(Ipv4Addr::new(a, b, c, d)).reach == Reach::Public {
            return PUBLIC;
        }
    }
    AddressClass { name, reach: *reach }
}

fn contains_v4(base: Ipv4Addr, length: u8, address: Ipv4Addr) -> bool {
    Ipv4Net::new(base, length).is_ok_and(|range| range.contains(&address))
}

fn contains_v6(base: Ipv6Addr, length: u8, address: Ipv6Addr) -> bool {
    Ipv6Net::new(base, length).is_ok_and(|range| range.contains(&address))
}

/// The class that swallows the whole entry and allows nothing of it.
fn never_wholly(entry: &IpNet) -> Option<&'static str> {
    let within = |base: IpAddr, length: u8| IpNet::new(base, length).is_ok_and(|range| range.contains(entry));
    if within(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0).into(), 96) {
        return Some("the IPv4-mapped addresses (list the IPv4 range instead)");
    }
    let v4 = V4.iter().map(|(base, length, reach, name)| (IpAddr::V4(*base), *length, *reach, *name));
    let v6 = V6.iter().map(|(base, length, reach, name)| (IpAddr::V6(*base), *length, *reach, *name));
    // The most specific range comes first in the tables, so that the first that holds the entry is its class.
    v4.chain(v6)
        .find(|(base, length, ..)| within(*base, *length))
        .and_then(|(_, _, reach, name)| (reach == Reach::Never).then_some(name))
}

const PUBLIC: AddressClass = AddressClass { name: "a public address", reach: Reach::Public };

const NAT64: Ipv6Addr = Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0);

const METADATA: &str = "a cloud metadata address";

/// The most specific first.
const V4: &[(Ipv4Addr, u8, Reach, &str)] = &[
    (v4(0, 0, 0, 0), 8, Reach::Never, "an unspecified address (`0.0.0.0/8`, RFC 1122)"),
    (v4(100, 100, 100, 200), 32, Reach::Never, METADATA),
    (v4(168, 63, 129, 16), 32, Reach::Never, METADATA),
    (v4(192, 0, 0, 192), 32, Reach::Never, METADATA),
    (v4(169, 254, 169, 254), 32, Reach::Never, METADATA),
    (
        v4(169, 254, 0, 0),
        16,
        Reach::Never,
        "a link-local address (RFC 3927), where clouds keep their metadata",
    ),
    (v4(255, 255, 255, 255), 32, Reach::Never, "the broadcast address"),
    (v4(224, 0, 0, 0), 4, Reach::Never, "a multicast address"),
    (v4(127, 0, 0, 0), 8, Reach::Loopback, "a loopback address"),
    (v4(10, 0, 0, 0), 8, Reach::Listed, "a private address (RFC 1918)"),
    (v4(172, 16, 0, 0), 12, Reach::Listed, "a private address (RFC 1918)"),
    (v4(192, 168, 0, 0), 16, Reach::Listed, "a private address (RFC 1918)"),
    (v4(100, 64, 0, 0), 10, Reach::Listed, "a carrier's shared address (RFC 6598)"),
    (v4(192, 0, 0, 0), 24, Reach::Listed, "an IETF protocol address (RFC 6890)"),
    (v4(192, 0, 2, 0), 24, Reach::Listed, "a documentation address (RFC 5737)"),
    (v4(198, 51, 100, 0), 24, Reach::Listed, "a documentation address (RFC 5737)"),
    (v4(203, 0, 113, 0), 24, Reach::Listed, "a documentation address (RFC 5737)"),
    (v4(192, 31, 196, 0), 24, Reach::Listed, "an AS112 address (RFC 7535)"),
    (v4(192, 175, 48, 0), 24, Reach::Listed, "an AS112 address (RFC 7534)"),
    (v4(192, 52, 193, 0), 24, Reach::Listed, "a multicast tunnel relay (RFC 7450)"),
    (v4(192, 88, 99, 0), 24, Reach::Listed, "a 6to4 relay (RFC 7526)"),
    (v4(198, 18, 0, 0), 15, Reach::Listed, "a benchmarking address (RFC 2544)"),
    (v4(240, 0, 0, 0), 4, Reach::Listed, "a reserved address (RFC 1112)"),
];

/// The most specific first. Mapped addresses never get here.
const V6: &[(Ipv6Addr, u8, Reach, &str)] = &[
    (Ipv6Addr::UNSPECIFIED, 128, Reach::Never, "the unspecified address"),
    (Ipv6Addr::LOCALHOST, 128, Reach::Loopback, "the loopback address"),
    // AWS: instance metadata `::254`, its resolver `::253`, its time `::123`, EKS Pod Identity `::23`.
    (v6(0xfd00, 0xec2, 0, 0), 32, Reach::Never, METADATA),
    // Scaleway, Oracle and Google.
    (v6(0xfd00, 0x42, 0, 0x42), 128, Reach::Never, METADATA),
    (Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe), 128, Reach::Never, METADATA),
    (v6(0xfd20, 0xce, 0, 0x254), 128, Reach::Never, METADATA),
    (v6(0xfe80, 0, 0, 0), 10, Reach::Never, "a link-local address (RFC 4291)"),
    (v6(0xff00, 0, 0, 0), 8, Reach::Never, "a multicast address"),
    (Ipv6Addr::UNSPECIFIED, 96, Reach::Never, "an IPv4-compatible address (RFC 4291)"),
    (Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, 0, 0), 96, Reach::Never, "an IPv4-translated address (RFC 2765)"),
    (NAT64, 96, Reach::Never, "a NAT64 address (RFC 6052) of an IPv4 address that is not public"),
    (v6(0x64, 0xff9b, 1, 0), 48, Reach::Never, "a local NAT64 address (RFC 8215)"),
    (v6(0x2002, 0, 0, 0), 16, Reach::Never, "a 6to4 address (RFC 3056)"),
    (v6(0x2001, 0, 0, 0), 32, Reach::Never, "a Teredo address (RFC 4380)"),
    (v6(0x2001, 0xdb8, 0, 0), 32, Reach::Listed, "a documentation address (RFC 3849)"),
    (v6(0x3fff, 0, 0, 0), 20, Reach::Listed, "a documentation address (RFC 9637)"),
    (v6(0x2001, 2, 0, 0), 48, Reach::Listed, "a benchmarking address (RFC 5180)"),
    (v6(0x2001, 0x10, 0, 0), 28, Reach::Listed, "an ORCHID (RFC 4843)"),
    (v6(0x2001, 0x20, 0, 0), 28, Reach::Listed, "an ORCHID (RFC 7343)"),
    (v6(0x2001, 0, 0, 0), 23, Reach::Listed, "an IETF protocol address (RFC 2928)"),
    (v6(0x2620, 0x4f, 0x8000, 0), 48, Reach::Listed, "an AS112 address (RFC 7534)"),
    (v6(0x100, 0, 0, 0), 64, Reach::Listed, "a discard-only address (RFC 6666)"),
    (Ipv6Addr::new(0x100, 0, 0, 1, 0, 0, 0, 0), 64, Reach::Listed, "a dummy address (RFC 9780)"),
    (v6(0xfc00, 0, 0, 0), 7, Reach::Listed, "a unique local address (RFC 4193)"),
    (v6(0xfec0, 0, 0, 0), 10, Reach::Listed, "a site-local address (RFC 3879)"),
    (v6(0x5f00, 0, 0, 0), 16, Reach::Listed, "a segment routing address (RFC 9602)"),
    // Global unicast is 2000::/3; the other seven eighths of the space are not given out.
    (v6(0, 0, 0, 0), 3, Reach::Listed, OUTSIDE_GLOBAL),
    (v6(0x4000, 0, 0, 0), 2, Reach::Listed, OUTSIDE_GLOBAL),
    (v6(0x8000, 0, 0, 0), 1, Reach::Listed, OUTSIDE_GLOBAL),
];

const OUTSIDE_GLOBAL: &str = "an address outside global unicast (`2000::/3`)";

const fn v4(a: u8, b: u8, c: u8, d: u8) -> Ipv4Addr {
    Ipv4Addr::new(a, b, c, d)
}

/// The first three groups and the last.
const fn v6(a: u16, b: u16, c: u16, last: u16) -> Ipv6Addr {
    Ipv6Addr::new(a, b, c, 0, 0, 0, 0, last)
}

#[cfg(test)]
mod tests;
