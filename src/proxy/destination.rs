//! Where a request goes: the answer of routing, as data.

use super::class::Class;
use crate::config::Balance;

/// An upstream of the snapshot: an index into [`super::serving::Serving`]'s list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct UpstreamId(pub(super) usize);

/// An upstream to try, and how to choose among its endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub upstream: UpstreamId,
    pub balance: Balance,
}

/// Most upstreams that one request may be tried at: the pool of its kind, the one that stands in for
/// it, the main process.
const MAX_STEPS: usize = 3;

/// Upstreams in the order in which they are tried. The next one counts when no endpoint of those
/// before it can be reached, and not a byte has been sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Steps([Option<Step>; MAX_STEPS]);

impl Steps {
    /// One upstream with a single endpoint.
    pub(super) fn only(upstream: UpstreamId) -> Self {
        Self::default().then_only(upstream)
    }

    /// The same with an upstream of a single endpoint behind.
    pub(super) fn then_only(self, upstream: UpstreamId) -> Self {
        self.then(Step { upstream, balance: Balance::RoundRobin })
    }

    /// The same with `step` behind, unless its upstream is there already.
    pub(super) fn then(mut self, step: Step) -> Self {
        if !self.iter().any(|other| other.upstream == step.upstream)
            && let Some(free) = self.0.iter_mut().find(|place| place.is_none())
        {
            *free = Some(step);
        }
        self
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Step> {
        self.0.into_iter().flatten()
    }
}

/// A request's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Destination {
    /// What limits and the hold take it for.
    pub class: Class,
    /// Bytes at the start of the target that the upstream does not get. What is left begins with `/`.
    /// Zero for everything that is signed.
    pub strip: usize,
    /// Where it is tried.
    pub steps: Steps,
}

impl Destination {
    /// To one upstream, target untouched.
    pub(super) fn to(upstream: UpstreamId, class: Class) -> Self {
        Self { class, strip: 0, steps: Steps::only(upstream) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_upstream_is_tried_once() {
        let step = |index| Step { upstream: UpstreamId(index), balance: Balance::RoundRobin };
        let steps = Steps::only(UpstreamId(7)).then(step(3)).then(step(7)).then(step(1)).then(step(9));
        assert_eq!(steps.iter().map(|step| step.upstream.0).collect::<Vec<_>>(), [7, 3, 1]);
    }
}
