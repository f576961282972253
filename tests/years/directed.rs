//! What the shorter lives share.

use std::io;
use std::sync::{Arc, Mutex};

use crate::support::faulty_ca::{OrderRecord, Records};

use super::time::{HOUR, MINUTE, shown};
use super::world::{Set, World};

/// Runs a life on a runtime of its own, with paused time.
pub fn live<T>(life: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    tokio::task::LocalSet::new().block_on(&runtime.expect("a runtime"), life)
}

/// A world with a certificate.
pub async fn issued(set: Set) -> World {
    let mut world = World::new(set);
    world.restart().await;
    world.pass(20 * MINUTE).await;
    assert!(world.served().is_some(), "no first certificate:\n{}", world.rim.journal());
    world
}

impl World {
    pub fn records(&self, ca: usize) -> Records {
        self.cas[ca].records()
    }

    pub fn orders(&self, ca: usize) -> Vec<OrderRecord> {
        self.cas[ca].with_records(|records| records.orders.clone())
    }

    /// The last order, for whoever wants to know when, and what it replaces.
    pub fn last_order(&self, ca: usize) -> OrderRecord {
        self.orders(ca).pop().expect("an order")
    }

    /// No limit was passed and no rule broken at any CA.
    pub fn insist_on_manners(&self) {
        for ca in &self.cas {
            let records = ca.records();
            assert!(records.over_limits().is_empty(), "{:?}\n{}", records.over_limits(), self.rim.journal());
            let breaches: Vec<_> = records.breaches.iter().map(|breach| (shown(breach.at), breach)).collect();
            assert!(breaches.is_empty(), "{breaches:#?}\n{}", self.rim.journal());
        }
    }

    /// Waits for something, and says how long it took.
    pub async fn wait(&mut self, longest: i64, what: &str, mut met: impl FnMut(&Self) -> bool) -> i64 {
        let begin = self.time.now();
        while !met(self) {
            if self.time.now() - begin >= longest {
                self.fail(&format!("not within {} h: {what}", longest / HOUR));
            }
            self.pass(MINUTE).await;
        }
        self.time.now() - begin
    }
}

/// What the program logs on this thread while it lives.
pub struct Log {
    text: Arc<Mutex<Vec<u8>>>,
    _guard: tracing::subscriber::DefaultGuard,
}

#[derive(Clone)]
struct Writer(Arc<Mutex<Vec<u8>>>);

impl io::Write for Writer {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("nobody panics with it").extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    pub fn listen() -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let writer = Writer(Arc::clone(&text));
        let subscriber = tracing_subscriber::fmt().with_ansi(false).without_time().with_writer(move || writer.clone());
        Self { text, _guard: tracing::subscriber::set_default(subscriber.finish()) }
    }

    pub fn count(&self, part: &str) -> usize {
        let text = self.text.lock().expect("nobody panics with it");
        String::from_utf8_lossy(&text).lines().filter(|line| line.contains(part)).count()
    }
}
