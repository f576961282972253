//! What a codec made of a connection.

/// A request or an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// Method and target, or the status.
    pub(crate) start: String,
    /// In the order of each name's first line, as hyper keeps them; names in small letters.
    pub(crate) lines: Vec<(String, Vec<u8>)>,
    /// Nothing if it broke off or was malformed.
    pub(crate) body: Option<Vec<u8>>,
}

/// All messages up to the end, and the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) messages: Vec<Message>,
    /// Why there are no more.
    pub(crate) end: String,
}

/// Groups lines by name, keeping their order otherwise.
pub(crate) fn grouped<'a>(lines: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Vec<(String, Vec<u8>)> {
    let mut groups: Vec<(String, Vec<Vec<u8>>)> = Vec::new();
    for (name, value) in lines {
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        match groups.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(value.to_vec()),
            None => groups.push((name, vec![value.to_vec()])),
        }
    }
    groups.into_iter().flat_map(|(name, values)| values.into_iter().map(move |value| (name.clone(), value))).collect()
}
