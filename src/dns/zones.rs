//! Who is in charge of a name: its zone, the zone's servers, and aliases that lead into another one.

use super::Resolver;
use super::records::{self, Miss, Outcome};
use hickory_resolver::proto::rr::{RData, RecordType};

impl Resolver {
    /// The closest zone that `name` is in, without a trailing dot: the first of the name and its
    /// parents that has a SOA record (RFC 1034 §4.3.4).
    pub async fn zone_of(&self, name: &str) -> Outcome<String> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let mut zone = name.as_str();
        loop {
            match self.ask(&format!("{zone}."), RecordType::SOA).await {
                // At an alias the answer may hold the SOA of where it leads.
                Ok(lookup) if records::owns(&lookup, zone, RecordType::SOA) => return Outcome::Found(zone.to_owned()),
                Ok(_) | Err(Miss::NoRecords) => {}
                Err(Miss::Failed(failure)) => return Outcome::Failed(failure),
            }
            match zone.split_once('.') {
                Some((_, parent)) => zone = parent,
                None => return Outcome::NoRecords,
            }
        }
    }

    /// The names of the zone's servers, without a trailing dot.
    pub async fn name_servers(&self, zone: &str) -> Outcome<Vec<String>> {
        let zone = zone.trim_end_matches('.');
        match self.ask(&format!("{zone}."), RecordType::NS).await {
            Ok(lookup) => records::names(&lookup, |data| match data {
                RData::NS(server) => Some(&server.0),
                _ => None,
            }),
            Err(miss) => miss.into(),
        }
    }

    /// Where `name` is an alias for, if it is one. Only the first step of a chain.
    pub async fn alias(&self, name: &str) -> Outcome<String> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let found = match self.ask(&format!("{name}."), RecordType::CNAME).await {
            Ok(lookup) if records::owns(&lookup, &name, RecordType::CNAME) => {
                records::names(&lookup, |data| match data {
                    RData::CNAME(target) => Some(&target.0),
                    _ => None,
                })
            }
            Ok(_) => Outcome::NoRecords,
            Err(miss) => miss.into(),
        };
        match found {
            Outcome::Found(targets) => targets.into_iter().next().map_or(Outcome::NoRecords, Outcome::Found),
            Outcome::NoRecords => Outcome::NoRecords,
            Outcome::Failed(failure) => Outcome::Failed(failure),
        }
    }
}
