//! Explicit routes (`[[route]]`): a regular expression on the path, and where it leads.

use super::pool::{HOMESERVER, Pool};
use super::reader::{Reader, Wrong, nearest};
use super::tree::Node;
use super::values;
use regex::{Regex, RegexBuilder};

/// Largest compiled pattern, in bytes. Matching takes time linear in the path whatever the pattern
/// is; this bounds the memory.
const MAX_COMPILED: usize = 1 << 20;

/// A regular expression on the raw path, without the query. It matches anywhere in it unless `^` and
/// `$` say otherwise.
#[derive(Clone, Debug)]
pub struct PathPattern(Regex);

impl PathPattern {
    /// Compiles a pattern.
    pub fn parse(pattern: &str) -> Result<Self, regex::Error> {
        RegexBuilder::new(pattern).size_limit(MAX_COMPILED).build().map(Self)
    }

    /// Whether it matches `path`.
    pub fn matches(&self, path: &str) -> bool {
        self.0.is_match(path)
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl PartialEq for PathPattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for PathPattern {}

/// Where a route leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteTarget {
    /// To the server's homeserver.
    Homeserver,
    /// To the pool with this index in [`super::Server::pools`].
    Pool(usize),
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteRule {
    /// What it matches.
    pub path: PathPattern,
    /// Where that goes.
    pub target: RouteTarget,
}

/// Reads the routes of one server, in their order.
pub fn read_routes(server: &Reader, pools: &[Pool]) -> Vec<RouteRule> {
    let routes = server.tables("route").into_iter().filter_map(|reader| {
        let right = "write path = '^/_matrix/client/v3/sync$'";
        let path = reader.read_required("path", right, path);
        let right = "name an [[upstream]], or \"homeserver\"";
        let target = reader.read_required("upstream", right, |node| target(node, pools));
        reader.finish();
        Some(RouteRule { path: path?, target: target? })
    });
    let routes: Vec<_> = routes.collect();
    for (index, pool) in pools.iter().enumerate() {
        let led_to = routes.iter().any(|route: &RouteRule| route.target == RouteTarget::Pool(index));
        if pool.serves.is_empty() && !led_to {
            server.note("upstream", &format!("{:?} serves nothing, and no route leads to it", pool.name));
        }
    }
    routes
}

fn path(node: &Node) -> Result<PathPattern, Wrong> {
    let text = values::string(node)?;
    if text.is_empty() {
        return Err(Wrong::new("an empty pattern matches every path", "write path = '^/' if that is meant"));
    }
    PathPattern::parse(&text).map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => {
            Wrong::new("the pattern is too big", "write it without large repetitions such as {1000}")
        }
        // The parser draws a picture of several lines; its last one says what is wrong.
        error => {
            let error = error.to_string();
            let reason = error.lines().last().unwrap_or_default();
            let reason = reason.strip_prefix("error: ").unwrap_or(reason);
            Wrong::new(format!("{text:?} is not a regular expression: {reason}"), SYNTAX)
        }
    })
}

const SYNTAX: &str = "write one such as '^/_matrix/client/v3/sync$'; there is no look-around and no back-reference";

fn target(node: &Node, pools: &[Pool]) -> Result<RouteTarget, Wrong> {
    let name = values::string(node)?;
    if name == HOMESERVER {
        return Ok(RouteTarget::Homeserver);
    }
    if let Some(index) = pools.iter().position(|pool| pool.name == name) {
        return Ok(RouteTarget::Pool(index));
    }
    let known: Vec<_> = pools.iter().map(|pool| pool.name.as_str()).chain([HOMESERVER]).collect();
    let right = nearest(&name, &known).unwrap_or_else(|| {
        format!("write one of {}", known.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", "))
    });
    Err(Wrong::new(format!("there is no upstream called {name:?}"), right))
}
