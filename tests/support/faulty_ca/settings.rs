//! How the CA is set up.

use std::sync::Arc;

use super::{DAY, FaultyCa, Validation};

/// Let's Encrypt's profiles of late 2026, with lifetimes in seconds. `shortlived` is 160 hours.
const PROFILES: [(&str, i64); 3] = [("classic", 90 * DAY), ("tlsserver", 45 * DAY), ("shortlived", 160 * 3600)];

/// A profile that the directory offers.
#[derive(Clone, Debug)]
pub struct Profile {
    pub name: String,
    /// Seconds.
    pub lifetime: i64,
}

/// What `Date` says.
#[derive(Clone, Copy, Debug, Default)]
pub enum DateHeader {
    #[default]
    True,
    /// The true time and so many seconds.
    Skewed(i64),
    Absent,
}

/// Begun by [`FaultyCa::settings`], ended by [`Settings::start`].
#[derive(Clone, Debug)]
pub struct Settings {
    pub(super) base: String,
    pub(super) profiles: Vec<Profile>,
    /// Of orders without a profile.
    pub(super) lifetime: i64,
    pub(super) backdate: i64,
    pub(super) challenges: Vec<String>,
    pub(super) renewal_info: bool,
    pub(super) caa_identities: Vec<String>,
    pub(super) external_accounts: Vec<(String, Vec<u8>)>,
    pub(super) external_account_required: bool,
    pub(super) single_use_bindings: bool,
    pub(super) validation_delay: i64,
    pub(super) issuance_delay: i64,
    pub(super) poll_after: Option<i64>,
    pub(super) authorization_reuse: i64,
    pub(super) order_lifetime: i64,
    pub(super) order_reuse: bool,
    pub(super) enforce_limits: bool,
    pub(super) intermediates: usize,
    pub(super) date: DateHeader,
    pub(super) seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        let profile = |(name, lifetime): (&str, i64)| Profile { name: name.to_owned(), lifetime };
        Self {
            base: "https://ca.test".to_owned(),
            profiles: PROFILES.map(profile).to_vec(),
            lifetime: 90 * DAY,
            backdate: 3600,
            challenges: ["http-01", "dns-01", "tls-alpn-01"].map(str::to_owned).to_vec(),
            renewal_info: true,
            caa_identities: Vec::new(),
            external_accounts: Vec::new(),
            external_account_required: false,
            single_use_bindings: false,
            validation_delay: 0,
            issuance_delay: 0,
            poll_after: None,
            authorization_reuse: 0,
            order_lifetime: 7 * DAY,
            order_reuse: true,
            enforce_limits: false,
            intermediates: 1,
            date: DateHeader::True,
            seed: 1,
        }
    }
}

impl Settings {
    /// What URLs begin with: `https://` and an authority, and no slash at the end.
    pub fn base(mut self, base: &str) -> Self {
        base.clone_into(&mut self.base);
        self
    }

    /// The profiles instead of Let's Encrypt's three; none takes `meta.profiles` out of the directory.
    pub fn profiles(mut self, profiles: &[(&str, i64)]) -> Self {
        let profile = |(name, lifetime): &(&str, i64)| Profile { name: (*name).to_owned(), lifetime: *lifetime };
        self.profiles = profiles.iter().map(profile).collect();
        self
    }

    /// How long certificates of orders without a profile live, in seconds; 90 days if not set.
    pub fn lifetime(mut self, seconds: i64) -> Self {
        self.lifetime = seconds;
        self
    }

    /// How long before its issuance a certificate becomes valid, in seconds; an hour if not set.
    pub fn backdate(mut self, seconds: i64) -> Self {
        self.backdate = seconds;
        self
    }

    /// The challenge types on offer; all three if not set. Wildcards only ever get dns-01.
    pub fn challenges(mut self, kinds: &[&str]) -> Self {
        self.challenges = kinds.iter().map(|kind| (*kind).to_owned()).collect();
        self
    }

    /// No `renewalInfo`, as most CAs have it.
    pub fn without_renewal_info(mut self) -> Self {
        self.renewal_info = false;
        self
    }

    /// `meta.caaIdentities`.
    pub fn caa_identities(mut self, identities: &[&str]) -> Self {
        self.caa_identities = identities.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    /// An external account: its key identifier and MAC key.
    pub fn external_account(mut self, kid: &str, mac_key: &[u8]) -> Self {
        self.external_accounts.push((kid.to_owned(), mac_key.to_owned()));
        self
    }

    /// Makes no account without a binding.
    pub fn external_account_required(mut self) -> Self {
        self.external_account_required = true;
        self
    }

    /// A key identifier is good for one account only.
    pub fn single_use_bindings(mut self) -> Self {
        self.single_use_bindings = true;
        self
    }

    /// How long the CA takes before it validates, in seconds; not at all if not set.
    pub fn validation_delay(mut self, seconds: i64) -> Self {
        self.validation_delay = seconds;
        self
    }

    /// How long the CA takes to sign, in seconds; if not set, finalising answers with the certificate's URL.
    pub fn issuance_delay(mut self, seconds: i64) -> Self {
        self.issuance_delay = seconds;
        self
    }

    /// Sends `Retry-After` with unfinished orders and authorisations.
    pub fn poll_after(mut self, seconds: i64) -> Self {
        self.poll_after = Some(seconds);
        self
    }

    /// How long a valid authorisation serves later orders, in seconds; not at all if not set.
    pub fn authorization_reuse(mut self, seconds: i64) -> Self {
        self.authorization_reuse = seconds;
        self
    }

    /// How long an order may stay unfinished, in seconds; seven days if not set.
    pub fn order_lifetime(mut self, seconds: i64) -> Self {
        self.order_lifetime = seconds;
        self
    }

    /// Every order is a new one. Let's Encrypt hands out an identical unfinished one again.
    pub fn without_order_reuse(mut self) -> Self {
        self.order_reuse = false;
        self
    }

    /// Enforces Let's Encrypt's limits, with sliding windows, which are a little stricter than its token buckets.
    pub fn enforce_limits(mut self) -> Self {
        self.enforce_limits = true;
        self
    }

    /// How many certificates stand behind the leaf; one if not set.
    pub fn intermediates(mut self, count: usize) -> Self {
        self.intermediates = count;
        self
    }

    /// What `Date` says; the truth if not set.
    pub fn date(mut self, date: DateHeader) -> Self {
        self.date = date;
        self
    }

    /// Where tokens and the shares of faults begin.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The CA. `validator` looks whether challenges are met; it must not call the CA.
    pub fn start(self, validator: impl Fn(&Validation) -> Result<(), String> + Send + Sync + 'static) -> FaultyCa {
        FaultyCa::start(self, Arc::new(validator))
    }

    #[track_caller]
    pub(super) fn set_lifetime(&mut self, profile: Option<&str>, seconds: i64) {
        match profile {
            None => self.lifetime = seconds,
            Some(name) => {
                let profile = self.profiles.iter_mut().find(|profile| profile.name == name);
                profile.unwrap_or_else(|| panic!("no profile {name}")).lifetime = seconds;
            }
        }
    }

    /// How long a certificate lives; `None` for a profile that there is not.
    pub(super) fn lifetime_of(&self, profile: Option<&str>) -> Option<i64> {
        match profile {
            None => Some(self.lifetime),
            Some(name) => self.profiles.iter().find(|profile| profile.name == name).map(|profile| profile.lifetime),
        }
    }
}
