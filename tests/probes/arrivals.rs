//! What a probe lets the homeserver receive, besides what the rules forbid to all of them.

use super::origin::Record;
use super::rules::Request;

/// A closer look at a request that arrived.
pub type Look = fn(&Request) -> Result<(), String>;

#[derive(Clone)]
pub enum Origin {
    Anything,
    /// Not a byte.
    Nothing,
    /// A start, but no end that could be acted on.
    NothingWhole,
    /// So many requests, each of which passes this look.
    Requests(usize, Look),
    /// If there is a request, it passes this look.
    IfAny(Look),
}

impl Origin {
    /// Judges what arrived of a probe, once everything has; an error says what did.
    pub fn judge(&self, probe: &str, record: &Record) -> Result<(), String> {
        if let Some(fault) = record.faults_of(probe).first() {
            return Err(format!("at the origin: {fault}"));
        }
        let requests = record.of(probe);
        match self {
            Self::Anything => Ok(()),
            Self::Nothing if record.has_bytes_of(probe) => Err("it reached the origin".to_owned()),
            Self::NothingWhole if requests.iter().any(|request| request.whole) => {
                Err("it reached the origin as a whole request".to_owned())
            }
            Self::Nothing | Self::NothingWhole => Ok(()),
            Self::Requests(count, _) if requests.len() != *count => {
                Err(format!("{} requests at the origin", requests.len()))
            }
            Self::Requests(_, look) | Self::IfAny(look) => {
                requests.iter().try_for_each(look).map_err(|why| format!("at the origin: {why}"))
            }
        }
    }

    /// For messages, after what the client must see.
    pub fn told(&self) -> &'static str {
        match self {
            Self::Nothing => ", nothing at the origin",
            Self::NothingWhole => ", nothing whole at the origin",
            Self::Anything | Self::Requests(..) | Self::IfAny(_) => "",
        }
    }
}
