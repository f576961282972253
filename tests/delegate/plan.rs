//! `delegate plan` looks at a vestibule that serves, and plans from what it sees.

use super::{complained, delegate, printed};
use crate::support::front::{Front, NAME, PUBLIC};
use crate::support::origin::Origin;
use crate::support::vestibule::command;

#[test]
fn the_present_delegation_is_seen_and_left() {
    let origin = Origin::start(|talk| {
        let _ = talk.request()?;
        talk.send("HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}")
    });
    let mut front = Front::before(&origin);
    let config = front.vestibule().config_file();
    let https = front.https();
    let to_here = |host: &str| format!("{host}:443:{}:{}", https.ip(), https.port());
    let (name, public) = (to_here(NAME), to_here(PUBLIC));
    let network = ["--private", "--connect-to", &name, "--connect-to", &public];
    let plan = |arguments: &[&str]| delegate(&config, &[&["plan"], arguments, &network].concat());

    let moved = plan(&["--to", "new.hs.invalid"]);
    assert_eq!(moved.status.code(), Some(0), "{}", complained(&moved));
    let text = printed(&moved);
    for line in [
        "Delegation of hs.invalid: from matrix.hs.invalid:443 to new.hs.invalid:443",
        "Now: step 3.2 of discovery",
        "Now: new.hs.invalid has no address in DNS.",
        "3. Wait 1 h  [",
        "       public_host = \"new.hs.invalid:443\"",
        "       extra_hosts = [\"matrix.hs.invalid\"]",
    ] {
        assert!(text.contains(line), "no {line:?} in {text}");
    }
    let same = plan(&[]);
    assert_eq!((same.status.code(), printed(&same).as_str()), (Some(1), ""));
    assert!(complained(&same).contains("delegated to matrix.hs.invalid:443 already"), "{}", complained(&same));
    let fixed = command(["delegate", "plan", "--to", "new.hs.invalid", "--config", "/none", "192.0.2.1"]).output();
    assert_eq!(fixed.expect("the program starts").status.code(), Some(64), "a file that is named must be there");
}
