//! The unit's status line, as `systemctl status` shows it: one line, told by several.

use super::notify;
use sd_notify::NotifyState;
use std::cell::RefCell;

/// What the line is made of. It is told again whenever a part has changed.
#[derive(Debug, Default)]
pub(super) struct UnitStatus(RefCell<Parts>);

#[derive(Debug, Default)]
struct Parts {
    certificates: String,
    verdicts: String,
}

impl UnitStatus {
    /// What is served, and what ends first.
    pub(super) fn certificates(&self, text: String) {
        self.change(|parts| std::mem::replace(&mut parts.certificates, text.clone()) != text);
    }

    /// What the self-check has found.
    pub(super) fn verdicts(&self, text: String) {
        self.change(|parts| std::mem::replace(&mut parts.verdicts, text.clone()) != text);
    }

    fn change(&self, change: impl FnOnce(&mut Parts) -> bool) {
        let mut parts = self.0.borrow_mut();
        if change(&mut parts) {
            notify(&[NotifyState::Status(&parts.line())]);
        }
    }
}

impl Parts {
    fn line(&self) -> String {
        let parts = [self.certificates.as_str(), self.verdicts.as_str()];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_has_what_is_known() {
        let status = UnitStatus::default();
        let line = || status.0.borrow().line();
        assert_eq!(line(), "");
        status.verdicts("a.example federates".to_owned());
        assert_eq!(line(), "a.example federates");
        status.certificates("no certificate".to_owned());
        assert_eq!(line(), "no certificate; a.example federates");
    }
}
