//! Everything that the manager does to the world passes here, and here its process dies: before a request or a write
//! takes effect, or after it did and before anybody hears of it.

use std::collections::VecDeque;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::time::{Time, shown};

/// Lines that are kept for whoever has to understand a failure.
const REMEMBERED: usize = 80;

/// When the process dies.
#[derive(Clone, Copy, Debug)]
pub enum Death {
    /// At the so-many-th passage from now.
    Soon(u32),
    /// At the so-many-th passage from the next look for a nonce or order on: in the middle of an order.
    InOrder(u32),
}

#[derive(Default)]
struct State {
    death: Option<Death>,
    dead: bool,
    setbacks: Vec<i64>,
    journal: VecDeque<String>,
}

/// Clones are handles to the same rim.
#[derive(Clone)]
pub struct Rim {
    time: Time,
    state: Arc<Mutex<State>>,
    died: Arc<Notify>,
}

impl Rim {
    pub fn new(time: Time) -> Self {
        Self { time, state: Arc::default(), died: Arc::default() }
    }

    pub fn arm(&self, death: Death) {
        self.state().death = Some(death);
    }

    /// Whether somebody is still to die.
    pub fn armed(&self) -> bool {
        self.state().death.is_some()
    }

    /// Somebody passes.
    pub async fn pass(&self) {
        if self.kills() {
            self.died.notify_one();
        } else if !self.state().dead {
            return;
        }
        pending().await
    }

    /// An order is about to be placed.
    pub fn order_begins(&self) {
        let mut state = self.state();
        if let Some(Death::InOrder(count)) = state.death {
            state.death = Some(Death::Soon(count));
        }
    }

    fn kills(&self) -> bool {
        let mut state = self.state();
        match &mut state.death {
            Some(Death::Soon(0)) => {
                state.death = None;
                state.dead = true;
                true
            }
            Some(Death::Soon(left)) => {
                *left -= 1;
                false
            }
            Some(Death::InOrder(_)) | None => false,
        }
    }

    /// An attempt to order may have been lost at this moment, through no fault of the manager.
    pub fn set_back(&self) {
        let now = self.time.now();
        self.state().setbacks.push(now);
    }

    /// All such moments, in order.
    pub fn setbacks(&self) -> Vec<i64> {
        self.state().setbacks.clone()
    }

    /// Resolves when the process has died.
    pub async fn died(&self) {
        self.died.notified().await;
    }

    /// Another process begins.
    pub fn revive(&self) {
        self.state().dead = false;
    }

    /// Writes down what happened.
    pub fn note(&self, what: impl AsRef<str>) {
        let line = format!("{}  {}", shown(self.time.now()), what.as_ref());
        if std::env::var_os("YEARS_LOG").is_some() {
            eprintln!("{line}");
        }
        let mut state = self.state();
        if state.journal.len() == REMEMBERED {
            state.journal.pop_front();
        }
        state.journal.push_back(line);
    }

    /// What is of interest only to whoever reads everything.
    pub fn whisper(&self, what: impl FnOnce() -> String) {
        if std::env::var_os("YEARS_LOG").is_some() {
            eprintln!("{}    {}", shown(self.time.now()), what());
        }
    }

    /// What happened last.
    pub fn journal(&self) -> String {
        self.state().journal.iter().fold(String::new(), |all, line| all + line + "\n")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
