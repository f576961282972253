//! Log lines on standard error.
//!
//! Under systemd each line begins with its priority as sd-daemon(3) describes, and without a time,
//! which the journal adds. Nothing logged here ever holds a header value or a request target, so
//! no token can slip in.

use crate::config::{Log, LogFormat};
use std::fmt;
use std::io::{IsTerminal as _, stderr};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::{Format, FormatEvent, FormatFields, Full, Writer};
use tracing_subscriber::fmt::{FmtContext, layer};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Starts logging. Called once; a second call is ignored, the first subscriber stays.
pub fn start(log: &Log) {
    // The level was parsed when the configuration was read.
    let filter: Targets = log.level.parse().unwrap_or_else(|_| Targets::new().with_default(Level::INFO));
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let registry = tracing_subscriber::registry();
    let _ = match log.format {
        LogFormat::Json => {
            registry.with(layer().json().with_target(false).with_writer(stderr).with_filter(filter)).try_init()
        }
        LogFormat::Journald => registry.with(journald().with_filter(filter)).try_init(),
        LogFormat::Auto if journal => registry.with(journald().with_filter(filter)).try_init(),
        LogFormat::Auto | LogFormat::Text => {
            let colour = stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            registry
                .with(layer().with_ansi(colour).with_target(false).with_writer(stderr).with_filter(filter))
                .try_init()
        }
    };
}

fn journald<S>() -> impl tracing_subscriber::Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    let format = Format::default().without_time().with_level(false).with_target(false).with_ansi(false);
    layer().with_ansi(false).event_format(Journald(format)).with_writer(stderr)
}

/// The text format behind a priority prefix.
struct Journald(Format<Full, ()>);

impl<S, N> FormatEvent<S, N> for Journald
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let priority = match *event.metadata().level() {
            Level::ERROR => "<3>",
            Level::WARN => "<4>",
            Level::INFO => "<6>",
            _ => "<7>",
        };
        writer.write_str(priority)?;
        self.0.format_event(ctx, writer, event)
    }
}

/// An error with everything that caused it, on one line.
pub struct Chain<'a>(pub &'a (dyn std::error::Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
