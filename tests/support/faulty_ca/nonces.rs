//! Nonces (RFC 8555 §6.5).

use std::collections::{HashSet, VecDeque};

/// Older ones are forgotten, as every server does.
const MOST: usize = 10_000;

/// Good for one request each.
#[derive(Default)]
pub(super) struct Nonces {
    made: u64,
    good: HashSet<u64>,
    order: VecDeque<u64>,
}

/// What a nonce was.
pub(super) enum Spent {
    Good,
    /// It has served, or is too old.
    Again,
    /// It was never given out.
    Unknown,
}

impl Nonces {
    pub(super) fn make(&mut self) -> String {
        self.made += 1;
        self.good.insert(self.made);
        self.order.push_back(self.made);
        if self.order.len() > MOST {
            let oldest = self.order.pop_front();
            oldest.map(|oldest| self.good.remove(&oldest));
        }
        format!("{:016x}", self.made)
    }

    pub(super) fn spend(&mut self, nonce: Option<&str>) -> Spent {
        match nonce.and_then(|text| u64::from_str_radix(text, 16).ok()) {
            Some(nonce) if self.good.remove(&nonce) => Spent::Good,
            Some(nonce) if (1..=self.made).contains(&nonce) => Spent::Again,
            _ => Spent::Unknown,
        }
    }
}
