//! Every metric there is: names, types, units and help, in one place.
//!
//! Names are those that operators write into their alerts, so they stay. They have the prefix
//! `vestibule_`, except where Prometheus itself has a name for the thing. The values of labels come
//! from the configuration and from fixed lists, never from the network.

use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Unit;

/// A metric family (OpenMetrics 1.0 §4.4).
#[derive(Debug)]
pub struct Metric {
    /// Without the unit, and without the suffix that its type adds (`_total`, `_info`).
    pub name: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// Written behind the name.
    pub unit: Option<Unit>,
    /// Its type.
    pub kind: MetricType,
}

const fn gauge(name: &'static str, unit: Option<Unit>, help: &'static str) -> Metric {
    Metric { name, help, unit, kind: MetricType::Gauge }
}

const fn counter(name: &'static str, help: &'static str) -> Metric {
    Metric { name, help, unit: None, kind: MetricType::Counter }
}

/// Always 1; the version is a label.
pub const BUILD: Metric =
    Metric { name: "vestibule_build", help: "The program that runs.", unit: None, kind: MetricType::Info };

/// Prometheus' own name for it.
pub const START_TIME: Metric =
    gauge("process_start_time", Some(Unit::Seconds), "When the process started, in seconds since the epoch.");

/// For each served name that has a certificate.
pub const CERTIFICATE_NOT_AFTER: Metric = gauge(
    "vestibule_tls_certificate_not_after_timestamp",
    Some(Unit::Seconds),
    "Last second of the certificate that is shown for a name, in seconds since the epoch.",
);

/// For each served name that has a certificate.
pub const CERTIFICATE_LIFETIME: Metric = gauge(
    "vestibule_tls_certificate_lifetime_ratio",
    None,
    "Part of the certificate's lifetime that is left, from 1 to 0.",
);

/// For each served name that has a certificate.
pub const CERTIFICATE_RUNG: Metric = gauge(
    "vestibule_tls_certificate_expiry_rung",
    None,
    "How near the certificate is to its end: 0 fine, 1 a third of its lifetime left, 2 a sixth, 3 a twelfth, \
     4 expired, -1 not valid yet.",
);

/// For each own server that has been checked, and each id of the check.
pub const CHECK_STATUS: Metric =
    gauge("vestibule_check_status", None, "What the last self-check says of an id: 0 nothing, 1 mend, 2 fails.");

/// For each own server that has been checked, by verdict.
pub const CHECK_VERDICT: Metric =
    gauge("vestibule_check_verdict", None, "1 for the verdict of the last self-check, 0 for the others.");

/// For each own server that has been checked.
pub const CHECK_LAST_RUN: Metric = gauge(
    "vestibule_check_last_run_timestamp",
    Some(Unit::Seconds),
    "When the last self-check ended, in seconds since the epoch.",
);

/// For each own server, by window.
pub const FEDERATION_ORIGINS: Metric = gauge(
    "vestibule_federation_origins",
    None,
    "Different servers that the homeserver has answered in the last hour or day, estimated.",
);

/// Over all listeners but the status page's.
pub const CONNECTIONS: Metric = gauge("vestibule_connections", None, "Open connections of clients and peers.");

/// For each upstream that has been used.
pub const UPSTREAM_UP: Metric = gauge("vestibule_upstream_up", None, "1 unless the upstream is known to be down.");

/// For each upstream that has been used.
pub const UPSTREAM_CONNECT_FAILURES: Metric =
    counter("vestibule_upstream_connect_failures", "Connections to the upstream that could not be opened.");

/// For each upstream that has been used.
pub const HELD_REQUESTS: Metric =
    gauge("vestibule_held_requests", None, "Requests that wait for an upstream that is down.");

/// For each upstream that has been used, by outcome.
///
/// It only grows, and is called unknown: as a counter its family would be `vestibule_held_requests`,
/// which is the gauge's, and OpenMetrics forbids two families of one name.
pub const HELD_REQUESTS_TOTAL: Metric = Metric {
    name: "vestibule_held_requests_total",
    help: "Requests that had to wait, by what became of them: saved, lost, left (the client went away), refused.",
    unit: None,
    kind: MetricType::Unknown,
};
