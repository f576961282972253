//! What the test families stand on: real processes, real certificates, real clients.
//!
//! Nothing here knows what is being tested. Every helper takes a deadline instead of a pause, and owns what it
//! starts: dropping it ends the process and removes its files.

pub mod bind;
pub mod ca;
pub mod chromium;
pub mod curl;
pub mod eventually;
pub mod faulty_ca;
pub mod faulty_server;
pub mod frames;
pub mod front;
pub mod h2_frames;
pub mod http2;
pub mod openssl;
pub mod openssl_ca;
pub mod origin;
pub mod pebble;
pub mod ports;
pub mod process;
pub mod python;
pub mod raw_client;
pub mod sandbox;
pub mod socket;
pub mod synapse;
pub mod vestibule;
