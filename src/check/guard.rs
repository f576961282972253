//! Which addresses a check connects to.
//!
//! A check is told a name by its caller and everything else by strangers: redirects, the URLs in the
//! documents for clients, the issuer behind them. A stranger must not be able to steer this machine
//! into the network that it stands in.

use super::network::Network;
use crate::matrix::Host;
use crate::net::range::not_public;
use std::net::IpAddr;

/// How far a check may go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Guard {
    /// The name checked, its delegation and its SRV records may lead anywhere: whoever asks about a
    /// server knows where it stands. What a document or a redirect names must be at public
    /// addresses, or in a range that the server itself is in, or an override leads to; in a private
    /// network anywhere.
    #[default]
    SecondHand,
    /// No connection is ever made to an address that is not public, whoever named it, overrides and
    /// private networks included. For checks on behalf of strangers.
    PublicOnly,
}

/// What is let through of the addresses that are not public.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Fence {
    /// All of them.
    #[default]
    Open,
    /// Those of these ranges.
    Ranges(Vec<&'static str>),
}

impl Network {
    /// How far to go.
    pub fn with_guard(self, guard: Guard) -> Self {
        Self { guard, ..self }
    }

    /// The same network for what strangers name, seen from a server at `own` addresses.
    pub(super) fn second_hand(&self, own: impl IntoIterator<Item = IpAddr>) -> Self {
        if self.private {
            return self.clone();
        }
        let named = self.overrides.iter().filter_map(|entry| match entry.to_host() {
            Some(Host::Ip(address)) => Some(*address),
            Some(Host::Dns(_)) | None => None,
        });
        let mut ranges: Vec<_> = own.into_iter().chain(named).filter_map(not_public).collect();
        ranges.sort_unstable();
        ranges.dedup();
        Self { fence: Fence::Ranges(ranges), ..self.clone() }
    }

    /// The range that keeps a connection to `address` from being made, if one does. To be asked of
    /// the very address that is connected to, right before.
    pub(super) fn refuses(&self, address: IpAddr) -> Option<&'static str> {
        let range = not_public(address)?;
        let open = match (self.guard, &self.fence) {
            (Guard::PublicOnly, _) => false,
            (Guard::SecondHand, Fence::Open) => true,
            (Guard::SecondHand, Fence::Ranges(ranges)) => ranges.contains(&range),
        };
        (!open).then_some(range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::dns::Resolver;
    use rustls::RootCertStore;

    fn network() -> Network {
        Network::new(Resolver::offline(), RootCertStore::empty(), Clock::System)
    }

    /// Addresses written apart by blanks, each with a mark in front if it is refused.
    fn told(network: &Network, addresses: &str) -> String {
        let mark = |text: &str| if network.refuses(text.parse().unwrap()).is_some() { "!" } else { "" };
        addresses.split(' ').map(|text| format!("{}{text}", mark(text))).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn strangers_cannot_steer_into_the_network_this_machine_is_in() {
        let all = "8.8.8.8 10.0.0.1 127.0.0.1 ::1 ::ffff:10.0.0.1 64:ff9b::a00:1 2002:a00:1::1 2a00:1450::1";
        assert_eq!(told(&network(), all), all, "the caller's own question");
        let second = network().second_hand(["8.8.8.8".parse().unwrap()]);
        let guarded = "8.8.8.8 !10.0.0.1 !127.0.0.1 !::1 !::ffff:10.0.0.1 !64:ff9b::a00:1 !2002:a00:1::1 2a00:1450::1";
        assert_eq!(told(&second, all), guarded);
        let inside = network().second_hand(["10.9.9.9".parse().unwrap()]);
        let expected = "8.8.8.8 10.0.0.1 !127.0.0.1 !::1 ::ffff:10.0.0.1 64:ff9b::a00:1 2002:a00:1::1 2a00:1450::1";
        assert_eq!(told(&inside, all), expected, "the server's own range");
        let led = network().with_override("a.test:443:127.0.0.1:8443".parse().unwrap());
        assert_eq!(told(&led.second_hand([]), "127.0.0.1 10.0.0.1"), "127.0.0.1 !10.0.0.1");
        assert_eq!(told(&network().with_private(true).second_hand([]), all), all);
        for strict in [
            network().with_guard(Guard::PublicOnly),
            network().with_guard(Guard::PublicOnly).second_hand(["10.9.9.9".parse().unwrap()]),
            led.with_private(true).with_guard(Guard::PublicOnly),
        ] {
            assert_eq!(told(&strict, all), guarded);
        }
    }
}
