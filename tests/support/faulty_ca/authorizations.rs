//! Authorisations and their challenges.

use serde_json::{Value, json};

use super::Validation;
use super::answers::{self, Reply};
use super::faults::Problem;
use super::jws;
use super::orders::unauthorized;
use super::records::{FailureRecord, Rule};
use super::state::{State, Target};

/// How far an authorisation or challenge is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Pending,
    Processing,
    Valid,
    Invalid,
    Deactivated,
}

impl Status {
    fn text(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Processing => "processing",
            Self::Valid => "valid",
            Self::Invalid => "invalid",
            Self::Deactivated => "deactivated",
        }
    }
}

struct Challenge {
    kind: String,
    token: String,
    status: Status,
    error: Option<Value>,
}

/// The right to a name.
pub(super) struct Authorization {
    account: usize,
    /// Without `*.`.
    identifier: String,
    wildcard: bool,
    pub(super) status: Status,
    expires: i64,
    challenges: Vec<Challenge>,
    /// Which challenge is validated, and when.
    due: Option<(usize, i64)>,
}

impl Authorization {
    /// As it was ordered.
    pub(super) fn name(&self) -> String {
        if self.wildcard { format!("*.{}", self.identifier) } else { self.identifier.clone() }
    }
}

impl State {
    pub(super) fn authorize(&mut self, account: usize, name: &str, expires: i64, now: i64) -> usize {
        if let Some(&at) = self.reusable.get(&(account, name.to_owned())) {
            let old = &self.authorizations[at];
            if old.status == Status::Valid && now < old.expires {
                return at;
            }
        }
        let (identifier, wildcard) = name.strip_prefix("*.").map_or((name, false), |name| (name, true));
        let kinds = self.settings.challenges.iter().filter(|kind| !wildcard || *kind == "dns-01");
        let mut challenges = Vec::new();
        for kind in kinds {
            let token = [self.random.next().to_be_bytes(), self.random.next().to_be_bytes()].concat();
            challenges.push(Challenge {
                kind: kind.clone(),
                token: jws::base64url(token),
                status: Status::Pending,
                error: None,
            });
        }
        self.authorizations.push(Authorization {
            account,
            identifier: identifier.to_owned(),
            wildcard,
            status: Status::Pending,
            expires,
            challenges,
            due: None,
        });
        self.authorizations.len() - 1
    }

    fn challenge_json(&self, number: usize, at: usize) -> Value {
        let challenge = &self.authorizations[number].challenges[at];
        let mut body = json!({
            "type": challenge.kind,
            "url": self.url(&format!("/challenge/{number}/{}", challenge.kind)),
            "status": challenge.status.text(),
            "token": challenge.token,
        });
        if let Some(error) = &challenge.error {
            body["error"] = error.clone();
        }
        body
    }

    pub(super) fn authorization(
        &mut self,
        account: usize,
        number: usize,
        payload: Option<&Value>,
        now: i64,
    ) -> Result<Reply, Problem> {
        let authorization =
            self.authorizations.get_mut(number).ok_or_else(|| Problem::not_found("no such authorization"))?;
        if authorization.account != account {
            return Err(unauthorized("authorization"));
        }
        match payload {
            None => {}
            Some(payload) if payload["status"] == "deactivated" => authorization.status = Status::Deactivated,
            Some(_) => return Err(Problem::malformed("an authorization is looked at with an empty payload")),
        }
        let expired = authorization.status == Status::Pending && now >= authorization.expires;
        let authorization = &self.authorizations[number];
        // Which challenge of a failed or finished one was tried is all that is left to say.
        let settled = authorization.status != Status::Pending;
        let tried = |at: &usize| !settled || authorization.challenges[*at].status != Status::Pending;
        let challenges = (0..authorization.challenges.len()).filter(tried).map(|at| self.challenge_json(number, at));
        let mut body = json!({
            "identifier": {"type": "dns", "value": authorization.identifier},
            "status": if expired { "expired" } else { authorization.status.text() },
            "expires": answers::rfc3339(authorization.expires),
            "challenges": challenges.collect::<Vec<_>>(),
        });
        if authorization.wildcard {
            body["wildcard"] = json!(true);
        }
        let wait = self.settings.poll_after.filter(|_| authorization.due.is_some());
        Ok(Reply::json(200, &body).retry_after(wait.map(|seconds| seconds.to_string())))
    }

    pub(super) fn challenge(
        &mut self,
        account: usize,
        target: &Target<'_>,
        payload: Option<&Value>,
        now: i64,
    ) -> Result<Reply, Problem> {
        let number = target.number;
        let not_found = || Problem::not_found("no such challenge");
        let authorization = self.authorizations.get_mut(number).ok_or_else(not_found)?;
        if authorization.account != account {
            return Err(unauthorized("challenge"));
        }
        let at = authorization.challenges.iter().position(|challenge| challenge.kind == target.rest);
        let at = at.ok_or_else(not_found)?;
        if payload.is_some() {
            let status = authorization.challenges[at].status;
            if status != Status::Pending {
                let detail = format!("{} of {} is {}", target.rest, authorization.identifier, status.text());
                self.breach(now, Rule::ChallengeTwice, detail);
            }
            let authorization = &mut self.authorizations[number];
            match authorization.status {
                // Another one is being validated, or this one.
                _ if authorization.due.is_some() => {
                    let detail = "the challenge is being validated; a second request may indicate a client bug";
                    return Err(Problem::new(409, "conflict", detail));
                }
                Status::Pending if now < authorization.expires => {
                    authorization.challenges[at].status = Status::Processing;
                    authorization.due = Some((at, now + self.settings.validation_delay));
                    self.waiting.push(number);
                }
                // It could not help any more (Boulder's `postChallenge`).
                Status::Valid => {}
                _ => return Err(Problem::malformed("authorization must be pending")),
            }
        }
        let body = self.challenge_json(number, at);
        Ok(Reply::json(200, &body).up(&self.url(&format!("/authz/{number}"))))
    }

    /// The validations whose time has come. They count as under way until they are decided.
    pub(super) fn take_due(&mut self, now: i64) -> Vec<((usize, usize), Validation)> {
        let mut due = Vec::new();
        let (authorizations, accounts) = (&self.authorizations, &self.accounts);
        self.waiting.retain(|number| {
            let authorization = &authorizations[*number];
            let Some((at, when)) = authorization.due else { return false };
            if when > now {
                return true;
            }
            let challenge = &authorization.challenges[at];
            let validation = Validation {
                kind: challenge.kind.clone(),
                identifier: authorization.identifier.clone(),
                token: challenge.token.clone(),
                key_authorization: format!("{}.{}", challenge.token, accounts[authorization.account].thumbprint),
            };
            due.push(((*number, at), validation));
            false
        });
        due
    }

    pub(super) fn decide(&mut self, (number, at): (usize, usize), result: Result<(), String>, now: i64) {
        let authorization = &mut self.authorizations[number];
        authorization.due = None;
        let challenge = &mut authorization.challenges[at];
        let name = authorization.identifier.clone();
        match result {
            Ok(()) => {
                challenge.status = Status::Valid;
                authorization.status = Status::Valid;
                self.failing.remove(&name);
                if self.settings.authorization_reuse > 0 {
                    authorization.expires = now + self.settings.authorization_reuse;
                    let key = (authorization.account, authorization.name());
                    self.reusable.insert(key, number);
                }
            }
            Err(reason) => {
                challenge.status = Status::Invalid;
                challenge.error = Some(json!({"type": "urn:ietf:params:acme:error:unauthorized", "status": 403,
                    "detail": reason}));
                authorization.status = Status::Invalid;
                *self.failing.entry(name.clone()).or_default() += 1;
                self.records.failures.push(FailureRecord {
                    at: now,
                    account: authorization.account,
                    identifier: name,
                    kind: challenge.kind.clone(),
                    reason,
                });
            }
        }
    }
}
