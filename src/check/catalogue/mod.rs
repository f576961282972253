//! Every rule of the check: its stable id, how bad a breach is, what it means, what to do.
//!
//! The ids are part of the contract and never change their meaning. `{server}`, `{subject}` and
//! `{host}` in a remedy are filled in by the finding.
//!
//! The rows stand in a file for each subject, each of which is a macro that adds its rows to those
//! before and hands all of them to the next one named. So there is one table in the end, and with it
//! one enum, however many files there are.

#[macro_use]
mod dns;
#[macro_use]
mod well_known;
#[macro_use]
mod clients;
#[macro_use]
mod tls;
#[macro_use]
mod federation;
#[macro_use]
mod requests;
#[macro_use]
mod homeserver;
#[macro_use]
mod loop_back;
#[macro_use]
mod machine;

use super::finding::Severity;
use std::fmt;

/// Makes the enum and its lookups of the whole table: variant, id, severity, meaning, remedy.
macro_rules! catalogue {
    ([] $($name:ident $id:literal $severity:ident $meaning:literal $remedy:literal)*) => {
        /// A rule of the check.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $meaning] $name,)*
        }

        impl Code {
            /// All rules, in the order of the catalogue.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stable id.
            pub fn id(self) -> &'static str {
                match self { $(Self::$name => $id,)* }
            }

            /// How bad a breach is, unless circumstances say otherwise.
            pub fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)* }
            }

            /// What the rule is about.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning,)* }
            }

            /// What to do about a breach, with placeholders.
            pub fn remedy(self) -> &'static str {
                match self { $(Self::$name => $remedy,)* }
            }
        }
    };
}

// The order of the catalogue.
dns! { [well_known clients tls federation requests homeserver loop_back machine catalogue] }

impl Code {
    /// The rule with this id.
    pub fn parse(id: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.id() == id)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ids_are_unique_and_texts_keep_their_form() {
        let ids: BTreeSet<_> = Code::ALL.iter().map(|code| code.id()).collect();
        assert_eq!(ids.len(), Code::ALL.len());
        for code in Code::ALL {
            assert_eq!(Code::parse(code.id()), Some(*code));
            assert!(code.meaning().ends_with('.'), "{code}: {}", code.meaning());
            assert!(!code.remedy().ends_with('.'), "{code}: {}", code.remedy());
        }
        assert_eq!(Code::parse("tls.nonsense"), None);
    }
}
