//! The order of steps of a change of delegation: pure.
//!
//! Peers keep a delegation for as long as they were told (five minutes at least, 48 hours at most, a day if
//! not told), and a failed lookup for an hour (server-server API, "Resolving server names"). So both hosts
//! serve until the last of them has heard of the change.

use crate::check::discovery::{Step as Discovered, Target};
use crate::check::lifetime::{LONGEST, SHORTEST};
use crate::check::render::harmless;
use crate::clock::Timestamp;
use crate::config::{Apex, Server};
use crate::matrix::well_known::server_document;
use crate::matrix::{Host, ServerName};
use std::fmt::Write as _;
use std::net::SocketAddr;

/// What peers make of an answer without cache headers: a day, and up to a tenth more.
pub const UNTOLD: i64 = 24 * 3600 + 24 * 360;

/// How long a failed lookup is kept, and up to a tenth more.
const FAILED: i64 = 3600 + 360;

/// Widths of terminals and mails.
const WIDTH: usize = 100;

/// What is known when the plan is made.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The server.
    pub server_name: ServerName,
    /// Now.
    pub now: Timestamp,
    /// The step of discovery that leads to the present target.
    pub step: Discovered,
    /// The name that the present certificate must cover.
    pub certificate_name: Host,
    /// The present target, or targets.
    pub targets: Vec<Target>,
    /// The delegation document.
    pub document: Document,
    /// The new target.
    pub to: Target,
    /// The new target as it is now, by address; empty if it has none.
    pub ready: Vec<Readiness>,
    /// How this program is configured for the server, if it is.
    pub configured: Option<Configured>,
}

/// The delegation document, as peers make something of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Document {
    /// A valid one.
    Served {
        /// For how many seconds peers keep it.
        kept: i64,
    },
    /// None, or none that counts.
    None,
}

/// An address of the new target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// The address.
    pub address: SocketAddr,
    /// What is missing.
    pub trouble: Option<String>,
}

/// What this program's configuration says of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configured {
    /// Who answers for the server name.
    pub apex: Apex,
    /// `well_known.cache_max_age`, in seconds.
    pub max_age: u64,
}

impl From<&Server> for Configured {
    fn from(server: &Server) -> Self {
        Self { apex: server.apex, max_age: server.cache_max_age.as_secs() }
    }
}

/// Why there is nothing to plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPlan {
    /// Names of such servers are their addresses.
    #[error(
        "{0} has an address or a port in its name, so that peers look for no delegation; point its DNS record to the new host, after \
         lowering the record's TTL"
    )]
    Fixed(String),
    /// It is so already.
    #[error("{server} is delegated to {to} already; until {until} some peers may still use what was there before")]
    Done {
        /// The server.
        server: String,
        /// The target.
        to: String,
        /// Until when caches may hold something older.
        until: String,
    },
}

/// A step.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stage {
    title: String,
    /// When it is to be done.
    at: Timestamp,
    /// Sentences.
    text: Vec<String>,
    /// To be typed or written as it stands.
    lines: Vec<String>,
}

impl Stage {
    fn new(title: impl Into<String>, at: Timestamp) -> Self {
        Self { title: title.into(), at, text: Vec::new(), lines: Vec::new() }
    }

    fn say(mut self, sentence: impl Into<String>) -> Self {
        self.text.push(sentence.into());
        self
    }

    fn type_in(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.lines.extend(lines);
        self
    }
}

impl Facts {
    /// The present target in words.
    fn old(&self) -> String {
        let target = self.targets.first().map_or_else(|| self.certificate_name.to_string(), ToString::to_string);
        match self.has_srv() {
            true => format!("{target} (by SRV)"),
            false => target,
        }
    }

    /// The present target's host, if it is another than the server name and the new one.
    fn old_host(&self) -> Option<&Host> {
        let host = match self.step {
            Discovered::Srv | Discovered::SrvDeprecated => &self.certificate_name,
            _ => self.targets.first().map_or(&self.certificate_name, |target| &target.host),
        };
        (host != self.server_name.host() && *host != self.to.host).then_some(host)
    }

    fn is_here(&self) -> bool {
        self.configured.as_ref().is_some_and(|configured| configured.apex == Apex::Here)
    }

    fn has_srv(&self) -> bool {
        use Discovered::{DelegatedSrv, DelegatedSrvDeprecated, Srv, SrvDeprecated};
        matches!(self.step, Srv | SrvDeprecated | DelegatedSrv | DelegatedSrvDeprecated)
    }

    fn delegates(&self) -> bool {
        matches!(self.document, Document::Served { .. })
    }
}

/// Plans the change, as text.
pub fn plan(facts: &Facts) -> Result<String, NoPlan> {
    if matches!(facts.step, Discovered::IpLiteral | Discovered::ExplicitPort) {
        return Err(NoPlan::Fixed(facts.server_name.to_string()));
    }
    if facts.delegates() && facts.targets.first() == Some(&facts.to) && !facts.has_srv() {
        let (server, to) = (facts.server_name.to_string(), facts.to.to_string());
        return Err(NoPlan::Done { server, to, until: date(facts.now.plus(LONGEST)) });
    }
    Ok(render(facts, &stages(facts)))
}

fn stages(facts: &Facts) -> Vec<Stage> {
    let mut stages = vec![both(facts)];
    let mut switch_at = facts.now;
    if let Document::Served { kept } = facts.document
        && kept > SHORTEST
    {
        switch_at = facts.now.plus(kept);
        stages.push(lower(facts, kept));
        let wait = Stage::new(format!("Wait {}", span(kept)), switch_at)
            .say(format!("Until {} peers may hold the document with its old age.", date(switch_at)));
        stages.push(wait);
    }
    stages.push(switch(facts, switch_at));
    let drop_at = switch_at.plus(LONGEST);
    stages.push(keep(facts, switch_at, drop_at));
    stages.push(end(facts, drop_at));
    stages
}

fn both(facts: &Facts) -> Stage {
    let to = &facts.to;
    let mut stage = Stage::new(format!("Let {to} serve beside {}", facts.old()), facts.now).say(format!(
        "{} needs A and AAAA records, and {to} a certificate for {} and the homeserver of {} behind it, with the same signing key. \
         Nothing else changes yet.",
        to.host, to.host, facts.server_name
    ));
    if facts.configured.is_some() && to.host != *facts.server_name.host() {
        // Whoever has written the new host already would switch before the time.
        let public =
            facts.targets.first().filter(|_| facts.delegates()).map(|target| format!("public_host = \"{target}\""));
        let lines = public.into_iter().chain([format!("extra_hosts = [\"{}\"]", to.host)]);
        stage = stage
            .say("If vestibule on this machine is to answer there, write into vestibule.toml, then `systemctl restart vestibule`:")
            .type_in(lines);
    }
    if facts.ready.is_empty() {
        return stage.say(format!("Now: {} has no address in DNS.", to.host));
    }
    for Readiness { address, trouble } in &facts.ready {
        stage = stage.say(match trouble {
            Some(trouble) => format!("Now: {address}: {trouble}."),
            None => format!("Now: {address} is ready."),
        });
    }
    stage
}

fn lower(facts: &Facts, kept: i64) -> Stage {
    let stage = Stage::new("Lower the age of the delegation to five minutes", facts.now).say(format!(
        "Peers keep it for {} now. Shorter than five minutes makes no difference to Synapse.",
        span(kept)
    ));
    match facts.is_here() {
        true => stage
            .say("Write into vestibule.toml, then `systemctl restart vestibule`:")
            .type_in(["[well_known]".to_owned(), "cache_max_age = \"5m\"".to_owned()]),
        false => stage
            .say(format!("Let the web server of {} send with /.well-known/matrix/server:", facts.server_name.host()))
            .type_in(["Cache-Control: public, max-age=300".to_owned()]),
    }
}

fn switch(facts: &Facts, at: Timestamp) -> Stage {
    let (to, name) = (&facts.to, &facts.server_name);
    let document = server_document(&to.host, to.port);
    let mut stage = Stage::new(format!("Switch to {to}"), at);
    if facts.configured.is_some() {
        let mut lines = vec![format!("public_host = \"{to}\"")];
        lines.extend(facts.old_host().map(|old| format!("extra_hosts = [\"{old}\"]")));
        if !facts.delegates() && facts.is_here() {
            lines.extend(["[well_known]".to_owned(), "cache_max_age = \"5m\"".to_owned()]);
        }
        stage = stage.say("Write into vestibule.toml, then `systemctl restart vestibule`:").type_in(lines);
    }
    if facts.is_here() {
        stage = stage.say(format!("https://{}/.well-known/matrix/server then says {document}.", name.host()));
    } else {
        stage = stage
            .say(format!("Let https://{}/.well-known/matrix/server say {document}, with max-age=300.", name.host()));
        if facts.configured.is_some() {
            stage = stage
                .say("`vestibule delegate snippet nginx` (or apache, caddy, netlify, github) prints the whole of it.");
        }
    }
    stage.say(format!(
        "Then at once: `vestibule check {name}`. A lookup that fails is remembered for up to {}, and sends peers to {}:8448.",
        span(FAILED),
        name.host()
    ))
}

fn keep(facts: &Facts, switched: Timestamp, until: Timestamp) -> Stage {
    let soon = match facts.document {
        Document::Served { .. } => SHORTEST,
        Document::None => FAILED,
    };
    let stage = Stage::new(format!("Keep {} serving until {}", facts.old(), date(until)), switched).say(format!(
        "Most peers follow within {} (by {}); some keep what they have for up to {}.",
        span(soon),
        date(switched.plus(soon)),
        span(LONGEST)
    ));
    stage.say("Going back is the same step with the old target, and takes as short.")
}

fn end(facts: &Facts, at: Timestamp) -> Stage {
    let mut stage = Stage::new(format!("Let {} go", facts.old()), at);
    if facts.has_srv() {
        stage =
            stage.say(format!("Delete the records _matrix-fed._tcp.{0} and _matrix._tcp.{0}.", facts.certificate_name));
    }
    if facts.step == Discovered::Default {
        let name = facts.server_name.host();
        stage =
            stage.say(format!("{name}:8448 may as well stay: peers turn to it when they cannot read the document."));
    }
    if let Some(old) = facts.old_host() {
        stage = stage.say(format!("Remove the DNS records of {old}, unless it has other work."));
    }
    // What was there before: an hour where nobody said otherwise.
    let age = facts.configured.as_ref().map(|configured| configured.max_age).filter(|age| *age > 300).unwrap_or(3600);
    match facts.is_here() {
        true => stage
            .say("Remove extra_hosts from vestibule.toml, raise the age again, then `systemctl restart vestibule`:")
            .type_in(["[well_known]".to_owned(), format!("cache_max_age = \"{}\"", toml_span(age))]),
        false => {
            let stage = stage.say("Raise the age again:").type_in([format!("Cache-Control: public, max-age={age}")]);
            match facts.configured.is_some() {
                true => stage.say("Remove extra_hosts from vestibule.toml, then `systemctl restart vestibule`."),
                false => stage,
            }
        }
    }
}

fn render(facts: &Facts, stages: &[Stage]) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "Delegation of {}: from {} to {}", facts.server_name, facts.old(), facts.to);
    let _ = writeln!(out, "Now: step {} of discovery ({}).", facts.step.number(), facts.step.meaning());
    let _ = writeln!(out, "Times count from now, {}; whoever begins later adds the difference.", date(facts.now));
    for (index, stage) in stages.iter().enumerate() {
        let _ = writeln!(out, "\n{}. {}  [{}]", index + 1, stage.title, date(stage.at));
        let (last, before) = match stage.lines.is_empty() {
            true => (None, stage.text.as_slice()),
            // Lines stand behind the sentence that ends with a colon.
            false => match stage.text.iter().position(|sentence| sentence.ends_with(':')) {
                Some(at) => (stage.text.get(at + 1..), stage.text.get(..=at).unwrap_or_default()),
                None => (None, stage.text.as_slice()),
            },
        };
        before.iter().for_each(|sentence| wrap(sentence, &mut out));
        for line in &stage.lines {
            let _ = writeln!(out, "       {line}");
        }
        last.into_iter().flatten().for_each(|sentence| wrap(sentence, &mut out));
    }
    out
}

/// Writes a sentence, indented and not too wide. What stands in backquotes is to be typed, and stays in one line.
fn wrap(sentence: &str, out: &mut String) {
    let sentence = harmless(sentence);
    let mut words: Vec<String> = Vec::new();
    let mut open = false;
    for word in sentence.split(' ') {
        match words.last_mut().filter(|_| open) {
            Some(last) => {
                last.push(' ');
                last.push_str(word);
            }
            None => words.push(word.to_owned()),
        }
        open ^= word.matches('`').count() % 2 == 1;
    }
    let mut column = 0;
    for word in words {
        let width = word.chars().count();
        if column > 0 && column + 1 + width > WIDTH {
            out.push('\n');
            column = 0;
        }
        let lead = if column == 0 { "   " } else { " " };
        out.push_str(lead);
        out.push_str(&word);
        column += lead.len() + width;
    }
    out.push('\n');
}

/// `2026-11-24 10:12 UTC`.
fn date(at: Timestamp) -> String {
    let text = at.to_string();
    match text.get(..16) {
        Some(minutes) => format!("{} UTC", minutes.replace('T', " ")),
        None => text,
    }
}

/// `1h`, `90m`, `100s`: a duration of the configuration.
fn toml_span(seconds: u64) -> String {
    match seconds {
        whole if whole % 3600 == 0 => format!("{}h", whole / 3600),
        whole if whole % 60 == 0 => format!("{}m", whole / 60),
        other => format!("{other}s"),
    }
}

/// `26 h 24 min`, `5 min`.
fn span(seconds: i64) -> String {
    let (hours, minutes) = (seconds / 3600, seconds % 3600 / 60);
    match (hours, minutes) {
        (0, minutes) => format!("{minutes} min"),
        (hours, 0) => format!("{hours} h"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The plan as it stands in `tests/snapshots`.
    fn expect(name: &str, facts: &Facts) {
        let text = plan(facts).unwrap();
        insta::with_settings!({ snapshot_path => "../../../tests/snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name, text);
        });
    }

    fn target(host: &str, port: u16) -> Target {
        Target { host: Host::parse(host).unwrap(), port }
    }

    fn facts() -> Facts {
        Facts {
            server_name: ServerName::parse("example.com").unwrap(),
            now: Timestamp(1_790_000_000),
            step: Discovered::DelegatedPort,
            certificate_name: Host::parse("old.example.com").unwrap(),
            targets: vec![target("old.example.com", 443)],
            document: Document::Served { kept: 86_400 },
            to: target("new.example.com", 443),
            ready: vec![Readiness { address: "192.0.2.7:443".parse().unwrap(), trouble: None }],
            configured: Some(Configured { apex: Apex::Here, max_age: 3600 }),
        }
    }

    #[test]
    fn from_one_host_to_another() {
        expect("delegate-here", &facts());
    }

    #[test]
    fn with_the_apex_elsewhere() {
        let ready = vec![Readiness {
            address: "192.0.2.7:443".parse().unwrap(),
            trouble: Some("peers do not accept its certificate for new.example.com".to_owned()),
        }];
        let configured = Some(Configured { apex: Apex::Elsewhere, max_age: 86_400 });
        expect("delegate-elsewhere", &Facts { ready, configured, ..facts() });
    }

    #[test]
    fn from_srv_records_of_a_server_that_is_not_ours() {
        let facts = Facts {
            step: Discovered::Srv,
            certificate_name: Host::parse("example.com").unwrap(),
            targets: vec![target("srv.example.net", 8448)],
            document: Document::None,
            ready: Vec::new(),
            configured: None,
            ..facts()
        };
        expect("delegate-srv", &facts);
    }

    #[test]
    fn from_no_delegation() {
        let facts = Facts {
            step: Discovered::Default,
            certificate_name: Host::parse("example.com").unwrap(),
            targets: vec![target("example.com", 8448)],
            document: Document::None,
            ..facts()
        };
        expect("delegate-default", &facts);
    }

    #[test]
    fn a_short_age_needs_no_wait() {
        let text = plan(&Facts { document: Document::Served { kept: 300 }, ..facts() }).unwrap();
        assert!(!text.contains("Lower the age") && !text.contains("Wait "), "{text}");
        assert!(text.contains("2. Switch to new.example.com:443  [2026-09-21 14:13 UTC]"), "{text}");
    }

    #[test]
    fn what_cannot_be_planned() {
        let fixed = Facts { step: Discovered::ExplicitPort, ..facts() };
        assert!(matches!(plan(&fixed), Err(NoPlan::Fixed(_))));
        let done = plan(&Facts { to: target("old.example.com", 443), ..facts() }).unwrap_err();
        assert!(done.to_string().contains("until 2026-09-23 14:13 UTC"), "{done}");
        assert_eq!((toml_span(86_400), toml_span(5400), toml_span(301)), ("24h".into(), "90m".into(), "301s".into()));
        assert_eq!((span(300), span(UNTOLD), span(LONGEST)), ("5 min".into(), "26 h 24 min".into(), "48 h".into()));
    }
}
