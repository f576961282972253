use super::keeper::PROBE_INTERVAL;
use super::watcher::{IN_USE, WATCH_INTERVAL};
use super::*;
use crate::net::client::ClientKey;
use crate::upstream::connect::ConnectError;
use crate::upstream::pace::TICK;
use proptest::prelude::*;
use std::io;
use std::net::IpAddr;
use std::time::Duration;
use tokio::task::LocalSet;
use tokio::time::{Instant, advance, sleep, timeout};

/// A gate before an endpoint whose `/health` says what the test sets.
struct Bench {
    gate: Rc<Gate>,
    verdict: Rc<RefCell<Verdict>>,
    asked: Rc<Cell<u32>>,
    commons: Arc<Commons>,
    metrics: Arc<HoldMetrics>,
    /// Numbers of the requests that were let go, in that order.
    gone: Rc<RefCell<Vec<u32>>>,
    tasks: RefCell<JoinSet<Result<(), Refused>>>,
}

fn down() -> Verdict {
    Verdict::Unhealthy("refused".to_owned())
}

fn refused() -> ConnectError {
    ConnectError::Refused(io::ErrorKind::ConnectionRefused.into())
}

fn waiting(seconds: u64) -> Waiting {
    let client = ClientKey::from(IpAddr::from([192, 0, 2, 1]));
    Waiting { limit: Duration::from_secs(seconds), bytes: 1000, client }
}

impl Bench {
    fn new() -> Rc<Self> {
        Self::checked(Check::Health)
    }

    fn checked(check: Check) -> Rc<Self> {
        let (commons, metrics) = (Arc::new(Commons::new()), Arc::new(HoldMetrics::default()));
        let (verdict, asked) = (Rc::new(RefCell::new(Verdict::Healthy)), Rc::<Cell<u32>>::default());
        let (says, counts) = (Rc::clone(&verdict), Rc::clone(&asked));
        let ask = move || -> LocalBoxFuture<'static, Verdict> {
            counts.set(counts.get() + 1);
            let verdict = says.borrow().clone();
            Box::pin(async move {
                sleep(Duration::from_millis(1)).await;
                verdict
            })
        };
        let address = UpstreamAddress::Name("hs".to_owned(), 8008);
        let gate =
            Gate::asking((address, Rc::default()), (check, Box::new(ask)), Arc::clone(&commons), Arc::clone(&metrics));
        Rc::new(Self { gate, verdict, asked, commons, metrics, gone: Rc::default(), tasks: RefCell::default() })
    }

    /// The endpoint goes down as the next request finds out.
    async fn go_down(&self) {
        *self.verdict.borrow_mut() = down();
        let mut turn = self.gate.turn(waiting(0));
        turn.come().await.unwrap();
        assert!(!turn.connect_failed(&refused()));
        assert!(self.gate.health().is_down());
    }

    fn come_up(&self) {
        *self.verdict.borrow_mut() = Verdict::Healthy;
    }

    /// A request that is sent once it may go, and answered after `answer`.
    fn request(self: &Rc<Self>, number: u32, limit: u64, answer: Duration) -> tokio::task::AbortHandle {
        let bench = Rc::clone(self);
        self.tasks.borrow_mut().spawn_local(async move {
            let mut turn = bench.gate.turn(waiting(limit));
            turn.come().await?;
            bench.gone.borrow_mut().push(number);
            turn.connected();
            sleep(answer).await;
            turn.answered();
            Ok(())
        })
    }

    async fn finished(&self) -> Vec<Result<(), Refused>> {
        let mut tasks = self.tasks.take();
        let mut ended = Vec::new();
        while let Some(end) = tasks.join_next().await {
            if let Ok(end) = end {
                ended.push(end);
            }
        }
        // The keeper needs a moment to see that all is well.
        sleep(TICK * 2).await;
        ended
    }

    #[track_caller]
    fn assert_clean(&self) {
        assert_eq!(self.commons.budget.in_use(), (0, 0, 0));
        let inner = self.gate.inner.borrow();
        assert_eq!((inner.queue.len(), inner.on_the_way), (0, 0));
        let HoldCounts { held, saved, lost, left, .. } = self.metrics.counts();
        assert_eq!(held, saved + lost + left);
        if inner.health.is_up() {
            assert!(self.gate.open.get() && !inner.kept, "the keeper has ended");
            assert_eq!(self.commons.outage(&self.gate.address), None);
        }
    }

    async fn assert_clean_after_settling(&self) {
        sleep(PROBE_INTERVAL * 2).await;
        self.assert_clean();
    }
}

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    LocalSet::new().block_on(&runtime, work)
}

#[test]
fn an_open_gate_does_nothing() {
    run(async {
        let bench = Bench::new();
        for limit in [0, 20] {
            let mut turn = bench.gate.turn(waiting(limit));
            assert_eq!(turn.come().await, Ok(()));
            turn.connected();
            turn.answered();
        }
        assert_eq!((bench.asked.get(), bench.metrics.counts()), (0, HoldCounts::default()));
        bench.assert_clean();
    });
}

#[test]
fn a_request_finds_the_endpoint_down_waits_and_goes() {
    run(async {
        let bench = Bench::new();
        *bench.verdict.borrow_mut() = down();
        let mut turn = bench.gate.turn(waiting(20));
        turn.come().await.unwrap();
        assert!(turn.connect_failed(&refused()));
        let started = Instant::now();
        assert!(timeout(Duration::from_secs(3), turn.come()).await.is_err(), "it waits");
        assert_eq!(bench.commons.outage(&bench.gate.address), Some((1, HoldCounts::default())));
        assert!((12..=13).contains(&bench.asked.get()), "four a second: {}", bench.asked.get());
        bench.come_up();
        turn.come().await.unwrap();
        assert!(started.elapsed() <= Duration::from_secs(3) + PROBE_INTERVAL + TICK);
        turn.connected();
        assert_eq!(bench.commons.budget.in_use(), (0, 0, 0), "it is held no more");
        turn.answered();
        sleep(TICK * 2).await;
        assert_eq!(bench.metrics.counts(), HoldCounts { held: 1, saved: 1, ..HoldCounts::default() });
        bench.assert_clean();
        let asked = bench.asked.get();
        sleep(Duration::from_secs(60)).await;
        assert_eq!(bench.asked.get(), asked, "nobody asks an endpoint that is up");
    });
}

#[test]
fn every_request_has_its_own_deadline() {
    run(async {
        let bench = Bench::new();
        bench.go_down().await;
        let started = Instant::now();
        for limit in [50, 8, 20] {
            let mut turn = bench.gate.turn(waiting(limit));
            bench.tasks.borrow_mut().spawn_local(async move {
                let end = turn.come().await;
                assert_eq!(started.elapsed().as_secs(), limit);
                assert_eq!(turn.come().await, Err(Refused::Over), "over is over");
                end
            });
        }
        assert_eq!(bench.finished().await, [Err(Refused::Over); 3]);
        assert_eq!(bench.metrics.counts(), HoldCounts { held: 3, lost: 3, ..HoldCounts::default() });
        bench.assert_clean();
    });
}

#[test]
fn who_does_not_wait_is_refused_at_once_or_tries() {
    run(async {
        let bench = Bench::new();
        bench.go_down().await;
        let mut turn = bench.gate.turn(waiting(0));
        assert_eq!(turn.come().await, Ok(()), "the system refuses as quickly, and knows first that it is back");
        assert!(!turn.connect_failed(&refused()));
        sleep(PROBE_INTERVAL * 2).await;
        assert_eq!(bench.gate.turn(waiting(0)).come().await, Err(Refused::Off), "somebody listens and is not well");
        *bench.verdict.borrow_mut() = Verdict::Absent("refused".to_owned());
        sleep(PROBE_INTERVAL * 2).await;
        assert_eq!(bench.gate.turn(waiting(0)).come().await, Ok(()));
        bench.come_up();
        sleep(PROBE_INTERVAL * 2).await;
        bench.gate.turn(waiting(20)).broke_unanswered();
        assert_eq!(bench.gate.health(), Health::Suspect);
        assert_eq!(bench.gate.turn(waiting(0)).come().await, Ok(()));
        bench.assert_clean_after_settling().await;
    });
}

#[test]
fn a_suspicion_costs_no_request() {
    run(async {
        let bench = Bench::new();
        let mut broken = bench.gate.turn(waiting(20));
        broken.come().await.unwrap();
        broken.connected();
        broken.broke_unanswered();
        drop(broken);
        for number in 0..3 {
            bench.request(number, 20, Duration::ZERO);
        }
        sleep(Duration::from_millis(2)).await;
        assert_eq!(*bench.gone.borrow(), [0, 1, 2], "as soon as /health has answered");
        assert_eq!((bench.asked.get(), bench.metrics.counts().saved), (1, 3));
        bench.assert_clean_after_settling().await;
    });
}

#[test]
fn an_endpoint_that_answers_others_is_not_suspected() {
    run(async {
        let bench = Bench::new();
        let (mut broken, mut other) = (bench.gate.turn(waiting(20)), bench.gate.turn(waiting(20)));
        for turn in [&mut broken, &mut other] {
            turn.come().await.unwrap();
            turn.connected();
        }
        other.answered();
        broken.broke_unanswered();
        assert!(bench.gate.is_open());
        // An answer from before it began says nothing.
        broken.connected();
        broken.broke_unanswered();
        assert_eq!(bench.gate.health(), Health::Suspect);
        drop(broken);
        bench.assert_clean_after_settling().await;
    });
}

/// Its `/health`, if it has one, would say nothing of the request.
#[test]
fn a_close_is_no_suspicion_where_nobody_is_asked() {
    run(async {
        let bench = Bench::checked(Check::Connect);
        *bench.verdict.borrow_mut() = down();
        let mut broken = bench.gate.turn(waiting(0));
        broken.come().await.unwrap();
        broken.connected();
        broken.broke_unanswered();
        drop(broken);
        assert!(bench.gate.is_open());
        bench.go_down().await;
        bench.come_up();
        bench.assert_clean_after_settling().await;
    });
}

#[test]
fn a_container_proxy_without_its_backend_is_down() {
    run(async {
        let bench = Bench::new();
        *bench.verdict.borrow_mut() = down();
        let mut broken = bench.gate.turn(waiting(20));
        broken.come().await.unwrap();
        broken.broke_unanswered();
        drop(broken);
        bench.request(0, 20, Duration::ZERO);
        sleep(Duration::from_secs(1)).await;
        assert!(bench.gate.health().is_down() && bench.gone.borrow().is_empty());
        bench.come_up();
        assert_eq!(bench.finished().await, [Ok(())]);
        bench.assert_clean();
    });
}

/// A lack of files on this side is no reason to wait, nor to stop those that are under way.
#[test]
fn what_is_no_outage_closes_nothing() {
    run(async {
        let bench = Bench::new();
        let mut turn = bench.gate.turn(waiting(20));
        turn.come().await.unwrap();
        assert!(!turn.connect_failed(&ConnectError::Refused(io::Error::from_raw_os_error(24))));
        assert!(bench.gate.open.get());
        assert_eq!((bench.metrics.connect_failures.get(), bench.metrics.counts().held), (1, 0));
        drop(turn);

        bench.go_down().await;
        *bench.verdict.borrow_mut() = Verdict::Unknown;
        let mut turn = bench.gate.turn(waiting(2));
        assert_eq!(turn.come().await, Err(Refused::Over), "what cannot be asked stays as it is");
        bench.come_up();
        let mut turn = bench.gate.turn(waiting(2));
        turn.come().await.unwrap();
        assert!(!turn.connect_failed(&ConnectError::Refused(io::ErrorKind::PermissionDenied.into())));
        assert_eq!(turn.come().await, Err(Refused::Over));
        drop(turn);
        bench.assert_clean_after_settling().await;
        assert_eq!(bench.metrics.counts(), HoldCounts { held: 2, lost: 2, ..HoldCounts::default() });
    });
}

#[test]
fn a_probe_that_hangs_is_a_failed_one() {
    run(async {
        let (commons, metrics) = (Arc::new(Commons::new()), Arc::new(HoldMetrics::default()));
        let ask = || -> LocalBoxFuture<'static, Verdict> { Box::pin(std::future::pending()) };
        let gate = Gate::asking(
            (UpstreamAddress::Name("hs".to_owned(), 1), Rc::default()),
            (Check::Health, Box::new(ask)),
            commons,
            metrics,
        );
        gate.turn(waiting(20)).broke_unanswered();
        sleep(probe::WHOLE / 2).await;
        assert_eq!(gate.health(), Health::Suspect);
        sleep(probe::WHOLE).await;
        assert!(gate.health().is_down());
    });
}

/// A homeserver under load answers late, and has an outage no more than one that answers at once.
#[test]
fn a_slow_answer_is_an_answer() {
    run(async {
        let (commons, metrics) = (Arc::new(Commons::new()), Arc::new(HoldMetrics::default()));
        let asking = Rc::<Cell<u32>>::default();
        let count = Rc::clone(&asking);
        let ask = move || -> LocalBoxFuture<'static, Verdict> {
            let count = Rc::clone(&count);
            count.set(count.get() + 1);
            Box::pin(async move {
                assert_eq!(count.get(), 1, "one at a time");
                sleep(Duration::from_secs(4)).await;
                Verdict::Healthy
            })
        };
        let address = UpstreamAddress::Name("hs".to_owned(), 1);
        let gate = Gate::asking((address, Rc::default()), (Check::Health, Box::new(ask)), commons, metrics);
        gate.turn(waiting(20)).broke_unanswered();
        let started = Instant::now();
        gate.turn(waiting(20)).come().await.unwrap();
        assert_eq!((started.elapsed().as_secs(), asking.get()), (4, 1));
        assert_eq!(gate.metrics.counts().held, 1);
    });
}

/// Two failures in a row take an endpoint out of rotation, one does not, and nobody asks for nobody.
#[test]
fn an_endpoint_in_use_is_looked_after() {
    run(async {
        let bench = Bench::checked(Check::Watch);
        sleep(Duration::from_secs(100)).await;
        assert_eq!(bench.asked.get(), 0, "nobody has come yet");
        bench.gate.turn(waiting(0)).come().await.unwrap();
        sleep(Duration::from_millis(10)).await;
        assert_eq!(bench.asked.get(), 1, "at once");
        *bench.verdict.borrow_mut() = down();
        sleep(WATCH_INTERVAL).await;
        assert!(bench.gate.is_open(), "one failure is a moment's");
        sleep(WATCH_INTERVAL).await;
        assert!(bench.gate.health().is_down() && bench.asked.get() >= 3);
        bench.come_up();
        sleep(WATCH_INTERVAL).await;
        assert!(bench.gate.is_open());
        sleep(IN_USE).await;
        let asked = bench.asked.get();
        sleep(IN_USE).await;
        assert_eq!(bench.asked.get(), asked, "nobody comes any more");
        bench.gate.turn(waiting(0)).come().await.unwrap();
        sleep(Duration::from_millis(10)).await;
        assert_eq!(bench.asked.get(), asked + 1);
        bench.assert_clean();
    });
}

/// 1,000 requests: in order, a few first, and all of them soon, be they answered or not.
#[test]
fn release_is_in_order_and_paced() {
    for (answer, all_within) in [(10, 500), (500, 5_000), (30_000, 5_500)] {
        run(async {
            let bench = Bench::new();
            bench.go_down().await;
            for number in 0..1000 {
                bench.request(number, 20, Duration::from_millis(answer));
            }
            sleep(Duration::from_millis(100)).await;
            assert_eq!((bench.gone.borrow().len(), bench.metrics.counts().held), (0, 1000));
            bench.come_up();
            while bench.gone.borrow().is_empty() {
                sleep(Duration::from_millis(1)).await;
            }
            assert!(bench.gone.borrow().len() <= 5, "{} at once", bench.gone.borrow().len());
            let started = Instant::now();
            // A newcomer does not overtake.
            bench.request(1000, 20, Duration::ZERO);
            while bench.gone.borrow().len() <= 1000 {
                sleep(Duration::from_millis(1)).await;
                let most = 6 + started.elapsed().as_millis() / 5 + if answer == 30_000 { 0 } else { 3000 };
                assert!(u128::try_from(bench.gone.borrow().len()).unwrap() <= most);
            }
            assert!(started.elapsed() < Duration::from_millis(all_within), "{answer}: {:?}", started.elapsed());
            assert!(bench.gone.borrow().iter().copied().eq(0..=1000));
            assert!(bench.finished().await.iter().all(Result::is_ok));
            bench.assert_clean();
        });
    }
}

/// It goes down again while requests are let go: the rest wait on, those who went too early come
/// back to the front, and all keep the deadline they had.
#[test]
fn down_again_mid_release() {
    run(async {
        let bench = Bench::new();
        bench.go_down().await;
        let started = Instant::now();
        let mut turns: Vec<_> = (0..10).map(|_| bench.gate.turn(waiting(20))).collect();
        for turn in &mut turns {
            assert!(timeout(Duration::ZERO, turn.come()).await.is_err());
        }
        bench.come_up();
        turns[0].come().await.unwrap();
        *bench.verdict.borrow_mut() = down();
        assert!(turns[0].connect_failed(&refused()));
        sleep(Duration::from_secs(1)).await;
        // Those who see only now that they were let go find nobody either.
        assert!((2..=4).contains(&find_nobody(&mut turns).await));
        assert_eq!(bench.gate.inner.borrow().queue.keys().copied().collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
        assert!(timeout(Duration::from_secs(1), turns[9].come()).await.is_err());

        // Back, and the order is the old one. Then down for good.
        bench.come_up();
        for turn in &mut turns[..5] {
            turn.come().await.unwrap();
            turn.connected();
        }
        *bench.verdict.borrow_mut() = down();
        bench.gate.learn(bench.gate.health().unreachable(&refused(), Instant::now()), String::new);
        find_nobody(&mut turns[5..]).await;
        for mut turn in turns.drain(5..) {
            assert_eq!(turn.come().await, Err(Refused::Over));
            assert_eq!(started.elapsed().as_secs(), 20, "the deadline is the first one");
        }
        turns.into_iter().for_each(Turn::answered);
        assert_eq!(bench.metrics.counts(), HoldCounts { held: 10, saved: 5, lost: 5, ..HoldCounts::default() });
        bench.come_up();
        bench.assert_clean_after_settling().await;
    });
}

/// Those who were let go fail to connect; how many they were.
async fn find_nobody(turns: &mut [Turn]) -> usize {
    let mut count = 0;
    for turn in turns {
        if turn.hold.as_ref().unwrap().stands[0].was_let_go() {
            turn.come().await.unwrap();
            assert!(turn.connect_failed(&refused()));
            count += 1;
        }
    }
    count
}

/// An idle connection had seemed to do, and the fresh one is refused: not a byte was read by anybody.
#[test]
fn a_sent_request_that_was_not_written_waits_again() {
    run(async {
        let bench = Bench::new();
        bench.go_down().await;
        let mut turn = bench.gate.turn(waiting(20));
        assert!(timeout(Duration::ZERO, turn.come()).await.is_err());
        bench.come_up();
        turn.come().await.unwrap();
        turn.connected();
        assert!(turn.connect_failed(&refused()));
        assert_eq!(bench.commons.budget.in_use(), (1, 1000, 1));
        turn.come().await.unwrap();
        turn.connected();
        turn.answered();
        assert_eq!(bench.metrics.counts(), HoldCounts { held: 2, saved: 2, ..HoldCounts::default() });
        bench.assert_clean_after_settling().await;
    });
}

#[test]
fn who_leaves_makes_room_and_wakes_nobody_in_vain() {
    run(async {
        let bench = Bench::new();
        bench.go_down().await;
        let handles: Vec<_> = (0..1000).map(|number| bench.request(number, 20, Duration::ZERO)).collect();
        sleep(Duration::from_millis(10)).await;
        assert_eq!(bench.gate.turn(waiting(20)).come().await, Err(Refused::Full), "the client's share is used up");
        assert_eq!(bench.metrics.refused.get(), 1);
        let other = Waiting { client: ClientKey::from(IpAddr::from([192, 0, 2, 2])), ..waiting(1) };
        assert_eq!(bench.gate.turn(other).come().await, Err(Refused::Over), "others have theirs");
        for handle in &handles[..990] {
            handle.abort();
        }
        sleep(Duration::from_millis(10)).await;
        assert_eq!(bench.commons.budget.in_use().0, 10);
        bench.come_up();
        assert_eq!(bench.finished().await.len(), 10);
        assert!(bench.gone.borrow().iter().copied().eq(990..1000));
        bench.assert_clean();
        assert_eq!(bench.metrics.left.get(), 990);
    });
}

/// Let go and gone in the same moment: the next one must not wait for it.
#[test]
fn a_turn_that_is_dropped_unaware_passes_its_place_on() {
    run(async {
        let bench = Bench::new();
        bench.go_down().await;
        let mut first = bench.gate.turn(waiting(20));
        assert!(timeout(Duration::ZERO, first.come()).await.is_err());
        bench.request(1, 20, Duration::ZERO);
        bench.come_up();
        sleep(Duration::from_secs(1)).await;
        assert_eq!((bench.gate.inner.borrow().on_the_way, bench.gone.borrow().as_slice()), (1, [1].as_slice()));
        drop(first);
        assert_eq!(bench.finished().await, [Ok(())]);
        bench.assert_clean();
        assert_eq!(bench.metrics.left.get(), 1);
    });
}

#[test]
fn the_keeper_ends_with_the_gate() {
    run(async {
        let bench = Bench::new();
        bench.go_down().await;
        sleep(Duration::from_secs(1)).await;
        let (gate, asked) = (Rc::downgrade(&bench.gate), Rc::clone(&bench.asked));
        drop(bench);
        assert!(gate.upgrade().is_none());
        let before = asked.get();
        advance(Duration::from_secs(5)).await;
        sleep(Duration::from_secs(5)).await;
        assert_eq!(asked.get(), before);
    });
}

/// A request before two gates, and how both stand.
async fn before_both() -> (Rc<Bench>, Rc<Bench>, Turn) {
    let (one, two) = (Bench::new(), Bench::new());
    one.go_down().await;
    two.go_down().await;
    let mut turn = one.gate.turn(waiting(20)).or_through(vec![Rc::clone(&two.gate)]);
    assert!(timeout(Duration::from_secs(1), turn.come()).await.is_err(), "it waits at both");
    assert_eq!((one.gate.inner.borrow().queue.len(), two.gate.inner.borrow().queue.len()), (1, 1));
    assert_eq!((one.commons.budget.in_use(), two.commons.budget.in_use()), ((1, 1000, 1), (0, 0, 0)), "one room");
    (one, two, turn)
}

const ONE_SAVED: HoldCounts = HoldCounts { held: 1, saved: 1, lost: 0, left: 0, refused: 0 };

#[test]
fn whoever_is_back_first_gets_it() {
    for second in [false, true] {
        run(async {
            let (one, two, mut turn) = before_both().await;
            let back = if second { &two } else { &one };
            back.come_up();
            let started = Instant::now();
            turn.come().await.unwrap();
            assert!(started.elapsed() <= PROBE_INTERVAL * 2);
            assert!(Rc::ptr_eq(turn.gate(), &back.gate));
            turn.connected();
            assert_eq!(
                one.gate.inner.borrow().queue.len() + two.gate.inner.borrow().queue.len(),
                0,
                "it waits nowhere"
            );
            turn.answered();
            one.come_up();
            two.come_up();
            one.assert_clean_after_settling().await;
            two.assert_clean();
            assert_eq!((one.metrics.counts(), two.metrics.counts()), (ONE_SAVED, HoldCounts::default()), "once");
        });
    }
}

#[test]
fn it_waits_on_at_both_after_a_failed_connect() {
    run(async {
        let (one, two, mut turn) = before_both().await;
        let started = Instant::now();
        two.come_up();
        turn.come().await.unwrap();
        *two.verdict.borrow_mut() = down();
        assert!(turn.connect_failed(&refused()));
        assert!(timeout(Duration::from_secs(1), turn.come()).await.is_err());
        assert_eq!((one.gate.inner.borrow().queue.len(), two.gate.inner.borrow().queue.len()), (1, 1));
        assert_eq!(turn.come().await, Err(Refused::Over));
        assert_eq!(started.elapsed().as_secs(), 19, "the deadline is the first one");
        drop(turn);
        one.assert_clean();
        two.assert_clean();
        assert_eq!(one.metrics.counts(), HoldCounts { held: 1, lost: 1, ..HoldCounts::default() });
    });
}

/// Both are back in the same moment: the place at the other one is free at once.
#[test]
fn a_place_that_is_not_needed_is_passed_on() {
    run(async {
        let (one, two, mut turn) = before_both().await;
        one.come_up();
        two.come_up();
        sleep(Duration::from_secs(1)).await;
        assert_eq!((one.gate.inner.borrow().on_the_way, two.gate.inner.borrow().on_the_way), (1, 1));
        turn.come().await.unwrap();
        assert!(Rc::ptr_eq(turn.gate(), &one.gate), "in the order of trial");
        turn.connected();
        assert_eq!(two.gate.inner.borrow().on_the_way, 0);
        drop(turn);
        one.assert_clean_after_settling().await;
        two.assert_clean();
        assert_eq!(one.metrics.counts(), ONE_SAVED);
    });
}

#[test]
fn who_leaves_or_gives_up_leaves_both() {
    for give_up in [false, true] {
        run(async {
            let (one, two, mut turn) = before_both().await;
            if give_up {
                assert_eq!(turn.give_up(), Err(Refused::Over));
            }
            drop(turn);
            let ended = if give_up { one.metrics.lost.get() } else { one.metrics.left.get() };
            assert_eq!(ended, 1);
            one.assert_clean();
            two.assert_clean();
        });
    }
}

/// One endpoint's socket may not be opened: that is no outage, and the other one is waited for.
#[test]
fn it_goes_on_without_a_gate_that_is_no_use() {
    run(async {
        let denied = ConnectError::Refused(io::ErrorKind::PermissionDenied.into());
        let (one, two, mut turn) = before_both().await;
        one.come_up();
        turn.come().await.unwrap();
        assert!(turn.connect_failed(&denied));
        assert!(timeout(Duration::from_secs(1), turn.come()).await.is_err());
        two.come_up();
        turn.come().await.unwrap();
        assert!(Rc::ptr_eq(turn.gate(), &two.gate));
        assert!(!turn.connect_failed(&denied));
        drop(turn);
        one.assert_clean_after_settling().await;
        two.assert_clean();

        // Nor has it to wait first.
        let three = Bench::new();
        let mut turn = three.gate.turn(waiting(20)).or_through(vec![Rc::clone(&two.gate)]);
        turn.come().await.unwrap();
        assert!(turn.connect_failed(&denied));
        turn.come().await.unwrap();
        assert!(Rc::ptr_eq(turn.gate(), &two.gate) && !turn.connect_failed(&denied));
    });
}

/// An idle connection had seemed to do after the wait, and the fresh one is refused.
#[test]
fn what_was_not_written_goes_to_the_other_or_waits_for_both() {
    for other_is_up in [false, true] {
        run(async {
            let (one, two, mut turn) = before_both().await;
            two.come_up();
            turn.come().await.unwrap();
            turn.connected();
            *two.verdict.borrow_mut() = down();
            if other_is_up {
                one.come_up();
                sleep(PROBE_INTERVAL * 2).await;
            }
            assert!(turn.connect_failed(&refused()));
            assert_eq!(timeout(Duration::ZERO, turn.come()).await.is_ok(), other_is_up);
            one.come_up();
            turn.come().await.unwrap();
            assert!(Rc::ptr_eq(turn.gate(), &one.gate));
            turn.connected();
            turn.answered();
            two.come_up();
            one.assert_clean_after_settling().await;
            two.assert_clean();
            assert_eq!(one.metrics.counts().saved, if other_is_up { 1 } else { 2 });
        });
    }
}

/// What befalls requests and endpoint at random.
#[derive(Clone, Copy, Debug)]
enum Event {
    Request { limit: u64, answer: u64 },
    Abort(usize),
    Down,
    Suspect,
    Up,
    Pass(u64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        6 => (1_u64..30, 0_u64..3000).prop_map(|(limit, answer)| Event::Request { limit, answer }),
        2 => (0_usize..50).prop_map(Event::Abort),
        1 => Just(Event::Down),
        1 => Just(Event::Suspect),
        2 => Just(Event::Up),
        4 => (0_u64..3000).prop_map(Event::Pass),
    ];
    prop::collection::vec(event, 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Everybody's wait ends by their deadline, nobody overtakes, and nothing is left behind.
    #[test]
    fn no_wait_is_forgotten(events in events()) {
        run(async {
            let bench = Bench::new();
            let mut handles = Vec::new();
            let gone = Rc::new(RefCell::new(Vec::new()));
            let mut number = 0;
            for event in events {
                match event {
                    Event::Request { limit, answer } => {
                        let (bench_of, gone) = (Rc::clone(&bench), Rc::clone(&gone));
                        let entered = number;
                        number += 1;
                        handles.push(bench.tasks.borrow_mut().spawn_local(async move {
                            let mut turn = bench_of.gate.turn(waiting(limit));
                            let limit = Duration::from_secs(limit);
                            let started = Instant::now();
                            loop {
                                let come = turn.come().await;
                                assert!(started.elapsed() <= limit + Duration::from_millis(2));
                                come?;
                                // The endpoint refuses connections as long as `/health` fails.
                                if *bench_of.verdict.borrow() == Verdict::Healthy {
                                    break;
                                }
                                assert!(turn.connect_failed(&refused()));
                            }
                            gone.borrow_mut().push((Instant::now(), entered));
                            turn.connected();
                            sleep(Duration::from_millis(answer)).await;
                            turn.answered();
                            Ok(())
                        }));
                        // It takes its place before the next one comes.
                        tokio::task::yield_now().await;
                    }
                    Event::Abort(which) => {
                        if let Some(handle) = handles.get(which) {
                            handle.abort();
                        }
                    }
                    Event::Down => {
                        *bench.verdict.borrow_mut() = down();
                        bench.gate.learn(bench.gate.health().unreachable(&refused(), Instant::now()), String::new);
                    }
                    Event::Suspect => bench.gate.turn(waiting(1)).broke_unanswered(),
                    Event::Up => bench.come_up(),
                    Event::Pass(milliseconds) => sleep(Duration::from_millis(milliseconds)).await,
                }
            }
            bench.come_up();
            for end in bench.finished().await {
                assert!(matches!(end, Ok(()) | Err(Refused::Over)), "{end:?}");
            }
            sleep(PROBE_INTERVAL * 2).await;
            // Who was let go in the same moment may be seen in any order.
            let gone = gone.borrow();
            let overtaken = |(at, one): &(Instant, u32)| gone.iter().any(|(later, other)| at < later && one > other);
            let overtaken = gone.iter().any(overtaken);
            assert!(!overtaken, "{gone:?}");
            bench.assert_clean();
        });
    }
}
