//! `certs`: what there is, and what can be asked of whoever orders it. (`certs root` is with `run`.)

mod ask;
mod list;
mod row;

pub(super) use ask::{rehearse, renew};
pub(super) use list::list;
