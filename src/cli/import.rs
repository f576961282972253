//! `certs import`.

use super::NOT_OK;
use super::args::{ImportArguments, ImportFrom};
use super::output::{error, failure, line, print};
use crate::admin::import::{self, Needs, Plan, Program, Row, Verdict};
use crate::app::{check_files, control_plane, uncovered};
use crate::certs::{Published, StateLock, Store};
use crate::clock::Clock;
use crate::config::{Config, Issuer};
use crate::matrix::Host;
use std::error::Error;
use std::fmt::Write as _;

/// Takes over what another program has, or says what would be taken.
pub(super) fn import(arguments: &ImportArguments, config: &Config) -> u8 {
    if config.tls.issuer != Issuer::Acme {
        error(&"tls.issuer is not \"acme\", so that imported certificates would not be used; set it, or remove it");
        return NOT_OK;
    }
    match control_plane(work(arguments, config)) {
        Ok(Ok(status)) => status,
        Ok(Err(failed)) => failure(failed.as_ref()),
        Err(failed) => failure(&failed),
    }
}

async fn work(arguments: &ImportArguments, config: &Config) -> Result<u8, Box<dyn Error>> {
    let program = match arguments.program {
        ImportFrom::Certbot => Program::Certbot,
        ImportFrom::Caddy => Program::Caddy,
    };
    let now = Clock::System.now();
    let directories: Vec<_> = config.acme.cas.iter().map(|ca| ca.directory.clone()).collect();
    let published = Published::default();
    // What is wrong with the operator's files is told by `validate`; here they count as far as they are used.
    let _reports = check_files(config, now, |slot, certificate| published.publish(slot, certificate));
    let orders = uncovered(config, &published, now);
    let served: Vec<Host> = config.names.iter().map(|(name, _)| name.clone()).collect();
    let email = config.email.as_deref();
    let needs = Needs { orders: &orders, served: &served, directories: &directories, email };

    let found = import::read(program, &arguments.folder, &directories)?;
    let stored = import::load_stored(&Store::existing(&config.state_dir), &needs, &found).await?;
    let plan = import::plan(found, needs, &stored, now);
    let mut more = match arguments.dry_run {
        true => Vec::new(),
        false => import::write(&plan, &config.state_dir).await?,
    };
    // Whoever has the lock read the state directory at its start, and may be ordering the same by now.
    if !plan.writes.is_empty() && StateLock::is_taken(&config.state_dir) {
        more.push(Row {
            verdict: Verdict::Note,
            what: "vestibule runs".to_owned(),
            detail: "it looks at what was imported at its next start; type: systemctl restart vestibule".to_owned(),
        });
    }
    print(&table(&plan, &more));
    if arguments.dry_run {
        line("This was a dry run; nothing was written.");
    }
    Ok(if plan.is_complete() { 0 } else { NOT_OK })
}

/// A line for each thing, with the details in a column of their own.
fn table(plan: &Plan, more: &[Row]) -> String {
    let mut out = String::new();
    if plan.rows.is_empty() {
        out.push_str("Nothing was found.\n");
    }
    // Long paths do not push the details of short ones off the screen.
    let width = plan.rows.iter().map(|row| row.what.len()).filter(|width| *width <= 48).max().unwrap_or(0);
    for Row { verdict, what, detail } in plan.rows.iter().chain(more) {
        let verdict = match verdict {
            Verdict::Taken => "taken",
            Verdict::Kept => "kept",
            Verdict::Note => "note",
            Verdict::Skipped => "skipped",
            Verdict::Missing => "MISSING",
            Verdict::Failed => "FAILED",
        };
        let _ = writeln!(out, "{verdict:<7}  {what:<width$}  {detail}");
    }
    out
}
