//! Behaviour that only real software on the other side can show.

mod matrix_client;
mod pair;
mod pebble;
mod restarts;
mod synapse_pair;
