//! The codec against hyper, on generated conversations: equal or stricter each time.
//!
//! The requests that the codec accepts are the first of those that hyper accepts: same method, target, header lines and
//! body, and so the same place where the next one begins. An answer that the codec accepts is the one that hyper
//! accepts, and a connection that it would use again hyper would use again too. What the codec accepts and hyper
//! refuses stands, with its reason, in `looser`.
//!
//! `REQUESTS`, `ANSWERS` and `SEED` set how many and which.

mod grammar;
mod ours;
mod seen;
mod theirs;

use fastrand::Rng;
use grammar::Conversation;
use seen::Message;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Verdicts and how often each was given.
type Verdicts = BTreeMap<String, u64>;

#[test]
fn requests_are_read_as_hyper_reads_them_or_refused() {
    run("REQUESTS", 100_000, grammar::requests, compare_requests);
}

#[test]
fn answers_are_read_as_hyper_reads_them_or_refused() {
    run("ANSWERS", 100_000, grammar::answer, compare_answers);
}

/// Generates until there were `count` messages, compares each conversation, prints what came of it.
fn run(
    count: &str,
    usual: u64,
    generate: fn(&mut Rng) -> Conversation,
    compare: fn(&Conversation) -> Result<Vec<String>, String>,
) {
    let number = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().expect("a number"));
    let seed = number("SEED").unwrap_or(9112);
    let wanted = number(count).unwrap_or(usual);
    println!("SEED={seed} {count}={wanted}");
    let mut random = Rng::with_seed(seed);
    let mut verdicts = Verdicts::new();
    let (mut messages, mut conversations) = (0, 0_u64);
    while messages < wanted {
        let conversation = generate(&mut random);
        messages += conversation.messages as u64;
        conversations += 1;
        let bytes = || conversation.bytes().escape_ascii().to_string();
        let pieces = || conversation.pieces.iter().map(Vec::len).collect::<Vec<_>>();
        match catch_unwind(AssertUnwindSafe(|| compare(&conversation))) {
            Ok(Ok(found)) => found.into_iter().for_each(|verdict| *verdicts.entry(verdict).or_default() += 1),
            Ok(Err(fault)) => {
                panic!("{fault}\nSEED={seed}, conversation {conversations}: \"{}\"\npieces: {:?}", bytes(), pieces())
            }
            Err(_) => {
                panic!("a panic\nSEED={seed}, conversation {conversations}: \"{}\"\npieces: {:?}", bytes(), pieces())
            }
        }
    }
    println!("{messages} messages in {conversations} conversations");
    for (verdict, times) in verdicts {
        println!("{times:>10}  {verdict}");
    }
}

fn compare_requests(conversation: &Conversation) -> Result<Vec<String>, String> {
    let ours = ours::requests(&conversation.pieces);
    let theirs = theirs::requests(&conversation.pieces);
    let mut verdicts = Vec::new();
    for (number, request) in ours.messages.iter().enumerate() {
        let Some(counterpart) = theirs.messages.get(number) else {
            let Some(reason) = looser(request, &theirs.end) else {
                return Err(format!("only ours accepts {request:?}; hyper: {}", theirs.end));
            };
            verdicts.push(format!("ours looser: {reason}"));
            return Ok(verdicts);
        };
        if (&request.start, &request.lines) != (&counterpart.start, &counterpart.lines) {
            return Err(format!("ours: {request:?}\nhyper: {counterpart:?}"));
        }
        match (&request.body, &counterpart.body) {
            (Some(ours), Some(theirs)) if ours == theirs => verdicts.push("both accept".to_owned()),
            (Some(_), _) => return Err(format!("ours: {request:?}\nhyper: {counterpart:?}: {}", theirs.end)),
            (None, None) => verdicts.push("both refuse the body".to_owned()),
            (None, Some(_)) => verdicts.push(format!("ours stricter with a body: {}", ours.end)),
        }
    }
    let whole = ours.messages.last().is_none_or(|last| last.body.is_some());
    if whole {
        verdicts.push(match theirs.messages.len() > ours.messages.len() {
            true => format!("ours stricter: {}", ours.end),
            false if ours.end == "end of input" || ours.end == "closed" => format!("both: {}", ours.end),
            false => "both refuse".to_owned(),
        });
    }
    Ok(verdicts)
}

fn compare_answers(conversation: &Conversation) -> Result<Vec<String>, String> {
    [false, true].into_iter().map(|to_head| compare_answer(conversation, to_head)).collect()
}

fn compare_answer(conversation: &Conversation, to_head: bool) -> Result<String, String> {
    let (ours, reusable) = ours::answer(&conversation.pieces, to_head);
    let (theirs, reusable_by_hyper) = theirs::answer(&conversation.pieces, to_head);
    let Some(answer) = ours.messages.first() else {
        return Ok(match theirs.messages.first() {
            Some(_) => format!("ours stricter: {}", ours.end),
            None => "both refuse".to_owned(),
        });
    };
    let Some(counterpart) = theirs.messages.first() else {
        return match looser(answer, &theirs.end) {
            Some(reason) => Ok(format!("ours looser: {reason}")),
            None => Err(format!("only ours accepts {answer:?}; hyper: {}", theirs.end)),
        };
    };
    if (&answer.start, &answer.lines) != (&counterpart.start, &counterpart.lines) {
        return Err(format!("ours: {answer:?}\nhyper: {counterpart:?}"));
    }
    match (&answer.body, &counterpart.body) {
        (None, None) => return Ok("both refuse the body".to_owned()),
        (None, Some(_)) => return Ok(format!("ours stricter with a body: {}", ours.end)),
        (Some(ours), Some(theirs)) if ours == theirs => {}
        _ => return Err(format!("ours: {answer:?}\nhyper: {counterpart:?}: {}", theirs.end)),
    }
    match (reusable, reusable_by_hyper) {
        (true, true) => Ok("both accept and would go on".to_owned()),
        (false, false) => Ok("both accept and close".to_owned()),
        (false, true) => Ok("both accept, ours closes".to_owned()),
        (true, false) => Err(format!("only ours would go on after {answer:?}; hyper: {}", theirs.end)),
    }
}

/// What the codec accepts on purpose and hyper does not.
fn looser(message: &Message, hyper: &str) -> Option<&'static str> {
    let (method, target) = message.start.split_once(' ')?;
    let refuses_uri = hyper == "hyper::Error(Parse(Uri))";
    // RFC 3986 has these escaped; Matrix clients do not always. The homeserver judges them: it gets the target as it is.
    if refuses_uri && target.contains(['"', '<', '>', '`']) {
        return Some("a target with a character that http::Uri refuses");
    }
    // Only its characters are checked here. It has to be a served name, which the service parses; CONNECT it refuses.
    if refuses_uri && (method == "CONNECT" || target.starts_with("//")) {
        return Some("an authority that http::Uri refuses");
    }
    None
}
