//! The text that Prometheus reads (OpenMetrics 1.0).
//!
//! Nothing is registered ahead: a collector looks at what is counted when somebody asks, so that the
//! request path knows nothing of it.

use super::names::Metric;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;
use std::fmt;

/// The content type of [`Exposition::text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Labels with their values.
pub type Labels<'a> = Vec<(&'static str, &'a str)>;

/// Everything that can be asked for.
#[derive(Debug, Default)]
pub struct Exposition(Registry);

impl Exposition {
    /// Asks `collector` too. Each family must come from one collector only.
    pub fn add(&mut self, collector: impl Collector) {
        self.0.register_collector(Box::new(collector));
    }

    /// What there is now.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.0)?;
        Ok(text)
    }
}

/// Writes the families of one collector.
pub struct Families<'a>(DescriptorEncoder<'a>);

#[expect(single_use_lifetimes, reason = "an argument `impl Trait` needs its lifetime named")]
impl<'a> Families<'a> {
    /// With the encoder that the collector was given.
    pub fn new(encoder: DescriptorEncoder<'a>) -> Self {
        Self(encoder)
    }

    /// A family of gauges. One without samples is left out.
    pub fn gauges<'l, V: EncodeGaugeValue>(
        &mut self,
        metric: &Metric,
        samples: impl IntoIterator<Item = (Labels<'l>, V)>,
    ) -> fmt::Result {
        self.family(metric, samples, |encoder, value| encoder.encode_gauge(&value))
    }

    /// A family of counters, or of something that only grows and cannot be called a counter.
    pub fn counters<'l>(
        &mut self,
        metric: &Metric,
        samples: impl IntoIterator<Item = (Labels<'l>, u64)>,
    ) -> fmt::Result {
        let is_counter = matches!(metric.kind, MetricType::Counter);
        self.family(metric, samples, |encoder, value| match is_counter {
            true => encoder.encode_counter::<NoLabelSet, _, f64>(&value, None),
            false => encoder.encode_gauge(&value),
        })
    }

    /// A family of one sample that is only its labels.
    pub fn info(&mut self, metric: &Metric, labels: &Labels<'_>) -> fmt::Result {
        self.descriptor(metric)?.encode_info(labels)
    }

    fn family<'l, V>(
        &mut self,
        metric: &Metric,
        samples: impl IntoIterator<Item = (Labels<'l>, V)>,
        write: impl Fn(&mut MetricEncoder<'_>, V) -> fmt::Result,
    ) -> fmt::Result {
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_none() {
            return Ok(());
        }
        let mut encoder = self.descriptor(metric)?;
        for (labels, value) in samples {
            match labels.is_empty() {
                true => write(&mut encoder, value)?,
                false => write(&mut encoder.encode_family(&labels)?, value)?,
            }
        }
        Ok(())
    }

    fn descriptor<'s>(&'s mut self, metric: &'s Metric) -> Result<MetricEncoder<'s>, fmt::Error> {
        let Metric { name, help, unit, kind } = metric;
        self.0.encode_descriptor(name, help, unit.as_ref(), *kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::names;

    #[derive(Debug)]
    struct Some;

    impl Collector for Some {
        fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
            let mut families = Families::new(encoder);
            families.info(&names::BUILD, &vec![("version", "1")])?;
            families.gauges(&names::START_TIME, [(vec![], 7_i64)])?;
            families.gauges(&names::UPSTREAM_UP, Vec::<(Labels<'_>, i64)>::new())?;
            families.counters(&names::UPSTREAM_CONNECT_FAILURES, [(vec![("upstream", "a\"\\\n")], 3)])?;
            families.counters(&names::HELD_REQUESTS_TOTAL, [(vec![("outcome", "saved")], 4)])
        }
    }

    #[test]
    fn families_are_written_as_openmetrics_has_them() {
        let mut exposition = Exposition::default();
        exposition.add(Some);
        let text = exposition.text().unwrap();
        let lines: Vec<_> = text.lines().filter(|line| !line.starts_with("# HELP")).collect();
        assert_eq!(
            lines,
            [
                "# TYPE vestibule_build info",
                "vestibule_build_info{version=\"1\"} 1",
                "# TYPE process_start_time_seconds gauge",
                "# UNIT process_start_time_seconds seconds",
                "process_start_time_seconds 7",
                "# TYPE vestibule_upstream_connect_failures counter",
                "vestibule_upstream_connect_failures_total{upstream=\"a\\\"\\\\\\n\"} 3",
                "# TYPE vestibule_held_requests_total unknown",
                "vestibule_held_requests_total{outcome=\"saved\"} 4",
                "# EOF",
            ]
        );
    }
}
