//! Rules about the call back ends in the client document.

use super::client::{object, unusable};
use super::{Case, Rule};
use crate::check::catalogue::Code;
use crate::check::finding::Finding;
use crate::check::observe::rtc::Focus;
use crate::matrix::ServerName;
use crate::matrix::well_known::{CLIENT_PATH, RTC_FOCI};
use serde_json::Value;

pub(super) const RULES: &[Rule] = &[shape, health];

/// What is wrong with the list (MSC4143; MSC4195 for LiveKit).
fn fault(foci: &Value) -> Option<String> {
    let Some(foci) = foci.as_array() else {
        return Some(format!("{RTC_FOCI} is not a list"));
    };
    foci.iter().enumerate().find_map(|(number, focus)| {
        let what = match focus.get("type").and_then(Value::as_str) {
            None => "no string \"type\"",
            Some("livekit") if focus.get("livekit_service_url").and_then(Value::as_str).is_none() => {
                "no string \"livekit_service_url\""
            }
            Some(_) => return None,
        };
        Some(format!("entry {} of {RTC_FOCI} has {what}", number + 1))
    })
}

fn shape(case: &Case<'_>) -> Vec<Finding> {
    let host = ServerName::parse(case.server).map(|name| name.host().to_string()).unwrap_or_default();
    let detail = object(case).and_then(|document| fault(document.get(RTC_FOCI)?));
    let finding = |detail: String| {
        let remedy = format!(
            "write \"{RTC_FOCI}\": [{{\"type\": \"livekit\", \"livekit_service_url\": \"https://rtc.{host}/livekit/jwt\"}}]"
        );
        case.finding(Code::WkClientRtc, format!("https://{host}{CLIENT_PATH}"), detail).fix(remedy)
    };
    detail.map(finding).into_iter().collect()
}

fn health(case: &Case<'_>) -> Vec<Finding> {
    let finding = |focus: &Focus| {
        let detail = unusable(case, &focus.health)?;
        Some(case.finding(Code::WkClientRtc, format!("{}/healthz", focus.url.trim_end_matches('/')), detail))
    };
    case.seen.client.iter().flat_map(|seen| &seen.rtc).filter_map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_list() {
        let table = [
            (json!([]), None),
            (json!([{"type": "livekit", "livekit_service_url": "https://a"}, {"type": "x"}]), None),
            (json!({}), Some("is not a list")),
            (json!([{"livekit_service_url": "https://a"}]), Some("no string \"type\"")),
            (json!(["https://a"]), Some("entry 1 ")),
            (json!([{"type": "x"}, {"type": "livekit", "livekit_service_url": 1}]), Some("entry 2 ")),
        ];
        for (foci, expected) in table {
            let fault = fault(&foci);
            assert_eq!(fault.is_some(), expected.is_some(), "{foci}");
            assert!(fault.unwrap_or_default().contains(expected.unwrap_or_default()), "{foci}");
        }
    }
}
