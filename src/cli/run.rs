//! `run`, `validate` and `certs root`.

use super::NOT_OK;
use super::output::{error, failure, line, print};
use crate::acme::{check_external_account, dns01};
use crate::app::{App, Ended, FileReport, StartError, acme_roots, check_files, control_plane, uncovered, unused_files};
use crate::certs::{Published, Store, internal};
use crate::clock::Clock;
use crate::config::{Config, Issuer};
use crate::matrix::HostPattern;
use crate::telemetry::log::{self, Chain};
use std::future::pending;

/// The drain limit, or a second signal, cut connections off.
const FORCED: u8 = 3;

/// Serves until a signal.
pub(super) fn run(config: Config) -> u8 {
    log::start(&config.log);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "vestibule starts");
    for notice in &config.notices {
        tracing::warn!("{notice}");
    }
    let served = control_plane(async {
        let store = Store::directory(&config.state_dir)?;
        App::build(config, store, Clock::System).await?.run(pending()).await
    });
    match served.unwrap_or_else(|failed| Err(StartError::Worker(failed))) {
        Ok(Ended::Clean) => {
            tracing::info!("stopped");
            0
        }
        Ok(Ended::Forced) => FORCED,
        Ok(Ended::Failed) => NOT_OK,
        Err(failed) => {
            tracing::error!("cannot start: {}", Chain(&failed));
            NOT_OK
        }
    }
}

/// The static check: the configuration has been read already, so what is left are the files.
pub(super) fn validate(config: &Config) -> u8 {
    let mut status = 0;
    let published = Published::default();
    for report in check_files(config, Clock::System.now(), |slot, certificate| published.publish(slot, certificate)) {
        match report {
            FileReport::Served { repairs } => repairs.iter().for_each(|repair| line(format!("warning: {repair}"))),
            FileReport::Refused(reason) => {
                error(&format!("tls.certificates: {reason}"));
                status = NOT_OK;
            }
        }
    }
    for unused in unused_files(config, &published) {
        line(format!("warning: {unused}"));
    }
    if config.tls.issuer == Issuer::Files {
        for order in uncovered(config, &published, Clock::System.now()) {
            error(&format!(
                "tls.certificates: no file covers {}, and tls.issuer is \"files\"",
                HostPattern::list(&order.names)
            ));
            status = NOT_OK;
        }
    }
    for authority in config.acme.cas.iter().filter(|_| config.tls.issuer == Issuer::Acme) {
        if let Err(failed) = acme_roots(authority) {
            error(&failed);
            status = NOT_OK;
        }
        if let Some(Err(failed)) = authority.external_account.as_ref().map(check_external_account) {
            error(&failed);
            status = NOT_OK;
        }
    }
    if config.tls.issuer == Issuer::Acme
        && let Some(dns) = &config.acme.dns
    {
        match dns01::check(dns) {
            Ok(doubts) => doubts.iter().for_each(|doubt| line(format!("warning: {doubt}"))),
            Err(failed) => {
                error(&Chain(&failed));
                status = NOT_OK;
            }
        }
    }
    for notice in &config.notices {
        line(format!("note: {notice}"));
    }
    if status == 0 {
        let names: Vec<_> = config.names.iter().map(|(name, _)| name.to_string()).collect();
        line(format!("the configuration is good; served names: {}", names.join(", ")));
    }
    status
}

/// Prints the internal CA's root.
pub(super) fn root(config: &Config) -> u8 {
    let store = Store::existing(&config.state_dir);
    match control_plane(internal::stored_root(&store, config.names.certificate_names())) {
        Ok(Ok(Some(root))) => {
            print(&root);
            0
        }
        Ok(Ok(None)) => {
            let folder = config.state_dir.display();
            error(&format!(
                "there is no internal CA in {folder}; it is made when vestibule runs with tls.issuer = \"internal\""
            ));
            NOT_OK
        }
        Ok(Err(failed)) => failure(&failed),
        Err(failed) => failure(&failed),
    }
}
