use super::*;

fn parse_text(text: &str) -> Result<Config, Vec<String>> {
    Config::parse(text, Path::new("v.toml")).map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

fn errors(text: &str) -> Vec<String> {
    parse_text(text).expect_err("this configuration is wrong")
}

#[test]
fn one_line_is_a_complete_configuration() {
    let config = parse_text("server_name = \"example.com\"").unwrap();
    let server = &config.servers[0];
    assert_eq!(server.homeserver.to_string(), "http://127.0.0.1:8008");
    assert_eq!((server.public_host.host.to_string().as_str(), server.public_host.port), ("example.com", 443));
    assert_eq!(config.acme.cas[0].directory, "https://acme-v02.api.letsencrypt.org/directory");
    assert_eq!(config.names.orders().len(), 1);
    assert!(config.notices.is_empty() && config.listen.https.by_default);
}

#[test]
fn http_01_needs_a_listener() {
    let read = |more: &str| parse_text(&format!("server_name = \"example.com\"\nlisten.http = []\n{more}"));
    let by_default = read("").unwrap();
    assert_eq!((by_default.acme.challenges, by_default.notices.len()), (vec![Challenge::TlsAlpn01], 0));
    let written = read("acme.challenges = [\"http-01\", \"tls-alpn-01\"]").unwrap();
    assert_eq!(written.acme.challenges, [Challenge::TlsAlpn01]);
    assert!(
        written.notices[0].ends_with("\"http-01\" is left out, because listen.http is empty"),
        "{:?}",
        written.notices
    );
    let only = "acme.challenges = [\"http-01\"]";
    assert!(read(only).unwrap_err()[0].contains("acme.challenges: \"http-01\" needs a listener"));
    assert!(read(&format!("{only}\ntls.issuer = \"internal\"")).is_ok(), "nobody orders");
}

#[test]
fn two_servers_and_two_sites() {
    let config = parse_text(
        r#"
        [[server]]
        server_name = "one.example"
        public_host = "matrix.one.example"
        [[server]]
        server_name = "two.example"
        homeserver = "unix:/run/two.sock"
        public_host = "matrix.two.example:8443"
        apex = "elsewhere"
        [server.well_known]
        cache_max_age = "10m"
        [[site]]
        host = "one.example"
        upstream = "http://127.0.0.1:8081"
        [[site]]
        host = "chat.example"
        upstream = "http://127.0.0.1:8082"
        "#,
    )
    .unwrap();
    let orders: Vec<Vec<_>> =
        config.names.orders().iter().map(|order| order.names.iter().map(ToString::to_string).collect()).collect();
    assert_eq!(
        orders,
        [vec!["one.example", "matrix.one.example"], vec!["matrix.two.example"], vec!["chat.example"]],
        "the apex site shares its server's certificate, and an apex elsewhere needs none"
    );
    let owner = |name| config.names.owner(&crate::matrix::Host::parse(name).unwrap()).unwrap();
    assert_eq!(owner("one.example"), Owner { server: Some(0), site: Some(0) });
    assert_eq!(owner("two.example"), Owner { server: Some(1), site: None }, "served whatever apex says");
    assert_eq!(owner("chat.example"), Owner { server: None, site: Some(1) });
}

#[test]
fn further_names_are_served_and_certified() {
    let text = "server_name = \"a.example\"\npublic_host = \"new.example\"\napex = \"elsewhere\"\n\
                extra_hosts = [\"old.example\", \"new.example\", \"old.example\", \"a.example\"]\n\
                homeserver_config = \"/srv/hs.yaml\"\n";
    let config = parse_text(text).unwrap();
    let names = |hosts: &[crate::matrix::Host]| hosts.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(names(&config.servers[0].names()), ["a.example", "new.example", "old.example"]);
    assert_eq!(names(config.names.certificate_names()), ["new.example", "old.example"], "the apex is another's");
    assert_eq!(config.servers[0].homeserver_config.as_deref(), Some(Path::new("/srv/hs.yaml")));
    assert!(errors("server_name = \"a.b\"\nextra_hosts = [\"https://c\"]\n")[0].contains("extra_hosts"));
}

/// The orders of a configuration: names by spaces, one line each.
fn orders(text: &str) -> Vec<String> {
    let config = parse_text(text).unwrap();
    let orders = config.names.orders().iter();
    let orders: Vec<_> = orders.map(|order| crate::matrix::HostPattern::list(&order.names).replace(',', " ")).collect();
    for name in config.names.certificate_names() {
        let covering = config.names.orders().iter().flat_map(|order| &order.names).filter(|one| one.covers(name));
        assert_eq!(covering.count(), 1, "{name} is covered once: {orders:?}");
    }
    orders
}

const OVER_DNS: &str =
    "challenges = [\"http-01\", \"dns-01\"]\ndns = { provider = \"exec\", command = [\"/bin/true\"] }\n";

#[test]
fn a_wildcard_stands_for_the_names_that_it_covers() {
    let servers = |names: &[(&str, &str)]| -> String {
        let table = |(name, more): &(&str, &str)| format!("[[server]]\nserver_name = \"{name}\"\n{more}\n");
        names.iter().map(table).collect()
    };
    let public = "public_host = \"matrix.example.com\"";
    let elsewhere = "public_host = \"matrix.example.com\"\napex = \"elsewhere\"";
    let site = "[[site]]\nhost = \"chat.example.com\"\nupstream = \"http://127.0.0.1:1\"\n";
    let hub = [("a.example.com", ""), ("other.org", ""), ("b.example.com", ""), ("example.com", public)];
    for (wildcards, tables, expected) in [
        ("[]", servers(&hub[..2]), vec!["a.example.com", "other.org"]),
        ("[\"*.example.com\"]", servers(&hub) + site, vec!["*.example.com example.com", "other.org"]),
        ("[\"*.example.com\", \"*.Example.com\"]", servers(&hub[3..]), vec!["*.example.com example.com"]),
        ("[\"*.example.com\"]", servers(&[("example.com", elsewhere)]) + site, vec!["*.example.com"]),
        (
            "[\"*.example.com\"]",
            servers(&[("example.com", ""), ("x.y.example.com", "")]),
            vec!["example.com", "x.y.example.com"],
        ),
        (
            "[\"*.example.com\", \"*.y.example.com\"]",
            servers(&[("y.example.com", ""), ("x.y.example.com", "")]),
            vec!["*.example.com", "*.y.example.com"],
        ),
        ("[\"*.example.com\"]", servers(&[("1.2.3.4", ""), ("a.example.com", "")]), vec!["1.2.3.4", "*.example.com"]),
    ] {
        assert_eq!(orders(&format!("[acme]\nwildcards = {wildcards}\n{OVER_DNS}{tables}")), expected, "{tables}");
    }
    let fifty: String = (0..50).map(|n| servers(&[(&format!("h{n}.example.com"), "")])).collect();
    let fifty = format!("[acme]\nwildcards = [\"*.example.com\"]\n{OVER_DNS}{fifty}");
    assert_eq!(orders(&fifty), ["*.example.com"]);
    assert_eq!(parse_text(&fifty).unwrap().names.certificate_names().len(), 50);
    let internal = format!("[tls]\nissuer = \"internal\"\n{fifty}");
    assert_eq!(orders(&internal).len(), 50, "the internal CA signs for names");
    let unused = parse_text(&format!("server_name = \"a.b\"\n[acme]\nwildcards = [\"*.x.org\"]\n{OVER_DNS}")).unwrap();
    assert_eq!(unused.notices, ["v.toml:3:13: acme.wildcards: *.x.org covers no served name and is not ordered"]);
}

#[test]
fn dns_needs_somebody_who_writes_records() {
    let acme = |text: &str| parse_text(&format!("server_name = \"a.b\"\n[acme]\n{text}"));
    let rfc2136 = "challenges = [\"dns-01\"]\n[acme.dns]\nprovider = \"rfc2136\"\n";
    for (server, expected) in
        [("192.0.2.53:5353", "192.0.2.53:5353"), ("192.0.2.53", "192.0.2.53:53"), ("[::1]", "[::1]:53")]
    {
        let text = format!("{rfc2136}server = \"{server}\"\nkey_name = \"a.\"\nkey_file = \"/k\"");
        let config = acme(&text).unwrap();
        let Some(DnsProvider::Rfc2136 { server, key_name, key_file }) = &config.acme.dns else { panic!("{text}") };
        assert_eq!((server.to_string().as_str(), key_name.as_deref()), (expected, Some("a.")));
        assert_eq!((key_file.to_str(), config.notices.len()), (Some("/k"), 0));
    }
    for (text, expected) in [
        (
            "challenges = [\"dns-01\"]",
            "v.toml:3:14: acme.challenges: \"dns-01\" needs somebody to write DNS records; set provider = \"rfc2136\" or \"exec\" in [acme.dns]",
        ),
        ("wildcards = [\"*.b\"]", "v.toml:3:13: acme.wildcards: CAs validate wildcards over DNS only; add \"dns-01\""),
        (
            "wildcards = [\"x.b\"]\nchallenges = []",
            "acme.wildcards: \"x.b\" is not a wildcard; write a name such as \"*.example.com\"",
        ),
        ("[acme.dns]\nserver = \"1.2.3.4\"", "acme.dns.provider: missing; write provider = \"rfc2136\" or \"exec\""),
        (
            &format!("{rfc2136}server = \"ns.b\"\nkey_file = \"/k\""),
            "acme.dns.server: \"ns.b\" is not an address; write",
        ),
        (&format!("{rfc2136}server = \"1.2.3.4\""), "acme.dns.key_file: missing; write key_file = "),
        (
            &format!("{rfc2136}server = \"1.2.3.4\"\nkey_file = \"/k\"\nkey_name = \"a b\""),
            "acme.dns.key_name: \"a b\" is not a key's name; write the name in the quotes",
        ),
        (
            &format!("{rfc2136}server = \"1.2.3.4\"\nkey_file = \"/k\"\ncommand = [\"/x\"]"),
            "acme.dns.command: this belongs to the other provider; remove it, or set provider = \"exec\"",
        ),
        (
            "challenges = [\"dns-01\"]\n[acme.dns]\nprovider = \"exec\"\ncommand = [\"hook\"]",
            "v.toml:6:11: acme.dns.command: \"hook\" is not an absolute path; write the program's absolute path first",
        ),
        ("challenges = [\"dns-1\"]", "acme.challenges: \"dns-1\" is not a challenge type; write some of "),
    ] {
        let found = acme(text).expect_err("this configuration is wrong");
        assert!(found[0].contains(expected), "for {text}\n{found:?}\n{expected}");
    }
    let unused = acme("[acme.dns]\nprovider = \"exec\"\ncommand = [\"/x\"]").unwrap();
    assert_eq!(unused.notices, ["v.toml:3:7: acme.dns: nothing uses it; add \"dns-01\" to acme.challenges"]);
}

#[test]
fn every_error_names_place_key_and_remedy() {
    let table = [
        (
            "",
            "v.toml:1:1: server_name: missing; write server_name = \"example.com\", what stands after the colon in your user IDs",
        ),
        (
            "server_name = \"https://a.b\"",
            "v.toml:1:15: server_name: \"https://a.b\" is not a server name; a scheme does not belong here; write \
             \"example.com\", not \"https://example.com\"",
        ),
        (
            "server_nam = \"a.b\"\nserver_name = \"a.b\"",
            "v.toml:1:14: server_nam: unknown key; did you mean \"server_name\"?",
        ),
        (
            "server_name = \"a.b\"\nhomeserver = \"127.0.0.1:8008\"",
            "v.toml:2:14: homeserver: \"127.0.0.1:8008\" has no scheme; write \"http://127.0.0.1:8008\" or \
             \"unix:/run/synapse/main.sock\"",
        ),
        (
            "server_name = \"a.b\"\n[limits]\ndrain = 40",
            "v.toml:3:9: limits.drain: this is a number; write a number and a unit (ms, s, m, h, d) in quotes, such as \
             \"30s\"",
        ),
        (
            "server_name = \"a.b\"\n[listen]\nhttps = [\"443\"]",
            "v.toml:3:9: listen.https: \"443\" is not an address with a port; write address and port such as \
             \"0.0.0.0:443\" or \"[::]:443\"",
        ),
        (
            "server_name = \"a.b\"\n[tls]\nissuer = \"letsencrypt\"",
            "v.toml:3:10: tls.issuer: \"letsencrypt\" is not known here; write one of \"acme\", \"internal\", \"files\"",
        ),
        (
            "server_name = \"a.b\"\n[[server]]\nserver_name = \"c.d\"",
            "v.toml:1:15: server_name: this is the short form of exactly one server; with [[server]], write \
             server_name below it",
        ),
        (
            "server_name = \"a.b\"\n[listen]\nproxy_protocol_from = [\"10.0.0.0/8\", \"balancer\"]",
            "v.toml:3:23: listen.proxy_protocol_from: \"balancer\" is not a network; write a network such as \
             \"10.0.0.0/8\" or \"2001:db8::/32\"",
        ),
        (
            "server_name = \"a.b\"\n[limits]\nper_ip_connections = 0",
            "v.toml:3:22: limits.per_ip_connections: out of range; write a whole number from 1 to 4294967295",
        ),
        (
            "server_name = \"a.b\"\n[limits]\nhold = { client = \"366d\" }",
            "v.toml:3:19: limits.hold.client: this is longer than a year; write at most \"365d\"",
        ),
        ("server_name = ", "v.toml:1:15: string values must be quoted, expected literal string; correct the TOML here"),
        (
            "server_name = \"a.b\"\napex = \"elsewhere\"",
            "v.toml:2:8: apex: another web server answers the server name, and no other name leads here; name the host \
             that delegation points to: public_host = \"matrix.example.com\"",
        ),
        (
            "server_name = \"a.b\"\n[well_known]\nclient = { \"m.identity_server\" = {} }",
            "v.toml:3:1: well_known.client: \"m.identity_server\" has no base_url that starts with https://; write \
             client = { \"m.identity_server\" = { base_url = \"https://vector.im\" } }",
        ),
        (
            "server_name = \"a.b\"\n[well_known]\nsupport = { contacts = [{ role = \"m.role.admin\", matrx_id = \"@a:b.c\" }] }",
            "v.toml:3:1: well_known.support: unknown key \"matrx_id\"; did you mean \"matrix_id\"?",
        ),
    ];
    for (text, expected) in table {
        assert_eq!(errors(text), [expected], "for {text:?}");
    }
}

#[test]
fn mistakes_are_told_in_the_order_of_the_file() {
    let places: Vec<_> = errors("[log]\nlevl = \"x\"\n[limits]\ndrain = 4\nmax_body = true\n[acme]\nprofil = 1\n")
        .iter()
        .map(|error| error.split(": ").next().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(places, ["v.toml:1:1", "v.toml:2:8", "v.toml:4:9", "v.toml:5:12", "v.toml:7:10"]);
}

#[test]
fn a_name_has_one_owner() {
    let two = "[[server]]\nserver_name = \"a.b\"\npublic_host = \"m.b\"\n[[server]]\nserver_name = \"c.d\"\npublic_host = \"m.b\"";
    assert_eq!(
        errors(two),
        [
            "v.toml:6:15: server[1].public_host: m.b leads to both a.b and c.d; give each server a public_host of its own"
        ]
    );
    let site =
        "server_name = \"a.b\"\npublic_host = \"m.b\"\n[[site]]\nhost = \"m.b\"\nupstream = \"http://127.0.0.1:1\"";
    assert!(errors(site)[0].contains("m.b is where delegation points to"));
}

#[test]
fn keys_without_effect_are_said() {
    let config = parse_text("server_name = \"a.b\"\n[check]\nstatus_check = true\n[log]\naccess = \"json\"").unwrap();
    assert_eq!(
        config.notices,
        [
            "v.toml:5:10: log.access: accepted, but has no effect in this version",
            "v.toml:3:16: check.status_check: accepted, but has no effect in this version",
        ]
    );
}

#[test]
fn pools_routes_and_services() {
    let config = parse_text(
        r#"
        server_name = "a.b"
        [[upstream]]
        name = "sync"
        endpoints = ["http://127.0.0.1:8082", "unix:/run/sync.sock"]
        balance = "least_busy"
        serves = ["sync", "initial_sync"]
        [[upstream]]
        name = "other"
        endpoints = ["http://127.0.0.1:8090"]
        [[route]]
        path = '^/x/\d+$'
        upstream = "other"
        [[route]]
        path = "^/"
        upstream = "homeserver"
        [mas]
        url = "http://127.0.0.1:8091"
        [rtc]
        sfu = "unix:/run/sfu.sock"
        "#,
    )
    .unwrap();
    let server = &config.servers[0];
    assert!(config.notices.is_empty(), "{:?}", config.notices);
    assert_eq!((server.pools[0].endpoints.len(), server.pools[0].balance), (2, Some(Balance::LeastBusy)));
    assert_eq!(server.pools[0].serves, [WorkerKind::Sync, WorkerKind::InitialSync]);
    assert_eq!((server.pools[1].balance, server.pools[1].serves.len()), (None, 0));
    assert_eq!(
        server.routes.iter().map(|route| route.target).collect::<Vec<_>>(),
        [RouteTarget::Pool(1), RouteTarget::Homeserver]
    );
    assert!(server.routes[0].path.matches("/x/12") && !server.routes[0].path.matches("/x/a"));
    let services = &server.services;
    assert!(services.mas.is_some() && services.rtc_jwt.is_none() && services.rtc_sfu.is_some());
}

#[test]
fn a_pool_without_use_is_said() {
    let text = "server_name = \"a.b\"\n[[upstream]]\nname = \"x\"\nendpoints = [\"http://127.0.0.1:1\"]\n";
    let notice = "v.toml:2:1: upstream: \"x\" serves nothing, and no route leads to it";
    assert_eq!(parse_text(text).unwrap().notices, [notice]);
}

#[test]
fn mistakes_in_pools_and_routes() {
    let pool = |name: &str, more: &str| {
        format!("[[upstream]]\nname = \"{name}\"\nendpoints = [\"http://127.0.0.1:1\"]\n{more}")
    };
    let route = |path: &str, upstream: &str| format!("[[route]]\npath = '{path}'\nupstream = \"{upstream}\"\n");
    for (text, expected) in [
        (pool("homeserver", ""), "upstream[0].name: \"homeserver\" is the built-in one; set homeserver = "),
        (pool("A b", ""), "upstream[0].name: \"A b\" is no name for a pool; write up to 64 small letters"),
        (pool("x", "") + &pool("x", ""), "v.toml:6:8: upstream[1].name: there are two pools called \"x\"; give each"),
        (
            pool("x", "serves = [\"media\"]\n") + &pool("y", "serves = [\"media\"]\n"),
            "v.toml:9:10: upstream[1].serves: \"media\" is served by \"x\" already; name each kind in one pool",
        ),
        (pool("x", "serves = [\"snyc\"]\n"), "upstream[0].serves: \"snyc\" is not known here; did you mean \"sync\"?"),
        (
            pool("x", "serves = [\"pagination\"]\nbalance = \"round_robin\"\n"),
            "upstream[0].balance: \"pagination\" needs all requests of a room to reach the same process; write balance = \"room_id\"",
        ),
        (
            "[[upstream]]\nname = \"x\"\nendpoints = [\"http://127.0.0.1:1\", \"http://127.0.0.1:2\"]\nserves = [\"sso\"]\n".to_owned(),
            "upstream[0].endpoints: \"sso\" is the work of a single process; name one endpoint",
        ),
        (
            "[[upstream]]\nname = \"x\"\nendpoints = [\"http://127.0.0.1:1\", \"http://127.0.0.1:1\"]\n".to_owned(),
            "upstream[0].endpoints: http://127.0.0.1:1 stands there twice; write each endpoint once",
        ),
        ("[[upstream]]\nname = \"x\"\nendpoints = []\n".to_owned(), "upstream[0].endpoints: the list is empty; write endpoints = "),
        (pool("sync", "") + &route("^/x", "snyc"), "v.toml:7:12: route[0].upstream: there is no upstream called \"snyc\"; did you mean \"sync\"?"),
        (route("^/x", "else"), "route[0].upstream: there is no upstream called \"else\"; write one of \"homeserver\""),
        (route("^/x", "http://127.0.0.1:1"), "route[0].upstream: there is no upstream called"),
        (route("^/(x", "homeserver"), "v.toml:3:8: route[0].path: \"^/(x\" is not a regular expression: unclosed group; write one such as"),
        (route("^/(?=x)", "homeserver"), "route[0].path: \"^/(?=x)\" is not a regular expression: look-around"),
        (route("(x{1000}){1000}", "homeserver"), "route[0].path: the pattern is too big; write it without large repetitions"),
        (route("", "homeserver"), "route[0].path: an empty pattern matches every path; write path = '^/'"),
    ] {
        let found = errors(&format!("server_name = \"a.b\"\n{text}"));
        assert!(found.len() == 1 && found[0].contains(expected), "for {text}\n{found:?}\n{expected}");
    }
}

#[test]
fn overrides_win_and_show_their_origin() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("vestibule.toml");
    std::fs::write(&file, "server_name = \"file.example\"\nemail = \"a@b.c\"\n[listen]\nhttps = [\"127.0.0.1:0\"]\n")
        .unwrap();
    std::fs::create_dir(folder.path().join("conf.d")).unwrap();
    std::fs::write(folder.path().join("conf.d/20.toml"), "email = \"drop@in.example\"\n").unwrap();
    std::fs::write(
        folder.path().join("conf.d/10.toml"),
        "email = \"early@in.example\"\n[[site]]\nhost = \"s.example\"\nupstream = \"http://127.0.0.1:1\"\n",
    )
    .unwrap();
    let overrides = vec![
        Override {
            key: "server_name",
            value: "env.example".into(),
            origin: Origin::Environment("VESTIBULE_SERVER_NAME"),
        },
        Override { key: "server_name", value: "flag.example".into(), origin: Origin::Flag("--server-name") },
        Override { key: "log.level", value: "debug".into(), origin: Origin::Environment("VESTIBULE_LOG") },
    ];
    let config = Config::load(&Sources { file: Some(file), overrides }).unwrap();
    assert_eq!(config.servers[0].server_name.as_str(), "flag.example");
    assert_eq!((config.email.as_deref(), config.log.level.as_str()), (Some("drop@in.example"), "debug"));
    assert_eq!(config.sites.len(), 1);
    let shown = show::render(&config);
    let words = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("server_name = \"flag.example\" # flag --server-name"), "{shown}");
    assert!(shown.contains("conf.d/20.toml:1:9"), "{shown}");
    assert!(words.contains("level = \"debug\" # environment VESTIBULE_LOG"), "{shown}");
    assert!(!config.listen.https.by_default && config.listen.http.by_default);
    let again = Config::parse(&shown, Path::new("shown.toml")).expect("what is shown is a configuration");
    assert!(again.notices.is_empty(), "{:?}", again.notices);
    assert_eq!(again.servers, config.servers);
}
