//! Accounts (RFC 8555 §7.3).

use serde_json::{Value, json};

use super::answers::Reply;
use super::faults::Problem;
use super::jws::{self, Signed, Signer};
use super::limits;
use super::records::{AccountRecord, Rule};
use super::state::State;

/// An account. Lost ones keep their number.
pub(super) struct Account {
    pub(super) thumbprint: String,
    contact: Vec<String>,
    pub(super) deactivated: bool,
    pub(super) gone: bool,
}

impl Account {
    fn json(&self) -> Value {
        json!({"status": if self.deactivated { "deactivated" } else { "valid" }, "contact": self.contact})
    }
}

impl State {
    pub(super) fn forget_accounts(&mut self) {
        self.accounts.iter_mut().for_each(|account| account.gone = true);
    }

    /// The number in the account URL of a request.
    pub(super) fn account(&self, signed: &Signed) -> Option<usize> {
        let Signer::Account(url) = &signed.signer else { return None };
        let number = url.strip_prefix(&self.settings.base)?.strip_prefix("/account/")?.parse().ok()?;
        (number < self.accounts.len()).then_some(number)
    }

    pub(super) fn new_account(&mut self, signed: &Signed, now: i64) -> Result<Reply, Problem> {
        let Signer::Key { jwk, thumbprint } = &signed.signer else {
            return Err(Problem::malformed("a new account needs its key as jwk"));
        };
        let payload = signed.payload.as_ref().ok_or_else(|| Problem::malformed("a new account needs a payload"))?;
        let known = self.accounts.iter().position(|account| !account.gone && account.thumbprint == *thumbprint);
        if let Some(number) = known {
            let account = &self.accounts[number];
            if account.deactivated {
                return Err(Problem::new(
                    403,
                    "unauthorized",
                    "An account with the provided public key is deactivated",
                ));
            }
            return Ok(Reply::json(200, &account.json()).location(self.url(&format!("/account/{number}"))));
        }
        if payload["onlyReturnExisting"] == true {
            let detail = "No account exists with the provided key";
            return Err(Problem::new(400, "accountDoesNotExist", detail));
        }
        let contact = contact(payload);
        if self.accounts.iter().any(|account| !account.gone && !account.deactivated && account.contact == contact) {
            self.breach(now, Rule::SecondAccount, contact.join(", "));
        }
        if payload["termsOfServiceAgreed"] != true {
            return Err(Problem::malformed("must agree to terms of service"));
        }
        let bound = match &payload["externalAccountBinding"] {
            Value::Null if self.settings.external_account_required => {
                let detail = "The request must include a value for the 'externalAccountBinding' field";
                return Err(Problem::new(400, "externalAccountRequired", detail));
            }
            Value::Null => None,
            binding => {
                let url = self.url("/new-account");
                let kid = jws::binding(binding, jwk, &url, &self.settings.external_accounts);
                Some(kid.map_err(|detail| Problem::new(403, "unauthorized", detail))?)
            }
        };
        let used = |record: &AccountRecord| record.bound == bound;
        if self.settings.single_use_bindings && bound.is_some() && self.records.accounts.iter().any(used) {
            return Err(Problem::new(403, "unauthorized", "The external account binding has been used"));
        }
        if self.settings.enforce_limits {
            limits::new_account(&self.records, now)?;
        }
        let number = self.accounts.len();
        let account =
            Account { thumbprint: thumbprint.clone(), contact: contact.clone(), deactivated: false, gone: false };
        let reply = Reply::json(201, &account.json()).location(self.url(&format!("/account/{number}")));
        self.accounts.push(account);
        self.records.accounts.push(AccountRecord { at: now, number, contact, bound });
        Ok(reply)
    }

    pub(super) fn update_account(&mut self, number: usize, payload: Option<&Value>) -> Reply {
        let account = &mut self.accounts[number];
        if let Some(payload) = payload {
            if payload["contact"].is_array() {
                account.contact = contact(payload);
            }
            account.deactivated |= payload["status"] == "deactivated";
        }
        Reply::json(200, &account.json())
    }
}

fn contact(payload: &Value) -> Vec<String> {
    let contact = payload["contact"].as_array().into_iter().flatten();
    contact.filter_map(|contact| contact.as_str().map(str::to_owned)).collect()
}
