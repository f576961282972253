//! Each rule about an own server, against files and answers that differ from healthy ones in one
//! respect. What is compared is id, severity and the exact remedy.

use crate::check::catalogue::Code;
use crate::check::finding::Severity;
use crate::check::judge::tests::case;
use crate::check::judge::{Case, judge};
use crate::check::observe::Observation;
use crate::check::own::files::{FileSeen, Trouble as FileTrouble};
use crate::check::own::inside::{Answer, Endpoint, Inside, Mas, Open, Reply, Resource, Trouble};
use crate::check::own::settings::{Place, Purpose, Settings};
use crate::check::own::{Own, Subject, read_for_tests};
use crate::config::Config;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const SYNAPSE: &str = "server_name: ex.org\npublic_baseurl: https://m.ex.org/\nlisteners:\n  - port: 8008\n    type: http\n    \
                       x_forwarded: true\n    bind_addresses: ['127.0.0.1']\n    resources:\n      - names: [client, federation]\n";

fn subject(more: &str) -> Subject {
    let text = format!("server_name = \"ex.org\"\npublic_host = \"m.ex.org\"\n{more}");
    Subject::all(&Config::parse(&text, Path::new("v.toml")).unwrap()).remove(0)
}

fn json_answer(status: u16, json: Value) -> Reply {
    Ok(Answer { status, server: None, json: Some(json) })
}

fn unknown() -> Reply {
    json_answer(404, json!({ "errcode": "M_UNRECOGNIZED" }))
}

fn healthy() -> Inside {
    Inside {
        versions: json_answer(200, json!({ "versions": ["v1.11"] })),
        keys: unknown(),
        login: json_answer(200, json!({ "flows": [{ "type": "m.login.password" }] })),
        metadata: unknown(),
        endpoints: Vec::new(),
        mas: None,
        open: Vec::new(),
    }
}

fn file(name: &str, text: &str) -> FileSeen {
    let path = PathBuf::from(name);
    let settings: Settings = read_for_tests(&path, text).unwrap();
    FileSeen { path, named: false, content: Ok(settings) }
}

fn synapse(text: &str) -> FileSeen {
    file("/etc/matrix-synapse/homeserver.yaml", text)
}

/// Findings about the own side: id, severity, remedy.
fn findings(own: &Own) -> Vec<(Code, Severity, String)> {
    let seen = Observation::default();
    let case = Case { own: Some(own), ..case(&seen) };
    let own_ids = |code: Code| code.id().starts_with("hs.") || code.id().starts_with("route.");
    let found = judge(&case).into_iter().filter(|finding| own_ids(finding.id));
    found.map(|finding| (finding.id, finding.severity, finding.remedy)).collect()
}

#[track_caller]
fn expect(own: &Own, code: Code, severity: Severity, remedy: &str) {
    let found = findings(own);
    assert!(found.len() == 1 && (found[0].0, found[0].1) == (code, severity), "{found:?}");
    assert!(found[0].2.contains(remedy), "{found:?}");
}

fn own(file: Option<FileSeen>, inside: Option<Inside>) -> Own {
    Own { subject: subject(""), file, looking: false, inside }
}

#[test]
fn what_is_well_says_nothing() {
    assert_eq!(findings(&own(Some(synapse(SYNAPSE)), Some(healthy()))), []);
    assert_eq!(findings(&own(None, None)), []);
    let tuwunel = "[global]\nserver_name = \"ex.org\"\n[global.well_known]\nclient = \"https://m.ex.org\"\n\
                   server = \"m.ex.org:443\"\n";
    assert_eq!(findings(&own(Some(file("/etc/tuwunel/tuwunel.toml", tuwunel)), None)), []);
    let continuwuity = "[global]\nserver_name = \"ex.org\"\nrequest_ip_source = \"x_forwarded_for\"\n";
    assert_eq!(findings(&own(Some(file("/etc/continuwuity/continuwuity.toml", continuwuity)), None)), []);
    let dendrite = "global:\n  server_name: ex.org\nsync_api:\n  real_ip_header: X-Real-IP\n";
    assert_eq!(findings(&own(Some(file("/etc/dendrite/dendrite.yaml", dendrite)), None)), []);
}

#[test]
fn synapses_file() {
    use Severity::{Fail, Info, Warn};
    let place = "/etc/matrix-synapse/homeserver.yaml line 4, then `systemctl restart matrix-synapse`";
    let table: [(&str, &str, Code, Severity, &str); 8] = [
        (
            "x_forwarded: true",
            "x_forwarded: no",
            Code::HsForwarded,
            Warn,
            &format!("`x_forwarded: true` into the listener at {place}"),
        ),
        (
            "server_name: ex.org",
            "server_name: old.org",
            Code::HsName,
            Fail,
            "`server_name = \"old.org\"` into vestibule.toml",
        ),
        (
            "https://m.ex.org/",
            "https://x.ex.org",
            Code::HsBaseUrl,
            Warn,
            "`public_baseurl: https://m.ex.org/` into /etc/matrix-synapse/homeserver.yaml",
        ),
        ("https://m.ex.org/", "https://ex.org/", Code::HsBaseUrl, Info, "public_baseurl: https://m.ex.org/"),
        ("https://m.ex.org/", "http://m.ex.org/", Code::HsBaseUrl, Warn, "public_baseurl: https://m.ex.org/"),
        (
            "[client, federation]",
            "[client]",
            Code::HsFederation,
            Fail,
            &format!("`- names: [client, federation]` into the resources of the listener at {place}"),
        ),
        (
            "listeners:",
            "federation_domain_whitelist: [a.b]\nlisteners:",
            Code::HsFederation,
            Info,
            "remove federation_domain_whitelist from",
        ),
        (
            "listeners:",
            "serve_server_wellknown: true\nlisteners:",
            Code::HsWellKnown,
            Info,
            "remove them from the homeserver's file",
        ),
    ];
    for (right, wrong, code, severity, remedy) in table {
        let text = SYNAPSE.replace(right, wrong);
        assert_ne!(text, SYNAPSE, "{right}");
        expect(&own(Some(synapse(&text)), Some(healthy())), code, severity, remedy);
    }
    // Without a public URL mails lead to the server name, which is only wrong where another server has it.
    let unset = SYNAPSE.replace("public_baseurl: https://m.ex.org/\n", "");
    assert_eq!(findings(&own(Some(synapse(&unset)), None)), []);
    let elsewhere = Own { subject: subject("apex = \"elsewhere\""), ..own(Some(synapse(&unset)), None) };
    expect(&elsewhere, Code::HsBaseUrl, Warn, "public_baseurl: https://m.ex.org/");
    // A limit of one's own below the homeserver's.
    let tight = Own { subject: subject("limits.max_body = \"20MiB\""), ..own(Some(synapse(SYNAPSE)), None) };
    expect(&tight, Code::HsUpload, Warn, "`max_body = \"none\"`");
    let wide = Own { subject: subject("limits.max_body = \"50MiB\""), ..own(Some(synapse(SYNAPSE)), None) };
    assert_eq!(findings(&wide), []);
}

#[test]
fn the_other_homeservers_files() {
    use Severity::{Fail, Info, Warn};
    let table: [(&str, &str, Code, Severity, &str); 6] = [
        (
            "/etc/continuwuity/continuwuity.toml",
            "[global]\n",
            Code::HsForwarded,
            Warn,
            "write `request_ip_source = \"x_forwarded_for\"` into [global] of /etc/continuwuity/continuwuity.toml, then `systemctl restart continuwuity`",
        ),
        (
            "/etc/tuwunel/tuwunel.toml",
            "[global]\nallow_federation = false\n",
            Code::HsFederation,
            Fail,
            "write `allow_federation = true` into /etc/tuwunel/tuwunel.toml line 2, then `systemctl restart tuwunel`",
        ),
        (
            "/etc/tuwunel/tuwunel.toml",
            "[global.well_known]\nserver = \"x.org:443\"\n",
            Code::HsWellKnown,
            Info,
            "remove",
        ),
        (
            "/etc/tuwunel/tuwunel.toml",
            "[global.well_known]\nclient = \"https://x.org\"\n",
            Code::HsBaseUrl,
            Warn,
            "write `client = \"https://m.ex.org\"` into [global.well_known] of /etc/tuwunel/tuwunel.toml",
        ),
        (
            "/d/dendrite.yaml",
            "global:\n  server_name: ex.org\n",
            Code::HsForwarded,
            Info,
            "write `real_ip_header: X-Real-IP` into sync_api of /d/dendrite.yaml, then `systemctl restart dendrite`",
        ),
        (
            "/d/dendrite.yaml",
            "global:\n  disable_federation: true\nsync_api: {real_ip_header: X-Real-IP}\n",
            Code::HsFederation,
            Fail,
            "write `disable_federation: false`",
        ),
    ];
    for (path, text, code, severity, remedy) in table {
        expect(&own(Some(file(path, text)), None), code, severity, remedy);
    }
    // tuwunel believes loopback whatever is written; over the network it does not.
    let foreign = file("/etc/tuwunel/tuwunel.toml", "[global]\nip_source = \"cf_connecting_ip\"\n");
    assert_eq!(findings(&own(Some(foreign.clone()), None)), []);
    let remote = Own { subject: subject("homeserver = \"http://192.0.2.7:8008\""), ..own(Some(foreign), None) };
    expect(&remote, Code::HsForwarded, Warn, "`ip_source = \"rightmost_x_forwarded_for\"` into [global] of");
}

#[test]
fn a_file_that_tells_nothing() {
    use Severity::{Info, Warn};
    let seen = |named, trouble| {
        let path = PathBuf::from("/etc/matrix-synapse/homeserver.yaml");
        own(Some(FileSeen { path, named, content: Err(trouble) }), None)
    };
    let denied = FileTrouble::Denied { remedy: "as root, type: usermod -aG matrix-synapse vestibule".to_owned() };
    expect(&seen(false, denied), Code::HsFile, Info, "usermod -aG matrix-synapse vestibule");
    expect(&seen(true, FileTrouble::Missing), Code::HsFile, Warn, "correct homeserver_config");
    let place = Place { file: PathBuf::from("/etc/matrix-synapse/conf.d/a.yaml"), line: 3 };
    expect(&seen(false, FileTrouble::Malformed(place)), Code::HsFile, Info, "conf.d/a.yaml line 3");
}

#[test]
fn the_homeserver_must_answer() {
    use Severity::{Fail, Warn};
    let with = |versions: Reply, file: Option<FileSeen>| own(file, Some(Inside { versions, ..healthy() }));
    let refused = || Err(Trouble::Connect("Connection refused (os error 111)".to_owned()));
    expect(&with(refused(), None), Code::HsUpstream, Fail, "systemctl status matrix-synapse");
    let other = synapse(&SYNAPSE.replace("port: 8008", "port: 8009"));
    expect(
        &with(refused(), Some(other)),
        Code::HsUpstream,
        Fail,
        "write `homeserver = \"http://127.0.0.1:8009\"` into vestibule.toml, then `systemctl restart vestibule`",
    );
    let unix = SYNAPSE
        .replace("port: 8008", "path: /run/synapse/main.sock")
        .replace("    bind_addresses: ['127.0.0.1']\n", "");
    expect(
        &with(refused(), Some(synapse(&unix))),
        Code::HsUpstream,
        Fail,
        "`homeserver = \"unix:/run/synapse/main.sock\"`",
    );
    let tls = synapse(&SYNAPSE.replace("type: http", "type: http\n    tls: true"));
    expect(
        &with(Err(Trouble::Silent("closed".to_owned())), Some(tls)),
        Code::HsUpstream,
        Fail,
        "write `tls: false` there",
    );
    expect(&with(unknown(), None), Code::HsUpstream, Warn, "systemctl status");
    let socket = Own { subject: subject("homeserver = \"unix:/run/s.sock\""), ..with(Err(Trouble::Denied), None) };
    expect(&socket, Code::HsUpstream, Fail, "usermod -aG $(stat -c %G /run/s.sock) vestibule");
}

#[test]
fn what_answers_past_vestibule() {
    let address = || vec!["192.0.2.5:8008".parse().unwrap()];
    let matrix = Open { purpose: Purpose::Matrix { client: true, federation: true }, addresses: address() };
    let open = |open: Open| Inside { open: vec![open], ..healthy() };
    let everywhere = SYNAPSE.replace("['127.0.0.1']", "['0.0.0.0']");
    let remedy =
        "write `bind_addresses: ['127.0.0.1']` into the listener at /etc/matrix-synapse/homeserver.yaml line 4";
    expect(&own(Some(synapse(&everywhere)), Some(open(matrix.clone()))), Code::HsBind, Severity::Warn, remedy);
    expect(&own(None, Some(open(matrix.clone()))), Code::HsBind, Severity::Warn, "-p 127.0.0.1:8008:8008");
    let remedy = "`-http-bind-address 127.0.0.1:8008`";
    let dendrite = file("/d/dendrite.yaml", "global:\n  server_name: ex.org\nsync_api: {real_ip_header: X-Real-IP}\n");
    expect(&own(Some(dendrite), Some(open(matrix))), Code::HsBind, Severity::Warn, remedy);
    let replication =
        Open { purpose: Purpose::Internal("replication"), addresses: vec!["192.0.2.5:9093".parse().unwrap()] };
    expect(&own(None, Some(open(replication))), Code::HsBind, Severity::Warn, "127.0.0.1:9093");
}

#[test]
fn workers_answer_and_serve_what_they_are_sent() {
    let endpoint = |health: Reply, resources: Vec<(Resource, Reply)>| {
        let address = "http://127.0.0.1:8083".to_owned();
        let pools = subject(&format!("[[upstream]]\nname = \"w\"\nserves = [\"sync\"]\nendpoints = [\"{address}\"]"))
            .server
            .pools;
        let address = pools[0].endpoints[0].clone();
        let endpoint = Endpoint { pool: "w".to_owned(), is_worker: true, address, health, resources };
        own(None, Some(Inside { endpoints: vec![endpoint], ..healthy() }))
    };
    let ok = || json_answer(200, Value::Null);
    let unauthorised = || json_answer(401, json!({ "errcode": "M_MISSING_TOKEN" }));
    assert_eq!(findings(&endpoint(ok(), vec![(Resource::Client, unauthorised())])), []);
    let refused = Err(Trouble::Connect("refused".to_owned()));
    expect(
        &endpoint(refused, Vec::new()),
        Code::RouteWorker,
        Severity::Warn,
        "start the worker at w http://127.0.0.1:8083",
    );
    let lacking = endpoint(ok(), vec![(Resource::Federation, unknown())]);
    expect(
        &lacking,
        Code::RouteWorker,
        Severity::Warn,
        "write `- names: [federation]` into the resources of the worker's listener",
    );
}

#[test]
fn logins_reach_whoever_has_them() {
    let issuer = || json_answer(200, json!({ "issuer": "https://auth.ex.org/" }));
    let flows = || json_answer(200, json!({ "flows": [{ "type": "m.login.password" }] }));
    let silent = || Err(Trouble::Connect("refused".to_owned()));
    let with_mas = |mas: Mas, metadata: Reply| {
        let inside = Inside { login: unknown(), metadata, mas: Some(mas), ..healthy() };
        Own {
            subject: subject("[mas]\nurl = \"http://127.0.0.1:8090\""),
            file: None,
            looking: false,
            inside: Some(inside),
        }
    };
    let right = Mas { login: flows(), discovery: issuer() };
    assert_eq!(findings(&with_mas(right.clone(), issuer())), []);
    let marked = json_answer(
        200,
        json!({ "flows": [{ "type": "m.login.sso", "org.matrix.msc3824.delegated_oidc_compatibility": true }] }),
    );
    assert_eq!(findings(&with_mas(Mas { login: marked, discovery: unknown() }, issuer())), []);
    for (mas, metadata, remedy) in [
        (Mas { login: silent(), discovery: silent() }, issuer(), "systemctl status matrix-authentication-service"),
        (Mas { login: unknown(), discovery: issuer() }, issuer(), "`- name: compat`"),
        (Mas { login: flows(), discovery: unknown() }, issuer(), "correct mas.url"),
        (right, unknown(), "endpoint: \"http://127.0.0.1:8090\""),
    ] {
        expect(&with_mas(mas, metadata), Code::RouteMas, Severity::Warn, remedy);
    }
    // Without [mas]: only where the homeserver itself refuses logins.
    let delegating = Inside { login: unknown(), metadata: issuer(), ..healthy() };
    expect(&own(None, Some(delegating.clone())), Code::RouteMas, Severity::Warn, "`url = \"http://127.0.0.1:8080\"`");
    let mas = "matrix_authentication_service: {enabled: true, endpoint: 'http://localhost:8081/'}\n";
    let told = own(Some(synapse(&format!("{SYNAPSE}{mas}"))), Some(delegating.clone()));
    expect(&told, Code::RouteMas, Severity::Warn, "`url = \"http://localhost:8081\"`");
    let embedded = Inside { metadata: issuer(), ..healthy() };
    assert_eq!(findings(&own(None, Some(embedded))), []);
    let routed = "[[upstream]]\nname = \"auth\"\nendpoints = [\"http://127.0.0.1:8080\"]\n[[route]]\n\
                  path = \"^/_matrix/client/v3/(login|logout|refresh)\"\nupstream = \"auth\"";
    let routed = Own { subject: subject(routed), file: None, looking: false, inside: Some(delegating) };
    assert_eq!(findings(&routed), []);
}

#[test]
fn whose_homeserver_it_is() {
    use Severity::Fail;
    let says = |name: &str| Some(Inside { keys: json_answer(200, json!({ "server_name": name })), ..healthy() });
    assert_eq!(findings(&own(None, says("ex.org"))), []);
    expect(
        &own(None, says("other.org")),
        Code::HsName,
        Fail,
        "write `server_name = \"other.org\"` into vestibule.toml",
    );
    // A file left from another homeserver is none of this one's, unless the operator names it.
    let left = SYNAPSE.replace("ex.org", "old.org").replace("x_forwarded: true", "x_forwarded: false");
    assert_eq!(findings(&own(Some(synapse(&left)), says("ex.org"))), []);
    let named = FileSeen { named: true, ..synapse(&left) };
    assert!(findings(&own(Some(named), says("ex.org"))).iter().any(|(code, ..)| *code == Code::HsForwarded));
}
