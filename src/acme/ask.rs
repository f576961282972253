//! What people ask of the certificate manager, while it runs.

use crate::matrix::Host;
use tokio::sync::{mpsc, oneshot};

/// A request. Without names it is about every certificate that is ordered here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Order certificates that are due, or with `force` whether or not they are.
    Renew {
        /// Each stands for the certificate that it is part of.
        names: Vec<Host>,
        /// Orders though nothing is due.
        force: bool,
    },
    /// Order from a staging CA, keep nothing, and say whether it would have worked.
    Rehearse {
        /// Each stands for the certificate that it is part of.
        names: Vec<Host>,
    },
}

impl Ask {
    /// The names that were given.
    pub fn names(&self) -> &[Host] {
        match self {
            Self::Renew { names, .. } | Self::Rehearse { names } => names,
        }
    }

    /// Whether the certificate for the names of `set` is meant.
    pub fn means(&self, set: &[Host]) -> bool {
        self.names().is_empty() || self.names().iter().any(|name| set.contains(name))
    }
}

/// A request on its way to the manager. Dropped without [`Self::finish`], it tells that the manager has
/// ended.
#[derive(Debug)]
pub struct Asked {
    /// What is asked.
    pub ask: Ask,
    /// Where sentences for whoever asked go.
    pub lines: mpsc::UnboundedSender<String>,
    /// Whether all that was asked for is well.
    pub done: oneshot::Sender<bool>,
}

impl Asked {
    /// Tells whoever asked. That nobody listens any more is no reason to stop.
    pub fn line(&self, text: impl Into<String>) {
        let _ = self.lines.send(text.into());
    }

    /// The end, good or not.
    pub fn finish(self, good: bool) {
        let _ = self.done.send(good);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_for_its_certificate() {
        let hosts = |names: &[&str]| -> Vec<_> { names.iter().map(|name| Host::parse(name).unwrap()).collect() };
        let (one, two) = (hosts(&["a.example", "matrix.a.example"]), hosts(&["b.example"]));
        let ask = Ask::Rehearse { names: hosts(&["matrix.a.example"]) };
        assert!(ask.means(&one) && !ask.means(&two));
        let all = Ask::Renew { names: Vec::new(), force: false };
        assert!(all.means(&one) && all.means(&two));
    }
}
