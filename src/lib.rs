//! x
pub mod acme;
pub mod backoff;
pub mod certs;
pub mod clock;
pub mod config;
pub mod drain;
pub mod matrix;
pub mod net;
pub mod proxy;
pub mod telemetry;
pub mod tls;
pub mod upstream;
