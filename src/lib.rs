//! vestibule, a federation front proxy for Matrix homeservers.
//!
//! This page is the map of the house. The README says what the program does for its users; the
//! configuration reference is there too.
//!
//! # Two planes
//!
//! The **data plane** is as many worker threads as cores ([`proxy::Worker`]). Each has a runtime of
//! its own and its own connections to the homeservers; a connection lives and dies on one thread.
//! Workers read one immutable snapshot ([`proxy::Serving`]) that is swapped whole. The **control
//! plane** ([`app`]) is one more thread for what is slow and rare: certificates, self-checks,
//! signals. It publishes snapshots and never sits on a request's way.
//!
//! Listening sockets are bound once, without SO_REUSEPORT, and duplicated for each worker
//! ([`net::listen`] says why).
//!
//! # Floors
//!
//! A module uses strictly lower floors; `tests/architecture.rs` holds the table.
//!
//! | floor | modules | what lives there |
//! |---|---|---|
//! | 9 | [`cli`] | arguments → command → exit status; the only place that prints |
//! | 8 | [`app`] | the composition root: build, run, drain; owns every task; `demo` |
//! | 7 | [`admin`] | the admin socket; what an operator sees of the running program; taking over from other programs |
//! | 6 | [`proxy`], [`check`], [`acme`] | the request path; the federation check; the certificate manager. They do not know each other |
//! | 5 | [`tls`], [`upstream`], [`probe`] | the terminator; connections to homeservers; connections to ourselves |
//! | 4 | [`certs`], [`dns`], [`net`], [`http1`] | certificates, keyring, store, open challenges; resolver; sockets and bounded exchanges; the strict HTTP/1.1 codec |
//! | 3 | [`telemetry`] | the log, metrics and their names |
//! | 2 | [`config`] | TOML, environment and flags → domain types |
//! | 1 | [`matrix`], [`clock`], [`drain`], [`backoff`] | names, documents, keys; time; ends; delays |
//!
//! # Three paths to read
//!
//! **A request**: [`net::accept`] takes the connection → [`net::admit`] learns whose it is and counts
//! it → [`tls`] reads the ClientHello, picks the
//! certificate and finishes the handshake → `proxy::connection` speaks HTTP by ALPN →
//! `proxy::service` reads the host → `proxy::router` decides (pure) → a well-known document, a
//! challenge, a redirect, or, with an endpoint by `proxy::choice`, `proxy::forward` →
//! `proxy::headers` (pure) → [`upstream`] → the homeserver; while that is down, the request waits at
//! its [`upstream::Gate`]. Bodies stream; errors become Matrix JSON in `proxy::respond`.
//!
//! **A certificate**: [`config`] derives the names → [`certs::Store`] holds the last good one →
//! [`acme::Manager`] wakes, and [`mod@acme::plan`] says when, at which CA and why (pure), from what is
//! there, what the CA suggests ([`acme::window`]) and what happened before ([`acme::ledger`]) →
//! [`acme::preflight`] looks at the way → `acme::order` takes one order through validation, from
//! wherever a crash left it, and proves what comes → stored atomically → [`certs::Published`] →
//! `app::certificates` makes a [`certs::Keyring`] and a new snapshot → [`probe`] connects to each
//! listener and compares serial numbers. [`certs::watch`] does the same for the operator's files.
//!
//! **A check**: `check::discovery` (pure, the specification's steps) asks, `check::observe`
//! answers → facts → `check::judge` (pure, a small function per rule) → findings →
//! [`check::report`] → terminal, JSON, log. The same code runs at start-up, on the timer, in the
//! demo and from the command line. For an own server [`probe::loopback`] adds what arrived: requests
//! go out over the public addresses with a nonce, `proxy::loop_back` hands over what a listener got,
//! and the two are compared.

pub mod acme;
pub mod admin;
pub mod app;
pub mod backoff;
pub mod certs;
pub mod check;
pub mod cli;
pub mod clock;
pub mod config;
pub mod dns;
pub mod drain;
pub mod http1;
pub mod matrix;
pub mod net;
pub mod probe;
pub mod proxy;
pub mod telemetry;
pub mod tls;
pub mod upstream;
