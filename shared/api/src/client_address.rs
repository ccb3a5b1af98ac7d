//! Where a request comes from, even behind the operator's own proxies.

use std::{convert::Infallible, net::IpAddr};

use axum::extract::FromRequestParts;
use http::{HeaderMap, request::Parts};
use ipnet::IpNet;

use crate::gateway::request_context;

/// The header to which each proxy appends the address of its caller.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// The proxies in front of the API whose `X-Forwarded-For` is trusted. None by default, because
/// anybody can write the header.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

/// Neither an address nor a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "TRUSTED_PROXIES: {0} is neither an address nor a network, such as 192.0.2.7 or 2001:db8::/32"
)]
pub struct InvalidProxy(String);

impl TrustedProxies {
    /// Reads `TRUSTED_PROXIES`; none if it is not set.
    ///
    /// # Errors
    /// If an entry is neither an address nor a network.
    pub fn from_env() -> Result<Self, InvalidProxy> {
        Self::parse(&std::env::var("TRUSTED_PROXIES").unwrap_or_default())
    }

    /// Reads addresses and networks, separated by commas.
    ///
    /// # Errors
    /// If an entry is neither.
    pub fn parse(text: &str) -> Result<Self, InvalidProxy> {
        let parts = text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty());
        let proxies = parts.map(|part| {
            let address = part.parse::<IpAddr>().map(IpNet::from);
            address
                .or_else(|_| part.parse::<IpNet>())
                .map_err(|_| InvalidProxy(part.to_owned()))
        });
        proxies.collect::<Result<_, _>>().map(Self)
    }

    fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|proxy| proxy.contains(&address))
    }

    /// The caller of the outermost trusted proxy, if the gateway was called by a trusted proxy.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer;
        let forwarded = headers.get_all(FORWARDED_FOR).iter();
        let forwarded: Vec<_> = forwarded
            .flat_map(|value| value.to_str().unwrap_or_default().split(','))
            .collect();
        for address in forwarded.into_iter().rev() {
            if !self.contain(client) {
                break;
            }
            // Not an address, so not written by one of our proxies.
            let Ok(address) = address.trim().parse::<IpAddr>() else {
                break;
            };
            client = address.to_canonical();
        }
        client
    }
}

/// The address that a request comes from, if the gateway reports one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub Option<IpAddr>);

impl ClientAddress {
    /// The address of the request with these parts.
    #[must_use]
    pub fn of(parts: &Parts) -> Self {
        let context = request_context(&parts.extensions);
        let peer = context.and_then(|context| context.identity.source_ip.as_deref());
        let peer = peer.and_then(|peer| peer.parse::<IpAddr>().ok());
        let proxies = parts.extensions.get::<TrustedProxies>();
        Self(peer.map(|peer| {
            let peer = peer.to_canonical();
            proxies.map_or(peer, |proxies| proxies.client(peer, &parts.headers))
        }))
    }
}

impl<S: Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(proxies: &str, peer: &str, forwarded: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(FORWARDED_FOR, value.parse().unwrap());
        }
        let proxies = TrustedProxies::parse(proxies).unwrap();
        proxies.client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn the_forwarded_for_header_counts_only_as_far_as_trusted_proxies_wrote_it() {
        let ours = "192.0.2.0/24, 2001:db8:7::/48";
        for (proxies, peer, forwarded, expected) in [
            ("", "192.0.2.1", &["203.0.113.9"][..], "192.0.2.1"),
            (ours, "198.51.100.1", &["203.0.113.9"], "198.51.100.1"),
            (ours, "192.0.2.1", &[], "192.0.2.1"),
            (ours, "192.0.2.1", &["203.0.113.9"], "203.0.113.9"),
            // Everything before it was written by the client.
            (ours, "192.0.2.1", &["10.0.0.1, 203.0.113.9"], "203.0.113.9"),
            (
                ours,
                "192.0.2.1",
                &["192.0.2.77, 203.0.113.9"],
                "203.0.113.9",
            ),
            (
                ours,
                "192.0.2.1",
                &["10.0.0.1", "203.0.113.9"],
                "203.0.113.9",
            ),
            // API Gateway appends the address of its caller, and so does a second proxy.
            (
                ours,
                "192.0.2.1",
                &["203.0.113.9, 192.0.2.1"],
                "203.0.113.9",
            ),
            (
                ours,
                "192.0.2.1",
                &["203.0.113.9,192.0.2.2,192.0.2.1"],
                "203.0.113.9",
            ),
            (ours, "2001:db8:7::1", &["2001:db8:9::1"], "2001:db8:9::1"),
            (ours, "192.0.2.1", &["::ffff:203.0.113.9"], "203.0.113.9"),
            // Garbage is not an address.
            (ours, "192.0.2.1", &["unknown"], "192.0.2.1"),
            (ours, "192.0.2.1", &["203.0.113.9, "], "192.0.2.1"),
            (
                ours,
                "192.0.2.1",
                &["203.0.113.9, x, 192.0.2.2"],
                "192.0.2.2",
            ),
        ] {
            assert_eq!(client(proxies, peer, forwarded), expected, "{forwarded:?}");
        }
    }

    #[test]
    fn a_proxy_is_an_address_or_a_network() {
        let both = TrustedProxies::parse("192.0.2.7,,2001:db8::/32 ").unwrap();
        assert_eq!(both.0.len(), 2);
        assert_eq!(TrustedProxies::parse(""), Ok(TrustedProxies::default()));
        for text in ["proxy.example", "192.0.2.0/33", "1", "192.0.2.7;192.0.2.8"] {
            assert!(TrustedProxies::parse(text).is_err(), "{text}");
        }
    }
}
