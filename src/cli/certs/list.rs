//! `certs list`: read from the configuration, the files and the state directory, whether or not a
//! vestibule runs.

use super::row::{LastFailure, Leaf, Renewal, Row, Source, json, text};
use crate::acme::status::{self, KeptStatus, Trouble};
use crate::app::{FileReport, check_files, control_plane, uncovered};
use crate::certs::certificate::Certificate;
use crate::certs::keyring::Slot;
use crate::certs::store::StoreError;
use crate::certs::{Published, Store, internal};
use crate::cli::NOT_OK;
use crate::cli::output::{error, failure, print};
use crate::clock::{Clock, Timestamp};
use crate::config::{CertificateOrder, Config, Issuer};
use crate::matrix::HostPattern;
use std::io;

/// Lists them. The exit status is that of the names that need a certificate.
pub(in crate::cli) fn list(config: &Config, as_json: bool) -> u8 {
    let now = Clock::System.now();
    let published = Published::default();
    let files = files(config, &published, now);
    let orders = uncovered(config, &published, now);
    let needed = match control_plane(issued(config, &orders, now)) {
        Ok(Ok(rows)) => rows,
        Ok(Err(closed)) if closed.source.kind() == io::ErrorKind::PermissionDenied => {
            error(&format!(
                "{} is closed to this user; run the command as root, or as vestibule's user: sudo -u vestibule vestibule \
                 certs list",
                closed.path
            ));
            return NOT_OK;
        }
        Ok(Err(failed)) => return failure(&failed),
        Err(failed) => return failure(&failed),
    };
    let status = if needed.iter().all(|row| row.valid) { 0 } else { NOT_OK };
    let rows: Vec<_> = files.into_iter().chain(needed).collect();
    print(&if as_json { json(&rows) } else { text(&rows) });
    status
}

/// A row for each pair of the operator's files.
fn files(config: &Config, published: &Published, now: Timestamp) -> Vec<Row> {
    let reports = check_files(config, now, |slot, certificate| published.publish(slot, certificate));
    let slots = published.subscribe().borrow().clone();
    let rows = reports.into_iter().zip(&config.tls.certificates).enumerate().map(|(index, (report, pair))| {
        let certificate = slots.get(&Slot::Files(index));
        let mut row = Row::new(&[], Source::Files);
        row.file = Some(pair.chain.display().to_string());
        row.names = certificate
            .map(|certificate| certificate.facts().names.iter().map(ToString::to_string).collect())
            .unwrap_or_default();
        row.leaf = certificate.map(|certificate| Leaf::new(certificate.facts(), now));
        row.valid = certificate.is_some();
        row.problems = match report {
            FileReport::Served { repairs } => repairs,
            FileReport::Refused(reason) => vec![reason],
        };
        row
    });
    rows.collect()
}

/// A row for each set of names that the files leave.
async fn issued(config: &Config, orders: &[CertificateOrder], now: Timestamp) -> Result<Vec<Row>, StoreError> {
    let store = Store::existing(&config.state_dir);
    match config.tls.issuer {
        Issuer::Acme => {
            let kept = status::read(&store, &config.acme, orders, now).await?;
            Ok(kept.into_iter().map(|status| kept_row(status, now)).collect())
        }
        Issuer::Internal => {
            let problem = match internal::stored_root(&store, config.names.certificate_names()).await {
                Ok(Some(_)) => None,
                Ok(None) => Some("there is no internal CA yet; vestibule run makes it".to_owned()),
                Err(internal::AuthorityError::Store(failed)) => return Err(failed),
                Err(damaged) => Some(damaged.to_string()),
            };
            Ok(orders.iter().map(|order| unstored(&order.names, Source::Internal, problem.clone())).collect())
        }
        Issuer::Files => {
            let row = |order: &CertificateOrder| {
                let problem = format!("no file covers {}: add [[tls.certificates]]", HostPattern::list(&order.names));
                unstored(&order.names, Source::Files, Some(problem))
            };
            Ok(orders.iter().map(row).collect())
        }
    }
}

fn kept_row(status: KeptStatus, now: Timestamp) -> Row {
    let KeptStatus { names, certificate, ca: _, plan, window: _, last_failure, budget: _, problems } = status;
    let good =
        |certificate: &Certificate| certificate.is_valid_at(now) && names.iter().all(|name| certificate.includes(name));
    Row {
        leaf: certificate.as_ref().map(|certificate| Leaf::new(certificate.facts(), now)),
        valid: certificate.as_ref().is_some_and(good),
        renewal: Some(Renewal::new(&plan)),
        last_failure: last_failure.map(|Trouble { at, detail, .. }| LastFailure { at: at.to_string(), detail }),
        problems,
        ..Row::new(&names, Source::Acme)
    }
}

/// A certificate that is nowhere to be read: all is well unless there is a problem.
fn unstored(names: &[HostPattern], source: Source, problem: Option<String>) -> Row {
    Row { valid: problem.is_none(), problems: problem.into_iter().collect(), ..Row::new(names, source) }
}
