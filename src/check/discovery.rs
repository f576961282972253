//! "Resolving server names" (server-server API) as a machine without I/O.
//!
//! [`Discovery`] says what it needs to know next and is given the answer, until the [`Plan`] is
//! there. Whoever drives it owns sockets, time and retries; what stands here is only the table of
//! the specification, row by row. Addresses are not asked for: no row depends on them, the plan
//! names the hosts they are needed of.

use crate::dns::SrvRecord;
use crate::matrix::server_name::DEFAULT_FEDERATION_PORT;
use crate::matrix::{Host, ServerName};
use serde::Serialize;
use std::fmt;

/// Service name of Matrix federation, registered since v1.8 of the specification.
pub const SRV_CURRENT: &str = "_matrix-fed._tcp";
/// Its deprecated predecessor.
pub const SRV_DEPRECATED: &str = "_matrix._tcp";

/// The row of the specification's table that applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Step {
    /// The name is an IP literal.
    #[serde(rename = "1")]
    IpLiteral,
    /// The name has a port.
    #[serde(rename = "2")]
    ExplicitPort,
    /// Delegated to an IP literal.
    #[serde(rename = "3.1")]
    DelegatedIp,
    /// Delegated to a host with a port.
    #[serde(rename = "3.2")]
    DelegatedPort,
    /// Delegated to a host with a `_matrix-fed._tcp` record.
    #[serde(rename = "3.3")]
    DelegatedSrv,
    /// Delegated to a host with a deprecated `_matrix._tcp` record.
    #[serde(rename = "3.4")]
    DelegatedSrvDeprecated,
    /// Delegated to a host, port 8448.
    #[serde(rename = "3.5")]
    DelegatedDefault,
    /// No delegation, a `_matrix-fed._tcp` record.
    #[serde(rename = "4")]
    Srv,
    /// No delegation, a deprecated `_matrix._tcp` record.
    #[serde(rename = "5")]
    SrvDeprecated,
    /// Nothing but the name, port 8448.
    #[serde(rename = "6")]
    Default,
}

impl Step {
    /// The number of the row.
    pub fn number(self) -> &'static str {
        match self {
            Self::IpLiteral => "1",
            Self::ExplicitPort => "2",
            Self::DelegatedIp => "3.1",
            Self::DelegatedPort => "3.2",
            Self::DelegatedSrv => "3.3",
            Self::DelegatedSrvDeprecated => "3.4",
            Self::DelegatedDefault => "3.5",
            Self::Srv => "4",
            Self::SrvDeprecated => "5",
            Self::Default => "6",
        }
    }

    /// What the row says, in a few words.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::IpLiteral => "the name is an IP address",
            Self::ExplicitPort => "the name has a port",
            Self::DelegatedIp => "delegated by .well-known to an IP address",
            Self::DelegatedPort => "delegated by .well-known",
            Self::DelegatedSrv => "delegated by .well-known, then SRV",
            Self::DelegatedSrvDeprecated => "delegated by .well-known, then deprecated SRV",
            Self::DelegatedDefault => "delegated by .well-known without a port",
            Self::Srv => "SRV record",
            Self::SrvDeprecated => "deprecated SRV record",
            Self::Default => "no delegation, port 8448",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.number())
    }
}

/// A host and a port to connect to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target {
    /// The host whose addresses to use.
    pub host: Host,
    /// The port.
    pub port: u16,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// How a peer reaches the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The row that applied.
    pub step: Step,
    /// Where to connect, in order of preference. Empty where an SRV record says `.`: the service is
    /// declared absent, and peers do not look further.
    pub targets: Vec<Target>,
    /// The `Host` header.
    pub host_header: String,
    /// The name the certificate must be valid for. Never an SRV target: DNS is not authenticated.
    pub certificate_name: Host,
}

impl Plan {
    /// The name to send as SNI: none for an address.
    pub fn sni(&self) -> Option<&str> {
        self.certificate_name.dns()
    }
}

/// What discovery needs to know next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// The valid `m.server` of `https://HOST/.well-known/matrix/server`.
    WellKnown(String),
    /// The SRV records of this name.
    Srv(String),
}

/// The reply to a [`Query`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The delegation, or `None` where there is no valid one for whatever reason.
    WellKnown(Option<ServerName>),
    /// The records, in order of preference. Empty for "none" as for "could not be asked".
    Srv(Vec<SrvRecord>),
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Answer this.
    Ask(Query),
    /// Done.
    Done(Plan),
}

/// A discovery under way.
#[derive(Clone, Debug)]
pub struct Discovery {
    /// Whose addresses, certificate and `Host` are in question: the server name, or the one it
    /// delegates to.
    authority: ServerName,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    WellKnown,
    Srv { delegated: bool },
    SrvDeprecated { delegated: bool },
    Done(Plan),
}

impl Discovery {
    /// Starts for `name`.
    pub fn new(name: &ServerName) -> Self {
        let state = match (name.host(), name.port()) {
            (Host::Ip(_), _) => State::Done(direct(name, Step::IpLiteral)),
            (Host::Dns(_), Some(_)) => State::Done(direct(name, Step::ExplicitPort)),
            (Host::Dns(_), None) => State::WellKnown,
        };
        Self { authority: name.clone(), state }
    }

    /// What is needed next.
    pub fn next(&self) -> Next {
        let host = self.authority.host();
        match &self.state {
            State::WellKnown => Next::Ask(Query::WellKnown(host.to_string())),
            State::Srv { .. } => Next::Ask(Query::Srv(srv_name(SRV_CURRENT, host))),
            State::SrvDeprecated { .. } => Next::Ask(Query::Srv(srv_name(SRV_DEPRECATED, host))),
            State::Done(plan) => Next::Done(plan.clone()),
        }
    }

    /// Takes the answer to what [`Discovery::next`] asked. A reply to another question counts as
    /// "nothing there", so that every reply leads on.
    pub fn reply(self, reply: Reply) -> Self {
        match self.state {
            State::WellKnown => match reply {
                Reply::WellKnown(Some(delegate)) => Self::delegated(delegate),
                Reply::WellKnown(None) | Reply::Srv(_) => Self { state: State::Srv { delegated: false }, ..self },
            },
            State::Srv { delegated } => {
                let step = if delegated { Step::DelegatedSrv } else { Step::Srv };
                match by_srv(&self.authority, reply, step) {
                    Some(plan) => Self { state: State::Done(plan), ..self },
                    None => Self { state: State::SrvDeprecated { delegated }, ..self },
                }
            }
            State::SrvDeprecated { delegated } => {
                let (step, otherwise) = match delegated {
                    true => (Step::DelegatedSrvDeprecated, Step::DelegatedDefault),
                    false => (Step::SrvDeprecated, Step::Default),
                };
                let plan = by_srv(&self.authority, reply, step);
                let plan = plan.unwrap_or_else(|| direct(&self.authority, otherwise));
                Self { state: State::Done(plan), ..self }
            }
            State::Done(_) => self,
        }
    }

    /// Goes on with the name that `m.server` gives. One level only: no well-known is asked of it.
    fn delegated(delegate: ServerName) -> Self {
        let state = match (delegate.host(), delegate.port()) {
            (Host::Ip(_), _) => State::Done(direct(&delegate, Step::DelegatedIp)),
            (Host::Dns(_), Some(_)) => State::Done(direct(&delegate, Step::DelegatedPort)),
            (Host::Dns(_), None) => State::Srv { delegated: true },
        };
        Self { authority: delegate, state }
    }
}

/// The full name of a service record of `host`.
pub fn srv_name(service: &str, host: &Host) -> String {
    format!("{service}.{host}")
}

/// The plan of the rows without SRV: the name itself, its port or 8448.
fn direct(name: &ServerName, step: Step) -> Plan {
    let port = name.port().unwrap_or(DEFAULT_FEDERATION_PORT);
    Plan {
        step,
        targets: vec![Target { host: name.host().clone(), port }],
        host_header: name.as_str().to_owned(),
        certificate_name: name.host().clone(),
    }
}

/// The plan of the rows with SRV, if there are records.
fn by_srv(name: &ServerName, reply: Reply, step: Step) -> Option<Plan> {
    let Reply::Srv(mut records) = reply else {
        return None;
    };
    if records.is_empty() {
        return None;
    }
    records.sort_by(|a, b| (a.priority, b.weight).cmp(&(b.priority, a.weight)));
    let targets = records.iter().filter_map(|record| {
        // "." and names that are none lead nowhere.
        let host = Host::parse(&record.target).ok().filter(|_| record.target != ".")?;
        (record.port != 0).then_some(Target { host, port: record.port })
    });
    Some(Plan {
        step,
        targets: targets.collect(),
        host_header: name.host_text().to_owned(),
        certificate_name: name.host().clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(priority: u16, port: u16, target: &str) -> SrvRecord {
        SrvRecord { priority, weight: 0, port, target: target.to_owned() }
    }

    /// Runs `name` with fixed answers; gives the questions asked, in order, and the plan.
    fn run(name: &str, delegate: Option<&str>, current: &[SrvRecord], old: &[SrvRecord]) -> (Vec<String>, Plan) {
        let mut discovery = Discovery::new(&ServerName::parse(name).unwrap());
        let mut asked = Vec::new();
        loop {
            let query = match discovery.next() {
                Next::Done(plan) => return (asked, plan),
                Next::Ask(query) => query,
            };
            discovery = discovery.reply(match query {
                Query::WellKnown(host) => {
                    asked.push(host);
                    Reply::WellKnown(delegate.map(|text| ServerName::parse(text).unwrap()))
                }
                Query::Srv(name) => {
                    let records = if name.starts_with(SRV_CURRENT) { current } else { old };
                    asked.push(name);
                    Reply::Srv(records.to_vec())
                }
            });
        }
    }

    /// One row: name, `m.server`, current and deprecated SRV → step, targets, Host, certificate, SNI.
    type Row = (
        &'static str,
        Option<&'static str>,
        &'static [(u16, &'static str)],
        &'static [(u16, &'static str)],
        &'static str,
        &'static str,
        &'static str,
        &'static str,
        Option<&'static str>,
    );

    #[test]
    fn every_row_of_the_table() {
        let rows: &[Row] = &[
            ("1.2.3.4", None, &[], &[], "1", "1.2.3.4:8448", "1.2.3.4", "1.2.3.4", None),
            ("1.2.3.4:5", None, &[], &[], "1", "1.2.3.4:5", "1.2.3.4:5", "1.2.3.4", None),
            ("[2001:db8::1]", None, &[], &[], "1", "[2001:db8::1]:8448", "[2001:db8::1]", "[2001:db8::1]", None),
            ("[2001:DB8::1]:5", None, &[], &[], "1", "[2001:db8::1]:5", "[2001:DB8::1]:5", "[2001:db8::1]", None),
            ("Ex.org:80", Some("x.org"), &[(1, "s.org")], &[], "2", "ex.org:80", "Ex.org:80", "ex.org", Some("ex.org")),
            (
                "ex.org",
                Some("192.0.2.9"),
                &[(1, "s.org")],
                &[],
                "3.1",
                "192.0.2.9:8448",
                "192.0.2.9",
                "192.0.2.9",
                None,
            ),
            ("ex.org", Some("192.0.2.9:443"), &[], &[], "3.1", "192.0.2.9:443", "192.0.2.9:443", "192.0.2.9", None),
            ("ex.org", Some("[::1]:443"), &[], &[], "3.1", "[::1]:443", "[::1]:443", "[::1]", None),
            (
                "ex.org",
                Some("m.ex.org:443"),
                &[(1, "s")],
                &[],
                "3.2",
                "m.ex.org:443",
                "m.ex.org:443",
                "m.ex.org",
                Some("m.ex.org"),
            ),
            (
                "ex.org",
                Some("m.ex.org"),
                &[(7, "s.org")],
                &[(8, "o.org")],
                "3.3",
                "s.org:7",
                "m.ex.org",
                "m.ex.org",
                Some("m.ex.org"),
            ),
            (
                "ex.org",
                Some("m.ex.org"),
                &[],
                &[(8, "o.org")],
                "3.4",
                "o.org:8",
                "m.ex.org",
                "m.ex.org",
                Some("m.ex.org"),
            ),
            ("ex.org", Some("m.ex.org"), &[], &[], "3.5", "m.ex.org:8448", "m.ex.org", "m.ex.org", Some("m.ex.org")),
            (
                "ex.org",
                None,
                &[(7, "s.org"), (9, "t.org")],
                &[(8, "o.org")],
                "4",
                "s.org:7 t.org:9",
                "ex.org",
                "ex.org",
                Some("ex.org"),
            ),
            ("ex.org", None, &[(7, ".")], &[(8, "o.org")], "4", "", "ex.org", "ex.org", Some("ex.org")),
            ("ex.org", None, &[], &[(8, "o.org")], "5", "o.org:8", "ex.org", "ex.org", Some("ex.org")),
            ("EX.org", None, &[], &[], "6", "ex.org:8448", "EX.org", "ex.org", Some("ex.org")),
        ];
        for (name, delegate, current, old, step, targets, host, certificate, sni) in rows {
            let records = |list: &[(u16, &str)]| list.iter().map(|(port, t)| record(1, *port, t)).collect::<Vec<_>>();
            let (_, plan) = run(name, *delegate, &records(current), &records(old));
            let shown: Vec<_> = plan.targets.iter().map(ToString::to_string).collect();
            assert_eq!(
                (plan.step.number(), shown.join(" ").as_str(), plan.host_header.as_str(), plan.sni()),
                (*step, *targets, *host, *sni),
                "{name} {delegate:?}"
            );
            assert_eq!(plan.certificate_name.to_string(), *certificate, "{name} {delegate:?}");
        }
    }

    #[test]
    fn only_what_the_table_needs_is_asked() {
        assert!(run("ex.org:1", None, &[], &[]).0.is_empty());
        assert_eq!(run("EX.org", Some("m.ex.org:443"), &[], &[]).0, ["ex.org"]);
        assert_eq!(
            run("ex.org", Some("m.ex.org"), &[], &[]).0,
            ["ex.org", "_matrix-fed._tcp.m.ex.org", "_matrix._tcp.m.ex.org"]
        );
        assert_eq!(run("ex.org", None, &[record(1, 2, "s")], &[]).0, ["ex.org", "_matrix-fed._tcp.ex.org"]);
    }

    #[test]
    fn targets_stand_in_order_of_priority() {
        let records = [record(20, 2, "b.org"), record(10, 1, "a.org"), record(10, 0, "zero.org")];
        let (_, plan) = run("ex.org", None, &records, &[]);
        assert_eq!(plan.targets.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a.org:1", "b.org:2"]);
    }

    fn any_reply() -> impl Strategy<Value = Reply> {
        let name = prop_oneof![Just("m.ex.org"), Just("m.ex.org:1"), Just("[::1]"), Just("1.2.3.4:9")];
        let target = prop_oneof![Just(".".to_owned()), Just(String::new()), "\\PC{0,8}"];
        let records = (any::<u16>(), any::<u16>(), any::<u16>(), target)
            .prop_map(|(priority, weight, port, target)| SrvRecord { priority, weight, port, target });
        prop_oneof![
            proptest::option::of(name).prop_map(|name| Reply::WellKnown(name.map(|n| ServerName::parse(n).unwrap()))),
            proptest::collection::vec(records, 0..4).prop_map(Reply::Srv),
        ]
    }

    proptest! {
        /// Whatever is answered, four answers are enough.
        #[test]
        fn discovery_ends(name in "[a-zA-Z0-9.]{1,12}(:[1-9][0-9]{0,3})?", replies in proptest::collection::vec(any_reply(), 4)) {
            let Ok(name) = ServerName::parse(&name) else { return Ok(()) };
            let mut discovery = Discovery::new(&name);
            for reply in replies {
                if matches!(discovery.next(), Next::Done(_)) {
                    break;
                }
                discovery = discovery.reply(reply);
            }
            prop_assert!(matches!(discovery.next(), Next::Done(_)));
        }
    }
}
